"""An engine on the GPU: the loop around a TensorRT execution context.

Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc.engine.cuda import DeviceArray, Gpu, Stream
from edge_ctc.engine.seam import Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision


class ExecutionContext(Protocol):
    """What the loop asks of TensorRT's `IExecutionContext`; each method says False where it fails."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Fix the batch."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Where an input or output lies on the device."""

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Queue one inference."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Of an engine's tensors.

    Attributes:
        cell: (C, H, W) of one input.
        features: D, values that the last layer sees of one cell.
        max_batch: cells per inference at most.
    """

    cell: tuple[int, int, int]
    features: int
    max_batch: int


class LoadablePlan(Protocol):
    """A compiled plan on the runtime's side; each method is called while the GPU's context is current."""

    def load(self) -> tuple[ExecutionContext, Shapes]:
        """Ready to execute. Raises EngineError."""

    def unload(self) -> None:
        """Let all of it go; also called where `load` failed."""

    def complaints(self) -> str:
        """What the runtime's logger was told of errors since this was last asked; empty for none."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A plan ready to execute, with all memory that it will ever use."""

    context: ExecutionContext
    cell: tuple[int, int, int]
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]]
    outputs: Mapping[str, NDArray[np.float32]]
    on_device: Mapping[str, DeviceArray]
    stream: Stream

    @classmethod
    def of(cls, context: ExecutionContext, shapes: Shapes, gpu: Gpu) -> "_Loaded":
        batch = shapes.max_batch
        cells = (batch, *shapes.cell)
        results = dict(zip(OUTPUT_NAMES, ((batch,), (batch, shapes.features)), strict=True))
        return cls(
            context=context,
            cell=shapes.cell,
            inputs=(gpu.pinned(cells), gpu.pinned(cells)),
            outputs={name: gpu.pinned(shape) for name, shape in results.items()},
            on_device={name: gpu.allocated(shape) for name, shape in ((INPUT_NAME, cells), *results.items())},
            stream=gpu.stream(),
        )


class GpuEngine:
    """An `edge_ctc.engine.seam.Engine`; one batch at a time, from whichever thread.

    All memory is allocated once, when it is entered: two pinned input buffers, and one input and one of each output
    on the device.
    """

    def __init__(self, plan: LoadablePlan, precision: Precision, description: str) -> None:
        """Nothing is loaded or allocated yet.

        Args:
            plan: compiled from the checkpoint's graph.
            precision: of the plan.
            description: as it stands in every call.
        """
        self.precision: Precision = precision
        self.description = description
        self._plan = plan
        self._turn = Lock()
        self._opened = contextlib.ExitStack()
        self._loaded: _Loaded | None = None

    def __enter__(self) -> "GpuEngine":
        with contextlib.ExitStack() as opened:
            self._gpu = Gpu()
            opened.callback(self._unload)
            with self._gpu.current("loading the plan"):
                context, shapes = self._plan.load()
                self._loaded = loaded = _Loaded.of(context, shapes, self._gpu)
                self.inputs, self.max_batch = loaded.inputs, shapes.max_batch
                for name, memory in loaded.on_device.items():
                    self._check(context.set_tensor_address(name, memory.address), f"set_tensor_address of {name}")
            self._opened = opened.pop_all()
        return self

    def _unload(self) -> None:
        # After a failure of the GPU this fails again; the first failure is the one to tell.
        with self._turn, contextlib.suppress(EngineError), self._gpu.current("unloading the plan"):
            self._loaded = None
            self._plan.unload()

    def infer(self, slot: int, n: int) -> Scores:
        """As `edge_ctc.engine.seam.Engine.infer`."""
        loaded = self._loaded
        if loaded is None or not 1 <= n <= self.max_batch:
            raise EngineError(f"{self.description}: asked for {n} cells, opened for 1 to {loaded and self.max_batch}")
        with self._turn, self._gpu.current("inference"):
            self._queue(loaded, loaded.inputs[slot][:n])
            loaded.stream.wait()
            self._check(True, "inference")
            logits, features = (loaded.outputs[name][:n].copy() for name in OUTPUT_NAMES)
        if np.isnan(logits).any() or np.isnan(features).any():
            raise EngineError(f"{self.description}: left some of {n} cells without a value; nothing may be called")
        return Scores(logits, features)

    def _queue(self, loaded: _Loaded, cells: NDArray[np.float32]) -> None:
        n = len(cells)
        context, on_device, stream = loaded.context, loaded.on_device, loaded.stream
        self._check(context.set_input_shape(INPUT_NAME, (n, *loaded.cell)), "set_input_shape")
        on_device[INPUT_NAME].take(cells, stream)
        # On the device: filling the host's copy would prove nothing, the old logits would be copied over it.
        for name in OUTPUT_NAMES:
            on_device[name].fill_with_nan(stream)
        self._check(context.execute_async_v3(stream.address), "execute_async_v3")
        for name in OUTPUT_NAMES:
            on_device[name].give(loaded.outputs[name][:n], stream)

    def _check(self, accepted: bool, step: str) -> None:
        # An error that was only logged counts too: what comes after it cannot be vouched for.
        complaints = self._plan.complaints()
        if complaints or not accepted:
            raise EngineError(f"{self.description}: {step} failed: {complaints or 'the runtime gave no reason'}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
