"""A compiled plan, loaded on the GPU by the runtime that compiled it.

Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

from collections.abc import Callable
from typing import Any

from edge_ctc.engine.bindings import Bindings
from edge_ctc.engine.gpu_engine import ExecutionContext, Shapes
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES


class TensorRtPlan:
    """An `edge_ctc.engine.gpu_engine.LoadablePlan` of TensorRT."""

    def __init__(self, runtime: str, plan: bytes, cell: tuple[int, int, int]) -> None:
        """Nothing is loaded yet.

        Args:
            runtime: a key of `edge_ctc.engine.bindings.PACKAGES`.
            plan: as `compile_graph` gave it.
            cell: (C, H, W) that the plan must take.

        Raises:
            UnavailableError: the runtime is not installed.
        """
        self._bindings = Bindings(runtime)
        self._trt = self._bindings.trt
        self._plan, self._cell = plan, cell
        self._kept: list[Any] = []

    def load(self) -> tuple[ExecutionContext, Shapes]:
        """As the protocol says; the device must have been found before: without a driver the runtime crashes."""
        runtime = self._keep("gives no runtime", self._trt.Runtime, self._bindings.logger)
        engine = self._keep("refuses the plan, build the engine again", runtime.deserialize_cuda_engine, self._plan)
        shapes = self._shapes(engine)
        return self._keep(
            "gives no execution context", engine.create_execution_context, *self._settings(engine)
        ), shapes

    def _settings(self, engine: Any) -> list[Any]:
        if self._bindings.runtime != "tensorrt-rtx":
            return []
        # By default kernels are exchanged for others while it runs: not those that were proved would call.
        config = self._keep("gives no runtime configuration", engine.create_runtime_config)
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.NONE
        return [config]

    def _keep(self, otherwise: str, make: Callable[..., Any], *arguments: Any) -> Any:
        thing = self._bindings.made(otherwise, make, *arguments)
        self._kept.append(thing)
        return thing

    def _shapes(self, engine: Any) -> Shapes:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        types = [engine.get_tensor_dtype(name) for name in names]
        if sorted(names) != sorted((INPUT_NAME, *OUTPUT_NAMES)) or set(types) != {self._trt.float32}:
            raise EngineError(f"{self._bindings.runtime}: the plan has {names} of {types}; build it again")
        _, _, largest = engine.get_tensor_profile_shape(INPUT_NAME, 0)
        max_batch, *cell = tuple(largest)
        if tuple(cell) != self._cell:
            raise EngineError(f"{self._bindings.runtime}: the plan takes {cell}, expected {self._cell}; build it again")
        return Shapes(self._cell, tuple(engine.get_tensor_shape(OUTPUT_NAMES[1]))[1], max_batch)

    def unload(self) -> None:
        """As the protocol says: the last made goes first."""
        while self._kept:
            self._kept.pop()

    def complaints(self) -> str:
        """As the protocol says."""
        return self._bindings.complaints()
