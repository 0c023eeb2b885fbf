"""Throughput side by side: every contender in every round, so that a busy machine slows them all alike."""

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from edge_ctc.build import Order, build_engine
from edge_ctc.console.building import BuildLines
from edge_ctc.engine.opening import open_on_cpu, open_plan
from edge_ctc.engine.runtimes import MAX_BATCH
from tests.gpu.bench import CPU_TARGETS, GPU_TARGETS, Bench, Target, require, spread
from tests.gpu.contenders import Contender, Device, OfEngine, TorchWay, onnx_runtime_contender, torch_contender
from tests.gpu.section import Findings, Group, NotRunError, Place, Planned, Wish

GROUP = Group(
    "Throughput",
    ("batch 1", "batch 8", "batch 64"),
    "Cells per second, median (smallest to largest) of five rounds; each round times all contenders one after the"
    " other, 0.1 s a batch size. Host to host, from and to pinned memory on a GPU, features included, one batch "
    "at a time (so ONNX Runtime on the CPU uses the half of the cores that one of the product's two batches has)."
    " All compute one network: reference's recipe with seeded random weights, exported by the trainer, since a "
    "checkpoint holds no weights that torch could load. Before it is timed, each contender's logits are held "
    "against ONNX Runtime fp32.",
)

_BATCHES = (1, 8, 64)
_ROUNDS = 5
_SECONDS_A_TURN = 0.1
_WARM_UPS = 10
_RATIO_WANTED = 1.3
_COMPILED = ("torch.compile fp16 channels-last", "torch.compile reduce-overhead fp16 channels-last")

