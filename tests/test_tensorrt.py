"""TensorRT for RTX itself, which compiles without a GPU: parser, builder, profile, plans, and what it refuses."""

import ast
import enum
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_ctc.checkpoint import Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.engine import compiler, cuda, gpu_engine, seam, tensorrt_plan
from edge_ctc.engine.bindings import load_package
from edge_ctc.engine.compiler import Graph, Target, compile_graph
from edge_ctc.engine.gpu_engine import Shapes
from edge_ctc.engine.tensorrt_plan import TensorRtPlan
from edge_ctc.errors import EngineError, UnavailableError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision

RTX = "tensorrt-rtx"
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
PRODUCT = Path(__file__).parents[1] / "edge_ctc"


@pytest.fixture(scope="module")
def reference() -> Checkpoint:
    return open_checkpoint(shipped_checkpoints() / "reference")


def compiled(graph: bytes, precision: Precision = "fp32", max_batch: int = 64) -> bytes:
    result = compile_graph(Target(RTX), Graph(graph, precision, max_batch), None, lambda _: None)
    assert result.timing_cache is None
    return result.plan


@pytest.mark.parametrize("name", ["reference", "reference-bf"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_shipped_graph_becomes_a_plan_in_under_five_seconds(name: str, precision: Precision) -> None:
    graph = open_checkpoint(shipped_checkpoints() / name).models[precision]
    load_package(RTX)
    began = time.monotonic()
    plan = compiled(graph, precision)
    assert time.monotonic() - began < 5
    assert len(plan) > len(graph) / 2


def test_a_plan_at_fp16_is_smaller_because_its_types_are_the_graphs(reference: Checkpoint) -> None:
    plans = {precision: compiled(reference.models[precision], precision) for precision in PRECISIONS}
    assert len(plans["fp16"]) < 0.75 * len(plans["fp32"])


@pytest.mark.parametrize(("precision", "cleared"), [("fp32", ["TF32"]), ("fp16", [])])
def test_at_fp32_the_ten_bits_of_tf32_are_switched_off(
    reference: Checkpoint, monkeypatch: pytest.MonkeyPatch, precision: Precision, cleared: list[str]
) -> None:
    flags: list[str] = []
    config = load_package(RTX).IBuilderConfig
    really = config.clear_flag

    def clear_flag(self: object, flag: enum.Enum) -> None:
        flags.append(flag.name)
        really(self, flag)

    monkeypatch.setattr(config, "clear_flag", clear_flag)
    compiled(reference.models[precision], precision)
    assert flags == cleared


@pytest.mark.parametrize(("capability", "named"), [("7.5", ["SM75"]), ("8.9", ["SM89"]), ("9.0", []), (None, [])])
def test_a_gpu_that_the_runtime_names_is_compiled_for_and_turing_must_be(
    reference: Checkpoint, monkeypatch: pytest.MonkeyPatch, capability: str | None, named: list[str]
) -> None:
    targets: list[str] = []
    config = load_package(RTX).IBuilderConfig
    really = config.set_compute_capability

    def set_compute_capability(self: object, target: enum.Enum, index: int) -> object:
        targets.append(target.name)
        return really(self, target, index)

    monkeypatch.setattr(config, "set_compute_capability", set_compute_capability)
    graph = Graph(reference.models["fp16"], "fp16", 64)
    assert compile_graph(Target(RTX, capability), graph, None, lambda _: None).plan
    assert targets == named


@dataclass
class FakeCudaEngine:
    """What TensorRT tells of a plan's tensors."""

    names: tuple[str, ...] = (INPUT_NAME, *OUTPUT_NAMES)
    dtype: object = None
    largest: tuple[int, ...] = (64, 2, 8, 8)

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_dtype(self, _name: str) -> object:
        return self.dtype or load_package(RTX).float32

    def get_tensor_profile_shape(self, _name: str, _profile: int) -> list[tuple[int, ...]]:
        return [(1, *self.largest[1:]), self.largest, self.largest]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {INPUT_NAME: (-1, *self.largest[1:]), "logits": (-1,), "features": (-1, 128)}[name]


def test_the_shapes_of_a_plan_are_those_that_it_tells() -> None:
    assert TensorRtPlan(RTX, b"", (2, 8, 8))._shapes(FakeCudaEngine()) == Shapes((2, 8, 8), 128, 64)


def test_a_plan_of_another_interface_is_refused() -> None:
    plan = TensorRtPlan(RTX, b"", (2, 8, 8))
    for odd in (
        FakeCudaEngine(names=(INPUT_NAME, "logits")),
        FakeCudaEngine(names=(INPUT_NAME, "logits", "others")),
        FakeCudaEngine(dtype=load_package(RTX).float16),
        FakeCudaEngine(largest=(64, 4, 8, 8)),
    ):
        with pytest.raises(EngineError, match="build it again"):
            plan._shapes(odd)


def test_the_compiler_tells_its_phases(reference: Checkpoint) -> None:
    phases: list[str] = []
    compile_graph(Target(RTX), Graph(reference.models["fp16"], "fp16", 64), None, phases.append)
    assert "Building engine" in phases


def test_an_interrupt_stops_a_compilation(reference: Checkpoint) -> None:
    phases: list[str] = []

    def interrupted(phase: str) -> None:
        phases.append(phase)
        if phase == "Optimizing graph":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            compile_graph(Target(RTX), Graph(reference.models["fp32"], "fp32", 64), None, interrupted)
    finally:
        signal.signal(signal.SIGINT, former)
    assert "Determining refit engines" not in phases


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops in TensorRT-RTX:DeprecationWarning")
@pytest.mark.parametrize("former", [None, b"", b"of another GPU"])
def test_a_timing_cache_is_kept_where_the_runtime_has_one_and_a_foreign_one_does_no_harm(
    reference: Checkpoint, monkeypatch: pytest.MonkeyPatch, former: bytes | None
) -> None:
    """Full TensorRT's path, on the functions that TensorRT for RTX still has of it."""
    monkeypatch.setitem(sys.modules, "tensorrt", load_package(RTX))
    graph = Graph(reference.models["fp32"], "fp32", 64)
    result = compile_graph(Target("tensorrt", "8.6"), graph, former, lambda _: None)
    assert result.timing_cache
    again = compile_graph(Target("tensorrt", "8.6"), graph, result.timing_cache, lambda _: None)
    assert again.timing_cache


@pytest.mark.parametrize("graph", [b"garbage", "torn"])
def test_what_is_no_graph_is_refused_with_the_parsers_words(reference: Checkpoint, graph: bytes | str) -> None:
    content = reference.models["fp32"][:5000] if isinstance(graph, str) else graph
    with pytest.raises(EngineError, match=r"tensorrt-rtx [0-9.]+ refuses the graph: .*Failed to parse the ONNX model"):
        compiled(content)


@pytest.mark.parametrize("graph", [b"", bytes(1000)])
def test_an_empty_graph_which_the_parser_accepts_is_refused(graph: bytes) -> None:
    with pytest.raises(EngineError, match=r"the graph has \[\], expected"):
        compiled(graph)


def graph_of(batch: str | int = "batch", outputs: tuple[str, ...] = OUTPUT_NAMES, operator: str = "Identity") -> bytes:
    """A network whose features are means, with something odd about it."""
    nodes = [
        helper.make_node(operator, [INPUT_NAME], ["same"]),
        helper.make_node("GlobalAveragePool", ["same"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [outputs[1]]),
        helper.make_node("ReduceSum", [outputs[1], "axis"], [outputs[0]], keepdims=0),
    ]
    given = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [batch, 2, 8, 8])
    made = [helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, [batch])]
    made.append(helper.make_tensor_value_info(outputs[1], TensorProto.FLOAT, [batch, 2]))
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    graph = helper.make_graph(nodes, "odd", [given], made, [axis])
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()
    return model


def test_a_graph_of_our_interface_is_compiled() -> None:
    assert compiled(graph_of())


@pytest.mark.parametrize(
    "graph", [graph_of(batch=4), graph_of(outputs=("logits", "others")), graph_of(outputs=("score", "features"))]
)
def test_a_graph_of_another_interface_is_refused(graph: bytes) -> None:
    with pytest.raises(EngineError, match=r"expected .* and a free batch"):
        compiled(graph)


def test_an_operator_that_it_does_not_know_is_named() -> None:
    with pytest.raises(EngineError, match=r"refuses the graph: .*NoSuchOperator"):
        compiled(graph_of(operator="NoSuchOperator"))


def test_a_batch_beyond_the_runtimes_limits_is_refused(reference: Checkpoint) -> None:
    with pytest.raises(EngineError, match=r"compiles no plan: .*profile 0"):
        compiled(reference.models["fp32"], max_batch=10**9)


IN_A_PROCESS = """
import sys
from pathlib import Path
from edge_ctc.engine.tensorrt_plan import TensorRtPlan
from edge_ctc.errors import EngineError
plan = TensorRtPlan("tensorrt-rtx", Path(sys.argv[1]).read_bytes(), (4, 64, 64))
try:
    plan.load()
    print("loaded")
except EngineError as error:
    print("refused:", error)
plan.unload()
"""


@pytest.mark.parametrize("spoilt", ["garbage", "empty", "truncated", "a byte short", "zeros", "an ONNX file", "whole"])
def test_a_spoilt_plan_is_refused_and_so_is_a_whole_one_without_a_driver(
    reference: Checkpoint, tmp_path: Path, spoilt: str
) -> None:
    plan = compiled(reference.models["fp32"])
    contents = {
        "garbage": b"garbage",
        "empty": b"",
        "truncated": plan[: len(plan) // 2],
        "a byte short": plan[:-1],
        "zeros": bytes(len(plan)),
        "an ONNX file": reference.models["fp32"],
        "whole": plan,
    }
    (tmp_path / "engine.plan").write_bytes(contents[spoilt])
    # Where a runtime crashes, it shall not take the other tests with it.
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "engine.plan")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused: tensorrt-rtx")
    assert "refuses the plan, build the engine again" in ended.stdout


def test_a_runtime_that_is_not_installed_is_told_with_the_extra_that_brings_it(
    reference: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(UnavailableError, match=r"pip install 'edge-ctc\[tensorrt-rtx\]'"):
        compiled(reference.models["fp32"])
    with pytest.raises(UnavailableError, match="tensorrt-rtx"):
        TensorRtPlan(RTX, b"", reference.input.shape)


def test_a_weight_that_is_no_number_does_not_stop_the_compiler_which_is_what_the_gate_is_for(
    reference: Checkpoint,
) -> None:
    model = onnx.load_from_string(reference.models["fp32"])
    tensor = next(one for one in model.graph.initializer if numpy_helper.to_array(one).dtype == np.float32)
    tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), np.nan), tensor.name))
    assert compiled(replace(reference, models={"fp32": model.SerializeToString()}).models["fp32"])


def imported_by(path: Path) -> list[Path]:
    """The product's modules that a module imports, and those that they import."""
    found = [path]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("edge_ctc"):
            module = PRODUCT.parent / (node.module.replace(".", "/") + ".py")
            found += imported_by(module) if module.is_file() else []
    return list(dict.fromkeys(found))


def test_what_an_older_tensorrt_is_tried_with_needs_no_python_newer_than_3_10() -> None:
    modules = [Path(str(module.__file__)) for module in (compiler, tensorrt_plan, gpu_engine, cuda, seam)]
    files = sorted({file for module in modules for file in imported_by(module)})
    assert [file.name for file in files] == [
        "bindings.py",
        "compiler.py",
        "cuda.py",
        "gpu_engine.py",
        "seam.py",
        "tensorrt_plan.py",
        "errors.py",
        "network.py",
    ]
    for file in files:
        ast.parse(file.read_text(), feature_version=(3, 10))
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-version", "3.10", "--follow-imports", "silent", *map(str, files)],
        cwd=PRODUCT.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
