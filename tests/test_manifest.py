import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_ctc.errors import ResultsError
from edge_ctc.results.calls import Call, read_calls
from edge_ctc.results.commit import Former, ResultPlace, commit, read_committed, read_mended, utc_now
from edge_ctc.results.manifest import CellSums, FileSums, Manifest
from tests.images import CALL, full_disk_at, manifest_of, not_evaluable, power_cut_at, result_place

OLD = [CALL, not_evaluable("0018")]
NEW = [CALL, replace(CALL, cell_id="0018")]


def committed(place: ResultPlace, calls: list[Call], **changes: Any) -> Manifest:
    """Commit `calls` over what is committed now."""
    return commit(place, calls, manifest_of(calls, **changes), Former(read_committed(place)))


def test_what_was_committed_is_read_back(tmp_path: Path) -> None:
    place = result_place(tmp_path)
    written = committed(place, OLD)
    assert read_committed(place) == written
    assert read_calls(place.calls) == OLD
    assert (written.calls.name, written.calls.rows) == ("run 1.ctc-calls.csv", 2)
    assert written.superseded is None
    assert {path.name for path in tmp_path.iterdir()} == {"run 1.ctc-calls.csv", "run 1.ctc-run.json"}


def test_the_end_is_when_the_manifest_was_written(tmp_path: Path) -> None:
    before = utc_now()
    written = committed(result_place(tmp_path), OLD)
    assert before <= written.finished_at_utc <= utc_now()
    assert written.started_at_utc < before


def test_complete_calls_are_kept_when_others_take_their_place(tmp_path: Path) -> None:
    place = result_place(tmp_path)
    former = committed(place, OLD)
    old_bytes = place.calls.read_bytes()
    written = committed(place, NEW)
    compact = former.finished_at_utc.replace("-", "").replace(":", "")
    assert written.superseded == f"run 1.ctc-calls.{compact}.csv"
    assert (tmp_path / written.superseded).read_bytes() == old_bytes
    assert read_calls(place.calls) == NEW
    third = committed(place, OLD)
    assert third.superseded is not None
    assert read_calls(tmp_path / third.superseded) == NEW
    assert len(list(tmp_path.iterdir())) == 4


def test_partial_calls_are_replaced(tmp_path: Path) -> None:
    place = result_place(tmp_path)
    committed(place, OLD, run_state="partial")
    written = committed(place, NEW)
    assert written.superseded is None
    assert {path.name for path in tmp_path.iterdir()} == {"run 1.ctc-calls.csv", "run 1.ctc-run.json"}


def test_a_run_without_results_is_not_done(tmp_path: Path) -> None:
    assert read_committed(result_place(tmp_path)) is None
    assert read_committed(result_place(tmp_path / "none")) is None


@pytest.mark.parametrize("alone", ["calls", "manifest"])
def test_one_file_without_the_other_is_not_done(tmp_path: Path, alone: str) -> None:
    place = result_place(tmp_path)
    committed(place, OLD)
    (place.manifest if alone == "calls" else place.calls).unlink()
    assert read_committed(place) is None


def test_calls_with_any_byte_changed_lost_or_added_are_not_committed(tmp_path: Path) -> None:
    place = result_place(tmp_path)
    written = committed(place, [CALL])
    content = place.calls.read_bytes()
    for at in range(0, len(content), 7):
        place.calls.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert read_committed(place) is None
    for changed in (content[:-1], content + b"\n", b""):
        place.calls.write_bytes(changed)
        assert read_committed(place) is None
    place.calls.write_bytes(content)
    assert read_committed(place) == written


def test_a_manifest_torn_at_any_byte_is_refused_and_the_mending_told(tmp_path: Path) -> None:
    place = result_place(tmp_path)
    committed(place, [CALL])
    content = place.manifest.read_bytes()
    for length in range(0, len(content), 5):
        place.manifest.write_bytes(content[:length])
        with pytest.raises(ResultsError, match=f"{place.manifest}: not a manifest of schema 1 .* move it"):
            read_committed(place)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"schema_version":1', b'"schema_version":2'),
        (b'"schema_version":1,', b""),
        (b'"seconds":1.0', b'"seconds":"1.0"'),
        (b'"run_state":"complete"', b'"run_state":"done"'),
        (b'"on_disk":3', b'"on_disk":4'),
        (b'"total":1', b'"total":2'),
        (b'"state":"failed"', b'"state":"lost"'),
        (b'"links_not_followed"', b'"links"'),
    ],
)
def test_a_manifest_that_edge_ctc_would_not_write_is_refused(tmp_path: Path, before: bytes, after: bytes) -> None:
    place = result_place(tmp_path)
    committed(place, [CALL])
    content = place.manifest.read_bytes()
    assert content.count(before) == 1
    place.manifest.write_bytes(content.replace(before, after))
    with pytest.raises(ResultsError, match="not a manifest"):
        read_committed(place)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b"not json"])
