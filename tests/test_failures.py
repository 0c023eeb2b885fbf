"""Bad input gets a clear answer, and nothing is lost: one test per behaviour, named after it."""

import errno
import hashlib
import itertools
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from edge_ctc.classify import classify_run
from edge_ctc.console.runs import RunReporter
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc, Finished
from tests.images import power_cut_at
from tests.results import manifest_of, row_of, rows_of, tree


def image_of(run: Path, cell_id: str = "0003", channel: str = "PE") -> Path:
    return run / "Images" / f"{cell_id}_{channel}.tif"


def assert_one_row_is_not_evaluable(finished: Finished, run: Path, reason: str, *, failed: int) -> None:
    """Cell 0003 has a row that says why, all others are called, and the sums close."""
    assert finished.code == 2
    row = row_of(run, "0003")
    assert row["verdict"] == "NOT_EVALUABLE"
    assert reason in row["reason"]
    assert (row["rank"], row["score"], row["p_ctc"]) == ("", "", "")
    assert rows_of(run)[-1] == row
    assert len(rows_of(run)) == 20
    manifest = manifest_of(run)
    assert manifest["run_state"] == "complete"
    assert manifest["cells"] == {"total": 20, "called": 19, "not_evaluable": 1, "pending": 0}
    files = manifest["files"]
    assert files["failed"] == failed
    assert files["on_disk"] == files["used"] + files["ignored"] + files["failed"] + files["pending"]
    assert files["on_disk"] == sum(path.is_file() and not path.is_symlink() for path in run.rglob("*"))


def test_a_torn_image_becomes_one_not_evaluable_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    content = image_of(run).read_bytes()
    image_of(run).write_bytes(content[: len(content) // 2])
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "0003_PE.tif: torn", failed=1)


def test_an_empty_image_becomes_one_not_evaluable_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    image_of(run).write_bytes(b"")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "empty file", failed=1)


def test_a_png_under_a_tiffs_name_becomes_one_not_evaluable_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    Image.fromarray(tifffile.imread(image_of(run))).save(image_of(run), "PNG")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected a TIFF, got a PNG file", failed=1)


def test_an_rgba_image_for_a_grey_one_becomes_one_not_evaluable_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    tifffile.imwrite(image_of(run), np.zeros((64, 64, 4), np.uint8), photometric="rgb", extrasamples=("unassalpha",))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected one grey sample per pixel, got 4", failed=1)


def test_an_image_of_another_dtype_becomes_one_not_evaluable_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    tifffile.imwrite(image_of(run), np.full((64, 64), 7, np.uint8))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "PE: expected uint16 (H, W), got uint8 (64, 64)", failed=0)


def test_a_float_image_becomes_one_not_evaluable_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    tifffile.imwrite(image_of(run), np.zeros((64, 64), np.float32))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected uint8 or uint16, got 32 bits", failed=1)


def test_an_image_of_another_size_than_its_cell_becomes_one_not_evaluable_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    tifffile.imwrite(image_of(run), np.zeros((32, 64), np.uint16))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected one size", failed=0)


def test_an_image_that_declares_a_huge_size_is_not_decoded(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    tifffile.imwrite(image_of(run), np.zeros((1, 60_000), np.uint16))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected 1 to 4096 px a side, got 60000 x 1", failed=1)


def test_an_image_with_too_many_pages_becomes_one_not_evaluable_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    tifffile.imwrite(image_of(run), np.zeros((2, 64, 64), np.uint16), photometric="minisblack")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "expected 1 page(s), got 2", failed=1)


def test_a_missing_channel_becomes_one_not_evaluable_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    image_of(run).unlink()
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "channel PE is missing", failed=0)
    assert row_of(run, "0003")["channels_missing"] == "PE"


def test_two_files_for_one_channel_are_ambiguous_and_never_guessed(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    shutil.copy(image_of(run, "0004"), run / "Images" / "0003_PE.tiff")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "ambiguous: Images/0003_PE.tif, Images/0003_PE.tiff", failed=0)


