"""`edge-ctc build-engine` and `edge-ctc engine`: what they say and how they end."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from edge_ctc import durable
from edge_ctc.checkpoint import MODEL_FP16
from edge_ctc.engine import installed, runtimes
from edge_ctc.engine.installed import read_engine
from edge_ctc.engine.places import former_of
from edge_ctc.errors import UnavailableError
from edge_ctc.parity import reference_scores
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc, Finished
from tests.engines import UNPROVEN, copy_of, files_of, fp16_is_fp32_and, put_engine

CPU = "onnxruntime-fp32-cpu"


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint of two channels, 8 px, that a test may change."""
    return write_checkpoint(tmp_path / "small", ("BF", "PE"), 8)


def build(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, *more: object) -> Finished:
    return edge_ctc("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", engines, *more)


# -- build-engine ----------------------------------------------------------------------------------------------------


def test_building_says_what_it_does_and_where_the_engine_lies(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    finished = build(edge_ctc, checkpoint, engines, "--max-batch", 32)
    assert finished.code == 0
    assert "compiling for onnxruntime" in finished.err
    assert "batches of 1 to 32" in finished.err
    assert f"in {engines / 'means' / CPU}" in finished.out
    assert "proved on 8 cells against ONNX Runtime at fp32" in finished.out
    assert "verdicts that change: 0" in finished.out
    assert "rollback" not in finished.out
    assert f"the former one is kept: edge-ctc engine rollback {engines / 'means' / CPU}" in (
        build(edge_ctc, checkpoint, engines).out
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ("--precision", "int8"),
        ("--runtime", "torch"),
        ("--max-batch", 0),
        ("--max-batch", 1025),
        ("--max-batch", "many"),
        ("--engine", "cpu"),
    ],
)
def test_wrong_usage_is_told(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, wrong: tuple[object, ...]) -> None:
    assert edge_ctc("build-engine", checkpoint, "--out", engines, *wrong).code == 64
    assert not engines.exists()


def test_a_checkpoint_that_is_missing_or_spoilt_is_not_compiled(
    edge_ctc: EdgeCtc, small: Path, engines: Path, tmp_path: Path
) -> None:
    assert build(edge_ctc, tmp_path / "none", engines).code == 66
    (small / MODEL_FP16).write_bytes(b"another")
    finished = build(edge_ctc, small, engines)
    assert finished.code == 65
    assert str(small / MODEL_FP16) in finished.err
    assert not engines.exists()


