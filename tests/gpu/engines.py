"""Build, parity and flips, start to ready, latency: of one runtime at one precision."""

import statistics
import subprocess
import time
from dataclasses import asdict

import numpy as np

from edge_ctc.build import Order, build_engine
from edge_ctc.console.building import BuildLines
from edge_ctc.engine.opening import open_plan
from edge_ctc.engine.runtimes import MAX_BATCH
from edge_ctc.engine.seam import Engine
from edge_ctc.gate import flip_line
from edge_ctc.parity import compare, ood_faults, ood_scores, reference_scores
from edge_ctc.preprocess import prepare
from tests.gpu.bench import CHECKOUT, Bench, Target, python, require, spread
from tests.gpu.section import Findings, Group, Wish

BUILD = Group(
    "Build",
    ("seconds", "plan, bytes", "reference cells", "largest logit difference", "allowed"),
    "From the shipped checkpoint to the installed engine, no timing cache, the gate included.",
)
PARITY = Group(
    "Parity and flips",
    ("cells", "largest logit difference", "allowed", "CTC to or from LEUKOCYTE", "to or from REVIEW"),
    "Against ONNX Runtime fp32 on the CPU, on simulated cells of ten patients and ten instruments, through the "
    "product's preprocessing. Passed where the gate of `edge-ctc build-engine` would install the engine.",
)
START = Group(
    "Start to ready",
    ("seconds, median (smallest to largest)",),
    "A new process: from its start to the moment when checkpoint and engine are open and the reference cells replayed.",
)
LATENCY = Group(
    "Latency at batch 1",
    ("p50, ms", "p99, ms", "largest, ms"),
    "1,000 single inferences after 100 to warm up, host to host, from pinned memory to the caller's own copy.",
)

_STARTS = 5
_START_WANTED_S = {"GPU": 5.0, "CPU": 2.0}
_WARM_UP, _SINGLE = 100, 1_000


def build(bench: Bench, target: Target) -> Findings:
    """Install the engine that the other sections run."""
    require(target)
    began = time.monotonic()
    order = Order(bench.checkpoint, target.runtime, target.precision, MAX_BATCH, bench.engines_dir)
    with BuildLines() as lines:
        built = build_engine(order, lines)
    seconds = time.monotonic() - began
    if built.comparison is None:
        return Findings((), faults=(f"built, but not proved: {built.no_device}",))
    bench.built[target] = built.engine
    gate = built.comparison
    cells = (f"{seconds:.1f}", f"{len(built.engine.plan):,}", str(gate.cells))
    raw = {"seconds": seconds, "plan_bytes": len(built.engine.plan), "gate": asdict(gate)}
    return Findings((*cells, f"{gate.largest_difference:.2g}", f"{gate.tolerance:.2g}"), raw)


def parity(bench: Bench, target: Target) -> Findings:
    """Every simulated cell through the engine and the yardstick."""
    installed = bench.engine(target)
    with open_plan(installed.record, installed.plan, bench.checkpoint) as engine:
        found = reference_scores(engine, bench.simulated)
    expected, answered = (
        {name: float(logit) for name, logit in zip(bench.names, scores.logits, strict=True)}
        for scores in (bench.expected, found)
    )
    comparison = compare(expected, answered, bench.checkpoint, target.precision)
    novelty = bench.checkpoint.novelty
    strange = ood_faults(*(ood_scores(novelty, bench.names, scores.features) for scores in (bench.expected, found)))
    hard = len(comparison.flips) - comparison.review_flips
    figures = (f"{comparison.cells:,}", f"{comparison.largest_difference:.2g}", f"{comparison.tolerance:.2g}")
    cells = (*figures, str(hard), str(comparison.review_flips))
    notes = tuple(f"{target.name}:{flip_line(flip)[1:]}" for flip in comparison.flips)
    return Findings(cells, asdict(comparison), (*comparison.faults(), *strange), notes=notes)


def start_to_ready(bench: Bench, target: Target) -> Findings:
    """Seconds of several new processes, one after the other."""
    installed = bench.engine(target)
    command = python("-m", "tests.gpu.ready", installed.folder, bench.checkpoint.folder)
    seconds = [_seconds_to_ready(command) for _ in range(_STARTS)]
    median, wanted = statistics.median(seconds), _START_WANTED_S[target.place]
    wish = Wish(f"start to ready, {target.name}", f"under {wanted:.0f} s", f"{median:.2f} s", median < wanted)
    return Findings((spread(seconds, 2),), {"seconds": seconds}, wishes=(wish,))


def _seconds_to_ready(command: list[str]) -> float:
    began = time.monotonic()
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.monotonic() - began
    if process.returncode or said != "ready\n":
        raise RuntimeError(f"the new process said {said!r} and ended with {process.returncode}")
    return seconds


def latency(bench: Bench, target: Target) -> Findings:
    """Of single cells, one after the other."""
    installed = bench.engine(target)
    with open_plan(installed.record, installed.plan, bench.checkpoint) as engine:
        prepare(list(bench.checkpoint.reference.images[0]), bench.checkpoint.input, engine.inputs[0][0])
        single_latencies(engine, _WARM_UP)
        found = single_latencies(engine, _SINGLE)
    p50, p99 = np.percentile(found, [50, 99])
    raw = {"milliseconds": {"p50": float(p50), "p99": float(p99), "largest": max(found)}, "inferences": _SINGLE}
    return Findings((f"{p50:.3f}", f"{p99:.3f}", f"{max(found):.3f}"), raw)


def single_latencies(engine: Engine, times: int) -> list[float]:
    """Milliseconds of each of so many inferences of one cell, as it stands in the engine's first buffer."""
    found = []
    for _ in range(times):
        began = time.perf_counter_ns()
        engine.infer(0, 1)
        found.append((time.perf_counter_ns() - began) / 1e6)
    return found