def test_garbage_in_the_place_of_a_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    place = result_place(tmp_path)
    committed(place, [CALL])
    place.manifest.write_bytes(content)
    with pytest.raises(ResultsError, match="not a manifest"):
        read_committed(place)


@pytest.mark.parametrize("name", ["calls", "manifest"])
def test_a_folder_in_the_place_of_a_result_is_refused_not_taken_for_absent(tmp_path: Path, name: str) -> None:
    place = result_place(tmp_path)
    committed(place, [CALL])
    path: Path = getattr(place, name)
    path.unlink()
    path.mkdir()
    with pytest.raises(ResultsError, match="cannot be read"):
        read_committed(place)


def test_a_power_cut_at_any_step_leaves_one_commit_or_none_and_loses_no_complete_calls(tmp_path: Path) -> None:
    undone = 0
    for cuts in itertools.count(1):
        folder = tmp_path / str(cuts)
        folder.mkdir()
        place = result_place(folder)
        former = committed(place, OLD)
        old_bytes = place.calls.read_bytes()
        if not power_cut_at(cuts, partial(committed, place, NEW)):
            break
        found = read_mended(place).manifest
        if found is None:
            undone += 1
        else:
            assert read_calls(place.calls) == (OLD if found == former else NEW), cuts
        assert place.calls.exists(), cuts
        assert old_bytes in [path.read_bytes() for path in folder.glob("*.csv")], cuts
        assert not list(folder.glob(".*")), cuts
        committed(place, NEW)
        assert read_calls(place.calls) == NEW, cuts
    assert undone
    assert cuts > 12


def test_one_failure_at_any_step_is_told_and_never_commits_a_mixture(tmp_path: Path) -> None:
    for failing in itertools.count(1):
        folder = tmp_path / str(failing)
        folder.mkdir()
        place = result_place(folder)
        former = committed(place, OLD)
        try:
            came = full_disk_at(failing, partial(commit, place, NEW, manifest_of(NEW), Former(former)))
        except ResultsError:
            found = read_committed(place)
            if found is not None:
                assert read_calls(place.calls) == (OLD if found == former else NEW), failing
        else:
            assert not came
            break
    assert failing > 12


@pytest.mark.parametrize(
    "changes",
    [{"on_disk": 11}, {"used": 5}, {"ignored": 4}, {"failed": 1}, {"pending": 0}, {"used": -1, "ignored": 8}],
)
def test_file_sums_that_do_not_close_cannot_be_made(changes: dict[str, int]) -> None:
    sums = {"on_disk": 10, "used": 4, "ignored": 3, "failed": 2, "pending": 1}
    FileSums.model_validate(sums)
    with pytest.raises(ValidationError):
        FileSums.model_validate(sums | changes)


@pytest.mark.parametrize(
    "changes", [{"total": 7}, {"called": 4}, {"not_evaluable": 1}, {"pending": 0}, {"called": -1, "pending": 5}]
)
def test_cell_sums_that_do_not_close_cannot_be_made(changes: dict[str, int]) -> None:
    sums = {"total": 6, "called": 3, "not_evaluable": 2, "pending": 1}
    CellSums.model_validate(sums)
    with pytest.raises(ValidationError):
        CellSums.model_validate(sums | changes)


def test_the_names_of_results_are_those_that_a_listing_ignores() -> None:
    place = ResultPlace(Path("/runs"), "a (è)")
    assert place.calls == Path("/runs/a (è).ctc-calls.csv")
    assert place.manifest == Path("/runs/a (è).ctc-run.json")
    superseded = place.superseded("2026-01-02T03:04:05.000006Z")
    assert superseded == Path("/runs/a (è).ctc-calls.20260102T030405.000006Z.csv")
