"""The nothing-lost certificate: 0 only where every byte, row and sum is what was called."""

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread, Timer
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ctc import durable
from edge_ctc.cells import Verdict
from edge_ctc.classify import classify_run, classify_seen
from edge_ctc.console.runs import RunReporter
from edge_ctc.decision import cuts_in_run, decide
from edge_ctc.errors import RunUnreadableError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import load_profile
from edge_ctc.images.files import MAX_FILE_BYTES
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request, Seen, result_place
from edge_ctc.results.calls import Call, ranked, read_calls, write_calls
from edge_ctc.results.manifest import Manifest, seal_of, sealing
from edge_ctc.simulate import Layout, write_run
from edge_ctc.verify import Asked, Certificate, certify, taken, verify_run
from edge_ctc.verify.files import check_files
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc, Finished
from tests.results import manifest_of, rows_of, tree
from tests.rights import without_rights

OURS = """schema_version = 1
name = "ours"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
ignore = ["cells.csv"]
"""


class Quiet:
    """A watcher that watches nothing."""

    def hashing(self, files: int) -> None:
        """Nothing."""

    def computing(self, cells: int) -> None:
        """Nothing."""

    def advanced(self, more: int) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def _writers_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taken, "GAP_S", 0.02)


@pytest.fixture
def called(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> Path:
    """The run of 20 cells, called."""
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    return run


def calls_of(run: Path) -> Path:
    return run.parent / f"{run.name}.ctc-calls.csv"


def manifest_path(run: Path) -> Path:
    return run.parent / f"{run.name}.ctc-run.json"


def image_of(run: Path, cell_id: str = "0003", channel: str = "PE") -> Path:
    return run / "Images" / f"{cell_id}_{channel}.tif"


def flip(path: Path, at: int = -1, bit: int = 1) -> None:
    """Change one bit of a file and put its times back, as a failing disk would."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[at] ^= bit
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rewrite_manifest(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit the manifest as somebody would who knows just how it is written."""
    manifest = manifest_of(run)
    change(manifest)
    seal = {} if "seal" not in manifest else {"seal": ""}
    content = Manifest.model_validate_json(json.dumps(manifest | seal)).model_dump_json(exclude_unset=True).encode()
    manifest_path(run).write_bytes(content.replace(sealing(""), sealing(seal_of(content)), 1))


def edit_calls(run: Path, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    """Edit rows, write them just as edge_ctc does, and mend the manifest's sha256 of the calls."""
    rows = [{name: getattr(call, name) for name in Call.__slots__} for call in read_calls(calls_of(run))]
    edit(rows)
    with calls_of(run).open("wb") as file:
        write_calls(file, ranked(Call(**row) for row in rows))
    sha256 = hashlib.sha256(calls_of(run).read_bytes()).hexdigest()
    rewrite_manifest(run, lambda manifest: manifest["calls"].update(sha256=sha256))


def assert_fault(finished: Finished, what: str, *names: str) -> None:
    """The command ends with 65; one line says FAULT and what, and the names are told."""
    assert finished.code == 65, finished.out + finished.err
    assert any(line.startswith("FAULT") and line.split()[1] in what.split() for line in finished.out.splitlines())
    for name in names:
        assert name in finished.out, finished.out
    assert "NOT certified" in finished.out.splitlines()[-1]


def test_a_called_run_is_certified(edge_ctc: EdgeCtc, called: Path) -> None:
    finished = edge_ctc("verify-run", called)
    assert finished.code == 0, finished.out
    lines = finished.out.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].startswith("run: is what was called: 20 cells, 81 files hashed, calls ")
    assert hashlib.sha256(calls_of(called).read_bytes()).hexdigest() in lines[-1]


@pytest.mark.parametrize("layout", list(Layout))
def test_every_layout_is_certified_and_comes_out_again(edge_ctc: EdgeCtc, tmp_path: Path, layout: Layout) -> None:
    run = tmp_path / "run"
    write_run(run, 6, 2, seed=1, layout=layout)
    edge_ctc("classify-run", run)
    assert edge_ctc("verify-run", run, "--recompute").code == 0


@pytest.mark.parametrize("options", [(), ("--recompute",), ("--json",)])
def test_verifying_changes_nothing(edge_ctc: EdgeCtc, called: Path, options: tuple[str, ...]) -> None:
    (called.parent / ".run.ctc-calls.csv.tmp-0123abcd").write_bytes(b"left by a crash")
    before = tree(called.parent)
    edge_ctc("verify-run", called, *options)
    flip(image_of(called))
    assert edge_ctc("verify-run", called, *options).code == 65
    flip(image_of(called))
    assert tree(called.parent) == before


def test_one_changed_byte_in_an_image_is_found_and_named(edge_ctc: EdgeCtc, called: Path) -> None:
    flip(image_of(called))
    assert_fault(edge_ctc("verify-run", called), "files", "Images/0003_PE.tif: sha256 ")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_bit_of_any_file_of_the_run_is_missed(called: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(path for path in called.rglob("*") if path.is_file())))
    at = data.draw(st.integers(0, path.stat().st_size - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    flip(path, at, bit)
    try:
        found = certified(called)
        assert not found.closes
        name = str(path.relative_to(called))
        assert any(one.startswith(name) for finding in found.findings for one in finding.names)
    finally:
        flip(path, at, bit)
    assert certified(called).closes


def certified(run: Path) -> Certificate:
    return verify_run(Asked(run, result_place(run, None)), Quiet())


def test_any_byte_of_the_calls_is_missed(called: Path) -> None:
    size = calls_of(called).stat().st_size
    for at in range(0, size, 211):
        flip(calls_of(called), at)
        assert certified(called).count("fault"), at
        flip(calls_of(called), at)
    assert certified(called).closes


def test_the_table_with_one_changed_byte_is_found_and_named(edge_ctc: EdgeCtc, called: Path) -> None:
    flip(called / "cells.csv", at=-3)
    assert_fault(edge_ctc("verify-run", called), "tables", "cells.csv: sha256 ")


@pytest.mark.parametrize("name", ["model.onnx", "model.fp16.onnx", "reference.npz", "MODEL_CARD.md", "checkpoint.json"])
def test_a_checkpoint_with_one_changed_byte_is_found_and_named(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    ours = shutil.copytree(checkpoint, tmp_path / "ours")
    assert edge_ctc("classify-run", run, "--checkpoint", ours).code == 0
    flip(ours / name, at=-2)
    assert_fault(edge_ctc("verify-run", run), "checkpoint", name if name != "checkpoint.json" else str(ours))


def test_deleted_added_and_renamed_images_are_faults(edge_ctc: EdgeCtc, called: Path) -> None:
    kept = image_of(called).read_bytes()
    times = image_of(called).stat().st_mtime_ns
    image_of(called).unlink()
    assert_fault(edge_ctc("verify-run", called), "files", "Images/0003_PE.tif: gone")
    image_of(called, "0099").write_bytes(kept)
    finished = edge_ctc("verify-run", called)
    assert_fault(finished, "files", "Images/0003_PE.tif: gone")
    assert_fault(finished, "cells", "Images/0099_PE.tif: came later, nobody called it", "cell 0099: has no row")
    image_of(called, "0099").rename(image_of(called))
    os.utime(image_of(called), ns=(times, times))
    assert edge_ctc("verify-run", called).code == 0


def test_two_images_that_changed_places_are_found(edge_ctc: EdgeCtc, called: Path) -> None:
    one, other = image_of(called, "0003"), image_of(called, "0004")
    one.rename(called / "third")
    other.rename(one)
    (called / "third").rename(other)
    assert_fault(edge_ctc("verify-run", called), "files", "0003_PE.tif: ", "0004_PE.tif: ")


def test_a_file_that_nothing_rests_on_is_a_note(edge_ctc: EdgeCtc, called: Path) -> None:
    (called / "Thumbs.db").write_bytes(b"x")
    finished = edge_ctc("verify-run", called)
    assert finished.code == 0
    assert "note      on disk    1 more that no call rests on" in finished.out


def test_a_stranger_is_a_fault(edge_ctc: EdgeCtc, called: Path) -> None:
    (called / "Images" / "0003_FITC.tif").write_bytes(b"x")
    assert_fault(edge_ctc("verify-run", called), "on disk", "Images/0003_FITC.tif: came later")


def test_strangers_that_were_left_aside_are_certified_and_missed_when_gone(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    (run / "notes.doc").write_bytes(b"x")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", "flat")
    assert edge_ctc("verify-run", run).code == 0
    (run / "notes.doc").unlink()
    assert_fault(edge_ctc("verify-run", run), "on disk", "notes.doc: gone")


def test_an_image_of_a_channel_that_the_checkpoint_does_not_take_is_missed(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright_field = write_checkpoint(tmp_path / "bf", channels=["BF"])
    edge_ctc("classify-run", run, "--checkpoint", bright_field)
    assert edge_ctc("verify-run", run, "--recompute").code == 0
    image_of(run).unlink()
    finished = edge_ctc("verify-run", run)
    assert finished.code == 66
    assert "UNCHECKED on disk    1 files that no call rests on are gone: whether " in finished.out
    assert "ok        on disk" not in finished.out


def test_ignored_files_that_go_accuse_no_run_of_channels_that_the_checkpoint_does_not_take(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright_field = write_checkpoint(tmp_path / "bf", channels=["BF"])
    image_of(run).unlink()
    (run / "Thumbs.db").write_bytes(b"x")
    edge_ctc("classify-run", run, "--checkpoint", bright_field)
    (run / "Thumbs.db").unlink()
    finished = edge_ctc("verify-run", run)
    assert finished.code == 66, finished.out
    assert "is not known -> look into a copy of the run" in finished.out


@pytest.mark.parametrize("lacking", [(), ("PE",), ("BF", "DAPI", "PE", "APC")])
def test_ignored_files_may_go_where_every_image_has_its_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, lacking: tuple[str, ...]
) -> None:
    for channel in lacking:
        image_of(run, channel=channel).unlink()
    (run / "~$cells.xlsx").write_bytes(b"x")
    (run / "Thumbs.db").write_bytes(b"x")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    (run / "~$cells.xlsx").unlink()
    (run / "Thumbs.db").unlink()
    finished = edge_ctc("verify-run", run)
    assert finished.code == 0, finished.out
    assert "2 fewer that no call rests on, none of them an image of a cell" in finished.out


@pytest.mark.parametrize(("rule", "code"), [("sharpest", 0), ("middle", 66)])
def test_ignored_files_may_go_where_every_focal_plane_has_its_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path, rule: str, code: int
) -> None:
    planes = OURS.replace("{channel}.tif", "{channel}_z{plane}.tif") + f'focal_plane = {{rule = "{rule}"}}\n'
    (tmp_path / "planes.toml").write_text(planes)
    for path in sorted((run / "Images").iterdir()):
        path.rename(path.with_stem(f"{path.stem}_z0"))
    (run / "Thumbs.db").write_bytes(b"x")
    named = ("--profile", tmp_path / "planes.toml")
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, *named).code == 0
    assert edge_ctc("verify-run", run, *named).code == 0
    (run / "Thumbs.db").unlink()
    finished = edge_ctc("verify-run", run, *named)
    assert finished.code == code, finished.out


def test_ignored_files_may_go_where_every_cell_is_whole(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "bf", channels=["BF"])
    (run / "Thumbs.db").write_bytes(b"x")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    (run / "Thumbs.db").unlink()
    finished = edge_ctc("verify-run", run)
    assert finished.code == 0
    assert "1 fewer that no call rests on" in finished.out


def test_a_copy_with_other_times_is_certified_with_a_note(edge_ctc: EdgeCtc, called: Path, tmp_path: Path) -> None:
    copy = tmp_path / "archive"
    shutil.copytree(called.parent, copy, copy_function=shutil.copyfile)
    finished = edge_ctc("verify-run", copy / "run")
    assert finished.code == 0
    assert "80 of another time of change than when called" in finished.out


def test_who_may_only_read_can_verify(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    # Whose tests these are may alone look into pytest's own folder.
    with TemporaryDirectory() as name:
        archive = Path(name)
        ours = shutil.copytree(checkpoint, archive / "ours")
        shutil.copytree(run, archive / "run")
        edge_ctc("classify-run", archive / "run", "--checkpoint", ours)
        for path in (archive, *archive.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with without_rights():
            finished = edge_ctc("verify-run", archive / "run")
        assert finished.code == 0, finished.out + finished.err
        for path in (archive, *archive.rglob("*")):
            path.chmod(0o755)


def test_results_elsewhere_are_found_by_out(edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", out)
    assert edge_ctc("verify-run", run, "--out", out).code == 0
    finished = edge_ctc("verify-run", run)
    assert finished.code == 66
    assert "--out" in finished.err


def test_a_run_that_was_moved_away_from_its_results_is_known_by_its_images(
    edge_ctc: EdgeCtc, called: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "run"
    shutil.copytree(called, other)
    finished = edge_ctc("verify-run", other, "--out", called.parent)
    assert finished.code == 0, finished.out
    told = "note      manifest   seen from its results the run lay in run then and lies in ../elsewhere/run now; "
    assert any(line.startswith(told) for line in finished.out.splitlines()), finished.out


def test_the_results_of_another_folder_of_the_same_name_are_no_certificate(
    edge_ctc: EdgeCtc, called: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "run"
    shutil.copytree(called, other)
    flip(image_of(other))
    finished = edge_ctc("verify-run", other, "--out", called.parent)
    assert_fault(finished, "manifest", "its images are not those: it may be another run", "expected run ->")
    assert "name the run that was called" in finished.out


def test_a_moved_run_that_no_image_shows_to_be_the_same_is_neither_certified_nor_accused(
    edge_ctc: EdgeCtc, called: Path, tmp_path: Path
) -> None:
    def all_gone(manifest: dict[str, Any]) -> None:
        manifest["inputs"] = [file | {"state": "gone"} for file in manifest["inputs"]]

    shutil.rmtree(called / "Images")
    rewrite_manifest(called, all_gone)
    other = tmp_path / "elsewhere" / "run"
    shutil.copytree(called, other)
    finished = edge_ctc("verify-run", other, "--out", called.parent)
    assert "UNCHECKED manifest   seen from its results the run lay in run then" in finished.out
    assert "and no image shows that it is the same -> put run and results back" in finished.out


def test_a_run_that_is_not_there_ends_with_66(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    assert edge_ctc("verify-run", tmp_path / "none").code == 66


@pytest.mark.parametrize("lost", ["calls", "rows"])
def test_lost_calls_and_rows_are_faults(edge_ctc: EdgeCtc, called: Path, lost: str) -> None:
    if lost == "calls":
        calls_of(called).unlink()
        assert_fault(edge_ctc("verify-run", called), "calls", "gone")
        return
    lines = calls_of(called).read_bytes().splitlines(keepends=True)
    calls_of(called).write_bytes(b"".join(lines[:-1]))
    assert_fault(edge_ctc("verify-run", called), "calls", "cells.total: 20 in the manifest, 19 by the rows")


def test_a_row_lost_with_every_figure_of_the_manifest_mended_is_found(edge_ctc: EdgeCtc, called: Path) -> None:
    lost: list[dict[str, Any]] = []
    edit_calls(called, lambda rows: lost.append(rows.pop()))

    def mend(manifest: dict[str, Any]) -> None:
        manifest["calls"]["rows"] -= 1
        manifest["cells"]["total"] -= 1
        manifest["cells"]["called"] -= 1
        manifest["verdicts"][lost[0]["verdict"]] -= 1
        manifest["flags"]["pixel_size_unchecked"] -= 1
        manifest["files"]["used"] -= 4
        manifest["files"]["ignored"] += 4
        manifest["inputs"] = [file for file in manifest["inputs"] if file["name"] not in lost[0]["image_files"]]

    rewrite_manifest(called, mend)
    assert_fault(edge_ctc("verify-run", called), "cells", f"cell {lost[0]['cell_id']}: has no row")


def test_a_doubled_row_is_found(edge_ctc: EdgeCtc, called: Path) -> None:
    edit_calls(called, lambda rows: rows.append(dict(rows[3])))
    assert_fault(edge_ctc("verify-run", called), "rows", ": 2 rows")


def _last_lost(rows: list[dict[str, Any]]) -> None:
    del rows[-1]


def _verdict(rows: list[dict[str, Any]]) -> None:
    rows[-1]["verdict"] = Verdict.LEUKOCYTE


def _probability(rows: list[dict[str, Any]]) -> None:
    rows[0]["p_ctc"] = 0.123


def _engine(rows: list[dict[str, Any]]) -> None:
    rows[0]["engine"] = "another"


def _partial(rows: list[dict[str, Any]]) -> None:
    rows[0]["run_state"] = "partial"


def _threshold(rows: list[dict[str, Any]]) -> None:
    rows[0]["threshold_ctc"] = -7.0


def _images(rows: list[dict[str, Any]]) -> None:
    for column in ("image_files", "image_sha256"):
        rows[0][column], rows[1][column] = rows[1][column], rows[0][column]


def _cage(rows: list[dict[str, Any]]) -> None:
    rows[0]["cage_col"] = "77"


def _no_float32(rows: list[dict[str, Any]]) -> None:
    rows[0]["score"] += 1e-12


def _time(rows: list[dict[str, Any]]) -> None:
    rows[0]["classified_at_utc"] = "2001-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (_verdict, "verdicts"),
        (_probability, "verdicts"),
        (_no_float32, "verdicts"),
        (_engine, "origin"),
        (_partial, "origin"),
        (_threshold, "origin"),
        (_images, "cells"),
        (_cage, "cages"),
        (_time, "sums"),
    ],
)
def test_an_edited_row_is_found_though_every_hash_was_mended(
    edge_ctc: EdgeCtc, called: Path, edit: Callable[[list[dict[str, Any]]], None], what: str
) -> None:
    edit_calls(called, edit)
    finished = edge_ctc("verify-run", called)
    assert "ok        calls" in finished.out
    assert_fault(finished, what)


def test_an_edited_rank_is_found_though_every_hash_was_mended(edge_ctc: EdgeCtc, called: Path) -> None:
    content = calls_of(called).read_bytes().replace(b",2,CTC,", b",9,CTC,")
    calls_of(called).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    rewrite_manifest(called, lambda manifest: manifest["calls"].update(sha256=sha256))
    assert_fault(edge_ctc("verify-run", called), "ranks", "line 3")


def test_a_score_edited_with_all_that_follows_from_it_is_found_by_computing_again(
    edge_ctc: EdgeCtc, called: Path
) -> None:
    def edit(rows: list[dict[str, Any]]) -> None:
        # The best cell takes the place that the second has by its score: verdict and order stay.
        rows[0]["score"], rows[0]["p_ctc"] = rows[1]["score"], rows[1]["p_ctc"]

    edit_calls(called, edit)
    cell_id = rows_of(called)[0]["cell_id"]
    assert edge_ctc("verify-run", called).code == 0
    assert_fault(edge_ctc("verify-run", called, "--recompute"), "recomputed", f"cell {cell_id}: score ")


def shifted(run: Path, by: float, engine: str) -> None:
    """As an engine would have called that is off by `by` everywhere: scores and all that follows from them."""
    manifest = Manifest.model_validate_json(manifest_path(run).read_bytes())

    def edit(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["score"] = float(str(np.float32(row["score"] + by)))
        cuts = cuts_in_run(manifest.checkpoint.thresholds, [row["score"] for row in rows])
        for row in rows:
            decision = decide(row["score"], cuts, manifest.checkpoint.calibration)
            row |= {"verdict": decision.verdict, "p_ctc": decision.p_ctc, "reason": decision.reason, "engine": engine}
            row["threshold_review"] = cuts.review

    edit_calls(run, edit)
    verdicts = Counter(row["verdict"] for row in rows_of(run))

    def mend(manifest: dict[str, Any]) -> None:
        manifest["engine"] = engine
        manifest["verdicts"] = {verdict: verdicts[verdict] for verdict in manifest["verdicts"]}

    rewrite_manifest(run, mend)


@pytest.mark.parametrize(
    ("by", "precision", "code"), [(5e-4, "fp32", 0), (2e-3, "fp32", 65), (2e-2, "fp16", 0), (-2e-1, "fp16", 65)]
)
def test_scores_come_out_again_within_the_tolerance_of_the_precision_that_called(
    edge_ctc: EdgeCtc, called: Path, by: float, precision: str, code: int
) -> None:
    shifted(called, by, f"tensorrt 10.13 NVIDIA L4 sm_89 {precision}")
    assert edge_ctc("verify-run", called).code == 0
    finished = edge_ctc("verify-run", called, "--recompute")
    assert finished.code == code, finished.out
    difference = f"largest difference of a score {abs(by):.2g}"
    assert (difference in finished.out) == (code == 0)


def test_a_verdict_that_the_tolerance_carries_across_a_cut_is_listed_and_certified(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    row = rows_of(run)[3]
    cut = float(row["score"]) + 1e-2
    near = write_checkpoint(tmp_path / "near", thresholds={"ctc": cut, "review": cut - 4})
    edge_ctc("classify-run", run, "--checkpoint", near)
    shifted(run, 2e-2, "tensorrt 10.13 NVIDIA L4 sm_89 fp16")
    finished = edge_ctc("verify-run", run, "--recompute")
    assert finished.code == 0, finished.out
    assert "cells so near a threshold that the tolerance carries them across" in finished.out
    assert f"{row['cell_id']}: REVIEW at" in finished.out


@pytest.fixture
def ranked_run(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> Path:
    """The run of 20 cells, called by a checkpoint without calibration: none is CTC, the best 6 are REVIEW."""
    by_rank = write_checkpoint(tmp_path / "by-rank", calibration=None, thresholds={"ctc": 99.0, "review_top": 6})
    assert edge_ctc("classify-run", run, "--checkpoint", by_rank).code == 0
    return run


def test_a_run_that_was_reviewed_by_rank_is_certified_and_comes_out_again(edge_ctc: EdgeCtc, ranked_run: Path) -> None:
    finished = edge_ctc("verify-run", ranked_run, "--recompute")
    assert finished.code == 0, finished.out
    assert all(line.startswith("ok ") for line in finished.out.splitlines()[:-1])


def _next_reviewed(rows: list[dict[str, Any]]) -> None:
    rows[6] |= {"verdict": Verdict.REVIEW, "reason": rows[5]["reason"]}


def _last_not_reviewed(rows: list[dict[str, Any]]) -> None:
    rows[5] |= {"verdict": Verdict.LEUKOCYTE, "reason": rows[6]["reason"]}


def _cut_of_one(rows: list[dict[str, Any]]) -> None:
    rows[5]["threshold_review"] = rows[6]["score"]


def _seven_reviewed(rows: list[dict[str, Any]]) -> None:
    _next_reviewed(rows)
    for row in rows:
        row["threshold_review"] = rows[6]["score"]


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (_next_reviewed, "verdicts"),
        (_last_not_reviewed, "verdicts"),
        (_cut_of_one, "origin"),
        (_seven_reviewed, "verdicts origin"),
    ],
)
def test_a_verdict_or_a_cut_that_does_not_follow_from_the_ranks_is_found(
    edge_ctc: EdgeCtc, ranked_run: Path, edit: Callable[[list[dict[str, Any]]], None], what: str
) -> None:
    edit_calls(ranked_run, edit)
    assert_fault(edge_ctc("verify-run", ranked_run), what)


def test_a_manifest_that_says_another_number_of_candidates_is_found(edge_ctc: EdgeCtc, ranked_run: Path) -> None:
    rewrite_manifest(ranked_run, lambda manifest: manifest["checkpoint"]["thresholds"].update(review_top=7))
    finished = edge_ctc("verify-run", ranked_run)
    assert_fault(finished, "checkpoint", "thresholds: ")
    assert_fault(finished, "verdicts")


@pytest.mark.parametrize(("by", "names"), [(2e-2, True), (-2e-2, False)])
def test_the_last_cell_by_rank_that_the_tolerance_carries_across_its_cut_is_listed_and_certified(
    edge_ctc: EdgeCtc, ranked_run: Path, by: float, *, names: bool
) -> None:
    last = rows_of(ranked_run)[5]["cell_id"]
    shifted(ranked_run, by, "tensorrt 10.13 NVIDIA L4 sm_89 fp16")
    finished = edge_ctc("verify-run", ranked_run, "--recompute")
    assert finished.code == 0, finished.out
    assert (f"{last}: LEUKOCYTE at" in finished.out) == names


def test_an_engine_that_names_no_precision_is_a_fault(edge_ctc: EdgeCtc, called: Path) -> None:
    shifted(called, 0, "a black box")
    assert_fault(edge_ctc("verify-run", called, "--recompute"), "recomputed", "expected fp32 or fp16")


def test_cells_that_were_not_evaluable_are_so_again(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    torn = image_of(run).read_bytes()
    image_of(run).write_bytes(torn[: len(torn) // 2])
    image_of(run, "0005", "BF").unlink()
    image_of(run, "0006").write_bytes(b"")
    with image_of(run, "0007").open("ab") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 2
    finished = edge_ctc("verify-run", run, "--recompute")
    assert finished.code == 0, finished.out
    assert "16 called + 4 not evaluable" in finished.out
    assert "1 were never read" in finished.out
    flip(image_of(run), at=9)
    assert_fault(edge_ctc("verify-run", run), "files", "0003_PE.tif: sha256")
    flip(image_of(run), at=9)
    with image_of(run, "0007").open("ab") as file:
        file.truncate(MAX_FILE_BYTES + 2)
    assert_fault(edge_ctc("verify-run", run), "files", f"0007_PE.tif: {MAX_FILE_BYTES + 2} bytes")


def test_a_row_that_was_made_not_evaluable_is_found_by_computing_again(edge_ctc: EdgeCtc, called: Path) -> None:
    was: list[str] = []

    def edit(rows: list[dict[str, Any]]) -> None:
        was.append(rows[-1]["verdict"])
        hidden = {"verdict": Verdict.NOT_EVALUABLE, "score": None, "p_ctc": None, "channels_used": (), "reason": "torn"}
        rows[-1] |= hidden

    edit_calls(called, edit)
    cell_id = rows_of(called)[-1]["cell_id"]

    def mend(manifest: dict[str, Any]) -> None:
        manifest["cells"] |= {"called": 19, "not_evaluable": 1}
        manifest["verdicts"][was[0]] -= 1
        manifest["verdicts"]["NOT_EVALUABLE"] += 1
        manifest["first_problem"] = f"{cell_id}: torn"

    rewrite_manifest(called, mend)
    assert edge_ctc("verify-run", called).code == 0
    assert_fault(edge_ctc("verify-run", called, "--recompute"), "recomputed", f"cell {cell_id}: now evaluable")


def test_cells_of_the_table_alone_have_their_rows_and_lost_ones_are_found(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    with (run / "cells.csv").open("a") as table:
        table.write("0099,1,2\r\n")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    finished = edge_ctc("verify-run", run, "--recompute")
    assert finished.code == 0, finished.out
    assert "20 by the images and 1 by the table alone" in finished.out
    edit_calls(run, _last_lost)
    assert_fault(edge_ctc("verify-run", run), "cells", "cell 0099: in the table, has no row")


def test_a_table_that_came_later_is_a_fault(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    table = (run / "cells.csv").read_bytes()
    (run / "cells.csv").unlink()
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert edge_ctc("verify-run", run).code == 0
    (run / "cells.csv").write_bytes(table)
    assert_fault(edge_ctc("verify-run", run), "cells", "cells.csv: a table that came later")


def test_rows_that_were_kept_from_former_calls_are_certified(edge_ctc: EdgeCtc, called: Path, checkpoint: Path) -> None:
    for channel in ("BF", "DAPI", "PE", "APC"):
        shutil.copy(image_of(called, "0001", channel), image_of(called, "0099", channel))
    edge_ctc("classify-run", called, "--checkpoint", checkpoint)
    assert manifest_of(called)["cells_reused"] == 20
    assert edge_ctc("verify-run", called, "--recompute").code == 0
    (superseded,) = called.parent.glob("run.ctc-calls.*.csv")
    superseded.unlink()
    finished = edge_ctc("verify-run", called)
    assert finished.code == 0
    assert f"note      manifest   the calls before these, {superseded.name}, are not beside them" in finished.out


def test_images_that_were_gone_when_the_calls_were_last_written_cannot_be_certified_until_they_are_back(
    edge_ctc: EdgeCtc, called: Path, checkpoint: Path
) -> None:
    kept = called.parent / "kept.tif"
    image_of(called).rename(kept)
    shutil.copy(image_of(called, "0001"), image_of(called, "0002"))
    edge_ctc("classify-run", called, "--checkpoint", checkpoint)
    finished = edge_ctc("verify-run", called, "--recompute")
    assert finished.code == 66, finished.out
    assert "UNCHECKED files      1 were gone already" in finished.out
    assert "UNCHECKED recomputed 1 cells could not be computed again" in finished.out
    kept.rename(image_of(called))
    finished = edge_ctc("verify-run", called, "--recompute")
    assert finished.code == 0, finished.out
    assert "1 were gone when the calls were last written and are there again" in finished.out


def test_a_run_that_was_called_while_it_grew_is_certified_once_it_is_over(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    late = [path.rename(run.parent / path.name) for path in sorted((run / "Images").glob("001*"))]
    (run / "cells.csv").rename(run.parent / "cells.csv")

    def look(*, is_quiet: bool) -> None:
        nothing: frozenset[str] = frozenset()
        seen = Seen(list_files(run), nothing, nothing, nothing, may_be_over=True, is_quiet=is_quiet)
        with OpenModels() as models, RunReporter(quiet=True) as reporter, durable.sole_writer(run.parent):
            classify_seen(Request(run, load_profile("flat"), checkpoint), seen, models, reporter)

    late[0].rename(run / "Images" / late[0].name)
    look(is_quiet=False)
    assert_fault(edge_ctc("verify-run", run), "state", "partial: 1 cells and 1 files were still pending")
    for path in late[1:]:
        path.rename(run / "Images" / path.name)
    (run.parent / "cells.csv").rename(run / "cells.csv")
    look(is_quiet=True)
    finished = edge_ctc("verify-run", run, "--recompute")
    assert finished.code == 0, finished.out
    assert manifest_of(run)["cells_reused"] == 10


def test_partial_calls_are_no_certificate(edge_ctc: EdgeCtc, called: Path) -> None:
    def mend(manifest: dict[str, Any]) -> None:
        manifest["run_state"] = "partial"
        manifest["cells"] |= {"total": 22, "pending": 2}

    rewrite_manifest(called, mend)
    finished = edge_ctc("verify-run", called)
    assert_fault(finished, "state", "partial: 2 cells and 0 files were still pending", "expected complete")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"schema_version":2}', b"\x00" * 99],
    ids=lambda content: repr(content)[:9],
)
def test_a_spoilt_manifest_is_a_fault(edge_ctc: EdgeCtc, called: Path, content: bytes) -> None:
    manifest_path(called).write_bytes(content)
    assert_fault(edge_ctc("verify-run", called), "manifest", "no manifest", "expected schema 1")


def test_any_byte_of_the_manifest_is_missed(called: Path) -> None:
    for at in range(0, manifest_path(called).stat().st_size, 61):
        flip(manifest_path(called), at)
        assert not certified(called).closes, at
        flip(manifest_path(called), at)
    assert certified(called).closes


def test_a_manifest_that_was_never_sealed_is_certified_with_a_note(edge_ctc: EdgeCtc, called: Path) -> None:
    rewrite_manifest(called, lambda manifest: manifest.pop("seal"))
    finished = edge_ctc("verify-run", called)
    assert finished.code == 0, finished.out
    assert "note      manifest   not sealed" in finished.out


def test_a_manifest_whose_seal_was_blanked_is_none_of_an_earlier_version(edge_ctc: EdgeCtc, called: Path) -> None:
    manifest = json.loads(manifest_path(called).read_bytes())
    edited = manifest_path(called).read_bytes().replace(sealing(manifest["seal"]), sealing(""))
    seconds = b'"seconds":%s' % json.dumps(manifest["seconds"]).encode()
    assert seconds in edited
    manifest_path(called).write_bytes(edited.replace(seconds, b'"seconds":0.25'))
    finished = edge_ctc("verify-run", called)
    assert_fault(finished, "manifest", "seal empty: it was taken out")
    assert "an earlier version" not in finished.out


def test_a_manifest_without_the_checkpoints_folder_is_read_and_the_checkpoint_asked_for(
    edge_ctc: EdgeCtc, called: Path, checkpoint: Path
) -> None:
    rewrite_manifest(called, lambda manifest: manifest["checkpoint"].pop("folder"))
    finished = edge_ctc("verify-run", called)
    assert finished.code == 66
    assert "UNCHECKED checkpoint means, sha256" in finished.out
    assert "--checkpoint" in finished.out
    assert edge_ctc("verify-run", called, "--checkpoint", checkpoint).code == 0


def test_a_checkpoint_that_lies_elsewhere_now_is_named(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    ours = shutil.copytree(checkpoint, tmp_path / "ours")
    edge_ctc("classify-run", run, "--checkpoint", ours)
    assert manifest_of(run)["checkpoint"]["folder"] == str(ours)
    ours.rename(tmp_path / "moved")
    assert edge_ctc("verify-run", run, "--recompute").code == 66
    assert edge_ctc("verify-run", run, "--checkpoint", ours).code == 66
    assert edge_ctc("verify-run", run, "--checkpoint", tmp_path / "moved", "--recompute").code == 0


def test_a_shipped_checkpoint_is_found_wherever_it_lay(edge_ctc: EdgeCtc, run: Path) -> None:
    edge_ctc("classify-run", run)
    rewrite_manifest(run, lambda manifest: manifest["checkpoint"].update(folder="/nowhere"))
    assert edge_ctc("verify-run", run).code == 0


def test_an_option_that_names_another_checkpoint_accuses_no_run(
    edge_ctc: EdgeCtc, called: Path, tmp_path: Path
) -> None:
    other = write_checkpoint(tmp_path / "other", name="other")
    finished = edge_ctc("verify-run", called, "--checkpoint", other, "--recompute")
    assert finished.code == 66, finished.out
    assert f"UNCHECKED checkpoint {other}: other, sha256" in finished.out
    assert "expected means" in finished.out
    assert "UNCHECKED recomputed" in finished.out
    flip(other / "model.onnx")
    assert edge_ctc("verify-run", called, "--checkpoint", other).code == 66
    assert edge_ctc("verify-run", called, "--checkpoint", tmp_path).code == 66


def test_an_option_that_names_a_spoilt_copy_of_the_checkpoint_is_a_fault(
    edge_ctc: EdgeCtc, called: Path, checkpoint: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    flip(copy / "model.onnx")
    assert_fault(edge_ctc("verify-run", called, "--checkpoint", copy), "checkpoint", "model.onnx")


def test_another_checkpoint_where_the_one_that_called_lay_is_a_fault(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    ours = write_checkpoint(tmp_path / "ours")
    edge_ctc("classify-run", run, "--checkpoint", ours)
    shutil.copytree(write_checkpoint(tmp_path / "other", name="other"), ours, dirs_exist_ok=True)
    assert_fault(edge_ctc("verify-run", run), "checkpoint", f"{ours}: other, sha256", "expected means")
    (ours / "checkpoint.json").unlink()
    assert edge_ctc("verify-run", run).code == 66


def test_thresholds_of_the_manifest_that_are_not_the_checkpoints_are_found(edge_ctc: EdgeCtc, called: Path) -> None:
    rewrite_manifest(called, lambda manifest: manifest["checkpoint"]["thresholds"].update(ctc=-0.1))
    assert_fault(edge_ctc("verify-run", called), "checkpoint", "thresholds: ")


def test_a_profile_that_is_not_built_in_is_asked_for(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(OURS)
    edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", ours)
    finished = edge_ctc("verify-run", run)
    assert finished.code == 66
    assert "UNCHECKED profile    ours" in finished.out
    assert "--profile" in finished.out
    assert edge_ctc("verify-run", run, "--profile", ours, "--recompute").code == 0
    ours.write_text(OURS.replace('"BF"', '"BFF"'))
    for other in (ours, "per-cell"):
        finished = edge_ctc("verify-run", run, "--profile", other)
        assert finished.code == 66, finished.out
        assert "is not the profile that called the run; expected ours, " in finished.out
        assert "name its file, as it was then, with --profile" in finished.out
    assert edge_ctc("verify-run", run, "--profile", tmp_path / "none.toml").code == 78


def test_an_option_that_names_another_profile_accuses_no_run(edge_ctc: EdgeCtc, called: Path) -> None:
    finished = edge_ctc("verify-run", called, "--profile", "per-cell")
    assert finished.code == 66, finished.out
    assert "-> leave --profile out" in finished.out


def test_the_help_says_what_the_options_mean_here(edge_ctc: EdgeCtc) -> None:
    told = " ".join(edge_ctc("verify-run", "--help").out.split())
    assert "accounts for every file" not in told
    for part in (
        "each byte of it as it was then",
        "that the manifest notes",
        "Folder that holds the calls of this run",
    ):
        assert part in told


def test_calls_for_excel_in_italian_are_certified(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--csv", "excel-it")
    assert edge_ctc("verify-run", run, "--recompute").code == 0


def test_the_json_document_tells_every_finding(edge_ctc: EdgeCtc, called: Path) -> None:
    whole = edge_ctc("verify-run", called, "--json")
    document = json.loads(whole.out)
    assert (whole.code, document["exit_code"], document["certified"]) == (0, 0, True)
    assert (document["cells"], document["files_hashed"], document["run_id"]) == (20, 81, "run")
    assert {finding["status"] for finding in document["findings"]} == {"ok"}
    for path in sorted(called.rglob("*_PE.tif")):
        flip(path)
    spoilt = edge_ctc("verify-run", called, "--json")
    document = json.loads(spoilt.out)
    assert (spoilt.code, document["exit_code"], document["certified"]) == (65, 65, False)
    (fault,) = [finding for finding in document["findings"] if finding["status"] == "fault"]
    assert len(fault["names"]) == 20
    assert "and 10 more; --json names all" in edge_ctc("verify-run", called).out
    manifest_path(called).unlink()
    absent = edge_ctc("verify-run", called, "--json")
    document = json.loads(absent.out)
    assert (absent.code, document["exit_code"], document["certified"]) == (66, 66, False)
    assert "not there" in document["error"]


def test_a_daemon_that_holds_the_folder_is_no_hindrance(edge_ctc: EdgeCtc, called: Path) -> None:
    with durable.sole_writer(called.parent):
        assert edge_ctc("verify-run", called).code == 0


def test_calls_that_are_replaced_meanwhile_end_with_75(
    edge_ctc: EdgeCtc, called: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(image_of(called, "0001"), image_of(called, "0002"))

    def replaced_meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(certify, "check_files", check_files)
        with OpenModels() as models, RunReporter(quiet=True) as reporter:
            classify_run(Request(called, checkpoint=checkpoint), models, reporter)
        return check_files(*arguments)

    monkeypatch.setattr(certify, "check_files", replaced_meanwhile)
    finished = edge_ctc("verify-run", called)
    assert finished.code == 75
    assert "replaced or changed while it was verified" in finished.err
    assert edge_ctc("verify-run", called).code == 0


def test_calls_whose_manifest_is_not_yet_in_its_place_end_with_75(called: Path) -> None:
    """New calls appear just before their manifest: who looks in between has to look again."""
    old = manifest_path(called).read_bytes()
    flip(calls_of(called))
    began = Event()

    def appear() -> None:
        began.wait()
        manifest_path(called).rename(called.parent / "aside")
        manifest_path(called).write_bytes(old)

    writer = Thread(target=appear)
    writer.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "GAP_S", 0.5)
        patch.setattr(Quiet, "hashing", lambda *_: began.set())
        with pytest.raises(RunUnreadableError, match="replaced"):
            certified(called)
    writer.join()


def test_results_that_are_moved_aside_for_a_moment_are_waited_for(called: Path) -> None:
    aside = called.parent / ".aside"
    manifest_path(called).rename(aside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "GAP_S", 2.0)
        back = Timer(0.2, lambda: aside.rename(manifest_path(called)))
        back.start()
        assert certified(called).closes
    back.join()


@pytest.mark.parametrize("what", ["image", "calls", "manifest"])
def test_a_disk_that_does_not_give_a_file_ends_with_75(
    edge_ctc: EdgeCtc, called: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = {"image": image_of(called), "calls": calls_of(called), "manifest": manifest_path(called)}[what]
    opened = os.open

    def fails(name: Any, *arguments: Any, **named: Any) -> int:
        if str(name) == str(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(name, *arguments, **named)

    monkeypatch.setattr(os, "open", fails)
    finished = edge_ctc("verify-run", called)
    assert finished.code == 75
    assert f"{path}: cannot be read (Input/output error)" in finished.err


@pytest.mark.parametrize("what", ["calls", "manifest"])
@pytest.mark.parametrize("instead", ["folder", "pipe"])
def test_something_else_in_the_place_of_a_result_is_told(
    edge_ctc: EdgeCtc, called: Path, what: str, instead: str
) -> None:
    path = calls_of(called) if what == "calls" else manifest_path(called)
    path.unlink()
    path.mkdir() if instead == "folder" else os.mkfifo(path)
    finished = edge_ctc("verify-run", called)
    assert finished.code == 65
    assert "no regular file" in finished.err


def test_an_image_that_became_a_link_is_gone(edge_ctc: EdgeCtc, called: Path, tmp_path: Path) -> None:
    image_of(called).rename(tmp_path / "away.tif")
    image_of(called).symlink_to(tmp_path / "away.tif")
    assert_fault(edge_ctc("verify-run", called), "files", "Images/0003_PE.tif: gone")


def test_names_of_any_bytes_are_told_on_one_line(edge_ctc: EdgeCtc, called: Path) -> None:
    (called / os.fsdecode(b"Images/\xff\n.tif")).write_bytes(b"x")
    finished = edge_ctc("verify-run", called)
    assert_fault(finished, "on disk", "\\n.tif: came later")


def test_wrong_usage_is_told(edge_ctc: EdgeCtc, called: Path) -> None:
    assert edge_ctc("verify-run", "").code == 64
    assert edge_ctc("verify-run", called, "--checkpoint", "").code == 64
    assert edge_ctc("verify-run", called, "--out", called).code == 78
