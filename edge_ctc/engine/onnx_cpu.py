"""ONNX Runtime on the CPU: the first runtime, and the yardstick that every other one is held against."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.runtimes import MAX_BATCH, this_machine
from edge_ctc.engine.seam import Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision

_FAILURES = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotFound,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)
_LOG_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class InstalledGraph:
    """A graph that is not the checkpoint's own, but was installed from it.

    Attributes:
        content: ONNX file.
        max_batch: cells per `infer` at most.
        description: as it stands in every call.
    """

    content: bytes
    max_batch: int
    description: str


class OnnxCpuEngine:
    """An `edge_ctc.engine.seam.Engine`; a context manager, its memory goes when it is left."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision = "fp32", installed: InstalledGraph | None = None
    ) -> None:
        """Make the checkpoint's graph, or the installed one, ready on all cores that this process may use.

        Raises:
            EngineError: ONNX Runtime refuses the graph, or its inputs and outputs are not as the README says.
        """
        description = this_machine("onnxruntime").description(precision)
        graph = installed or InstalledGraph(checkpoint.models[precision], MAX_BATCH, description)
        self.precision: Precision = precision
        self.description = graph.description
        self.max_batch = graph.max_batch
        shape = (self.max_batch, *checkpoint.input.shape)
        self.inputs = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        # An interrupt that reaches ONNX Runtime in the main thread, which alone hears it, has aborted the process.
        self._threads = ThreadPoolExecutor(len(self.inputs), "onnxruntime")
        try:
            self._session = self._threads.submit(_session, checkpoint, precision, graph.content).result()
        except BaseException:
            self._threads.shutdown()
            raise

    def infer(self, slot: int, n: int) -> Scores:
        """As `edge_ctc.engine.seam.Engine.infer`."""
        cells: NDArray[np.float32] = self.inputs[slot][:n]
        try:
            logits, features = self._threads.submit(self._session.run, OUTPUT_NAMES, {INPUT_NAME: cells}).result()
        except _FAILURES as error:
            raise EngineError(f"{self.description}: {error}") from error
        if len(logits) != n:
            raise EngineError(f"{self.description}: {len(logits)} logits for {n} cells")
        return Scores(logits, features)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        del self._session


def _session(checkpoint: Checkpoint, precision: Precision, graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Two batches are under way at a time, each on its half of the cores: threads of one batch wait for each other.
    options.intra_op_num_threads = max(1, len(os.sched_getaffinity(0)) // 2)
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Spinning threads would take the cores from the decoding of the next batch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise EngineError(f"{checkpoint.folder}: ONNX Runtime refuses the {precision} graph ({error})") from error
    _check_interface(session, checkpoint)
    return session


def _check_interface(session: onnxruntime.InferenceSession, checkpoint: Checkpoint) -> None:
    inputs = [(node.name, node.type, tuple(node.shape[1:])) for node in session.get_inputs()]
    outputs = [(node.name, node.type, len(node.shape)) for node in session.get_outputs()]
    expected = [(INPUT_NAME, "tensor(float)", checkpoint.input.shape)]
    expected_outputs = [(name, "tensor(float)", rank) for name, rank in zip(OUTPUT_NAMES, (1, 2), strict=True)]
    fixed_batch = any(isinstance(node.shape[0], int) for node in session.get_inputs())
    if inputs != expected or outputs != expected_outputs or fixed_batch:
        raise EngineError(
            f"{checkpoint.folder}: graph with inputs {inputs} and outputs {outputs}"
            f"{' and a fixed batch' if fixed_batch else ''}, expected {expected} and {expected_outputs} "
            "for any batch; train again"
        )
