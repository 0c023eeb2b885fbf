"""What a physician saved comes in whole, or not at all, and nothing that stands there is touched."""

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_ctc import durable
from edge_ctc.errors import (
    DataError,
    EdgeCtcError,
    InputMissingError,
    NotARunError,
    ResultsError,
    ResultsHeldError,
    RunUnreadableError,
)
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review import review_file
from edge_ctc.review.hold import sole_reviewer
from edge_ctc.review.importing import import_review
from edge_ctc.review.readings import read_readings, readings_path
from edge_ctc.review.review_file import read_review
from tests.conftest import EdgeCtc
from tests.images import full_disk_at, power_cut_at
from tests.reviews import CTC, LEUKOCYTE, NOT_EVALUABLE, VERDICTS, called, document, read_by, saved
from tests.rights import without_rights


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def rows_of(place: ResultPlace) -> list[dict[str, str]]:
    with (place.folder / "run 1.ctc-review.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_reading_stands_in_the_csv_with_reader_time_and_what_the_machine_said(tmp_path: Path) -> None:
    place = called(tmp_path)
    imported = read_by(place, "M. Rossi", {"0001": (4, ["cluster", "doubt"]), "0003": None}, blind=False)
    assert (imported.added, imported.known, imported.is_called_again, imported.ungraded) == (2, 0, False, 2)
    first, second = rows_of(place)
    manifest = json.loads(place.manifest.read_bytes())
    shown = {
        "schema_version": "1",
        "run_id": "run 1",
        "cell_id": "0001",
        "images_sha256": document(place, {"0001": 4})["readings"][0]["images_sha256"],
        "reader": "M. Rossi",
        "grade": "4",
        "marks": "cluster|doubt",
        "blind": "false",
        "read_at_utc": "2026-11-23T20:00:00.000000Z",
        "page_calls_sha256": manifest["calls"]["sha256"],
        "calls_sha256": manifest["calls"]["sha256"],
        "checkpoint_sha256": "c" * 64,
        "verdict": "CTC",
        "score": "4.0",
    }
    assert {name: first[name] for name in shown} == shown
    assert (second["grade"], second["marks"], second["verdict"]) == ("", "", "REVIEW")
    assert list(first)[9:11] == ["page_calls_sha256", "imported_at_utc"]
    assert first["imported_at_utc"] <= second["imported_at_utc"]


def test_an_import_touches_neither_calls_nor_manifest_nor_the_review_file(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 1, "0005": 4}))
    before = bytes_in(tmp_path)
    import_review(path, tmp_path)
    after = bytes_in(tmp_path)
    assert after.pop("run 1.ctc-review.csv").count(b"\r\n") == 3
    assert after == before


def test_a_file_that_comes_twice_adds_nothing_and_says_so(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4, "0002": 1}))
    assert "2 readings by M. Rossi added" in edge_ctc("review", "import", path).out
    before = bytes_in(tmp_path)
    finished = edge_ctc("review", "import", path)
    assert finished.code == 0
    assert "nothing new: 0 readings by M. Rossi added, 2 there already" in finished.out
    assert "without a grade yet: 1 cell among CTC and REVIEW" in finished.out
    assert bytes_in(tmp_path) == before


def test_a_changed_mind_is_added_and_the_former_reading_stays(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4, "0002": 4})
    before = readings_path(place).read_bytes()
    imported = read_by(place, "M. Rossi", {"0001": 4, "0002": 1})
    assert (imported.added, imported.known) == (1, 1)
    assert readings_path(place).read_bytes().startswith(before)
    assert [row["grade"] for row in rows_of(place)] == ["4", "4", "1"]


def test_a_cell_with_marks_alone_or_that_nobody_read_has_no_grade_yet(tmp_path: Path) -> None:
    place = called(tmp_path)
    assert read_by(place, "M. Rossi", {"0001": (None, ["doubt"]), "0005": 1}).ungraded == 3
    assert read_by(place, "A. Verdi", {"0001": 2, "0003": 3}).ungraded == 1


