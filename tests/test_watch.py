"""The loop on real folders: every cell once, nothing from half a file, nothing twice."""

import errno
import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edge_ctc.daemon.last_work import LastWork
from edge_ctc.errors import EngineError, ResultsHeldError, RunError, RunUnreadableError
from edge_ctc.exports.profile import load_profile
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.results import manifest_of, row_of, rows_of, tree
from tests.watching import settings_for, watching

CELLS = 12


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    folder.mkdir()
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def new_run(export: Path, name: str = "P01", seed: int = 1, layout: Layout = Layout.FLAT) -> Path:
    """A whole run beside the export folder, to be brought in as a test likes."""
    made = export.parent / "made" / name
    made.parent.mkdir(exist_ok=True)
    write_run(made, CELLS, 3, seed=seed, layout=layout)
    return made


def bring(made: Path, export: Path) -> Path:
    """File by file, the table last, as a copy does."""
    target = export / made.name
    files = sorted((path for path in made.rglob("*") if path.is_file()), key=lambda path: path.suffix == ".csv")
    for path in files:
        place = target / path.relative_to(made)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return target


def assert_complete(run: Path, out: Path | None = None, cells: int = CELLS) -> dict[str, Any]:
    """Exactly one row a cell, sums that close, and the bytes that lie on the disk."""
    manifest, rows = manifest_of(run, out), rows_of(run, out)
    assert manifest["run_state"] == "complete"
    assert {row["run_state"] for row in rows} == {"complete"}
    assert len({row["cell_id"] for row in rows}) == len(rows) == cells == manifest["cells"]["total"]
    assert manifest["files"]["on_disk"] == sum(path.is_file() for path in run.rglob("*"))
    for file in manifest["inputs"]:
        assert hashlib.sha256((run / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    return manifest


def assert_only_runs_and_results(export: Path) -> None:
    runs = [path.name for path in export.iterdir() if path.is_dir()]
    for path in export.iterdir():
        assert path.name in runs or any(path.name.startswith(f"{run}.") for run in runs), path
    assert not [path for path in export.rglob("*") if "tmp" in path.name or path.name.startswith(".")]


def test_a_run_that_was_there_before_and_one_that_comes_are_both_called(
    export: Path, state: Path, checkpoint: Path
) -> None:
    first = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        second = bring(new_run(export, "P02", seed=2), export)
        daemon.until_called("P02")
        assert daemon.watcher.face.runs.complete == 2
    for run in (first, second):
        assert_complete(run)
    assert_only_runs_and_results(export)


def test_the_calls_are_those_of_classify_run(edge_ctc: EdgeCtc, export: Path, state: Path, checkpoint: Path) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    alone = export.parent / "alone"
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", alone).code == 0
    timeless = [{**row, "classified_at_utc": ""} for row in rows_of(run)]
    assert timeless == [{**row, "classified_at_utc": ""} for row in rows_of(run, alone)]


def test_a_run_that_arrives_bit_by_bit_is_called_in_parts_and_never_from_half_a_file(
    export: Path, state: Path, checkpoint: Path
) -> None:
    seen: list[dict[str, Any]] = []
    final = new_run(export)
    whole = {hashlib.sha256(path.read_bytes()).hexdigest() for path in final.rglob("*.tif")}
    run = export / "P01"
    with watching(settings_for(export, checkpoint), state) as daemon:
        writer = threading.Thread(target=write_run, args=(run, CELLS, 3, 1, Layout.FLAT, 8.0))
        writer.start()
        while writer.is_alive() or not daemon.heard.count("called", "P01"):
            assert not daemon.failure
            try:
                manifest = manifest_of(run)
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            if not seen or manifest["finished_at_utc"] != seen[-1]["finished_at_utc"]:
                seen.append(manifest)
            time.sleep(0.01)
        writer.join()
        daemon.until(lambda: manifest_of(run)["run_state"] == "complete")
    assert any(manifest["run_state"] == "partial" for manifest in seen)
    for manifest in seen:
        cells, files = manifest["cells"], manifest["files"]
        assert cells["total"] == cells["called"] + cells["not_evaluable"] + cells["pending"]
        assert files["on_disk"] == files["used"] + files["ignored"] + files["failed"] + files["pending"]
        assert manifest["calls"]["rows"] == cells["total"] - cells["pending"]
        assert cells["not_evaluable"] == 0
        assert {file["sha256"] for file in manifest["inputs"]} <= whole
    assert_complete(run)
    assert_only_runs_and_results(export)


def test_without_a_table_a_run_is_over_once_it_is_quiet(export: Path, state: Path, checkpoint: Path) -> None:
    made = new_run(export)
    (made / "cells.csv").unlink()
    with watching(settings_for(export, checkpoint), state) as daemon:
        began = time.monotonic()
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        assert manifest_of(run)["run_state"] == "partial"
        daemon.until_called("P01")
        assert time.monotonic() - began >= 1.5
    assert_complete(run)
    assert not list(export.glob("*.ctc-calls.2*"))


def test_a_sentinel_ends_a_run_without_a_table_at_once(export: Path, state: Path, checkpoint: Path) -> None:
    made = new_run(export, layout=Layout.MULTIPAGE)
    (made / "cells.csv").unlink()
    settings = settings_for(export, checkpoint, profile="multipage", quiet_s=60)
    with watching(settings, state) as daemon:
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        assert not daemon.heard.count("called")
        (run / "DONE.txt").touch()
        (run / "DONE.txt").write_text("done")
        daemon.until_called("P01")
    assert_complete(run)


def test_a_torn_image_is_pending_while_the_run_grows_and_a_row_once_it_is_over(
    export: Path, state: Path, checkpoint: Path
) -> None:
    made = new_run(export)
    torn = made / "Images" / "0003_PE.tif"
    torn.write_bytes(torn.read_bytes()[:900])
    (made / "cells.csv").rename(export.parent / "cells.csv")
    with watching(settings_for(export, checkpoint, quiet_s=60), state) as daemon:
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        daemon.until(lambda: manifest_of(run)["cells"]["pending"] == 1)
        assert "0003" not in {row["cell_id"] for row in rows_of(run)}
        shutil.copy(export.parent / "cells.csv", run / "cells.csv")
        daemon.until_called("P01")
    assert_complete(run)
    assert "torn" in row_of(run, "0003")["reason"]


def test_a_missing_channel_is_pending_until_it_comes(export: Path, state: Path, checkpoint: Path) -> None:
    made = new_run(export)
    late = made / "Images" / "0005_APC.tif"
    late.rename(export.parent / late.name)
    with watching(settings_for(export, checkpoint, quiet_s=60), state) as daemon:
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        daemon.until(lambda: manifest_of(run)["cells"]["called"] == 11)
        assert manifest_of(run)["cells"] == {"total": 12, "called": 11, "not_evaluable": 0, "pending": 1}
        daemon.until(lambda: daemon.heard.count("stalls", "P01", "1") > 0)
        shutil.copy(export.parent / late.name, run / "Images" / late.name)
        daemon.until_called("P01")
    assert assert_complete(run)["cells_reused"] == 11


def test_a_file_that_comes_late_calls_its_cell_and_keeps_the_former_complete_calls(
    export: Path, state: Path, checkpoint: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        for channel in ("BF", "DAPI", "PE", "APC"):
            shutil.copy(run / "Images" / f"0001_{channel}.tif", run / "Images" / f"0099_{channel}.tif")
        daemon.until(lambda: daemon.heard.count("called", "P01") == 2)
    manifest = assert_complete(run, cells=CELLS + 1)
    assert manifest["cells_reused"] >= CELLS
    (former,) = export.glob("P01.ctc-calls.2*.csv")
    assert len(former.read_text().splitlines()) == 1 + CELLS


def test_a_file_rewritten_in_place_after_its_cell_was_called_is_called_again(
    export: Path, state: Path, checkpoint: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        shutil.copy(run / "Images" / "0004_PE.tif", run / "Images" / "0007_PE.tif")
        daemon.until(lambda: daemon.heard.count("called", "P01") == 2)
    assert_complete(run)


def test_bytes_that_change_behind_an_unchanged_size_and_time_are_found_when_the_run_is_over(
    export: Path, state: Path, checkpoint: Path
) -> None:
    made = new_run(export)
    (made / "cells.csv").rename(export.parent / "cells.csv")
    with watching(settings_for(export, checkpoint, quiet_s=60), state) as daemon:
        run = bring(made, export)
        daemon.until(lambda: (export / "P01.ctc-run.json").exists() and manifest_of(run)["cells"]["called"] == CELLS)
        image, other = run / "Images" / "0007_PE.tif", run / "Images" / "0004_PE.tif"
        before = image.stat()
        with image.open("r+b") as file:
            file.write(other.read_bytes())
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert image.stat().st_size == before.st_size
        shutil.copy(export.parent / "cells.csv", run / "cells.csv")
        daemon.until_called("P01")
    assert assert_complete(run)["cells_reused"] == CELLS - 1


def test_a_restart_touches_nothing_that_is_done(export: Path, state: Path, checkpoint: Path) -> None:
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    before = tree(export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        time.sleep(1.0)
        assert not daemon.heard.count("called")
    assert tree(export) == before


def test_another_checkpoint_calls_no_finished_run_again(export: Path, state: Path, checkpoint: Path) -> None:
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    before = tree(export)
    other = write_checkpoint(export.parent / "other", name="other")
    with watching(settings_for(export, other), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        time.sleep(1.0)
    assert tree(export) == before


def test_a_checkpoint_of_other_channels_calls_no_finished_run_again(
    export: Path, state: Path, checkpoint: Path
) -> None:
    bring(new_run(export), export)
    bright = write_checkpoint(export.parent / "bright", channels=["BF"])
    with watching(settings_for(export, bright), state) as daemon:
        daemon.until_called("P01")
    before = tree(export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        time.sleep(1.0)
    assert tree(export) == before


def test_another_profile_calls_no_finished_run_again_but_one_to_which_something_came(
    export: Path, state: Path, checkpoint: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    before = tree(export)
    flat = load_profile("flat")
    other = type(flat)(flat.profile.model_copy(update={"name": "other"}), "0" * 64)
    with watching(settings_for(export, checkpoint), state, other) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        time.sleep(1.0)
        assert tree(export) == before
        for channel in ("BF", "DAPI", "PE", "APC"):
            shutil.copy(run / "Images" / f"0001_{channel}.tif", run / "Images" / f"0099_{channel}.tif")
        daemon.until_called("P01")
    assert_complete(run, cells=CELLS + 1)


def test_a_late_cell_that_lacks_a_channel_gets_its_row_once_the_run_is_quiet(
    export: Path, state: Path, checkpoint: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        shutil.copy(run / "Images" / "0001_BF.tif", run / "Images" / "0099_BF.tif")
        daemon.until(lambda: daemon.heard.count("called", "P01") == 2)
    assert_complete(run, cells=CELLS + 1)
    assert row_of(run, "0099")["channels_missing"] == "DAPI|PE|APC"


def test_folders_without_images_keep_no_run_waiting_however_many_they_are(
    export: Path, state: Path, checkpoint: Path
) -> None:
    for number in range(80):
        (export / f"A{number:03}").mkdir()
        (export / f"A{number:03}" / "notes.txt").write_text("nothing")
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.no_runs == 80)
        bring(new_run(export), export)
        daemon.until_called("P01")


def test_a_torn_image_that_is_mended_is_called_before_the_run_is_over(
    export: Path, state: Path, checkpoint: Path
) -> None:
    made = new_run(export)
    (made / "cells.csv").unlink()
    torn = made / "Images" / "0003_PE.tif"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:900])
    with watching(settings_for(export, checkpoint, quiet_s=60), state) as daemon:
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        daemon.until(lambda: manifest_of(run)["cells"]["called"] == CELLS - 1)
        (run / "Images" / "0003_PE.tif").write_bytes(whole)
        daemon.until(lambda: manifest_of(run)["cells"]["called"] == CELLS, within_s=10)


def test_an_outage_is_no_quiet_time(export: Path, state: Path, checkpoint: Path) -> None:
    made = new_run(export)
    (made / "cells.csv").unlink()
    late = (made / "Images" / "0012_PE.tif").rename(export.parent / "0012_PE.tif")
    with watching(settings_for(export, checkpoint, quiet_s=3), state) as daemon:
        run = bring(made, export)
        daemon.until((export / "P01.ctc-run.json").exists)
        away = export.rename(export.parent / "away")
        time.sleep(4.0)
        away.rename(export)
        daemon.until(lambda: daemon.watcher.face.away is None)
        time.sleep(1.0)
        assert not daemon.heard.count("called")
        shutil.copy(late, run / "Images" / late.name)
        daemon.until_called("P01")
    assert {row["verdict"] for row in rows_of(run)}.isdisjoint({"NOT_EVALUABLE"})


def test_files_and_runs_that_vanish_make_no_work(export: Path, state: Path, checkpoint: Path) -> None:
    first, second = bring(new_run(export), export), bring(new_run(export, "P02", seed=2), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01", "P02")
        before = {name: state for name, state in tree(export).items() if "/" not in name and "." in name}
        (first / "Images" / "0003_PE.tif").unlink()
        shutil.rmtree(second)
        time.sleep(2.5)
        assert daemon.heard.count("called") == 2
    assert {name: state for name, state in tree(export).items() if "/" not in name and "." in name} == before


def test_results_that_somebody_deletes_are_owed_again(export: Path, state: Path, checkpoint: Path) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        (export / "P01.ctc-calls.csv").unlink()
        daemon.until(lambda: daemon.heard.count("called", "P01") == 2)
    assert_complete(run)


def test_plain_files_and_folders_without_images_are_no_runs(export: Path, state: Path, checkpoint: Path) -> None:
    (export / "readme.txt").write_text("hello")
    (export / "0001_BF.tif").write_bytes(b"II*")
    (export / "scanner settings").mkdir()
    (export / "scanner settings" / "gain.ini").write_text("1")
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.no_runs == 1)
        bring(new_run(export), export)
        daemon.until_called("P01")
        time.sleep(2.0)
        assert not daemon.heard.count("waits")
    assert {path.name for path in export.iterdir() if path.is_file()} == {
        "readme.txt",
        "0001_BF.tif",
        "P01.ctc-calls.csv",
        "P01.ctc-gallery.html",
        "P01.ctc-run.json",
    }


def test_what_a_crash_left_is_gone_after_a_look_whatever_run_it_was_of(
    export: Path, state: Path, checkpoint: Path
) -> None:
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    calls, manifest = export / "P01.ctc-calls.csv", export / "P01.ctc-run.json"
    whole = calls.read_bytes()
    calls.rename(export / ".P01.ctc-calls.csv.tmp-old")
    (export / ".P01.ctc-run.json.tmp-0123abcd").write_bytes(b"half")
    (export / ".P00 gone.ctc-calls.csv.tmp-89abcdef").write_bytes(b"half")
    (export / ".somebody.tmp-else").write_bytes(b"not ours")
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        assert not daemon.heard.count("called")
    assert calls.read_bytes() == whole
    assert manifest.exists()
    assert [path.name for path in export.iterdir() if path.name.startswith(".")] == [".somebody.tmp-else"]


def test_one_spoilt_manifest_waits_and_the_other_runs_go_on(export: Path, state: Path, checkpoint: Path) -> None:
    bring(new_run(export), export)
    (export / "P01.ctc-run.json").write_text("{}")
    (export / "P01.ctc-calls.csv").write_text("mine")
    with watching(settings_for(export, checkpoint), state) as daemon:
        bring(new_run(export, "P02", seed=2), export)
        daemon.until_called("P02")
        daemon.until(lambda: daemon.heard.count("waits", "P01") > 0)
        assert daemon.watcher.face.waits[0].reason == "results cannot be written"
    assert (export / "P01.ctc-calls.csv").read_text() == "mine"


def test_results_go_to_the_folder_that_was_named_with_the_same_relative_paths(
    export: Path, state: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    out.mkdir()
    profile = load_profile("flat")
    deep = type(profile)(profile.profile.model_copy(update={"runs": "*/*"}), profile.sha256)
    (export / "patient").mkdir()
    settings = settings_for(export, checkpoint, results=str(out))
    with watching(settings, state, deep) as daemon:
        run = bring(new_run(export), export / "patient")
        daemon.until_called("P01")
    assert_complete(run, out / "patient")
    assert sorted(path.name for path in export.rglob("*") if "ctc-" in path.name) == []


def test_a_results_folder_that_is_not_there_is_waited_for_and_never_made(
    export: Path, state: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "not mounted"
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint, results=str(out)), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.away is not None)
        time.sleep(1.0)
        assert not out.exists()
        out.mkdir()
        daemon.until_called("P01")
    assert_complete(export / "P01", out)


def test_an_export_folder_that_goes_and_comes_back_loses_nothing(export: Path, state: Path, checkpoint: Path) -> None:
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        before = tree(export)
        away = export.rename(export.parent / "away")
        daemon.until(lambda: daemon.watcher.face.away is not None)
        away.rename(export)
        daemon.until(lambda: daemon.watcher.face.away is None)
        assert daemon.heard.count("share-back") == 1
        assert tree(export) == before
        bring(new_run(export, "P02", seed=2), export)
        daemon.until_called("P02")
        assert daemon.heard.count("called", "P01") == 1


def test_a_second_daemon_and_a_classify_run_say_who_writes(
    edge_ctc: EdgeCtc, export: Path, state: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
        assert finished.code == 75
        assert f"another edge-ctc writes here, process {os.getpid()}" in finished.err
        with watching(settings_for(export, checkpoint), tmp_path / "other state") as second:
            second.thread.join(20)
            assert isinstance(second.failure[0], ResultsHeldError)
            assert f"process {os.getpid()}" in str(second.failure[0])


def test_runs_in_which_daemons_ended_suddenly_are_called_last_and_not_at_once(state: Path) -> None:
    state.mkdir()
    for _ in range(3):
        killed = LastWork(state).on("P01")
        killed.__enter__()
    LastWork(state).on("P02").__enter__()
    after, now = LastWork(state), time.monotonic()
    assert (after.ends("P01"), after.ends("P02"), after.ends("P03")) == (3, 1, 0)
    assert not after.may_begin("P01", now + 19)
    assert after.may_begin("P01", now + 20)
    assert after.may_begin("P02", now + 1)
    with after.on("P01"):
        pass
    assert LastWork(state).ends("P01") == 0
    assert LastWork(state).ends("P02") == 1


def test_an_engine_error_leaves_the_note_and_what_concerns_the_run_alone_does_not(state: Path) -> None:
    state.mkdir()
    for error, ends in ((RunUnreadableError("disk"), 0), (EngineError("NaN"), 1)):
        with pytest.raises(type(error)), LastWork(state).on("P01", (RunError,)):
            raise error
        assert LastWork(state).ends("P01") == ends


def test_an_unreadable_file_is_told_without_its_name_and_keeps_the_run_from_being_complete(
    export: Path, state: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = {"name": "0003_PE.tif"}
    real_open = os.open

    def failing_open(path: str | os.PathLike[str], *arguments: int, **keywords: int) -> int:
        if spoilt["name"] and str(path).endswith(spoilt["name"]):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", failing_open)
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.heard.count("waits", "P01") > 0)
        assert daemon.heard.count("waits", "P01", "a file cannot be read: Input/output error")
        assert set(daemon.watcher.face.failures) == {"a file cannot be read: Input/output error"}
        daemon.until(lambda: manifest_of(run)["cells"]["called"] == CELLS - 1)
        time.sleep(2.0)
        assert manifest_of(run)["run_state"] == "partial"
        assert daemon.heard.count("called") == 0
        spoilt["name"] = ""
        daemon.until_called("P01")
    assert_complete(run)


def test_a_sudden_end_once_delays_nothing(export: Path, state: Path, checkpoint: Path) -> None:
    state.mkdir()
    LastWork(state).on(str(export / "P01")).__enter__()
    bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
    assert LastWork(state).ends(str(export / "P01")) == 0


def test_images_that_are_deleted_after_the_calls_leave_the_run_finished(
    export: Path, state: Path, checkpoint: Path
) -> None:
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until_called("P01")
        calls = (export / "P01.ctc-calls.csv").read_bytes()
        shutil.rmtree(run / "Images")
        time.sleep(3.0)
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
        assert not daemon.watcher.face.waits
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.complete == 1)
    assert (export / "P01.ctc-calls.csv").read_bytes() == calls


def test_a_folder_that_cannot_be_listed_keeps_no_core_busy_and_no_other_run_waiting(
    export: Path, state: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real_scandir = os.scandir

    def failing_scandir(path: str | bytes | os.PathLike[str]) -> object:
        if Path(os.fsdecode(path)).name == "P00":
            looked.append(str(path))
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_scandir(path)

    (export / "P00").mkdir()
    monkeypatch.setattr(os, "scandir", failing_scandir)
    with watching(settings_for(export, checkpoint), state) as daemon:
        bring(new_run(export), export)
        daemon.until_called("P01")
        time.sleep(2.0)
        assert daemon.heard.count("waits", "P00", "cannot be read: Permission denied")
        assert len(looked) < 10
        monkeypatch.undo()
        daemon.until(lambda: not daemon.watcher.face.waits)


def test_of_neighbouring_cells_that_cannot_be_read_the_others_are_called(
    export: Path, state: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def failing_open(path: str | os.PathLike[str], *arguments: int, **keywords: int) -> int:
        if str(path).endswith(tuple(f"000{number}_PE.tif" for number in range(2, 8))):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", failing_open)
    run = bring(new_run(export), export)
    with watching(settings_for(export, checkpoint), state) as daemon:
        daemon.until((export / "P01.ctc-run.json").exists)
        daemon.until(lambda: manifest_of(run)["cells"]["called"] == CELLS - 6, within_s=60)
        assert manifest_of(run)["run_state"] == "partial"


def test_a_table_that_grows_with_the_run_is_believed_twice_and_no_more(
    export: Path, state: Path, checkpoint: Path
) -> None:
    made, run = new_run(export), export / "P01"
    lines = (made / "cells.csv").read_text().splitlines(keepends=True)
    (run / "Images").mkdir(parents=True)
    with watching(settings_for(export, checkpoint, quiet_s=3), state) as daemon:
        for number in range(1, 7):
            for image in (made / "Images").glob(f"{number:04}_*"):
                shutil.copy(image, run / "Images")
            (run / "cells.csv").write_text("".join(lines[: number + 1]))
            time.sleep(1.0)
        daemon.until(lambda: len(rows_of(run)) == 6 and manifest_of(run)["run_state"] == "complete")
        assert daemon.heard.count("called", "P01") <= 3
    assert_complete(run, cells=6)
    assert len(list(export.glob("P01.ctc-calls.2*"))) <= 2


def test_a_folder_that_was_made_for_a_run_to_come_is_seen_filling(export: Path, state: Path, checkpoint: Path) -> None:
    (export / "P01" / "Images").mkdir(parents=True)
    with watching(settings_for(export, checkpoint, mount="local"), state) as daemon:
        daemon.until(lambda: daemon.watcher.face.runs.no_runs == 1)
        time.sleep(2.5)
        daemon.watcher._wake_ups.stop()
        bring(new_run(export), export)
        daemon.until_called("P01", within_s=5)
