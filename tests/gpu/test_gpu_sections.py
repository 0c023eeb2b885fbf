"""The sections on a GPU as far as they run without one: real PyCUDA, the product's loop, ONNX Runtime for TensorRT."""

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ctc.engine import opening, runtimes
from edge_ctc.engine.compiler import Compiled
from edge_ctc.network import Precision
from tests.fake_plan import FakePlan
from tests.gpu import rates
from tests.gpu.accept import planned
from tests.gpu.bench import GPU_TARGETS, Bench, Scale
from tests.gpu.engines import BUILD, LATENCY, PARITY
from tests.gpu.parts import gpu_name
from tests.gpu.rates import SideBySide, Timed
from tests.gpu.section import Findings, Section, run_section
from tests.gpu.soak import GROUP as SOAK
from tests.gpu.whole_run import GROUP as WHOLE_RUN
from tests.stand_ins import load_pycuda

FEATURES = 128
FP16 = GPU_TARGETS[1].name


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """On a machine with a GPU and both runtimes, as it seems."""
    fake = load_pycuda()
    fake.reset()
    monkeypatch.setattr(runtimes, "version", lambda _: "99.0")
    monkeypatch.setattr(opening, "compile_graph", lambda _, graph, *__: Compiled(graph.content, None))
    monkeypatch.setattr(opening, "TensorRtPlan", lambda _, graph, cell: FakePlan(graph, cell, FEATURES))
    yield Bench(Scale(100, 0.1), tmp_path)
    gc.collect()
    assert (fake.pushed(), fake.allocated(), fake.streams()) == (0, 0, 0)
    fake.reset()


def test_build_parity_latency_whole_run_and_soak_pass_on_an_engine_that_is_right(bench: Bench) -> None:
    groups = (BUILD, PARITY, LATENCY, WHOLE_RUN, SOAK)
    sections = [one for one in planned(bench) if one.place == "GPU" and one.group in groups]
    ended = [run_section(one) for one in sections]
    assert {(one.status, one.reason) for one in ended} == {("passed", "")}
    assert len(ended) == 3 * len(GPU_TARGETS) + 2
    for one in ended:
        assert one.findings is not None
        assert len(one.findings.cells) == len(one.planned.group.header)
    assert ended[-1].findings is not None
    assert ended[-1].findings.notes[0] == f"the preferred engine: {FP16}"
    assert ended[-1].findings.raw["passes"][-1]["gpu_mib"] > 0
    assert gpu_name() is not None


def test_an_engine_that_the_gate_refuses_has_failed_and_nothing_else_runs_on_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(_: str, graph: bytes, cell: tuple[int, int, int]) -> FakePlan:
        plan = FakePlan(graph, cell, FEATURES)
        plan.context.changes = lambda results: {name: values + 1 for name, values in results.items()}
        return plan

    monkeypatch.setattr(opening, "TensorRtPlan", spoilt)
    sections = [one for one in planned(bench) if one.name == FP16 and one.group in (BUILD, PARITY)]
    built, answered = (run_section(one) for one in sections)
    assert built.status == "failed"
    assert "GateError" in built.reason
    assert (answered.status, answered.reason) == ("not run", "no engine to run: its build did not pass")


def timed_as(side: SideBySide, monkeypatch: pytest.MonkeyPatch, timed: dict[str, Timed]) -> dict[str, Section]:
    monkeypatch.setattr(SideBySide, "_timed", timed)
    return {one.name: run_section(one) for one in side.planned() if one.name in timed}


def every_batch(rate: float) -> Timed:
    return Timed({1: [rate] * 5, 8: [rate] * 5, 64: [rate] * 5})


def test_ours_is_held_against_the_faster_of_both_compiled_ways(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = rates._COMPILED
    timed = {FP16: every_batch(260.0), slow: every_batch(100.0), fast: every_batch(200.0)}
    found = timed_as(SideBySide(bench, "GPU"), monkeypatch, timed)
    findings: Findings | None = found[FP16].findings
    assert findings is not None
    ((what, wanted, ratio, met),) = [(one.what, one.wanted, one.found, one.met) for one in findings.wishes]
    assert (wanted, ratio, met) == ("1.3 or more", "1.30", True)
    assert FP16 in what


def test_a_rival_that_fails_is_not_run_and_one_of_ours_has_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = {FP16: Timed({}, fault="it failed"), rates._COMPILED[0]: Timed({}, lacks="no compiler")}
    found = timed_as(SideBySide(bench, "GPU"), monkeypatch, timed | {rates._COMPILED[1]: Timed({}, lacks="nor here")})
    assert {name: (one.status, one.reason) for name, one in found.items()} == {
        FP16: ("failed", "it failed"),
        rates._COMPILED[0]: ("not run", "no compiler"),
        rates._COMPILED[1]: ("not run", "nor here"),
    }


def test_a_contender_that_fails_in_a_round_leaves_the_others_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Contender:
        precision: Precision = "fp32"

        def __init__(self, answers: float) -> None:
            self._answers = answers

        def put(self, cells: NDArray[np.float32]) -> None:
            """Nothing."""

        def infer(self, n: int) -> NDArray[np.float32]:
            self._answers -= 1
            if self._answers < 0:
                raise RuntimeError("out of memory")
            return np.zeros(n, np.float32)

    monkeypatch.setattr(rates, "_SECONDS_A_TURN", 0.001)
    found = rates._rounds({"tired": Contender(50), "steady": Contender(float("inf"))})
    assert isinstance(found["tired"], RuntimeError)
    steady = found["steady"]
    assert isinstance(steady, dict)
    assert {batch: len(rates) for batch, rates in steady.items()} == {1: 5, 8: 5, 64: 5}


@pytest.mark.timeout(300)
def test_our_engines_are_timed_beside_rivals_that_this_machine_lacks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_SECONDS_A_TURN", 0.005)
    ended = {one.name: run_section(one) for one in SideBySide(bench, "GPU").planned()}
    ours = {target.name for target in GPU_TARGETS}
    assert {name for name, one in ended.items() if one.status == "passed"} == ours
    assert {one.status for name, one in ended.items() if name not in ours} == {"not run"}
    assert "sees no GPU" in ended["torch eager fp32"].reason
