from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.engine.runtimes import MAX_BATCH, this_machine
from edge_ctc.engine.seam import Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import Precision
from tests.checkpoints import WEIGHTS, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("a") / "checkpoint", ("BF", "PE"), 8))


def some_cells(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, 2, 8, 8), np.float32)


def computed(cells: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logits and features that the checkpoint's graph stands for."""
    means = cells.astype(np.float64).mean(axis=(2, 3))
    return means @ [WEIGHTS["BF"], WEIGHTS["PE"]], means


def assert_scores(scores: Scores, cells: NDArray[np.float32], tolerance: float = 1e-5) -> None:
    logits, features = computed(cells)
    assert scores.logits.dtype == scores.features.dtype == np.float32
    np.testing.assert_allclose(scores.logits, logits, atol=tolerance)
    np.testing.assert_allclose(scores.features, features, atol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-2)])
def test_the_scores_are_those_that_numpy_computes(
    checkpoint: Checkpoint, precision: Precision, tolerance: float
) -> None:
    cells = some_cells(5)
    with OnnxCpuEngine(checkpoint, precision) as engine:
        engine.inputs[0][:5] = cells
        assert_scores(engine.infer(0, 5), cells, tolerance)
        assert engine.precision == precision
        assert engine.description == this_machine("onnxruntime").description(precision)
        assert precision in engine.description


def test_each_precision_runs_its_own_graph(checkpoint: Checkpoint) -> None:
    cells, found = some_cells(64), []
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        with OnnxCpuEngine(checkpoint, precision) as engine:
            engine.inputs[0][:] = cells
            found.append(engine.infer(0, 64).logits)
    assert (found[0] != found[1]).any()


def test_any_number_of_cells_up_to_the_batch_gets_the_same_scores(checkpoint: Checkpoint) -> None:
    cells = some_cells(MAX_BATCH)
    with OnnxCpuEngine(checkpoint) as engine:
        engine.inputs[1][:] = cells
        for n in range(1, MAX_BATCH + 1):
            assert_scores(engine.infer(1, n), cells[:n])
        with pytest.raises(EngineError, match="64 logits for 65 cells"):
            engine.infer(1, MAX_BATCH + 1)


def test_the_buffers_are_two_of_one_shape_and_each_slot_is_its_own(checkpoint: Checkpoint) -> None:
    with OnnxCpuEngine(checkpoint) as engine:
        for buffer in engine.inputs:
            assert (buffer.shape, buffer.dtype) == ((MAX_BATCH, 2, 8, 8), np.dtype(np.float32))
        engine.inputs[0][:3], engine.inputs[1][:3] = some_cells(3, 1), some_cells(3, 2)
        assert_scores(engine.infer(0, 3), some_cells(3, 1))
        assert_scores(engine.infer(1, 3), some_cells(3, 2))


def test_both_slots_may_be_computed_at_once(checkpoint: Checkpoint) -> None:
    with OnnxCpuEngine(checkpoint) as engine, ThreadPoolExecutor(2) as pool:
        for seed in range(20):
            cells = [some_cells(MAX_BATCH, seed), some_cells(MAX_BATCH, seed + 100)]
            for slot in (0, 1):
                engine.inputs[slot][:] = cells[slot]
            for slot, scores in enumerate(pool.map(engine.infer, (0, 1), (MAX_BATCH, MAX_BATCH))):
                assert_scores(scores, cells[slot])


def test_scores_are_the_callers_own_copies(checkpoint: Checkpoint) -> None:
    with OnnxCpuEngine(checkpoint) as engine:
        engine.inputs[0][:2] = some_cells(2)
        first = engine.infer(0, 2)
        engine.inputs[0][:2] = 0
        second = engine.infer(0, 2)
    assert_scores(first, some_cells(2))
    assert second.logits.tolist() == [0, 0]


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf, np.float32(3e38)])
def test_an_output_that_is_not_finite_is_no_score(checkpoint: Checkpoint, spoilt: float) -> None:
    with OnnxCpuEngine(checkpoint) as engine:
        engine.inputs[0][:3] = some_cells(3)
        engine.inputs[0][1] = spoilt
        with pytest.raises(EngineError, match="not finite"):
            engine.infer(0, 3)
        assert_scores(engine.infer(0, 1), some_cells(3)[:1])


@pytest.mark.parametrize("graph", [b"", b"no graph", b"\x00" * 100])
def test_a_graph_that_is_none_is_refused_with_its_checkpoint(checkpoint: Checkpoint, graph: bytes) -> None:
    with pytest.raises(EngineError, match=f"{checkpoint.folder}: ONNX Runtime refuses the fp32 graph"):
        OnnxCpuEngine(replace(checkpoint, models={"fp32": graph, "fp16": graph}))