def test_a_place_that_cannot_be_made_is_told(edge_ctc: EdgeCtc, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finished = build(edge_ctc, checkpoint, tmp_path / "file")
    assert finished.code == 73
    assert "cannot be made" in finished.err


def test_a_full_disk_is_told_and_the_engine_that_stood_there_still_answers(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(edge_ctc, checkpoint, engines).code == 0
    before = files_of(engines)
    fsync = os.fsync

    def full(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        finished = build(edge_ctc, checkpoint, engines)
    assert finished.code == 73
    assert "No space left on device" in finished.err
    assert files_of(engines) == before
    assert edge_ctc("engine", "verify", engines / "means" / CPU).code == 0


@pytest.mark.parametrize("moment", ["comparing", "writing", "swapping"])
def test_an_interrupt_leaves_the_engine_that_stood_there(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    assert build(edge_ctc, checkpoint, engines).code == 0
    folder = engines / "means" / CPU
    before = read_engine(folder)
    rename, stage = os.rename, installed._staged

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def compared(*arguments: object) -> object:
        interrupt()
        return reference_scores(*arguments)  # type: ignore[arg-type]

    def renamed(old: object, new: object) -> None:
        rename(old, new)  # type: ignore[arg-type]
        if Path(str(new)) == former_of(folder):
            interrupt()

    def staged(*arguments: object) -> Path:
        interrupt()
        return stage(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        if moment == "comparing":
            patch.setattr("edge_ctc.gate.reference_scores", compared)
        elif moment == "writing":
            patch.setattr(installed, "_staged", staged)
        else:
            patch.setattr(os, "rename", renamed)
        finished = build(edge_ctc, checkpoint, engines)
    assert finished.code == 130
    assert "interrupted" in finished.err
    assert read_engine(folder).record == before.record
    assert edge_ctc("engine", "verify", folder).code == 0
    assert build(edge_ctc, checkpoint, engines).code == 0
    assert {path.name for path in folder.parent.iterdir()} == {CPU, f"{CPU}.former"}


def test_where_the_key_of_the_installation_is_lost_engines_can_be_built_again(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    (engines / ".installation").unlink()
    assert edge_ctc("engine", "verify", engines / "means" / CPU).code == 65
    assert build(edge_ctc, checkpoint, engines).code == 0
    assert edge_ctc("engine", "verify", engines / "means" / CPU).code == 0
    assert edge_ctc("engine", "rollback", engines / "means" / CPU).code == 65


# -- engine list -----------------------------------------------------------------------------------------------------


def test_where_no_engine_is_installed_the_list_says_how_to_build_one(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    assert folder.code == 0
    shutil.rmtree(engines / "means")
    finished = edge_ctc("engine", "list", "--engines", engines)
    assert finished.code == 0
    assert finished.out == f"{engines}: no engine is installed; build one: edge-ctc build-engine CHECKPOINT\n"
    assert edge_ctc("engine", "list").code == 0


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_named_and_holds_no_engines_is_told(edge_ctc: EdgeCtc, engines: Path, *, there: bool) -> None:
    if there:
        engines.mkdir()
    finished = edge_ctc("engine", "list", "--engines", engines)
    assert finished.code == 66
    assert f"{engines}: no engine was ever built into it" in finished.err


@pytest.mark.parametrize(
    "command", [("engine", "list", "--engines", ""), ("build-engine", "x", "--out", ""), ("engine", "rollback", "/")]
)
def test_an_empty_name_is_not_the_folder_one_happens_to_be_in(edge_ctc: EdgeCtc, command: tuple[str, ...]) -> None:
    finished = edge_ctc(*command)
    assert finished.code in (64, 66)
    assert "Traceback" not in finished.err


@pytest.mark.parametrize("place", ["x" * 300, "x" * 300 + "/x"])
def test_a_name_that_no_folder_can_have_is_told(edge_ctc: EdgeCtc, place: str) -> None:
    for command in (
        ("engine", "verify", place),
        ("engine", "rollback", place),
        ("engine", "list", "--engines", place),
        ("build-engine", place, "--runtime", "onnxruntime"),
    ):
        assert edge_ctc(*command).code == 66, command


def test_an_engine_reached_by_a_link_is_verified_and_rolled_back(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, tmp_path: Path
) -> None:
    assert build(edge_ctc, checkpoint, engines).code == build(edge_ctc, checkpoint, engines).code == 0
    link = tmp_path / "link"
    link.symlink_to(engines / "means" / CPU)
    assert edge_ctc("engine", "verify", link).code == 0
    assert edge_ctc("engine", "rollback", link).code == 0


def test_a_checkpoints_engines_may_lie_on_another_disk(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, tmp_path: Path
) -> None:
    engines.mkdir()
    (tmp_path / "disk").mkdir()
    (engines / "means").symlink_to(tmp_path / "disk")
    assert build(edge_ctc, checkpoint, engines).code == 0
    assert edge_ctc("engine", "verify", engines / "means" / CPU).code == 0


def test_a_checkpoint_that_was_moved_is_asked_for(
    edge_ctc: EdgeCtc, small: Path, engines: Path, tmp_path: Path
) -> None:
    assert build(edge_ctc, small, engines).code == build(edge_ctc, small, engines).code == 0
    moved = small.rename(tmp_path / "moved")
    for verb in ("verify", "rollback"):
        finished = edge_ctc("engine", verb, engines / "means" / CPU)
        assert finished.code == 66
        assert "with --checkpoint" in finished.err
        assert edge_ctc("engine", verb, engines / "means" / CPU, "--checkpoint", moved).code == 0


def test_the_list_shows_each_engine_and_what_is_wrong_with_a_damaged_one(
    edge_ctc: EdgeCtc, checkpoint: Path, small: Path, engines: Path, tmp_path: Path
) -> None:
    for precision in ("fp32", "fp16"):
        assert build(edge_ctc, checkpoint, engines, "--precision", precision).code == 0
    assert build(edge_ctc, checkpoint, engines).code == 0
    other = copy_of(small, tmp_path / "other", name="other")
    put_engine(engines, other, runtime="tensorrt-rtx", **UNPROVEN)
    damaged = engines / "means" / "onnxruntime-fp16-cpu"
    (damaged / "engine.plan").write_bytes(b"x")
    finished = edge_ctc("engine", "list", "--engines", engines)
    assert finished.code == 0
    lines = finished.out.splitlines()
    whole = read_engine(engines / "means" / CPU).record
    assert lines[0] == str(damaged)
    assert lines[1].startswith(f"  not usable: {damaged / 'engine.plan'}: sha256 ")
    assert lines[2:6] == [
        str(engines / "means" / CPU),
        f"  proved: {whole.description}",
        f"  checkpoint means ({whole.checkpoint_sha256[:12]}), built {whole.built_at_utc}",
        "  the former one is kept",
    ]
    assert lines[6] == str(engines / "other" / "tensorrt-rtx-fp32-portable")
    assert lines[7].startswith("  unproven: tensorrt-rtx ")
    assert len(lines) == 9


def test_the_list_reads_the_folder_that_the_environment_names(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CTC_ENGINES", str(engines))
    assert edge_ctc("build-engine", checkpoint, "--runtime", "onnxruntime").code == 0
    assert str(engines / "means" / CPU) in edge_ctc("engine", "list").out


# -- engine verify ---------------------------------------------------------------------------------------------------


def test_an_engine_that_is_whole_and_fits_is_proved_once_more(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(edge_ctc, checkpoint, engines)
    before = files_of(engines)
    finished = edge_ctc("engine", "verify", engines / "means" / CPU)
    assert finished.code == 0
    assert "proved here: every byte as it was built, 8 reference cells" in finished.out
    monkeypatch.chdir(engines / "means" / CPU)
    assert edge_ctc("engine", "verify", ".").code == 0
    assert files_of(engines) == before


@pytest.mark.parametrize("file", ["engine.plan", "timing.cache", "engine.json"])
def test_a_file_that_changed_is_named(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, file: str) -> None:
    folder = put_engine(engines, checkpoint, b"how long each kernel took")
    assert edge_ctc("engine", "verify", folder).code == 0
    content = bytearray((folder / file).read_bytes())
    content[-2] ^= 1
    (folder / file).write_bytes(content)
    finished = edge_ctc("engine", "verify", folder)
    assert finished.code == 65
    assert str(folder / file) in finished.err
    assert len(finished.err.splitlines()) <= 4


def test_no_engine_there_is_told(edge_ctc: EdgeCtc, engines: Path) -> None:
    finished = edge_ctc("engine", "verify", engines / "none")
    assert finished.code == 66
    assert "edge-ctc engine list" in finished.err


def test_whole_but_for_another_machine_or_never_proved_is_unavailable(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put_engine(engines, checkpoint)
    monkeypatch.setattr(runtimes, "version", lambda _: "9.9")
    finished = edge_ctc("engine", "verify", folder)
    assert finished.code == 69
    assert "whole, but it does not fit here: runtime version: built for" in finished.err
    folder = put_engine(engines, checkpoint, precision="fp16", **UNPROVEN)
    finished = edge_ctc("engine", "verify", folder)
    assert finished.code == 69
    assert "whole, but never proved" in finished.err


def test_a_checkpoint_that_was_moved_or_retrained_is_told(
    edge_ctc: EdgeCtc, small: Path, engines: Path, tmp_path: Path
) -> None:
    build(edge_ctc, small, engines)
    verify = ("engine", "verify", engines / "means" / CPU)
    small.rename(tmp_path / "moved")
    assert edge_ctc(*verify).code == 66
    assert edge_ctc(*verify, "--checkpoint", tmp_path / "moved").code == 0
    retrained = copy_of(tmp_path / "moved", tmp_path / "retrained", notice="again")
    finished = edge_ctc(*verify, "--checkpoint", retrained)
    assert finished.code == 69
    assert "checkpoint: built for" in finished.err


# -- engine rollback -------------------------------------------------------------------------------------------------


def test_rollback_brings_the_former_engine_back_and_again_the_newer_one(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, tmp_path: Path
) -> None:
    folder = engines / "means" / CPU
    retrained = copy_of(checkpoint, tmp_path / "retrained", notice="again")
    build(edge_ctc, checkpoint, engines)
    build(edge_ctc, retrained, engines)
    old, new = read_engine(former_of(folder)).record, read_engine(folder).record
    finished = edge_ctc("engine", "rollback", folder)
    assert finished.code == 0
    proved, back = finished.out.splitlines()
    assert proved.startswith(f"{former_of(folder)}: proved here")
    assert back == f"{folder}: now {old.description}, built {old.built_at_utc}"
    assert read_engine(folder).record == old
    assert edge_ctc("engine", "rollback", folder).code == 0
    assert read_engine(folder).record == new
    assert read_engine(former_of(folder)).record == old


def test_the_engine_that_was_brought_back_calls(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = engines / "means" / CPU
    build(edge_ctc, checkpoint, engines)
    build(edge_ctc, copy_of(checkpoint, tmp_path / "retrained", notice="again"), engines)
    assert edge_ctc("engine", "rollback", folder).code == 0
    finished = edge_ctc("classify-run", run, "--engine", folder)
    assert finished.code == 0
    assert "anew" not in finished.err


def test_without_a_former_engine_rollback_says_so(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path) -> None:
    build(edge_ctc, checkpoint, engines)
    before = files_of(engines)
    finished = edge_ctc("engine", "rollback", engines / "means" / CPU)
    assert finished.code == 66
    assert "no former engine" in finished.err
    assert files_of(engines) == before


@pytest.mark.parametrize("place", ["none", "none/none/none"])
def test_rollback_where_there_is_nothing_says_so(edge_ctc: EdgeCtc, engines: Path, place: str) -> None:
    finished = edge_ctc("engine", "rollback", engines / place)
    assert finished.code in (66, 73)
    assert "Traceback" not in finished.err


def test_a_damaged_former_engine_is_not_brought_back(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path) -> None:
    folder = engines / "means" / CPU
    build(edge_ctc, checkpoint, engines)
    build(edge_ctc, checkpoint, engines)
    (former_of(folder) / "engine.plan").write_bytes(b"x")
    before = files_of(engines)
    finished = edge_ctc("engine", "rollback", folder)
    assert finished.code == 65
    assert str(former_of(folder) / "engine.plan") in finished.err
    assert files_of(engines) == before


def test_a_damaged_engine_is_mended_by_going_back(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path) -> None:
    folder = engines / "means" / CPU
    build(edge_ctc, checkpoint, engines)
    build(edge_ctc, checkpoint, engines)
    (folder / "engine.plan").write_bytes(b"x")
    assert edge_ctc("engine", "verify", folder).code == 65
    assert edge_ctc("engine", "rollback", folder).code == 0
    assert edge_ctc("engine", "verify", folder).code == 0


def test_while_another_process_builds_nothing_is_rolled_back(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    build(edge_ctc, checkpoint, engines)
    before = files_of(engines)
    with durable.sole_writer(engines / "means"):
        for verb in ("rollback", "remove"):
            assert edge_ctc("engine", verb, engines / "means" / CPU).code == 75
    assert files_of(engines) == before


def test_a_former_engine_that_does_not_fit_here_is_not_brought_back(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    build(edge_ctc, checkpoint, engines)
    before = files_of(engines)
    finished = edge_ctc("engine", "rollback", engines / "means" / CPU)
    assert finished.code == 69
    assert "runtime version: built for 0.1" in finished.err
    assert files_of(engines) == before


def test_a_spoilt_engine_is_not_kept_at_the_cost_of_a_sound_former_one(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    folder = engines / "means" / CPU
    for _ in range(2):
        build(edge_ctc, checkpoint, engines)
    former = read_engine(former_of(folder)).record
    (folder / "engine.plan").write_bytes(b"spoilt")
    build(edge_ctc, checkpoint, engines)
    assert read_engine(former_of(folder)).record == former
    assert edge_ctc("engine", "rollback", folder).code == 0


def test_an_engine_is_removed_with_its_former_one(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path) -> None:
    folder = engines / "means" / CPU
    for _ in range(2):
        build(edge_ctc, checkpoint, engines)
    finished = edge_ctc("engine", "remove", folder)
    assert (finished.code, finished.out) == (0, f"{folder}: removed, and its former one\n")
    assert list((engines / "means").iterdir()) == []
    assert edge_ctc("engine", "remove", folder).code == 66
    assert edge_ctc("engine", "remove", "/").code == 66


def test_an_engine_is_not_verified_with_another_checkpoint(
    edge_ctc: EdgeCtc, checkpoint: Path, small: Path, engines: Path, tmp_path: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    other = copy_of(small, tmp_path / "other", name="other")
    finished = edge_ctc("engine", "verify", engines / "means" / CPU, "--checkpoint", other)
    assert finished.code == 78
    assert "expected means" in finished.err


def test_what_travels_with_the_program_is_built_by_its_name(edge_ctc: EdgeCtc, engines: Path) -> None:
    finished = edge_ctc("build-engine", "reference-bf", "--runtime", "onnxruntime", "--out", engines)
    assert finished.code == 0
    assert f"classify-run looks there with --engines {engines}" in finished.out


@pytest.mark.parametrize(
    ("present", "taken"), [(["tensorrt-rtx"], "tensorrt-rtx"), (["tensorrt", "tensorrt-rtx"], "tensorrt")]
)
def test_without_a_runtime_the_installed_tensorrt_is_taken(
    monkeypatch: pytest.MonkeyPatch, present: list[str], taken: str
) -> None:
    def version(distribution: str) -> str:
        if distribution not in present:
            raise PackageNotFoundError(distribution)
        return "11.4"

    monkeypatch.setattr(runtimes, "version", version)
    assert runtimes.installed_gpu_runtime() == taken
    present.clear()
    with pytest.raises(UnavailableError, match="neither tensorrt nor tensorrt-rtx is installed"):
        runtimes.installed_gpu_runtime()


def test_a_refusal_of_the_gate_is_told_in_plain_lines(edge_ctc: EdgeCtc, small: Path, engines: Path) -> None:
    finished = build(edge_ctc, fp16_is_fp32_and(small, 0.1), engines, "--precision", "fp16")
    assert finished.code == 70
    assert finished.err.splitlines()[1].startswith("error: onnxruntime ")
    assert "Traceback" not in finished.err
    assert finished.out == ""


def test_no_runtime_is_loaded_before_one_is_wanted() -> None:
    code = "import sys, edge_ctc.cli; print({'onnxruntime', 'pycuda', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