def test_a_run_that_was_called_again_of_the_same_images_takes_its_old_readings(
    tmp_path: Path, edge_ctc: EdgeCtc
) -> None:
    place = called(tmp_path)
    page = document(place, {"0001": 4})
    path = saved(tmp_path, page)
    called(tmp_path, VERDICTS | {"0001": LEUKOCYTE})
    finished = edge_ctc("review", "import", path)
    assert finished.code == 0
    assert "the run was called again since the page was made, of the same images" in finished.out
    (row,) = rows_of(place)
    assert row["verdict"] == "LEUKOCYTE"
    assert row["calls_sha256"] == json.loads(place.manifest.read_bytes())["calls"]["sha256"]
    assert row["page_calls_sha256"] == page["calls_sha256"] != row["calls_sha256"]


def test_cells_whose_images_changed_can_be_left_out_and_the_others_taken(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    page = document(place, {"0001": 4, "0002": 1})
    page["readings"][0]["images_sha256"] = "9" * 64
    path = saved(tmp_path, page)
    refused = edge_ctc("review", "import", path)
    assert refused.code == 65
    assert "import with --leave-out-changed" in refused.err
    assert not readings_path(place).exists()
    finished = edge_ctc("review", "import", path, "--leave-out-changed")
    assert finished.code == 2
    assert "left out, read on other images than were called: 0001" in finished.out
    assert [row["cell_id"] for row in rows_of(place)] == ["0002"]


def test_a_file_of_which_all_images_changed_is_refused_however_it_is_asked_for(
    tmp_path: Path, edge_ctc: EdgeCtc
) -> None:
    place = called(tmp_path)
    page = document(place, {"0001": 4})
    page["readings"][0]["images_sha256"] = "9" * 64
    assert edge_ctc("review", "import", saved(tmp_path, page), "--leave-out-changed").code == 65
    assert not readings_path(place).exists()


def test_a_file_that_names_these_calls_and_another_checkpoint_was_changed(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    finished = edge_ctc(
        "review", "import", saved(tmp_path, document(place, {"0001": 4}) | {"checkpoint_sha256": "0" * 64})
    )
    assert finished.code == 65
    assert "names these calls and checkpoint 000000000000" in finished.err
    assert not readings_path(place).exists()


def test_a_cell_that_is_not_evaluable_can_be_read(tmp_path: Path) -> None:
    place = called(tmp_path, {"0001": CTC, "0002": NOT_EVALUABLE})
    read_by(place, "M. Rossi", {"0002": 2})
    assert rows_of(place)[0]["score"] == ""
    assert read_readings(place)[0].score is None


def refuse(path: Path, place: ResultPlace, telling: str, kind: type[EdgeCtcError] = DataError) -> None:
    before = bytes_in(place.folder)
    with pytest.raises(kind, match=telling):
        import_review(path, place)
    assert bytes_in(place.folder) == before
    assert not (place.folder / ".ctc-review").exists()


def test_one_unknown_cell_refuses_the_whole_file_and_names_it(tmp_path: Path) -> None:
    place = called(tmp_path)
    content = document(place, {"0001": 4, "0002": 1})
    content["readings"][1]["cell_id"] = "2"
    refuse(saved(tmp_path, content), place, r"1 of 2 cells are not in the calls \(2\); nothing was imported")


def test_one_cell_with_other_images_refuses_the_whole_file_and_names_it(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, dict.fromkeys(VERDICTS, 4)))
    called(tmp_path, images="of another scan")
    refuse(path, place, r"5 of 5 cells are read on other images than were called \(0001, 0002, 0003, …\)")


def test_another_runs_review_is_refused(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}, run_id="run 2"))
    refuse(path, place, "is of run run 2, expected run 1; nothing was imported")