def test_a_torn_graph_is_refused(checkpoint: Checkpoint) -> None:
    whole = checkpoint.models["fp32"]
    for length in range(0, len(whole), 40):
        with pytest.raises(EngineError):
            OnnxCpuEngine(replace(checkpoint, models={"fp32": whole[:length], "fp16": b""}))


def graph_of(
    *,
    name: str = "cells",
    shape: tuple[int, ...] = (2, 8, 8),
    batch: str | int = "batch",
    kind: int = TensorProto.FLOAT,
    last: tuple[onnx.NodeProto, ...] = (),
    logits: tuple[int, tuple[str | int, ...]] = (TensorProto.FLOAT, ("batch",)),
    outputs: tuple[str, ...] = ("logits", "features"),
) -> bytes:
    """A graph with one thing changed; unchanged it scores a cell by the sum of its channels' means."""
    nodes = [
        helper.make_node("Cast", [name], ["typed"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["typed", "last axes"], ["features"], keepdims=0),
        *(last or [helper.make_node("ReduceSum", ["features", "axis 1"], ["logits"], keepdims=0)]),
    ]
    described = {
        "logits": helper.make_tensor_value_info("logits", *logits),
        "features": helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, shape[0]]),
    }
    axes = [
        numpy_helper.from_array(np.array([2, 3], np.int64), "last axes"),
        numpy_helper.from_array(np.array([1], np.int64), "axis 1"),
    ]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info(name, kind, [batch, *shape])],
        [described[output] for output in outputs],
        axes,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def scored(checkpoint: Checkpoint, graph: bytes) -> Scores:
    with OnnxCpuEngine(replace(checkpoint, models={"fp32": graph, "fp16": graph})) as engine:
        return engine.infer(0, 2)


def test_the_graph_of_the_next_tests_is_sound_unchanged(checkpoint: Checkpoint) -> None:
    assert scored(checkpoint, graph_of()).logits.tolist() == [0, 0]


def _summed_as(kind: int) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    return (
        helper.make_node("ReduceSum", ["features", "axis 1"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["logits"], to=kind),
    )


ODD_GRAPHS = {
    "another input name": graph_of(name="pixels"),
    "another side": graph_of(shape=(2, 9, 9)),
    "another number of channels": graph_of(shape=(3, 8, 8)),
    "an input of halves": graph_of(kind=TensorProto.FLOAT16),
    "one output": graph_of(outputs=("logits",)),
    "outputs in another order": graph_of(outputs=("features", "logits")),
    "a batch of one": graph_of(batch=1, logits=(TensorProto.FLOAT, (1,))),
    "logits in a column": graph_of(
        last=(helper.make_node("ReduceSum", ["features", "axis 1"], ["logits"], keepdims=1),),
        logits=(TensorProto.FLOAT, ("batch", 1)),
    ),
    "one logit for all": graph_of(
        last=(helper.make_node("ReduceSum", ["features"], ["logits"], keepdims=0),), logits=(TensorProto.FLOAT, ())
    ),
    "logits in words": graph_of(last=_summed_as(TensorProto.STRING), logits=(TensorProto.STRING, ("batch",))),
    "logits of doubles": graph_of(last=_summed_as(TensorProto.DOUBLE), logits=(TensorProto.DOUBLE, ("batch",))),
}


@pytest.mark.parametrize("oddity", ODD_GRAPHS)
def test_a_graph_of_another_interface_gives_no_score(checkpoint: Checkpoint, oddity: str) -> None:
    with pytest.raises(EngineError):
        scored(checkpoint, ODD_GRAPHS[oddity])


def test_weights_outside_the_hashed_graph_are_never_used(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load_from_string(checkpoint.models["fp32"])
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError):
        scored(checkpoint, model.SerializeToString())


@pytest.mark.parametrize(
    ("logits", "features"),
    [
        (np.zeros(3), np.zeros((2, 4))),
        (np.zeros((3, 1)), np.zeros((3, 4))),
        (np.zeros(3), np.zeros(3)),
        (np.zeros(3), np.array([[0.0], [np.nan], [0.0]])),
        (np.array([0.0, np.inf, 0.0]), np.zeros((3, 1))),
    ],
)
def test_scores_that_cannot_be_vouched_for_cannot_be_made(
    logits: NDArray[np.float64], features: NDArray[np.float64]
) -> None:
    with pytest.raises(EngineError):
        Scores(logits.astype(np.float32), features.astype(np.float32))
