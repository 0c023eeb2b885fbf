"""Which engine calls a run, and what happens at every start to one that fits no more. On ONNX Runtime, for real."""

import json
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge_ctc import build as build_module
from edge_ctc import durable, engine_choice
from edge_ctc.build import Order
from edge_ctc.checkpoint import MODEL_FP16, Checkpoint, open_checkpoint
from edge_ctc.engine import runtimes
from edge_ctc.engine.installed import install, read_engine
from edge_ctc.engine.places import engine_folder, failed_rebuild_of, former_of
from edge_ctc.engine.runtimes import Machine, this_machine
from edge_ctc.engine_choice import EngineChooser, EngineSetting, verify_engine
from edge_ctc.errors import EngineError, GpuFailedError, ResultsError, ResultsHeldError, UnavailableError
from edge_ctc.models import OpenModels
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc, Finished
from tests.engines import UNPROVEN, Silent, copy_of, files_of, fp16_is_fp32_and, put_engine, record_of
from tests.results import manifest_of, rows_of, tree

CPU = "onnxruntime-fp32-cpu"


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint of two channels, 8 px, that a test may change."""
    return write_checkpoint(tmp_path / "small", ("BF", "PE"), 8)


def build(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, precision: str = "fp32") -> Path:
    """Build by hand; returns the engine's folder."""
    finished = edge_ctc(
        "build-engine", checkpoint, "--runtime", "onnxruntime", "--precision", precision, "--out", engines
    )
    assert finished.code == 0, finished.err
    return engines / open_checkpoint(checkpoint).name / f"onnxruntime-{precision}-cpu"


def called(run: Path) -> list[str]:
    """What lies beside the run."""
    return sorted(path.name for path in run.parent.iterdir() if path != run and "truth" not in path.name)


def verdicts(run: Path, out: Path | None = None) -> dict[str, tuple[str, float]]:
    return {row["cell_id"]: (row["verdict"], float(row["score"])) for row in rows_of(run, out)}


def another_runtime(monkeypatch: pytest.MonkeyPatch, version: str = "9.9") -> None:
    monkeypatch.setattr(runtimes, "version", lambda _distribution: version)


def assert_refused(finished: Finished, code: int, run: Path, *told: str) -> None:
    """The command ended so, said so, and no file appeared beside the run."""
    assert finished.code == code, finished.err
    for words in told:
        assert words in finished.err
    assert "Traceback" not in finished.err
    assert called(run) == []


# -- which one -------------------------------------------------------------------------------------------------------


def test_without_an_engine_the_cpu_calls_and_the_first_line_says_so(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path
) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 0
    cpu = this_machine("onnxruntime").description("fp32")
    assert f"engine {cpu}, profile flat" in finished.out.splitlines()[0]
    manifest = manifest_of(run)
    assert manifest["engine"] == cpu
    assert manifest["engine_plan_sha256"] is None
    assert manifest["engine_rebuilt_because"] == []


