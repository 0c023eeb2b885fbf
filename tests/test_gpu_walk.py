"""A checkpoint to an engine on a GPU, and a run through it: all of ours, PyCUDA and TensorRT's compiler are real.

The GPU is the stand-in's; only what a real one would execute, the compiled plan, is computed by ONNX Runtime instead.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.engine import compiler, cuda, opening
from edge_ctc.engine.compiler import Advance, Compiled, Graph, Target
from edge_ctc.engine.gpu_engine import LoadablePlan
from edge_ctc.engine.places import former_of
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.fake_plan import FakePlan
from tests.stand_ins import FakeCuda, load_pycuda

OURS = "NVIDIA RTX A2000"
FOLDER = "tensorrt-rtx-{precision}-nvidia-rtx-a2000-sm86"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("trained") / "checkpoint")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    fake = load_pycuda()
    fake.reset()
    fake.name(OURS)
    fake.compute_capability(8, 6)
    install_driver(tmp_path, monkeypatch, "580.65.06")
    yield fake
    assert fake.pushed() == 0
    fake.reset()


@pytest.fixture
def plans(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was loaded; ONNX Runtime computes the graph that each was compiled from."""
    loaded: list[bytes] = []
    graphs: dict[bytes, bytes] = {}
    really = compiler.compile_graph

    def compiled(target: Target, graph: Graph, cache: bytes | None, advance: Advance) -> Compiled:
        assert target == Target("tensorrt-rtx", "8.6")
        result = really(target, graph, cache, advance)
        graphs[result.plan] = graph.content
        return result

    def load(runtime: str, plan: bytes, cell: tuple[int, int, int]) -> LoadablePlan:
        assert (runtime, fake.pushed()) == ("tensorrt-rtx", 0)
        loaded.append(plan)
        return FakePlan(graphs[plan], cell, features=4)

    monkeypatch.setattr(opening, "compile_graph", compiled)
    monkeypatch.setattr(opening, "TensorRtPlan", load)
    return loaded


def install_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    (folder / "driver").write_text(version + "\n")
    monkeypatch.setattr(cuda, "_KERNEL_MODULE", folder / "driver")


@pytest.fixture
def engine(edge_ctc: EdgeCtc, plans: list[bytes], trained: Path, tmp_path: Path) -> Path:
    ended = edge_ctc("build-engine", trained, "--runtime", "tensorrt-rtx", "--out", tmp_path / "engines")
    assert ended.code == 0, ended.err
    assert len(plans) == 1
    return tmp_path / "engines" / "means" / FOLDER.format(precision="fp32")


def nothing_was_written_beside(run: Path) -> bool:
    return sorted(path.name for path in run.parent.iterdir()) == ["run", "run.truth.csv"]