def test_names_that_differ_in_case_only_are_ambiguous(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    shutil.copy(image_of(run, "0004"), run / "Images" / "0003_pe.tif")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert_one_row_is_not_evaluable(finished, run, "ambiguous", failed=0)


def test_a_multipage_file_that_lacks_a_page_becomes_one_row(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    run = tmp_path / "run"
    edge_ctc("simulate", run, "--cells", 4, "--ctcs", 1, "--layout", "multipage")
    thumb = run / "thumbs" / "2_thumb.tif"
    tifffile.imwrite(thumb, tifffile.imread(thumb)[:3], photometric="minisblack")
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 2
    assert "expected 4 page(s), got 3" in row_of(run, "2")["reason"]


def test_a_run_without_one_evaluable_cell_still_gets_its_rows(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    for path in run.rglob("*_BF.tif"):
        path.write_bytes(b"")
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 2
    assert {row["verdict"] for row in rows_of(run)} == {"NOT_EVALUABLE"}
    assert manifest_of(run)["cells"] == {"total": 20, "called": 0, "not_evaluable": 20, "pending": 0}


def test_a_disk_error_is_no_row_and_leaves_the_former_calls(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    os.utime(image_of(run))
    os.utime(image_of(run, "0005"))
    before = tree(run.parent)
    real_open = os.open

    def failing_open(path: str | os.PathLike[str], *arguments: int, **keywords: int) -> int:
        if str(path).endswith("0005_PE.tif"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", failing_open)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 75
    assert "0005_PE.tif: cannot be read (Input/output error)" in finished.err
    assert tree(run.parent) == before
    monkeypatch.undo()
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0


def test_a_folder_that_cannot_be_listed_is_a_disk_error(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_scandir = os.scandir

    def failing_scandir(path: Path) -> object:
        if Path(path).name == "Images":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", failing_scandir)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 75
    assert not (run.parent / "run.ctc-calls.csv").exists()


def run_with_file_size_limit(run: Path, checkpoint: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """The real command in a child that may write no file larger than `limit`: a write really fails."""
    return subprocess.run(
        [sys.executable, "-m", "edge_ctc", "classify-run", str(run), "--checkpoint", str(checkpoint)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def test_a_full_disk_leaves_no_half_file_and_the_former_calls(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    os.utime(image_of(run))
    before = tree(run.parent)
    finished = run_with_file_size_limit(run, checkpoint, 5_000)
    assert finished.returncode == 73
    assert "cannot be written" in finished.stderr
    assert tree(run.parent) == before


def test_a_disk_that_is_full_at_the_manifest_leaves_the_former_calls_committed(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    os.utime(image_of(run))
    before = tree(run.parent)
    real_fsync = os.fsync

    def full_at_the_manifest(handle: int) -> None:
        if ".ctc-run.json" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_the_manifest)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 73
    assert "run.ctc-run.json: cannot be written (No space left on device)" in finished.err
    assert tree(run.parent) == before
    monkeypatch.undo()
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert manifest_of(run)["cells_reused"] == 19


def test_a_place_that_cannot_be_written_is_named(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("a file")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", occupied / "results")
    assert finished.code == 73
    assert str(occupied) in finished.err


def test_a_read_only_folder_is_named_and_nothing_is_written_elsewhere(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def read_only(path: str | os.PathLike[str], flags: int, *arguments: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_open(path, flags, *arguments)

    monkeypatch.setattr(os, "open", read_only)
    before = tree(run.parent)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 73
    assert f"{run.parent}/run.ctc-calls.csv: cannot be written (Permission denied)" in finished.err
    assert tree(run.parent) == before


def test_a_folder_that_is_not_there_ends_with_66(edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", tmp_path / "absent", "--checkpoint", checkpoint)
    assert finished.code == 66
    assert "no such folder" in finished.err


def test_a_file_in_place_of_a_folder_ends_with_66(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    assert edge_ctc("classify-run", image_of(run), "--checkpoint", checkpoint).code == 66


def test_a_folder_that_is_no_run_is_refused_with_the_reasons(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "beach.jpg").write_bytes(b"\xff\xd8\xff")
    finished = edge_ctc("classify-run", folder, "--checkpoint", checkpoint)
    assert finished.code == 65
    for reason in ("flat: 0 cells, 1 files not accounted for: beach.jpg", "multipage: 0 cells"):
        assert reason in finished.err
    assert list(tmp_path.glob("*.ctc-*")) == []


def test_an_empty_folder_is_no_run(edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert edge_ctc("classify-run", tmp_path / "empty", "--checkpoint", checkpoint).code == 65
    assert edge_ctc("classify-run", tmp_path / "empty", "--checkpoint", checkpoint, "--profile", "flat").code == 65


def test_a_stranger_among_the_images_is_not_read_silently(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    shutil.copy(image_of(run), run / "Images" / "0003_PerCP.tif")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 65
    assert "0003_PerCP.tif" in finished.err
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", "flat")
    assert finished.code == 0
    assert "left aside: 1 (Images/0003_PerCP.tif)" in finished.out
    assert manifest_of(run)["unaccounted"] == ["Images/0003_PerCP.tif"]


@pytest.mark.parametrize("name", ["checkpoint.json", "model.onnx", "model.fp16.onnx", "reference.npz", "MODEL_CARD.md"])
def test_a_spoilt_checkpoint_calls_nothing(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(checkpoint, spoilt)
    content = bytearray((spoilt / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (spoilt / name).write_bytes(content)
    finished = edge_ctc("classify-run", run, "--checkpoint", spoilt)
    assert finished.code == 65
    assert name in finished.err
    assert not (run.parent / "run.ctc-calls.csv").exists()


def test_a_checkpoint_whose_reference_cells_do_not_replay_calls_nothing(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    # The InputSpec is hashed with the rest, so a changed range passes every hash; only the replay can tell.
    liar = write_checkpoint(tmp_path / "liar")
    other_range = [{"name": name, "range": [0.0, 4000.0]} for name in ("BF", "DAPI", "PE", "APC")]
    description = liar / "checkpoint.json"
    description.write_text(description.read_text().replace("4095.0", "4000.0"))
    assert len(other_range) == description.read_text().count("4000.0")
    finished = edge_ctc("classify-run", run, "--checkpoint", liar)
    assert finished.code == 70
    assert "reference cell" in finished.err
    assert not (run.parent / "run.ctc-calls.csv").exists()


def test_a_checkpoint_that_is_not_there_is_named(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", tmp_path / "absent")
    assert finished.code == 66
    assert "absent: no such folder" in finished.err


def test_a_checkpoint_whose_channels_the_profile_lacks_is_refused(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    stranger = write_checkpoint(tmp_path / "stranger", channels=("BF", "FITC"))
    finished = edge_ctc("classify-run", run, "--checkpoint", stranger)
    assert finished.code == 78
    assert "FITC" in finished.err
    assert not (run.parent / "run.ctc-calls.csv").exists()


PROFILE = """
schema_version = 1
name = "ours"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
ignore = ["cells.csv"]
pixel_size_um = 0.5
bits = 12
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
"""


def test_another_pixel_size_than_the_checkpoints_is_refused(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    profile = tmp_path / "ours.toml"
    profile.write_text(PROFILE)
    other = write_checkpoint(tmp_path / "other", input={"pixel_size_um": 0.6})
    finished = edge_ctc("classify-run", run, "--checkpoint", other, "--profile", profile)
    assert finished.code == 78
    assert "pixel_size_um: the profile says 0.5, the checkpoint was trained at 0.6" in finished.err
    same = write_checkpoint(tmp_path / "same", input={"pixel_size_um": 0.5})
    assert edge_ctc("classify-run", run, "--checkpoint", same, "--profile", profile).code == 0
    assert {(row["pixel_size_um"], row["flags"], row["profile_name"]) for row in rows_of(run)} == {("0.5", "", "ours")}


def test_a_count_above_the_declared_depth_becomes_one_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "ours.toml"
    profile.write_text(PROFILE)
    tifffile.imwrite(image_of(run), np.full((64, 64), 4096, np.uint16))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", profile)
    assert_one_row_is_not_evaluable(finished, run, "expected counts of 12 bits as the profile says, got 4096", failed=1)


def test_a_misspelt_profile_key_is_refused_with_the_one_that_was_meant(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "ours.toml"
    profile.write_text(PROFILE.replace("pixel_size_um", "pixel_size"))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", profile)
    assert finished.code == 78
    assert 'did you mean "pixel_size_um"?' in finished.err


def test_an_unknown_profile_name_is_refused_with_the_nearest(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", "multi-page")
    assert finished.code == 78
    assert 'did you mean "multipage"?' in finished.err


def test_a_second_writer_is_told_to_wait(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    holder = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 2); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
        other.communicate("\n")
    assert finished.code == 75
    assert "another edge-ctc" in finished.err


def test_labels_of_another_run_are_refused_as_truth(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    truth = run.parent / "run.truth.csv"
    truth.write_text(truth.read_text() + "9999,CTC\n")
    finished = edge_ctc("candidates", run, "--truth", truth)
    assert finished.code == 65
    assert "9999" in finished.err


def test_candidates_of_a_run_that_was_not_called_are_refused(edge_ctc: EdgeCtc, run: Path) -> None:
    finished = edge_ctc("candidates", run)
    assert finished.code == 65
    assert "classify-run" in finished.err


def test_an_occupied_folder_is_not_simulated_over(edge_ctc: EdgeCtc, run: Path) -> None:
    before = tree(run)
    assert edge_ctc("simulate", run, "--cells", 5, "--ctcs", 1).code == 73
    assert tree(run) == before


def test_more_ctcs_than_cells_are_refused(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    assert edge_ctc("simulate", tmp_path / "run", "--cells", 5, "--ctcs", 6).code == 78
    assert not (tmp_path / "run").exists()


def test_a_power_cut_at_any_step_is_mended_by_the_next_call(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    for cut in itertools.count(1):
        run = tmp_path / str(cut) / "run"
        write_run(run, 3, 1, seed=1, layout=Layout.MULTIPAGE)
        edge_ctc("classify-run", run, "--checkpoint", checkpoint)
        first = (run.parent / "run.ctc-calls.csv").read_bytes()
        os.utime(run / "thumbs" / "2_thumb.tif")
        request = Request(run, checkpoint=checkpoint)
        with OpenModels() as models:
            came = power_cut_at(cut, partial(classify_run, request, models, RunReporter(quiet=True)))
        assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
        assert [row["cell_id"] for row in sorted(rows_of(run), key=lambda row: row["cell_id"])] == ["1", "2", "3"]
        calls = run.parent / "run.ctc-calls.csv"
        assert manifest_of(run)["calls"]["sha256"] == hashlib.sha256(calls.read_bytes()).hexdigest()
        assert list(run.parent.glob(".*")) == [], cut
        assert first in [path.read_bytes() for path in run.parent.glob("run.ctc-calls*.csv")], cut
        if not came:
            break
    assert cut > 10