def test_a_folder_of_engines_that_is_named_and_not_there_is_no_reason_to_call_on_the_cpu(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("classify-run", run, "--checkpoint", checkpoint)
    told = f"{engines}: no engine was ever built into it"
    assert_refused(edge_ctc(*command, "--engines", engines), 66, run, told)
    monkeypatch.setenv("EDGE_CTC_ENGINES", str(engines))
    assert_refused(edge_ctc(*command), 66, run, told)
    engines.mkdir()  # where a disk would be mounted
    assert_refused(edge_ctc(*command), 66, run, told)
    assert edge_ctc(*command, "--engine", "cpu").code == 0


def test_one_letter_too_many_in_an_option_does_not_call_on_the_cpu(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    for place in (folder, folder.parent):
        assert_refused(edge_ctc("classify-run", run, "--engines", place), 66, run, "no engine was ever built into it")


@pytest.mark.parametrize("part", ["means", f"means/{CPU}"])
def test_a_link_whose_disk_is_not_mounted_does_not_call_on_the_cpu(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, part: str
) -> None:
    build(edge_ctc, checkpoint, engines)
    shutil.rmtree(engines / part)
    (engines / part).symlink_to("/nowhere")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(finished, 73, run, str(engines / part), "mount what it points to")


def test_the_command_that_is_advised_builds_the_checkpoint_that_was_asked_for(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    retrained = copy_of(checkpoint, tmp_path / "retrained", notice="again")
    command = ("classify-run", run, "--checkpoint", retrained, "--engines", engines)
    refused = edge_ctc(*command, "--stale-engine", "refuse")
    advised = f"edge-ctc build-engine {retrained} --runtime onnxruntime --precision fp32 --max-batch 64 --out {engines}"
    assert_refused(refused, 69, run, advised)
    assert edge_ctc(*advised.split()[1:]).code == 0
    assert edge_ctc(*command, "--stale-engine", "refuse").code == 0


@pytest.mark.parametrize("error", [UnavailableError("no GPU"), ResultsHeldError("another edge-ctc writes here")])
def test_what_passes_leaves_no_note(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    put_engine(engines, checkpoint, runtime_version="0.1")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_ctc.build.compile_for", fail)
        assert edge_ctc(*command).code in (69, 75)
    assert edge_ctc(*command).code == 0


def test_a_service_manager_that_ends_a_rebuilding_does_not_forbid_it_for_good(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    before = files_of(engines)
    ended_by_it = (
        "import os, signal, time; from edge_ctc import build, cli; "
        "build.compile_for = lambda *_: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(5)); cli.main()"
    )
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    ended = subprocess.run([sys.executable, "-c", ended_by_it, *map(str, command)], capture_output=True, check=False)
    assert ended.returncode == 143
    assert files_of(engines) == before
    assert edge_ctc(*command).code == 0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_engine_that_was_built_for_the_checkpoint_is_taken_and_stands_in_calls_and_manifest(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, precision: str
) -> None:
    record = read_engine(build(edge_ctc, checkpoint, engines, precision)).record
    before = files_of(engines)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert finished.code == 0
    assert f"engine {record.description}, profile" in finished.out.splitlines()[0]
    assert record.description.endswith(f" cpu {precision} {record.plan_sha256[:12]}")
    assert {row["engine"] for row in rows_of(run)} == {record.description}
    manifest = manifest_of(run)
    assert manifest["engine"] == record.description
    assert manifest["engine_plan_sha256"] == record.plan_sha256
    assert manifest["engine_rebuilt_because"] == []
    assert manifest["replay"]["cells"] == 8
    assert files_of(engines) == before


def test_engines_are_found_where_the_environment_says(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_engine(build(edge_ctc, checkpoint, engines)).record
    monkeypatch.setenv("EDGE_CTC_ENGINES", str(engines))
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert manifest_of(run)["engine"] == record.description


def test_engines_are_found_in_the_state_folder(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert edge_ctc("build-engine", checkpoint, "--runtime", "onnxruntime").code == 0
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert manifest_of(run)["engine_plan_sha256"] == manifest_plan(tmp_path / "state" / "engines" / "means" / CPU)


def manifest_plan(folder: Path) -> str:
    return read_engine(folder).record.plan_sha256


def test_a_named_engine_brings_its_checkpoint_and_calls_as_the_cpu_does(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    finished = edge_ctc("classify-run", run, "--engine", folder)
    assert finished.code == 0
    assert {row["checkpoint_name"] for row in rows_of(run)} == {"means"}
    assert manifest_of(run)["engine_plan_sha256"] == manifest_plan(folder)
    cpu = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engine", "cpu", "--out", tmp_path / "cpu")
    assert cpu.code == 0
    assert verdicts(run) == verdicts(run, tmp_path / "cpu")
    assert len(verdicts(run)) == 20


def test_an_engine_of_small_batches_calls_as_one_of_large(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    build_small = ("build-engine", checkpoint, "--runtime", "onnxruntime", "--max-batch", 3, "--out", engines)
    assert edge_ctc(*build_small).code == 0
    assert edge_ctc("classify-run", run, "--engine", engines / "means" / CPU).code == 0
    out = tmp_path / "cpu"
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engine", "cpu", "--out", out).code == 0
    ours, cpus = verdicts(run), verdicts(run, out)
    assert {cell: verdict for cell, (verdict, _) in ours.items()} == {
        cell: verdict for cell, (verdict, _) in cpus.items()
    }
    assert all(abs(ours[cell][1] - cpus[cell][1]) < 1e-5 for cell in cpus)


def test_cpu_overrides_the_engine_that_was_built(edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    (folder / "engine.plan").write_bytes(b"damaged, and nobody looks")
    options = ("--checkpoint", checkpoint, "--engines", engines, "--engine", "cpu")
    assert edge_ctc("classify-run", run, *options).code == 0
    assert manifest_of(run)["engine"] == this_machine("onnxruntime").description("fp32")


def test_of_two_engines_that_fit_one_must_be_named(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    full, half = build(edge_ctc, checkpoint, engines), build(edge_ctc, checkpoint, engines, "fp16")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(finished, 78, run, str(full), str(half), "name one with --engine")
    assert edge_ctc("classify-run", run, "--engine", half).code == 0
    assert manifest_of(run)["engine_plan_sha256"] == manifest_plan(half)


def test_of_two_engines_none_is_taken_because_the_other_happens_not_to_fit_now(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    half = build(edge_ctc, checkpoint, engines, "fp16")
    stale = put_engine(engines, checkpoint, runtime_version="0.1")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(finished, 78, run, str(half), str(stale), "name one with --engine")


def test_folders_that_are_no_engines_are_not_looked_at(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    shutil.copytree(folder, folder.with_name(f"{folder.name}.bak"))
    (folder.parent / "notes").mkdir()
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines).code == 0
    assert manifest_of(run)["engine_plan_sha256"] == manifest_plan(folder)


def test_engines_of_which_none_was_ever_proved_call_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    for precision in ("fp32", "fp16"):
        put_engine(engines, checkpoint, runtime="tensorrt-rtx", precision=precision, **UNPROVEN)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(finished, 69, run, "never proved")


def test_engines_of_other_checkpoints_are_not_looked_at(
    edge_ctc: EdgeCtc, checkpoint: Path, small: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    other = build(edge_ctc, copy_of(small, tmp_path / "other", name="other"), engines)
    (other / "engine.plan").write_bytes(b"damaged")
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines).code == 0
    assert manifest_of(run)["engine_plan_sha256"] is None


def test_the_shipped_checkpoints_have_engines_too(edge_ctc: EdgeCtc, run: Path, engines: Path) -> None:
    shipped = Path(__file__).parents[1] / "engines" / "reference"
    record = read_engine(build(edge_ctc, shipped, engines, "fp16")).record
    finished = edge_ctc("classify-run", run, "--engines", engines)
    assert finished.code == 0
    assert "checkpoint reference (" in finished.out.splitlines()[0]
    assert manifest_of(run)["engine"] == record.description


# -- what calls nothing ----------------------------------------------------------------------------------------------


def test_an_engine_that_was_never_proved_calls_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    folder = put_engine(engines, checkpoint, runtime="tensorrt-rtx", **UNPROVEN)
    before = files_of(engines)
    by_default = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(by_default, 69, run, str(folder), "never proved", "build-engine")
    assert_refused(edge_ctc("classify-run", run, "--engine", folder), 69, run, "never proved", "--engine cpu")
    assert files_of(engines) == before


def test_an_engine_of_the_cpu_that_was_never_proved_calls_nothing_either(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    folder = put_engine(engines, checkpoint, **UNPROVEN)
    assert_refused(edge_ctc("classify-run", run, "--engine", folder), 69, run, "never proved")


def test_beside_an_unproven_engine_that_of_the_cpu_does_not_step_in_silently(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    unproven = put_engine(engines, checkpoint, runtime="tensorrt-rtx", **UNPROVEN)
    build(edge_ctc, checkpoint, engines)
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc(*command), 78, run, str(unproven), "engine remove DIR")
    assert edge_ctc("engine", "remove", unproven).code == 0
    assert edge_ctc(*command).code == 0


@pytest.mark.parametrize("file", ["engine.plan", "engine.json"])
@pytest.mark.parametrize("named", [True, False])
def test_a_damaged_engine_is_refused_and_neither_rebuilt_nor_replaced_by_the_cpu(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, file: str, *, named: bool
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    before = files_of(engines)
    options = ("--engine", folder) if named else ("--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc("classify-run", run, *options), 65, run, str(folder / file))
    assert files_of(engines) == before


def test_an_engine_that_is_not_there_is_told(edge_ctc: EdgeCtc, run: Path, engines: Path) -> None:
    assert_refused(edge_ctc("classify-run", run, "--engine", engines / "none"), 66, run, "no such engine")
    assert_refused(edge_ctc("classify-run", run, "--engine", ""), 64, run, "--engine is empty")


def test_an_engine_whose_checkpoint_is_gone_is_told(
    edge_ctc: EdgeCtc, small: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = build(edge_ctc, small, engines)
    small.rename(tmp_path / "moved")
    assert_refused(edge_ctc("classify-run", run, "--engine", folder), 66, run, str(small))
    assert edge_ctc("classify-run", run, "--engine", folder, "--checkpoint", tmp_path / "moved").code == 0


def test_an_engine_that_answers_the_reference_cells_wrongly_calls_nothing(
    edge_ctc: EdgeCtc, small: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    spoilt = fp16_is_fp32_and(copy_of(small, tmp_path / "spoilt"), 0.1)
    plan = (spoilt / MODEL_FP16).read_bytes()
    record = record_of(plan, small, precision="fp16")
    folder = engine_folder(engines, "means", record.machine, "fp16")
    folder.parent.mkdir(parents=True)
    install(folder, record, plan, None)
    told = "a reference cell of means is off by 0.1, allowed 0.05; nothing may be called with it"
    assert_refused(edge_ctc("classify-run", run, "--engine", folder), 70, run, told)
    with pytest.raises(EngineError, match="off by"):
        verify_engine(folder, None)


def test_the_json_report_says_why_nothing_was_called(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, **UNPROVEN)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines, "--json")
    assert finished.code == 69
    report = json.loads(finished.out)
    assert report["exit_code"] == 69
    assert "never proved" in report["runs"][0]["error"]


# -- runs that were called -------------------------------------------------------------------------------------------


def test_a_run_that_is_unchanged_is_left_alone_with_a_built_engine_too(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert edge_ctc(*command).code == 0
    before = tree(run.parent)
    again = edge_ctc(*command)
    assert again.code == 0
    assert "nothing to do" in again.out
    assert tree(run.parent) == before


def test_building_the_same_engine_again_owes_no_run_a_call(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    build(edge_ctc, checkpoint, engines)
    assert edge_ctc(*command).code == 0
    build(edge_ctc, checkpoint, engines)
    assert "nothing to do" in edge_ctc(*command).out


def test_a_run_that_the_cpu_called_is_called_again_by_the_engine_and_the_former_calls_are_kept(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    engines.mkdir()
    (engines / ".installation").write_text("of an engine that was removed")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert edge_ctc(*command).code == 0
    former = (run.parent / "run.ctc-calls.csv").read_bytes()
    folder = build(edge_ctc, checkpoint, engines)
    finished = edge_ctc(*command)
    assert finished.code == 0
    assert "20 cells to call" in finished.out
    manifest = manifest_of(run)
    assert manifest["engine_plan_sha256"] == manifest_plan(folder)
    assert manifest["cells_reused"] == 0
    assert (run.parent / manifest["superseded"]).read_bytes() == former


def test_a_cell_that_is_added_is_called_by_the_same_engine_and_the_other_rows_are_kept(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    build(edge_ctc, checkpoint, engines)
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert edge_ctc(*command).code == 0
    for image in list((run / "Images").glob("0001_*.tif")):
        shutil.copyfile(image, image.with_name(image.name.replace("0001", "0021")))
    assert edge_ctc(*command).code == 0
    assert manifest_of(run)["cells_reused"] == 20


# -- that fit no more ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_an_engine_of_another_version_of_its_runtime_is_built_anew_announced_and_calls(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, *, named: bool
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1", max_batch=5)
    now = this_machine("onnxruntime").runtime_version
    options = ("--engine", folder) if named else ("--checkpoint", checkpoint, "--engines", engines)
    finished = edge_ctc("classify-run", run, *options)
    assert finished.code == 0
    why = f"runtime version: built for 0.1, now {now}"
    assert f"engine {folder}: {why}; building it anew" in finished.err
    assert finished.err.count("compiling for") == 1
    manifest = manifest_of(run)
    assert manifest["engine_rebuilt_because"] == [why]
    assert manifest["cells"]["called"] == 20
    record = read_engine(folder).record
    assert (record.runtime_version, record.max_batch, record.precision, record.command) == (now, 5, "fp32", None)
    assert record.rebuilt_because == (why,)
    assert manifest["engine"] == record.description
    assert read_engine(former_of(folder)).record.runtime_version == "0.1"

    again = edge_ctc("classify-run", run, *options)
    assert again.code == 0
    assert "nothing to do" in again.out
    assert "anew" not in again.err
    assert "compiling" not in again.err
    assert read_engine(folder).record == record


def test_a_new_version_of_the_runtime_makes_the_engine_stale(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(edge_ctc, checkpoint, engines, "fp16")
    then = read_engine(folder).record.runtime_version
    another_runtime(monkeypatch)
    assert edge_ctc("classify-run", run, "--engine", folder).code == 0
    assert manifest_of(run)["engine_rebuilt_because"] == [f"runtime version: built for {then}, now 9.9"]
    assert read_engine(folder).record.precision == "fp16"
    build(edge_ctc, checkpoint, engines, "fp16")
    assert read_engine(folder).record.rebuilt_because == ()


@pytest.mark.parametrize("named", [True, False])
def test_where_the_setting_says_refuse_a_stale_engine_calls_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, *, named: bool
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    before = files_of(engines)
    options = ("--engine", folder) if named else ("--checkpoint", checkpoint, "--engines", engines)
    finished = edge_ctc("classify-run", run, *options, "--stale-engine", "refuse")
    assert_refused(finished, 69, run, "runtime version: built for 0.1, now", "build-engine")
    assert files_of(engines) == before


def test_a_retrained_checkpoint_of_the_same_name_gets_its_engine(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    retrained = copy_of(checkpoint, tmp_path / "retrained", thresholds={"ctc": 0.25, "review": 0.0})
    finished = edge_ctc("classify-run", run, "--checkpoint", retrained, "--engines", engines)
    assert finished.code == 0
    old, new = open_checkpoint(checkpoint).sha256[:12], open_checkpoint(retrained).sha256[:12]
    assert f"checkpoint: built for {old}, now {new}; building it anew" in finished.err
    manifest = manifest_of(run)
    assert manifest["engine_rebuilt_because"] == [f"checkpoint: built for {old}, now {new}"]
    assert manifest["checkpoint"]["sha256"] == read_engine(folder).record.checkpoint_sha256
    assert read_engine(folder).record.checkpoint_folder == str(retrained)
    assert read_engine(former_of(folder)).record.checkpoint_sha256[:12] == old


def test_every_difference_is_named(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(edge_ctc, checkpoint, engines)
    retrained = copy_of(checkpoint, tmp_path / "retrained", notice="again")
    another_runtime(monkeypatch)
    options = ("--checkpoint", retrained, "--engines", engines, "--stale-engine", "refuse")
    finished = edge_ctc("classify-run", run, *options)
    assert_refused(finished, 69, run, "runtime version: built for", "; checkpoint: built for")


def test_an_engine_for_a_card_that_is_not_here_is_not_replaced_by_the_cpu(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(_runtime: str) -> None:
        raise UnavailableError("no GPU; look at nvidia-smi")

    put_engine(engines, checkpoint, runtime="tensorrt", gpu_name="NVIDIA A2", compute_capability="8.6")
    before = files_of(engines)
    monkeypatch.setattr(engine_choice, "this_machine", no_device)
    options = ("--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc("classify-run", run, *options), 69, run, "no GPU; look at nvidia-smi")
    assert files_of(engines) == before


def test_beside_a_stale_engine_that_was_named_the_one_that_was_built_since_is_taken(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    older = folder.with_name("onnxruntime-fp32-kept")
    shutil.move(folder, older)
    build(edge_ctc, checkpoint, engines)
    finished = edge_ctc("classify-run", run, "--engine", older, "--stale-engine", "refuse")
    assert finished.code == 0
    assert f"engine {older}: runtime version: built for 0.1" in finished.err
    assert f"taking {folder}" in finished.err
    assert "compiling" not in finished.err
    assert manifest_of(run)["engine_plan_sha256"] == manifest_plan(folder)


def test_several_runs_of_one_command_rebuild_once(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    second = run.with_name("second")
    shutil.copytree(run, second)
    put_engine(engines, checkpoint, runtime_version="0.1")
    finished = edge_ctc("classify-run", run, second, "--checkpoint", checkpoint, "--engines", engines)
    assert finished.code == 0
    assert finished.err.count("compiling for") == 1
    assert manifest_of(run)["engine"] == manifest_of(second)["engine"]


def test_while_another_process_builds_the_run_waits(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    with durable.sole_writer(engines / "means"):
        finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(finished, 75, run, "another edge-ctc writes here")


def test_where_the_engine_for_the_card_fits_no_more_that_of_the_cpu_does_not_step_in_silently(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, runtime="tensorrt", gpu_name="NVIDIA A2", compute_capability="8.6")
    put_engine(engines, checkpoint)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert finished.code in (69, 78), finished.out
    assert called(run) == []


def test_two_checkpoints_of_one_name_each_call_with_their_own_engine(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    other = copy_of(checkpoint, tmp_path / "other", thresholds={"ctc": 9.0, "review": 8.0})
    build(edge_ctc, checkpoint, engines)
    for turn, one in enumerate((other, checkpoint, other)):
        out = tmp_path / str(turn)
        assert edge_ctc("classify-run", run, "--checkpoint", one, "--engines", engines, "--out", out).code == 0
        assert manifest_of(run, out)["checkpoint"]["sha256"] == open_checkpoint(one).sha256
        assert read_engine(engines / "means" / CPU).record.checkpoint_sha256 == open_checkpoint(one).sha256


def test_a_named_engine_of_another_checkpoint_never_calls(
    edge_ctc: EdgeCtc, checkpoint: Path, small: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = build(edge_ctc, checkpoint, engines)
    other = copy_of(small, tmp_path / "other", name="other")
    refused = edge_ctc("classify-run", run, "--engine", folder, "--checkpoint", other)
    assert_refused(refused, 78, run, "built from checkpoint means, asked for is other")
    assert not (engines / "other").exists()


# -- that cannot be rebuilt ------------------------------------------------------------------------------------------


def test_a_rebuilding_that_the_gate_refuses_is_noted_and_not_tried_again(
    edge_ctc: EdgeCtc, small: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    folder = build(edge_ctc, small, engines, "fp16")
    engine = files_of(folder)
    spoilt = fp16_is_fp32_and(copy_of(small, tmp_path / "spoilt"), 0.1)
    command = ("classify-run", run, "--checkpoint", spoilt, "--engines", engines)
    first = edge_ctc(*command)
    assert_refused(first, 70, run, "compiling for", "not installed", "a logit is off by 0.1")
    assert failed_rebuild_of(folder).is_file()
    assert files_of(folder) == engine
    noted = failed_rebuild_of(folder).read_text().split("\n")[1]
    for _ in range(2):
        again = edge_ctc(*command)
        assert_refused(again, 70, run, f"ended badly at {noted}", "not tried again", "build-engine", "off by 0.1")
        assert "compiling" not in again.err
    assert files_of(folder) == engine
    assert edge_ctc("classify-run", run, "--checkpoint", small, "--engines", engines).code == 0
    assert edge_ctc("engine", "verify", folder).code == 0


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing can be compiled until this is undone."""

    def fail(*_: object) -> None:
        raise EngineError("the compiler ran out of memory")

    monkeypatch.setattr("edge_ctc.build.compile_for", fail)
    return monkeypatch


def test_building_by_hand_clears_the_note(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, no_compiler: pytest.MonkeyPatch
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc(*command), 70, run, "ran out of memory")
    no_compiler.undo()
    assert_refused(edge_ctc(*command), 70, run, "not tried again")
    build(edge_ctc, checkpoint, engines)
    assert not failed_rebuild_of(folder).exists()
    assert edge_ctc(*command).code == 0
    assert manifest_of(run)["engine_rebuilt_because"] == []


def test_a_failure_on_another_version_of_the_runtime_does_not_keep_from_trying(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, no_compiler: pytest.MonkeyPatch
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc(*command), 70, run, "ran out of memory")
    no_compiler.undo()
    another_runtime(no_compiler)
    assert edge_ctc(*command).code == 0
    assert not failed_rebuild_of(folder).exists()


@pytest.mark.parametrize("note", [b"", b"garbage", b"\xff\xfe\n\n\n", b"a\nb"])
def test_a_note_that_is_none_keeps_nobody_from_trying(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, note: bytes
) -> None:
    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    failed_rebuild_of(folder).write_bytes(note)
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines).code == 0


def test_the_cpu_calls_whatever_could_not_be_rebuilt_where_it_is_asked_for(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, no_compiler: pytest.MonkeyPatch
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert_refused(edge_ctc(*command), 70, run)
    no_compiler.undo()
    assert edge_ctc(*command, "--engine", "cpu").code == 0


def test_an_engine_that_cannot_be_written_is_compiled_once_for_all_runs_of_a_command(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A compilation for the card takes minutes.
    def full(*_: object) -> None:
        raise ResultsError("engine.plan: cannot be written (No space left on device); free space or rights there")

    shutil.copytree(run, run.with_name("second"))
    put_engine(engines, checkpoint, runtime_version="0.1")
    monkeypatch.setattr("edge_ctc.build.install", full)
    command = ("classify-run", run, run.with_name("second"), "--checkpoint", checkpoint, "--engines", engines)
    finished = edge_ctc(*command)
    assert finished.code == 70
    assert finished.err.count("No space left on device") == 2
    assert finished.err.count("compiling for") == 1


def test_a_rebuilding_that_ended_the_process_is_not_tried_at_every_start(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    crash = "import os; from edge_ctc import build, cli; build.compile_for = lambda *_: os._exit(139); cli.main()"
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    ended = subprocess.run([sys.executable, "-c", crash, *map(str, command)], capture_output=True, check=False)
    assert ended.returncode == 139
    assert_refused(edge_ctc(*command), 70, run, "it was cut short", "not tried again by itself")


def test_a_rebuilding_in_which_the_gpu_failed_is_tried_again(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    def fail(*_: object) -> None:
        raise GpuFailedError("the GPU failed at inference (out of memory)")

    put_engine(engines, checkpoint, runtime_version="0.1")
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_ctc.build.compile_for", fail)
        assert_refused(edge_ctc(*command), 70, run, "the GPU failed")
    assert edge_ctc(*command).code == 0


def test_what_another_process_built_meanwhile_is_taken_and_not_built_again(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    sole_builder = build_module.sole_builder

    def after_another(order: Order, machine: Machine) -> AbstractContextManager[Path]:
        monkeypatch.undo()
        build(edge_ctc, checkpoint, engines)
        return sole_builder(order, machine)

    monkeypatch.setattr("edge_ctc.build.sole_builder", after_another)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    assert finished.code == 0
    assert "building it anew" not in finished.err
    assert manifest_of(run)["engine_rebuilt_because"] == []


def test_an_engine_that_was_not_proved_is_not_opened_however_it_was_chosen(
    checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unproven = read_engine(put_engine(engines, checkpoint, **UNPROVEN))
    chooser = EngineChooser(EngineSetting(None, engines, "rebuild"), Silent())
    monkeypatch.setattr(chooser, "choose", lambda _: unproven)
    with OpenModels(chooser) as models, pytest.raises(EngineError, match="not proved"):
        models.engine(open_checkpoint(checkpoint))


def test_a_rebuilding_that_was_interrupted_is_tried_again(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = put_engine(engines, checkpoint, runtime_version="0.1")
    before = files_of(engines)
    command = ("classify-run", run, "--checkpoint", checkpoint, "--engines", engines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_ctc.build.compile_for", interrupt)
        assert_refused(edge_ctc(*command), 130, run, "interrupted")
    assert files_of(engines) == before
    assert edge_ctc(*command).code == 0
    assert read_engine(folder).record.runtime_version == this_machine("onnxruntime").runtime_version


# -- without the command line ----------------------------------------------------------------------------------------


def test_the_choice_is_made_once_for_a_checkpoint(checkpoint: Path, engines: Path) -> None:
    folder = put_engine(engines, checkpoint)
    opened: Checkpoint = open_checkpoint(checkpoint)
    with OpenModels(EngineChooser(EngineSetting(None, engines, "rebuild"), Silent())) as models:
        first = models.chosen(opened)
        (folder / "engine.plan").write_bytes(b"changed while the program runs")
        assert models.chosen(opened) is first
        engine, parity = models.engine(opened)
        assert engine.description == first.description
        assert models.engine(opened) == (engine, parity)


def test_the_engine_that_was_built_takes_the_batches_that_it_was_built_for(checkpoint: Path, engines: Path) -> None:
    put_engine(engines, checkpoint, max_batch=3)
    opened = open_checkpoint(checkpoint)
    with OpenModels(EngineChooser(EngineSetting(None, engines, "rebuild"), Silent())) as models:
        engine, _ = models.engine(opened)
        assert engine.max_batch == len(engine.inputs[0]) == len(engine.inputs[1]) == 3


def test_without_a_setting_the_cpu_is_chosen(checkpoint: Path) -> None:
    opened = open_checkpoint(checkpoint)
    with OpenModels() as models:
        assert models.named_checkpoint() is None
        assert models.chosen(opened).installed is None
        assert models.engine(opened)[0].precision == "fp32"


def test_refusing_is_told_as_unavailable(checkpoint: Path, engines: Path) -> None:
    put_engine(engines, checkpoint, runtime_version="0.1")
    chooser = EngineChooser(EngineSetting(None, engines, "refuse"), Silent())
    with pytest.raises(UnavailableError, match="the setting says refuse"):
        chooser.choose(open_checkpoint(checkpoint))