def record_of(engine: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((engine / "engine.json").read_text())
    return record


def manifest_beside(run: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads(run.with_name("run.ctc-run.json").read_text())
    return manifest


def test_an_engine_is_built_proved_and_says_for_which_machine(engine: Path, plans: list[bytes]) -> None:
    record = record_of(engine)
    assert (engine / "engine.plan").read_bytes() == plans[0]
    assert record["state"] == "proved"
    assert (record["gpu_name"], record["compute_capability"]) == (OURS, "8.6")
    assert (record["cuda_version"], record["driver_version"]) == ("13.0", "580.65.06")
    assert record["parity"] == {
        "cells": 8,
        "runs": 0,
        "largest_difference": 0.0,
        "tolerance": 0.001,
        "flips": 0,
        "review_flips": 0,
    }


def test_at_fp16_it_is_the_fp16_graph_that_is_compiled_and_proved(
    edge_ctc: EdgeCtc, plans: list[bytes], trained: Path, tmp_path: Path
) -> None:
    options = ("--runtime", "tensorrt-rtx", "--precision", "fp16", "--out", tmp_path / "engines")
    ended = edge_ctc("build-engine", trained, *options)
    assert ended.code == 0, ended.err
    record = record_of(tmp_path / "engines" / "means" / FOLDER.format(precision="fp16"))
    parity = record["parity"]
    assert isinstance(parity, dict)
    assert parity["tolerance"] == 0.05
    assert 0 < parity["largest_difference"] < 0.05
    assert record["onnx_sha256"] == hashlib.sha256((trained / "model.fp16.onnx").read_bytes()).hexdigest()
    assert len(plans) == 1


def calls_of(run: Path) -> list[tuple[str, str, str]]:
    with run.with_name("run.ctc-calls.csv").open(newline="") as file:
        return [(row["cell_id"], row["verdict"], row["score"]) for row in csv.DictReader(file)]


def test_a_run_is_called_on_the_gpu_as_on_the_cpu(edge_ctc: EdgeCtc, engine: Path, run: Path, trained: Path) -> None:
    assert edge_ctc("classify-run", run, "--checkpoint", trained, "--engine", "cpu").code == 0
    on_cpu = calls_of(run)
    ended = edge_ctc("classify-run", run, "--engine", engine)
    assert ended.code == 0, ended.err
    plan = str(record_of(engine)["plan_sha256"])
    assert f"engine tensorrt-rtx {version('tensorrt-rtx')} {OURS} fp32 {plan[:12]}" in ended.out
    assert calls_of(run) == on_cpu
    assert len(on_cpu) == 20
    assert manifest_beside(run)["engine_plan_sha256"] == plan


def test_an_engine_is_verified(edge_ctc: EdgeCtc, engine: Path) -> None:
    ended = edge_ctc("engine", "verify", engine)
    assert (ended.code, ended.err) == (0, "")
    assert "proved here" in ended.out


@pytest.fixture(params=["GPU", "driver", "CUDA version"])
def said_of_another_machine(
    request: pytest.FixtureRequest, engine: Path, fake: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """After the engine was built, something of the machine changes."""
    assert engine.is_dir()
    match request.param:
        case "GPU":
            fake.name("NVIDIA L4")
            return f"GPU: built for {OURS}, now NVIDIA L4"
        case "driver":
            install_driver(tmp_path, monkeypatch, "590.10")
            return "driver: built for 580.65.06, now 590.10"
        case _:
            fake.driver_version(13020)
            return "CUDA version: built for 13.0, now 13.2"


def test_another_machine_is_named_and_refused_where_the_setting_says_so(
    edge_ctc: EdgeCtc, engine: Path, run: Path, said_of_another_machine: str
) -> None:
    refused = edge_ctc("classify-run", run, "--engine", engine, "--stale-engine", "refuse")
    assert refused.code == 69
    assert said_of_another_machine in refused.err
    assert nothing_was_written_beside(run)
    assert edge_ctc("engine", "verify", engine).code == 69


def test_on_another_machine_the_engine_is_built_anew_once_and_says_why(
    edge_ctc: EdgeCtc, engine: Path, run: Path, plans: list[bytes], said_of_another_machine: str
) -> None:
    rebuilt = edge_ctc("classify-run", run, "--engine", engine)
    assert rebuilt.code == 0, rebuilt.err
    assert f"{said_of_another_machine}; building it anew" in rebuilt.err
    assert said_of_another_machine in json.dumps(manifest_beside(run)["engine_rebuilt_because"])
    built = len(plans)
    again = edge_ctc("classify-run", run, "--engine", engine)
    assert again.code == 0
    assert "building it anew" not in again.err
    assert "nothing was added or changed" in again.out
    assert len(plans) == built
    assert former_of(engine).exists() == ("GPU:" not in said_of_another_machine)


def test_an_engine_without_its_gpu_calls_nothing_and_never_falls_back_to_the_cpu(
    edge_ctc: EdgeCtc, engine: Path, run: Path, fake: FakeCuda
) -> None:
    fake.devices(0)
    ended = edge_ctc("classify-run", run, "--engine", engine)
    assert ended.code == 69
    assert "no GPU" in ended.err
    assert nothing_was_written_beside(run)
    verified = edge_ctc("engine", "verify", engine)
    assert verified.code == 69
    assert "whole, but it cannot be proved here" in verified.err


@pytest.mark.parametrize("call", ["cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuStreamSynchronize"])
def test_a_gpu_that_fails_under_a_run_leaves_no_file(
    edge_ctc: EdgeCtc, engine: Path, run: Path, fake: FakeCuda, call: str
) -> None:
    fake.fail(call, 2)
    ended = edge_ctc("classify-run", run, "--engine", engine)
    assert ended.code == 70
    assert "the GPU failed" in ended.err
    assert nothing_was_written_beside(run)


def test_an_engine_that_answers_otherwise_at_a_start_calls_nothing(
    edge_ctc: EdgeCtc, engine: Path, run: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(_: str, __: bytes, cell: tuple[int, int, int]) -> LoadablePlan:
        plan = FakePlan((trained / "model.onnx").read_bytes(), cell, features=4)
        plan.context.changes = lambda results: results | {"logits": results["logits"] + np.float32(0.01)}
        return plan

    monkeypatch.setattr(opening, "TensorRtPlan", off)
    ended = edge_ctc("classify-run", run, "--engine", engine)
    assert ended.code == 70
    assert "off by 0.01, allowed 0.001; nothing may be called with it" in ended.err
    assert nothing_was_written_beside(run)
    assert edge_ctc("engine", "verify", engine).code == 70


def test_without_a_gpu_the_compiled_engine_is_unproven_and_calls_nothing(
    edge_ctc: EdgeCtc, fake: FakeCuda, trained: Path, run: Path, tmp_path: Path
) -> None:
    fake.devices(0)
    engines = tmp_path / "engines"
    built = edge_ctc("build-engine", trained, "--runtime", "tensorrt-rtx", "--precision", "fp16", "--out", engines)
    assert built.code == 2
    assert "unproven: no GPU" in built.out
    assert "On the machine that is to run it" in built.out
    engine = engines / "means" / "tensorrt-rtx-fp16-portable"
    record = record_of(engine)
    assert (record["state"], record["parity"], record["gpu_name"]) == ("unproven", None, None)
    for options in (("--engine", engine), ("--engines", engines, "--checkpoint", trained)):
        ended = edge_ctc("classify-run", run, *options)
        assert ended.code == 69
        assert "never proved on a GPU" in ended.err
    assert nothing_was_written_beside(run)
    assert edge_ctc("engine", "verify", engine).code == 69


def test_tensorrt_without_its_package_or_without_a_gpu_ends_with_69_and_writes_nothing(
    edge_ctc: EdgeCtc, fake: FakeCuda, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.pushed() == 0
    command = ("build-engine", trained, "--runtime", "tensorrt", "--out", tmp_path / "engines")
    ended = edge_ctc(*command)
    assert ended.code == 69
    assert "pip install 'edge-ctc[tensorrt]'" in ended.err
    monkeypatch.setattr("edge_ctc.engine.runtimes.version", lambda _: "11.4.0.106")
    fake.devices(0)
    ended = edge_ctc(*command)
    assert ended.code == 69
    assert "no GPU" in ended.err
    assert not (tmp_path / "engines").exists()