def test_a_run_that_was_never_called_takes_no_review(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    place.calls.unlink()
    refuse(path, place, "no committed calls", NotARunError)
    place.manifest.unlink()
    refuse(path, place, "no committed calls", NotARunError)


def test_calls_that_were_edited_take_no_review(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    place.calls.write_bytes(place.calls.read_bytes().replace(b",CTC,", b",REVIEW,"))
    refuse(path, place, "changed after it was committed", NotARunError)


def first(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    content["readings"][0] |= changes
    return content


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    del content[name]
    return content


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "nothing": (lambda _: b"", "Invalid JSON"),
    "half of it": (lambda content: json.dumps(content).encode()[:200], "Invalid JSON"),
    "no UTF-8": (lambda content: json.dumps(content).replace("Rossi", "R\xf6ssi").encode("latin-1"), "Invalid JSON"),
    "a lone surrogate": (lambda content: content | {"reader": "\ud800"}, "Invalid JSON"),
    "deeper than any": (lambda _: b"[" * 100_000, "Invalid JSON"),
    "a list": (lambda content: [content], "Input should be an object"),
    "another schema": (lambda content: content | {"schema_version": 2}, "schema_version: Input should be 1, found 2"),
    "another kind": (lambda content: content | {"kind": "gallery"}, "kind: Input should be 'edge-ctc review'"),
    "a key that is missing": (lambda content: without(content, "reader"), "reader: Field required"),
    "a key that nobody knows": (lambda content: content | {"verdict": "CTC"}, "verdict: Extra inputs"),
    "grade 0": (lambda content: first(content, grade=0), "readings.0.grade: .* found 0"),
    "grade 5": (lambda content: first(content, grade=5), "readings.0.grade: .* found 5"),
    "a grade as text": (lambda content: first(content, grade="4"), "readings.0.grade: .* found '4'"),
    "a grade of true": (lambda content: first(content, grade=True), "readings.0.grade: .* found True"),
    "a grade of 4.0": (lambda content: first(content, grade=4.0), "readings.0.grade: .* found 4.0"),
    "an unknown mark": (lambda content: first(content, marks=["nice"]), "readings.0.marks.0: .* found 'nice'"),
    "a mark twice": (lambda content: first(content, marks=["debris", "debris"]), "each mark once, in the order"),
    "marks in disorder": (lambda content: first(content, marks=["doubt", "cluster"]), "each mark once, in the order"),
    "blind as a number": (lambda content: first(content, blind=1), "readings.0.blind: .* found 1"),
    "no cell id": (lambda content: first(content, cell_id=""), "readings.0.cell_id"),
    "a sum that is none": (lambda content: first(content, images_sha256="0" * 63), "readings.0.images_sha256"),
    "no reader": (lambda content: content | {"reader": ""}, "reader: .* at least 1"),
    "a blank reader": (lambda content: content | {"reader": " \n\t"}, "reader: .* at least 1"),
    "a reader of 101": (lambda content: content | {"reader": "x" * 101}, "reader: .* at most 100"),
    "a time without a zone": (lambda content: first(content, read_at_utc="2026-11-23T20:00:00"), "expected a time in"),
    "a time of another zone": (
        lambda content: first(content, read_at_utc="2026-11-23T20:00:00+02:00"),
        "a time in UTC",
    ),
    "seconds for a time": (lambda content: first(content, read_at_utc="1790000000"), "expected a time in UTC"),
    "a number for a time": (lambda content: first(content, read_at_utc=1790000000), "found 1790000000"),
    "a 30th of February": (
        lambda content: first(content, read_at_utc="2026-02-30T00:00:00Z"),
        "readings.0.read_at_utc",
    ),
    "the year 2999": (lambda content: first(content, read_at_utc="2999-01-01T00:00:00Z"), "set the clock"),
    "the year 1970": (lambda content: first(content, read_at_utc="1970-01-01T00:00:00Z"), "set the clock"),
    "a save in 2999": (lambda content: content | {"saved_at_utc": "2999-01-01T00:00:00Z"}, "saved_at_utc: .*set the"),
    "a path for a run": (lambda content: content | {"run_id": "../run 1"}, "no run is named so"),
    "a run with a NUL": (lambda content: content | {"run_id": "run\0 1"}, "no run is named so"),
    "a run of 300 letters": (lambda content: content | {"run_id": "x" * 300}, "no run is named so"),
    "a cell twice": (lambda content: content | {"readings": content["readings"] * 2}, "cell 0001 is read twice"),
    "four faults": (lambda content: first(content, grade=9, marks=3, blind=2, cell_id=4), "; and 1 more; nothing was"),
}


@pytest.mark.parametrize("harm", SPOILT)
def test_a_spoilt_review_is_refused_by_name_and_nothing_of_it_comes_in(tmp_path: Path, harm: str) -> None:
    place = called(tmp_path)
    spoil, telling = SPOILT[harm]
    path = saved(tmp_path, spoil(document(place, {"0001": 4})))
    refuse(path, place, f"{path.name}: no review of schema 1: .*{telling}")


def test_a_huge_review_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    monkeypatch.setattr(review_file, "MAX_BYTES", path.stat().st_size - 1)
    refuse(path, place, f"{path.name}: larger than {path.stat().st_size - 1} bytes")
    monkeypatch.setattr(review_file, "MAX_BYTES", path.stat().st_size)
    assert import_review(path, place).added == 1


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    place = called(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    refuse(tmp_path / "none", place, "none: no such file", InputMissingError)
    refuse(tmp_path / "dangling", place, "dangling: no such file", InputMissingError)
    refuse(place.calls / "below", place, "below: no such file", InputMissingError)
    refuse(tmp_path / "folder", place, "folder: cannot be read .Is a directory")
    with pytest.raises(DataError, match="pipe: no regular file"):
        import_review(tmp_path / "pipe", place)


def test_a_link_to_a_review_is_read(tmp_path: Path) -> None:
    place = called(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    path = saved(tmp_path / "elsewhere", document(place, {"0001": 4}))
    (tmp_path / "link.json").symlink_to(path)
    assert import_review(tmp_path / "link.json", tmp_path).added == 1


def test_a_mark_of_windows_before_a_review_is_no_fault(tmp_path: Path) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, b"\xef\xbb\xbf" + json.dumps(document(place, {"0001": 4})).encode())
    assert import_review(path, place).added == 1


def test_a_blank_around_a_readers_name_makes_no_second_reader(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    assert read_by(place, " M. Rossi\n", {"0001": 4}).known == 1


@pytest.mark.parametrize("spelling", ["m. rossi", "M.  Rossi", "\uff2d. Rossi"])
def test_a_readers_name_in_another_spelling_is_refused(tmp_path: Path, spelling: str) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    path = saved(tmp_path, document(place, {"0002": 4}, spelling))
    before = bytes_in(tmp_path)
    with pytest.raises(DataError, match=r"differs from M\. Rossi, who read this run before"):
        import_review(path, place)
    assert bytes_in(tmp_path) == before


def test_the_run_is_found_beside_the_file_or_named(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    results, downloads = tmp_path / "results", tmp_path / "downloads"
    results.mkdir()
    downloads.mkdir()
    place = called(results)
    path = saved(downloads, document(place, {"0001": 4}))
    finished = edge_ctc("review", "import", path)
    assert finished.code == 66
    assert "no run 1.ctc-run.json lies in" in finished.err
    assert "--run" in finished.err
    assert edge_ctc("review", "import", path, "--run", results / "run 1").code == 0
    assert edge_ctc("review", "import", path, "--out", results).code == 0
    assert edge_ctc("review", "import", path, "--run", tmp_path / "exports" / "run 1", "--out", results).code == 0
    assert len(rows_of(place)) == 1
    assert edge_ctc("review", "import", path, "--run", "").code == 64
    assert edge_ctc("review", "import", "").code == 64
    nothing_named = edge_ctc("review", "import")
    assert nothing_named.code == 64
    assert "`edge-ctc review import --help` shows how it is used" in nothing_named.err


def test_several_files_come_in_until_one_is_refused(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    good = saved(tmp_path, document(place, {"0001": 4}), "a.json")
    bad = saved(tmp_path, b"{}", "b.json")
    other = saved(tmp_path, document(place, {"0001": 1}, "A. Verdi"), "c.json")
    finished = edge_ctc("review", "import", good, bad, other, "--json")
    assert finished.code == 65
    shown = json.loads(finished.out)
    assert [(one["file"], one["added"]) for one in shown["imported"]] == [(str(good), 1)]
    assert (shown["exit_code"], shown["schema_version"]) == (65, 1)
    assert shown["error"].startswith(f"{bad}: no review")
    finished = edge_ctc("review", "import", good, other, "--json")
    shown = json.loads(finished.out)
    assert [(one["added"], one["known"], one["reader"]) for one in shown["imported"]] == [
        (0, 1, "M. Rossi"),
        (1, 0, "A. Verdi"),
    ]
    assert (finished.code, shown["exit_code"], "error" in shown) == (0, 0, False)


SPOILT_CSV: dict[str, Callable[[bytes], bytes]] = {
    "cut within a row": lambda content: content[:-9],
    "cut before its last end of line": lambda content: content[:-2],
    "emptied": lambda _: b"",
    "saved with line feeds": lambda content: content.replace(b"\r\n", b"\n"),
    "saved by a spreadsheet": lambda content: content.replace(b",0001,", b",1,").replace(b",4.0", b",4"),
    "with quotes": lambda content: content.replace(b",0001,", b',"0001",'),
    "with semicolons": lambda content: content.replace(b",", b";"),
    "with a mark of Windows": lambda content: b"\xef\xbb\xbf" + content,
    "with a grade of 5": lambda content: content.replace(b",4,,true", b",5,,true"),
    "with a mark unknown": lambda content: content.replace(b",4,,true", b",4,nice,true"),
    "with a verdict unknown": lambda content: content.replace(b",CTC,", b",MAYBE,"),
    "with blind unknown": lambda content: content.replace(b",true,", b",yes,"),
    "with another time": lambda content: content.replace(b"2026-11-23T20", b"23/11/2026 20"),
    "with a score that is none": lambda content: content.replace(b",4.0", b",nan"),
    "of another schema": lambda content: content.replace(b"\n1,run", b"\n2,run"),
    "of another run": lambda content: content.replace(b",run 1,", b",run 2,"),
    "no UTF-8": lambda content: content.replace(b"Rossi", b"R\xf6ssi"),
    "some other table": lambda _: b"cell_id,label\r\n1,CTC\r\n",
}


@pytest.mark.parametrize("harm", SPOILT_CSV)
def test_readings_that_somebody_changed_are_refused_and_never_overwritten(tmp_path: Path, harm: str) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    spoilt = SPOILT_CSV[harm](readings_path(place).read_bytes())
    assert spoilt != readings_path(place).read_bytes()
    readings_path(place).write_bytes(spoilt)
    with pytest.raises(DataError, match=r"run 1\.ctc-review\.csv: not as edge-ctc wrote it .* bring it back"):
        read_by(place, "A. Verdi", {"0002": 4})
    assert readings_path(place).read_bytes() == spoilt


def test_a_folder_or_pipe_in_the_place_of_the_readings_is_refused(tmp_path: Path) -> None:
    place = called(tmp_path)
    readings_path(place).mkdir()
    with pytest.raises(RunUnreadableError, match="Is a directory"):
        read_by(place, "M. Rossi", {"0001": 4})
    readings_path(place).rmdir()
    os.mkfifo(readings_path(place))
    with pytest.raises(DataError, match="no regular file"):
        read_by(place, "M. Rossi", {"0001": 4})


def test_a_full_disk_at_any_step_keeps_what_was_read_before(tmp_path: Path) -> None:
    for failing in range(1, 40):
        folder = tmp_path / str(failing)
        folder.mkdir()
        place = called(folder)
        read_by(place, "M. Rossi", {"0001": 4})
        before = read_readings(place)
        path = saved(folder, document(place, {"0002": 1}, "A. Verdi"))
        try:
            came = full_disk_at(failing, partial(import_review, path, place))
        except EdgeCtcError:
            durable.mend(readings_path(place))
            assert read_readings(place)[:1] == before, failing
            assert import_review(path, place).added + len(read_readings(place)) >= 2
        else:
            assert not came or len(read_readings(place)) == 2
            if not came:
                break
    assert failing > 6


def test_a_power_cut_at_any_step_loses_no_reading_and_the_next_import_mends(tmp_path: Path) -> None:
    for cuts in range(1, 40):
        folder = tmp_path / str(cuts)
        folder.mkdir()
        place = called(folder)
        read_by(place, "M. Rossi", {"0001": 4})
        path = saved(folder, document(place, {"0002": 1}, "A. Verdi"))
        if not power_cut_at(cuts, partial(import_review, path, place)):
            break
        import_review(path, place)
        assert [row["reader"] for row in rows_of(place)] == ["M. Rossi", "A. Verdi"], cuts
        assert {path.name for path in folder.glob(".*")} == {".ctc-review"}, cuts
    assert cuts > 6


FULL_DISK = """
import resource, sys
from edge_ctc.cli import app, run_app
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
run_app(app, "edge-ctc", ["review", "import", sys.argv[1]])
"""


def child(script: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_disk_that_is_really_full_ends_with_73_and_keeps_what_was_there(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    before = readings_path(place).read_bytes()
    finished = child(FULL_DISK, saved(tmp_path, document(place, {"0002": 1, "0003": 1}, "A. Verdi")))
    assert finished.returncode == 73
    assert "cannot be written (File too large)" in finished.stderr
    assert readings_path(place).read_bytes() == before


def test_a_folder_without_the_right_to_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)  # the folders above it may be closed to that user
    with without_rights(), pytest.raises(ResultsError, match=r"cannot be written \(Permission denied"):
        import_review(Path(path.name), ResultPlace(Path(), "run 1"))
    tmp_path.chmod(0o755)
    assert not readings_path(place).exists()


def test_two_imports_at_once_are_one_after_the_other(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    with sole_reviewer(place):
        finished = child(FULL_DISK.replace("(600, 600)", "(9999999, 9999999)"), path)
        assert finished.returncode == 75
        assert f"another edge-ctc writes here, process {os.getpid()}" in finished.stderr
        with pytest.raises(ResultsHeldError):
            import_review(path, place)
    assert not readings_path(place).exists()
    assert edge_ctc("review", "import", path).code == 0


def test_a_review_comes_in_while_a_daemon_holds_the_results(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    path = saved(tmp_path, document(place, {"0001": 4}))
    with durable.sole_writer(tmp_path):
        assert edge_ctc("review", "import", path).code == 0
        assert edge_ctc("review", "recovery", tmp_path / "run 1").code == 0


def test_readings_that_are_just_being_swapped_are_not_taken_for_none(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    readings_path(place).rename(tmp_path / ".run 1.ctc-review.csv.tmp-old")
    with pytest.raises(RunUnreadableError, match="is being written, or a crash tore it"):
        read_readings(place)
    read_by(place, "A. Verdi", {"0001": 4})
    assert len(rows_of(place)) == 2


def test_a_disk_that_fails_under_the_readings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4})
    real = os.open

    def broken(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith("ctc-review.csv"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(RunUnreadableError, match="Input/output error"):
        read_readings(place)


def test_a_review_without_readings_comes_in_as_none(tmp_path: Path) -> None:
    place = called(tmp_path)
    imported = import_review(saved(tmp_path, document(place, {})), place)
    assert (imported.added, imported.known) == (0, 0)
    assert not readings_path(place).exists()


def test_times_with_milliseconds_are_kept(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4}, at="2026-11-23T20:00:00.123Z")
    assert rows_of(place)[0]["read_at_utc"] == "2026-11-23T20:00:00.123000Z"
    assert read_review(tmp_path / "run 1.Rossi.ctc-review.json").readings[0].read_at_utc.microsecond == 123000
