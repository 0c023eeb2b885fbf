from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_ctc.checkpoint import Checkpoint, Precision, open_checkpoint
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.engine.seam import Engine, Scores
from edge_ctc.errors import EngineError
from edge_ctc.parity import replay
from tests.checkpoints import WEIGHTS, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("a") / "checkpoint", ("BF", "PE"), 8))


def with_weight(checkpoint: Checkpoint, weight: float) -> Checkpoint:
    """The checkpoint with one weight spoilt in both graphs."""
    models: dict[Precision, bytes] = {}
    for precision, graph in checkpoint.models.items():
        model = onnx.load_from_string(graph)
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
        weights = numpy_helper.to_array(tensor).copy()
        weights[0] = weight
        tensor.CopyFrom(numpy_helper.from_array(weights, "weights"))
        models[precision] = model.SerializeToString()
    return replace(checkpoint, models=models)


PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_of_the_checkpoint_answers_its_reference_cells(checkpoint: Checkpoint, precision: Precision) -> None:
    with OnnxCpuEngine(checkpoint, precision) as engine:
        parity = replay(engine, checkpoint)
    assert parity.cells == 8
    assert parity.tolerance == checkpoint.reference.tolerances[precision]
    assert 0 <= parity.largest_difference <= parity.tolerance


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_spoilt_weight_stops_the_engine(checkpoint: Checkpoint, precision: Precision) -> None:
    with (
        OnnxCpuEngine(with_weight(checkpoint, WEIGHTS["BF"] + 0.2), precision) as engine,
        pytest.raises(EngineError, match=r"a reference cell of means is off by 0\.\d+, allowed"),
    ):
        replay(engine, checkpoint)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_weight_that_is_no_number_stops_the_engine(checkpoint: Checkpoint, precision: Precision) -> None:
    with OnnxCpuEngine(with_weight(checkpoint, np.nan), precision) as engine, pytest.raises(EngineError):
        replay(engine, checkpoint)


@dataclass
class FakeEngine:
    """Computes what the checkpoint's graph stands for, some cells at a time, with some answers wrong."""

    max_batch: int
    off: Mapping[int, float] = field(default_factory=dict)
    description: str = "fake"
    precision: Precision = "fp32"
    cells_seen: int = 0

    def __post_init__(self) -> None:
        buffer = np.zeros((self.max_batch, 2, 8, 8), np.float32)
        self.inputs: tuple[NDArray[np.float32], NDArray[np.float32]] = (buffer, buffer.copy())

    def infer(self, slot: int, n: int) -> Scores:
        assert 1 <= n <= self.max_batch
        features = self.inputs[slot][:n].mean(axis=(2, 3))
        logits = features @ np.array([WEIGHTS["BF"], WEIGHTS["PE"]], np.float32)
        for place in range(n):
            logits[place] += self.off.get(self.cells_seen + place, 0.0)
        self.cells_seen += n
        return Scores(logits, features)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.mark.parametrize("max_batch", [1, 3, 8, 64])
def test_every_reference_cell_is_replayed_once_whatever_the_batch(checkpoint: Checkpoint, max_batch: int) -> None:
    engine = FakeEngine(max_batch)
    seam: Engine = engine
    assert replay(seam, checkpoint).largest_difference < 1e-6
    assert engine.cells_seen == 8


@pytest.mark.parametrize("cell", range(8))
@pytest.mark.parametrize("off", [0.01, -0.01])
def test_one_wrong_answer_stops_the_engine_whichever_cell_it_is(checkpoint: Checkpoint, cell: int, off: float) -> None:
    with pytest.raises(EngineError, match=r"fake: .* off by 0\.01, allowed 0\.001"):
        replay(FakeEngine(3, {cell: off}), checkpoint)


def test_the_largest_difference_is_told(checkpoint: Checkpoint) -> None:
    parity = replay(FakeEngine(3, {1: 5e-4, 7: -8e-4, 2: 1e-4}), checkpoint)
    assert parity.largest_difference == pytest.approx(8e-4, rel=1e-2)


def test_the_tolerance_is_that_of_the_engines_precision(checkpoint: Checkpoint) -> None:
    assert replay(FakeEngine(8, {0: 0.01}, precision="fp16"), checkpoint).tolerance == 5e-2
