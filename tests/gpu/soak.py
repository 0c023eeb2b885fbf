"""The same process calls run after run for minutes: no error, the same answers, memory that does not grow."""

import importlib
import resource
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edge_ctc.classify import classify_run
from edge_ctc.engine.cuda import Gpu
from edge_ctc.engine.seam import Engine
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.results.calls import read_calls
from edge_ctc.simulate import Layout
from tests.benchmarks.walk import Silent
from tests.gpu.bench import Bench, Target, simulated_run
from tests.gpu.engines import single_latencies
from tests.gpu.section import Findings, Group

GROUP = Group(
    "Soak",
    (
        "seconds",
        "runs called",
        "cells called",
        "process memory grew by",
        "GPU memory grew by",
        "first minute, p50 / p99",
        "last minute, p50 / p99",
    ),
    "One process calls four simulated runs of different sizes and layouts in turn, each from nothing; between two runs "
    "20 single inferences are timed (the latencies). Fails where a call differs from the run's first, or memory of "
    "process or GPU grows by more than 64 MiB after each run was called twice. GPU memory is that of all processes.",
)

_GROWTH_ALLOWED_MIB = 64
_PROBES = 20
_LAYOUTS = (Layout.FLAT, Layout.MULTIPAGE, Layout.PER_CELL, Layout.FLAT)
_FIRST_SEED = 46_000

Answers = list[tuple[str, str, float | None]]


@dataclass(frozen=True, slots=True)
class Pass:
    """One run called.

    Attributes:
        at_seconds: since the soak began.
        cells: of the run.
        latencies: of single inferences, milliseconds.
        process_mib: resident memory after it.
        gpu_mib: memory in use on the GPU after it; 0 on the CPU.
    """

    at_seconds: float
    cells: int
    latencies: list[float]
    process_mib: float
    gpu_mib: float


class _Soaking:
    """A soak under way."""

    def __init__(self, bench: Bench, target: Target, models: OpenModels) -> None:
        self._bench, self._target, self._models = bench, target, models
        self._first: dict[Path, Answers] = {}
        self._engine: Engine = models.engine(models.checkpoint(bench.checkpoint.folder))[0]

    @cached_property
    def _runs(self) -> list[Path]:
        sizes = [max(10, self._bench.scale.run_cells // part) for part in (4, 8, 2, 16)]
        folder = self._bench.folder / "soak"
        return [
            simulated_run(folder / f"run-{number}", size, _FIRST_SEED + number, layout)
            for number, (size, layout) in enumerate(zip(sizes, _LAYOUTS, strict=True))
        ]

    def passes(self) -> tuple[list[Pass], list[str]]:
        """Until the time is over and each run was called three times; and what differed."""
        found: list[Pass] = []
        differing = []
        runs, began = self._runs, time.monotonic()
        while len(found) < 3 * len(runs) or time.monotonic() - began < self._bench.scale.soak_seconds:
            run = runs[len(found) % len(runs)]
            answers = self._called(run)
            if answers != self._first.setdefault(run, answers):
                differing.append(f"call {len(found) + 1}, of {run.name}, differs from its first")
            latencies = single_latencies(self._engine, _PROBES)
            memory = process_mib(), self._gpu_mib()
            found.append(Pass(time.monotonic() - began, len(answers), latencies, *memory))
        return found, differing

    def _called(self, run: Path) -> Answers:
        out = self._bench.folder / "soak" / "results"
        outcome = classify_run(Request(run, checkpoint=self._bench.checkpoint.folder, out=out), self._models, Silent())
        answers = [(call.cell_id, call.verdict.value, call.score) for call in read_calls(outcome.place.calls)]
        shutil.rmtree(out)
        return answers

    def _gpu_mib(self) -> float:
        if self._target.place == "CPU":
            return 0.0
        with Gpu().current("memory"):
            free, total = importlib.import_module("pycuda.driver").mem_get_info()
        return float(total - free) / 2**20


def process_mib() -> float:
    """Resident memory of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def soak(bench: Bench, target: Target) -> Findings:
    """Run it and judge."""
    with bench.models(target) as models:
        passes, differing = _Soaking(bench, target, models).passes()
    return judged(passes, differing)


def judged(passes: Sequence[Pass], differing: Sequence[str]) -> Findings:
    """What the passes, at least twelve, say."""
    settled = passes[2 * len(_LAYOUTS) :]
    process = settled[-1].process_mib - settled[0].process_mib
    gpu = settled[-1].gpu_mib - settled[0].gpu_mib
    faults = list(differing[:3])
    for what, grown in (("the process", process), ("the GPU", gpu)):
        if grown > _GROWTH_ALLOWED_MIB:
            faults.append(f"memory of {what} grew by {grown:.0f} MiB, allowed {_GROWTH_ALLOWED_MIB}")
    last = passes[-1].at_seconds
    minutes = [[one for one in passes if one.at_seconds <= 60], [one for one in passes if one.at_seconds >= last - 60]]
    cells = (
        f"{last:.0f}",
        f"{len(passes):,}",
        f"{sum(one.cells for one in passes):,}",
        f"{process:.0f} MiB",
        f"{gpu:.0f} MiB",
        *(_latency(minute) for minute in minutes),
    )
    return Findings(cells, {"passes": [_raw(one) for one in passes]}, tuple(faults))


def _raw(one: Pass) -> dict[str, float]:
    """All but the single latencies, of which a soak has tens of thousands."""
    p50, largest = np.median(one.latencies), max(one.latencies)
    whole = {name: value for name, value in asdict(one).items() if name != "latencies"}
    return {**whole, "latency_p50_ms": round(float(p50), 4), "latency_largest_ms": round(largest, 4)}


def _latency(passes: Sequence[Pass]) -> str:
    p50, p99 = np.percentile([value for one in passes for value in one.latencies], [50, 99])
    return f"{p50:.3f} / {p99:.3f} ms"
