"""TensorRT 10, TensorRT 11 and TensorRT for RTX, by one path: compile a graph, load a plan.

Everything in these libraries fails by None, False or -1 and a line to the logger; here each becomes an error with
those lines. Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from edge_ctc.engine.gpu_engine import ExecutionContext, Shapes
from edge_ctc.errors import EngineError, UnavailableError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision

PACKAGES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Python's package by runtime."""

Advance = Callable[[str], None]
"""Told the name of each phase of a compilation."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a compilation gives.

    Attributes:
        plan: as any other tool of the runtime can open it.
        timing_cache: what makes the next compilation on the same GPU faster; None where the runtime has none.
    """

    plan: bytes
    timing_cache: bytes | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A network to be compiled.

    Attributes:
        content: ONNX file; its types are the precision.
        precision: of the arithmetic in it.
        max_batch: the one optimization profile reaches from 1 to here.
    """

    content: bytes
    precision: Precision
    max_batch: int


@dataclass(frozen=True, slots=True)
class Target:
    """What is compiled for.

    Attributes:
        runtime: a key of `PACKAGES`.
        compute_capability: of the GPU, "8.6" for instance; None where there is none.
    """

    runtime: str
    compute_capability: str | None = None


def load_package(runtime: str) -> ModuleType:
    """TensorRT's Python package, a key of `PACKAGES`.

    Raises:
        UnavailableError: it is not installed, or its libraries are not.
    """
    try:
        return importlib.import_module(PACKAGES[runtime])
    except ImportError as error:
        raise UnavailableError(
            f"{runtime} cannot be loaded ({error}); install it: `pip install 'edge-ctc[{runtime}]'`"
        ) from error


class ErrorLog:
    """Collects what a runtime's logger is told of errors.

    Attributes:
        logger: to be handed to the runtime, and kept for as long as the runtime lives.
    """

    def __init__(self, trt: Any) -> None:
        """For the package `trt`."""
        lines: list[str] = []
        severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc] # the package carries no types
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if severity in severe:
                    lines.append(msg.strip())

        self.logger = Logger()
        self._lines = lines

    def taken(self) -> str:
        """What came since this was last asked; empty for nothing."""
        said = "; ".join(dict.fromkeys(self._lines))
        self._lines.clear()
        return said


def _given(make: Callable[..., Any], *arguments: Any, otherwise: Callable[[], EngineError]) -> Any:
    """What the bindings give; where they fail, some of them give None, and constructors raise TypeError."""
    try:
        thing = make(*arguments)
    except TypeError as error:
        raise otherwise() from error
    if thing is None:
        raise otherwise()
    return thing


def _error(runtime: str, trt: Any, what: str, log: ErrorLog) -> EngineError:
    return EngineError(f"{runtime} {trt.__version__} {what}: {log.taken() or 'it gave no reason'}")


def compile_graph(target: Target, graph: Graph, timing_cache: bytes | None, advance: Advance) -> Compiled:
    """Compile a graph.

    Full TensorRT needs the GPU that it compiles for; TensorRT for RTX compiles without one, then for any from Ampere
    on.

    Args:
        target: what is compiled for.
        graph: of a checkpoint.
        timing_cache: of an earlier compilation on this GPU; another GPU's is not used.
        advance: told of each phase, from another thread.

    Raises:
        UnavailableError: the runtime is not installed.
        EngineError: it refuses the graph, with the lines of its logger.
    """
    trt = load_package(target.runtime)
    monitor = _monitor(trt, advance)

    def compiled() -> Compiled:
        return _Compilation(trt, target, monitor).run(graph, timing_cache)

    # The bindings swallow an interrupt that arrives while they call Python, and a compilation takes minutes: it goes on
    # in a thread of its own, so that this one hears the interrupt and tells the compiler to stop at its next step.
    with ThreadPoolExecutor(1, "compiler") as compiler:
        try:
            return compiler.submit(compiled).result()
        except BaseException:
            monitor.stopped = True
            raise


class _Compilation:
    """Keeps every object of the compilation alive until its end: the bindings do not, and crash."""

    def __init__(self, trt: Any, target: Target, monitor: Any) -> None:
        self._trt, self._target = trt, target
        self._log = ErrorLog(trt)
        # TensorRT 11 knows strongly typed networks only; with the flag 10 treats the graph's types the same way.
        strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._builder = self._made("builder", trt.Builder, self._log.logger)
        self._network = self._made("network", self._builder.create_network, strongly_typed)
        self._parser = self._made("parser", trt.OnnxParser, self._network, self._log.logger)
        self._config = self._made("configuration", self._builder.create_builder_config)
        self._config.progress_monitor = monitor

    def _made(self, what: str, make: Callable[..., Any], *arguments: Any) -> Any:
        return _given(make, *arguments, otherwise=lambda: self._error(f"gives no {what}"))

    def _error(self, what: str) -> EngineError:
        return _error(self._target.runtime, self._trt, what, self._log)

    def run(self, graph: Graph, timing_cache: bytes | None) -> Compiled:
        if not self._parser.parse(graph.content):
            raise self._error("refuses the graph")
        self._check_interface()
        self._add_profile(graph.max_batch)
        self._set_compute_capability()
        if graph.precision == "fp32":
            # TF32 keeps 10 bits of a factor: enough to move a logit by more than fp32's tolerance.
            self._config.clear_flag(self._trt.BuilderFlag.TF32)
        cache = self._timing_cache(timing_cache)
        plan = self._builder.build_serialized_network(self._network, self._config)
        if plan is None:
            raise self._error("compiles no plan")
        return Compiled(bytes(plan), None if cache is None else bytes(cache.serialize()))

    def _check_interface(self) -> None:
        # An empty file is parsed without a complaint.
        network = self._network
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        outputs = [network.get_output(index) for index in range(network.num_outputs)]
        found = [(one.name, len(one.shape)) for one in (*inputs, *outputs)]
        expected = list(zip((INPUT_NAME, *OUTPUT_NAMES), (4, 1, 2), strict=True))
        if found != expected or inputs[0].shape[0] != -1 or outputs[1].shape[1] < 1:
            raise EngineError(f"the graph has {found}, expected {expected} and a free batch; train again")

    def _add_profile(self, max_batch: int) -> None:
        profile = self._made("optimization profile", self._builder.create_optimization_profile)
        cell = tuple(self._network.get_input(0).shape)[1:]
        profile.set_shape(INPUT_NAME, (1, *cell), (max_batch, *cell), (max_batch, *cell))
        if self._config.add_optimization_profile(profile) < 0:
            raise self._error(f"refuses batches of 1 to {max_batch}")

    def _set_compute_capability(self) -> None:
        """TensorRT for RTX compiles for Ampere and newer unless told; Turing must be named."""
        major, _, minor = (self._target.compute_capability or "").partition(".")
        if self._target.runtime == "tensorrt-rtx" and (
            served := getattr(self._trt.ComputeCapability, f"SM{major}{minor}", None)
        ):
            self._config.num_compute_capabilities = 1
            if not self._config.set_compute_capability(served, 0):
                raise self._error(f"refuses compute capability {major}.{minor}")

    def _timing_cache(self, former: bytes | None) -> Any:
        if self._target.runtime == "tensorrt-rtx":
            return None  # it keeps the functions, which do nothing and warn
        for content in (former or b"", b""):
            cache = self._config.create_timing_cache(content)
            if cache is not None and self._config.set_timing_cache(cache, ignore_mismatch=False):
                return cache
            # Of another GPU or version: what the logger was told of it is no failure of this compilation.
            self._log.taken()
        raise self._error("takes no timing cache, not even an empty one")


def _monitor(trt: Any, advance: Advance) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the package carries no types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            advance(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            """Its successor's start tells enough."""

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002
            return not self.stopped

    return Monitor()


