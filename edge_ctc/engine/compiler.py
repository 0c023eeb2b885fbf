"""A network to a plan: TensorRT 10, TensorRT 11 and TensorRT for RTX, by one path.

Free of syntax and imports newer than Python 3.10, so that an older TensorRT can be tried with it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from edge_ctc.engine.bindings import Bindings
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision

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
    bindings = Bindings(target.runtime)
    monitor = _monitor(bindings.trt, advance)

    def compiled() -> Compiled:
        return _Compilation(bindings, target, monitor).run(graph, timing_cache)

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

    def __init__(self, bindings: Bindings, target: Target, monitor: Any) -> None:
        self._bindings, self._target, self._trt = bindings, target, bindings.trt
        made, logger = bindings.made, bindings.logger
        # TensorRT 11 knows strongly typed networks only; with the flag 10 treats the graph's types the same way.
        strongly_typed = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._builder = made("gives no builder", self._trt.Builder, logger)
        self._network = made("gives no network", self._builder.create_network, strongly_typed)
        self._parser = made("gives no parser", self._trt.OnnxParser, self._network, logger)
        self._config = made("gives no configuration", self._builder.create_builder_config)
        self._config.progress_monitor = monitor

    def run(self, graph: Graph, timing_cache: bytes | None) -> Compiled:
        if not self._parser.parse(graph.content):
            raise self._bindings.error("refuses the graph")
        self._check_interface()
        self._add_profile(graph.max_batch)
        self._set_compute_capability()
        if graph.precision == "fp32":
            # TF32 keeps 10 bits of a factor: enough to move a logit by more than fp32's tolerance.
            self._config.clear_flag(self._trt.BuilderFlag.TF32)
        cache = self._timing_cache(timing_cache)
        plan = self._builder.build_serialized_network(self._network, self._config)
        if plan is None:
            raise self._bindings.error("compiles no plan")
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
        profile = self._bindings.made("gives no profile", self._builder.create_optimization_profile)
        cell = tuple(self._network.get_input(0).shape)[1:]
        profile.set_shape(INPUT_NAME, (1, *cell), (max_batch, *cell), (max_batch, *cell))
        if self._config.add_optimization_profile(profile) < 0:
            raise self._bindings.error(f"refuses batches of 1 to {max_batch}")

    def _set_compute_capability(self) -> None:
        """TensorRT for RTX compiles for Ampere and newer unless told; Turing must be named."""
        if self._target.runtime != "tensorrt-rtx" or self._target.compute_capability is None:
            return
        name = f"SM{self._target.compute_capability.replace('.', '')}"
        if served := getattr(self._trt.ComputeCapability, name, None):
            self._config.num_compute_capabilities = 1
            if not self._config.set_compute_capability(served, 0):
                raise self._bindings.error(f"refuses compute capability {self._target.compute_capability}")

    def _timing_cache(self, former: bytes | None) -> Any:
        if self._target.runtime == "tensorrt-rtx":
            return None  # it keeps the functions, which do nothing and warn
        for content in (former or b"", b""):
            cache = self._config.create_timing_cache(content)
            if cache is not None and self._config.set_timing_cache(cache, ignore_mismatch=False):
                return cache
            # Of another GPU or version: what the logger was told of it is no failure of this compilation.
            self._bindings.complaints()
        raise self._bindings.error("takes no timing cache, not even an empty one")


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
