"""A compiled plan whose execution context runs the same graph in ONNX Runtime, on the memory that it is given."""

import ctypes
import time
from collections.abc import Callable
from threading import Lock

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_ctc.engine.gpu_engine import ExecutionContext, Shapes
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES

Results = dict[str, NDArray[np.float32]]


def at(address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """float32 at an address of the stand-in's device memory, which is host memory."""
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), shape)


class FakeContext:
    """Takes and refuses what TensorRT's execution context does."""

    def __init__(self, graph: bytes, max_batch: int) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._max_batch = max_batch
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self.stream_handles: list[int] = []
        self.refuses: set[str] = set()
        self.slow_s = 0.0
        self._busy = Lock()
        self.changes: Callable[[Results], Results] = lambda results: results

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        # As on a GPU, a context is one inference's from its shape to its end: two at once spoil each other.
        assert self._busy.acquire(blocking=False), "two inferences at once"
        self._busy.release()
        self._shape = shape
        time.sleep(self.slow_s)
        return name == INPUT_NAME and 1 <= shape[0] <= self._max_batch and "set_input_shape" not in self.refuses

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in (INPUT_NAME, *OUTPUT_NAMES) and "set_tensor_address" not in self.refuses

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.stream_handles.append(stream_handle)
        if "execute_async_v3" in self.refuses:
            return False
        with self._busy:
            time.sleep(self.slow_s)
            return self._execute()

    def _execute(self) -> bool:
        cells = at(self._addresses[INPUT_NAME], self._shape)
        results = dict(zip(OUTPUT_NAMES, self._session.run(OUTPUT_NAMES, {INPUT_NAME: cells}), strict=True))
        for name, values in self.changes(results).items():
            at(self._addresses[name], values.shape)[:] = values
        return True


class FakePlan:
    """An `edge_ctc.engine.gpu_engine.LoadablePlan`."""

    def __init__(self, graph: bytes, cell: tuple[int, int, int], features: int, max_batch: int = 64) -> None:
        self.context = FakeContext(graph, max_batch)
        self.said: list[str] = []
        self.said_later: list[str] = []
        self.loaded = 0
        self.load_fails = False
        self._shapes = Shapes(cell, features, max_batch)

    def load(self) -> tuple[ExecutionContext, Shapes]:
        if self.load_fails:
            raise EngineError("refuses the plan")
        self.loaded += 1
        return self.context, self._shapes

    def unload(self) -> None:
        self.loaded = 0

    def complaints(self) -> str:
        """What was said, and after that what is said while the stream is waited for."""
        said, self.said, self.said_later = "; ".join(self.said), self.said_later, []
        return said