class TensorRtPlan:
    """An `edge_ctc.engine.gpu_engine.LoadablePlan` of TensorRT."""

    def __init__(self, runtime: str, plan: bytes, cell: tuple[int, int, int]) -> None:
        """Nothing is loaded yet.

        Args:
            runtime: a key of `PACKAGES`.
            plan: as `compile_graph` gave it.
            cell: (C, H, W) that the plan must take.

        Raises:
            UnavailableError: the runtime is not installed.
        """
        self._trt = load_package(runtime)
        self._runtime = runtime
        self._plan, self._cell = plan, cell
        self._log = ErrorLog(self._trt)
        self._kept: list[Any] = []

    def load(self) -> tuple[ExecutionContext, Shapes]:
        """As the protocol says; the device must have been found before: without a driver the runtime crashes."""
        runtime = self._keep("gives no runtime", self._trt.Runtime, self._log.logger)
        engine = self._keep("refuses the plan, build the engine again", runtime.deserialize_cuda_engine, self._plan)
        shapes = self._shapes(engine)
        return self._keep(
            "gives no execution context", engine.create_execution_context, *self._settings(engine)
        ), shapes

    def _settings(self, engine: Any) -> list[Any]:
        if self._runtime != "tensorrt-rtx":
            return []
        # By default kernels are exchanged for others while it runs: not those that were proved would call.
        config = self._keep("gives no runtime configuration", engine.create_runtime_config)
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.NONE
        return [config]

    def _keep(self, otherwise: str, make: Callable[..., Any], *arguments: Any) -> Any:
        thing = _given(make, *arguments, otherwise=lambda: _error(self._runtime, self._trt, otherwise, self._log))
        self._kept.append(thing)
        return thing

    def _shapes(self, engine: Any) -> Shapes:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        types = [engine.get_tensor_dtype(name) for name in names]
        if sorted(names) != sorted((INPUT_NAME, *OUTPUT_NAMES)) or set(types) != {self._trt.float32}:
            raise EngineError(f"{self._runtime}: the plan has {names} of {types}; build it again")
        _, _, largest = engine.get_tensor_profile_shape(INPUT_NAME, 0)
        max_batch, *cell = tuple(largest)
        if tuple(cell) != self._cell:
            raise EngineError(f"{self._runtime}: the plan takes {cell}, expected {self._cell}; build it again")
        return Shapes(self._cell, tuple(engine.get_tensor_shape(OUTPUT_NAMES[1]))[1], max_batch)

    def unload(self) -> None:
        """As the protocol says: the last made goes first."""
        while self._kept:
            self._kept.pop()

    def complaints(self) -> str:
        """As the protocol says."""
        return self._log.taken()