Opening = Callable[[], AbstractContextManager[Contender]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender before it is opened.

    Attributes:
        ours: its failure is a failure of ours; a rival that fails is not measured.
        opening: raises NotRunError where this machine lacks what it needs.
    """

    ours: bool
    opening: Opening


@dataclass(frozen=True, slots=True)
class Timed:
    """Cells per second by batch size, one figure a round; without figures, why there are none."""

    rates: dict[int, list[float]]
    lacks: str = ""
    fault: str = ""


class SideBySide:
    """The contenders on one device, measured when the first of their sections asks."""

    def __init__(self, bench: Bench, place: Place) -> None:
        """Nothing is measured yet."""
        self._bench, self._place = bench, place

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        targets = CPU_TARGETS if self._place == "CPU" else GPU_TARGETS
        ours = {target.name: Entry(True, partial(self._our, target)) for target in targets}
        device: Device = "cpu" if self._place == "CPU" else "cuda"
        rivals = {"torch eager fp32": self._torch(TorchWay("fp32"), device)}
        if self._place == "GPU":
            rivals["torch eager fp16 channels-last"] = self._torch(TorchWay("fp16"), device)
            rivals[_COMPILED[0]] = self._torch(TorchWay("fp16", "default"), device)
            rivals[_COMPILED[1]] = self._torch(TorchWay("fp16", "reduce-overhead"), device)
            rivals["ONNX Runtime CUDA fp32"] = Entry(False, lambda: onnx_runtime_contender(self._bench, "fp32"))
            rivals["ONNX Runtime CUDA fp16"] = Entry(False, lambda: onnx_runtime_contender(self._bench, "fp16"))
        return ours | rivals

    def _torch(self, way: TorchWay, device: Device) -> Entry:
        return Entry(False, lambda: torch_contender(self._bench, way, device))

    @contextlib.contextmanager
    def _our(self, target: Target) -> Iterator[Contender]:
        require(target)
        checkpoint = self._bench.net.checkpoint
        order = Order(checkpoint, target.runtime, target.precision, MAX_BATCH, self._bench.folder / "side-by-side")
        with BuildLines() as lines:
            installed = build_engine(order, lines).engine
        with open_plan(installed.record, installed.plan, checkpoint) as engine:
            yield OfEngine(engine)

    @cached_property
    def _timed(self) -> dict[str, Timed]:
        with contextlib.ExitStack() as stack:
            opened: dict[str, Contender] = {}
            timed: dict[str, Timed] = {}
            for name, entry in self._entries.items():
                try:
                    opened[name] = self._ready(stack.enter_context(entry.opening()))
                except Exception as error:  # noqa: BLE001 - one contender that fails must not end the others
                    timed[name] = self._failed(name, error)
            for name, found in _rounds(opened).items():
                timed[name] = self._failed(name, found) if isinstance(found, Exception) else Timed(found)
            return timed

    def _failed(self, name: str, error: Exception) -> Timed:
        if isinstance(error, NotRunError):
            return Timed({}, lacks=str(error))
        said = f"it failed: {type(error).__name__}: {error}"
        return Timed({}, fault=said) if self._entries[name].ours else Timed({}, lacks=said)

    @cached_property
    def _expected(self) -> NDArray[np.float32]:
        with open_on_cpu(self._bench.net.checkpoint) as engine:
            engine.inputs[0][:] = self._bench.net.cells
            return engine.infer(0, MAX_BATCH).logits

    def _ready(self, contender: Contender) -> Contender:
        """Its answers are right, and it is warm. Raises ValueError where they are not."""
        contender.put(self._bench.net.cells)
        tolerance = self._bench.net.checkpoint.reference.tolerances[contender.precision]
        for batch in _BATCHES:
            off = float(np.abs(contender.infer(batch) - self._expected[:batch]).max())
            if not off <= tolerance:
                raise ValueError(f"a logit is off by {off:.2g} at batch {batch}, allowed {tolerance:.2g}")
            for _ in range(_WARM_UPS):
                contender.infer(batch)
        return contender

    def planned(self) -> list[Planned]:
        """A section for each contender."""
        return [Planned(GROUP, name, self._place, partial(self._findings, name)) for name in self._entries]

    def _findings(self, name: str) -> Findings:
        if self._place == "GPU" and self._entries[name].ours:
            require(next(target for target in GPU_TARGETS if target.name == name))
        timed = self._timed[name]
        if timed.lacks:
            raise NotRunError(timed.lacks)
        if timed.fault:
            return Findings((), faults=(timed.fault,))
        cells = tuple(spread(rates) for rates in timed.rates.values())
        return Findings(cells, {"cells_per_second": timed.rates}, wishes=self._wishes(name, timed))

    def _wishes(self, name: str, timed: Timed) -> tuple[Wish, ...]:
        found = [self._timed[rival] for rival in _COMPILED if rival in self._timed]
        compiled = [rival.rates[64] for rival in found if rival.rates]
        if not self._entries[name].ours or not compiled:
            return ()
        fastest = max(compiled, key=statistics.median)
        ratio = statistics.median(mine / theirs for mine, theirs in zip(timed.rates[64], fastest, strict=True))
        what = f"batch 64, {name} / the faster torch.compile fp16"
        return (Wish(what, f"{_RATIO_WANTED} or more", f"{ratio:.2f}", ratio >= _RATIO_WANTED),)


def _rounds(contenders: dict[str, Contender]) -> dict[str, dict[int, list[float]] | Exception]:
    """Cells per second by batch size, a figure a round, of each contender; or how it failed."""
    rates: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in _BATCHES} for name in contenders}
    failed: dict[str, Exception] = {}
    names = deque(contenders)
    for _ in range(_ROUNDS):
        for name in [one for one in names if one not in failed]:
            try:
                for batch in _BATCHES:
                    rates[name][batch].append(_rate(contenders[name], batch))
            except Exception as error:  # noqa: BLE001 - as above
                failed[name] = error
        # Another one begins each round: whoever is first finds the coolest card.
        names.rotate(-1)
    return rates | failed


def _rate(contender: Contender, batch: int) -> float:
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS_A_TURN:
        contender.infer(batch)
        done += batch
    return done / (time.perf_counter() - began)
