from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_ctc.cells import Verdict
from edge_ctc.checkpoint import Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.decision import Cuts, cuts_in_run, decide
from edge_ctc.description import Thresholds
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.engine.seam import Engine, Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import Precision
from edge_ctc.parity import Comparison, Flip, compare, replay
from edge_ctc.preprocess import prepare
from edge_ctc.simulate import simulate_cells
from tests.checkpoints import WEIGHTS, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("a") / "checkpoint", ("BF", "PE"), 8))


def with_weight(checkpoint: Checkpoint, weight: float) -> Checkpoint:
    """The checkpoint with one weight spoilt in both graphs."""
    models: dict[Precision, bytes] = {}
    for precision, graph in checkpoint.models.items():
        model = onnx.load_from_string(graph)
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
        weights = numpy_helper.to_array(tensor).copy()
        weights[0] = weight
        tensor.CopyFrom(numpy_helper.from_array(weights, "weights"))
        models[precision] = model.SerializeToString()
    return replace(checkpoint, models=models)


PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_of_the_checkpoint_answers_its_reference_cells(checkpoint: Checkpoint, precision: Precision) -> None:
    with OnnxCpuEngine(checkpoint, precision) as engine:
        parity = replay(engine, checkpoint)
    assert parity.cells == 8
    assert parity.tolerance == checkpoint.reference.tolerances[precision]
    assert 0 <= parity.largest_difference <= parity.tolerance


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_spoilt_weight_stops_the_engine(checkpoint: Checkpoint, precision: Precision) -> None:
    with (
        OnnxCpuEngine(with_weight(checkpoint, WEIGHTS["BF"] + 0.2), precision) as engine,
        pytest.raises(EngineError, match=r"a reference cell of means is off by 0\.\d+, allowed"),
    ):
        replay(engine, checkpoint)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_weight_that_is_no_number_stops_the_engine(checkpoint: Checkpoint, precision: Precision) -> None:
    with OnnxCpuEngine(with_weight(checkpoint, np.nan), precision) as engine, pytest.raises(EngineError):
        replay(engine, checkpoint)


@dataclass
class FakeEngine:
    """Computes what the checkpoint's graph stands for, some cells at a time, with some answers wrong."""

    max_batch: int
    off: Mapping[int, float] = field(default_factory=dict)
    description: str = "fake"
    precision: Precision = "fp32"
    cells_seen: int = 0

    def __post_init__(self) -> None:
        buffer = np.zeros((self.max_batch, 2, 8, 8), np.float32)
        self.inputs: tuple[NDArray[np.float32], NDArray[np.float32]] = (buffer, buffer.copy())

    def infer(self, slot: int, n: int) -> Scores:
        assert 1 <= n <= self.max_batch
        features = self.inputs[slot][:n].mean(axis=(2, 3))
        logits = features @ np.array([WEIGHTS["BF"], WEIGHTS["PE"]], np.float32)
        for place in range(n):
            logits[place] += self.off.get(self.cells_seen + place, 0.0)
        self.cells_seen += n
        return Scores(logits, features)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@pytest.mark.parametrize("max_batch", [1, 3, 8, 64])
def test_every_reference_cell_is_replayed_once_whatever_the_batch(checkpoint: Checkpoint, max_batch: int) -> None:
    engine = FakeEngine(max_batch)
    seam: Engine = engine
    assert replay(seam, checkpoint).largest_difference < 1e-6
    assert engine.cells_seen == 8


@pytest.mark.parametrize("cell", range(8))
@pytest.mark.parametrize("off", [0.01, -0.01])
def test_one_wrong_answer_stops_the_engine_whichever_cell_it_is(checkpoint: Checkpoint, cell: int, off: float) -> None:
    with pytest.raises(EngineError, match=r"fake: .* off by 0\.01, allowed 0\.001"):
        replay(FakeEngine(3, {cell: off}), checkpoint)


def test_the_largest_difference_is_told(checkpoint: Checkpoint) -> None:
    parity = replay(FakeEngine(3, {1: 5e-4, 7: -8e-4, 2: 1e-4}), checkpoint)
    assert parity.largest_difference == pytest.approx(8e-4, rel=1e-2)


def test_the_tolerance_is_that_of_the_engines_precision(checkpoint: Checkpoint) -> None:
    assert replay(FakeEngine(8, {0: 0.01}, precision="fp16"), checkpoint).tolerance == 5e-2


def with_cuts(checkpoint: Checkpoint, ctc: float, review: float) -> Checkpoint:
    cuts = Thresholds(ctc=ctc, review=review)
    return replace(checkpoint, description=checkpoint.description.model_copy(update={"thresholds": cuts}))


def pairs(checkpoint: Checkpoint, *scores: tuple[float, float]) -> Comparison:
    """Compared at fp16, tolerance 0.05, cuts at 0 and -0.5: (expected, found), cells numbered from 0."""
    expected = {str(number): before for number, (before, _) in enumerate(scores)}
    found = {str(number): after for number, (_, after) in enumerate(scores)}
    return compare(expected, found, checkpoint, "fp16")


def test_equal_answers_have_no_fault(checkpoint: Checkpoint) -> None:
    comparison = pairs(checkpoint, (-1.0, -1.0), (-0.25, -0.25), (3.0, 3.0))
    assert comparison == Comparison(cells=3, largest_difference=0.0, tolerance=5e-2, flips=())
    assert comparison.faults() == ()


def test_the_tolerance_of_a_comparison_is_that_of_the_precision(checkpoint: Checkpoint) -> None:
    assert compare({"1": 1.0}, {"1": 1.01}, checkpoint, "fp32").faults() == ("a logit is off by 0.01, allowed 0.001",)
    assert compare({"1": 1.0}, {"1": 1.01}, checkpoint, "fp16").faults() == ()


@pytest.mark.parametrize(("off", "faults"), [(0.05, 0), (np.nextafter(0.05, 1), 1), (-0.05, 0), (-0.0501, 1)])
def test_a_logit_may_be_off_by_the_tolerance_and_no_more(checkpoint: Checkpoint, off: float, faults: int) -> None:
    assert len(compare({"1": 0.0}, {"1": 0.0}, checkpoint, "fp16").faults()) == 0
    high = with_cuts(checkpoint, 100.0, 99.0)
    assert len(compare({"1": 0.0}, {"1": off}, high, "fp16").faults()) == faults


def test_the_largest_difference_is_of_any_cell_in_either_direction(checkpoint: Checkpoint) -> None:
    assert pairs(checkpoint, (1.0, 1.25), (2.0, 1.5), (3.0, 3.0)).largest_difference == 0.5


FLIPS = {
    "REVIEW to CTC": (-0.01, 0.01, Verdict.REVIEW, Verdict.CTC, 0.01, True),
    "CTC to REVIEW": (0.02, -0.01, Verdict.CTC, Verdict.REVIEW, 0.02, True),
    "LEUKOCYTE to REVIEW": (-0.51, -0.49, Verdict.LEUKOCYTE, Verdict.REVIEW, 0.01, True),
    "REVIEW to LEUKOCYTE": (-0.49, -0.52, Verdict.REVIEW, Verdict.LEUKOCYTE, 0.01, True),
    "LEUKOCYTE to CTC": (-0.6, 0.1, Verdict.LEUKOCYTE, Verdict.CTC, 0.1, False),
    "CTC to LEUKOCYTE": (0.3, -0.7, Verdict.CTC, Verdict.LEUKOCYTE, 0.3, False),
    "just to the cut": (np.nextafter(0.0, -1), 0.0, Verdict.REVIEW, Verdict.CTC, 0.0, True),
}


@pytest.mark.parametrize("kind", FLIPS)
def test_a_flip_says_what_changed_and_how_far_from_the_nearest_cut(checkpoint: Checkpoint, kind: str) -> None:
    expected, found, before, after, to_cut, concerns_review = FLIPS[kind]
    (flip,) = pairs(checkpoint, (7.0, 7.0), (expected, found)).flips
    assert flip == Flip("1", expected, found, before, after, flip.to_cut)
    assert flip.to_cut == pytest.approx(to_cut)
    assert flip.concerns_review == concerns_review


def by_rank(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the two best cells of each run in REVIEW instead of a cut."""
    thresholds = Thresholds(ctc=0.0, review_top=2)
    return replace(checkpoint, description=checkpoint.description.model_copy(update={"thresholds": thresholds}))


def test_of_a_checkpoint_that_reviews_by_rank_the_cut_for_ctc_alone_can_be_crossed(checkpoint: Checkpoint) -> None:
    comparison = pairs(by_rank(checkpoint), (-0.01, 0.01), (0.02, -0.01), (-0.49, -0.51), (-9.0, -8.99))
    assert comparison.flips == (
        Flip("0", -0.01, 0.01, Verdict.REVIEW, Verdict.CTC, 0.01),
        Flip("1", 0.02, -0.01, Verdict.CTC, Verdict.REVIEW, 0.02),
    )


def test_an_engine_of_a_checkpoint_that_reviews_by_rank_may_not_be_far_off_nor_change_many(
    checkpoint: Checkpoint,
) -> None:
    ranks = by_rank(checkpoint)
    same = [(-9.0, -9.0)] * 999
    assert pairs(ranks, (-0.01, 0.01), *same).faults() == ()
    assert pairs(ranks, (-0.01, 0.01), (-0.01, 0.01), *same).faults() == (
        "2 of 1001 cells change to or from REVIEW, allowed 0.1 %",
    )
    assert pairs(ranks, (-9.0, 0.01), *same).faults() == (
        "a logit is off by 9.01, allowed 0.05",
        "1 cells change that lie further from a cut than 0.05",
    )


def test_cells_of_one_run_are_compared_by_its_cuts(checkpoint: Checkpoint) -> None:
    expected, found = {"a": -0.9, "b": -1.01, "c": -3.0}, {"a": -0.9, "b": -0.99, "c": -3.0}
    comparison = compare(expected, found, by_rank(checkpoint), "fp16", Cuts(0.0, -1.0, 2))
    (flip,) = comparison.flips
    assert (flip.cell, flip.before, flip.after) == ("b", Verdict.LEUKOCYTE, Verdict.REVIEW)
    assert flip.to_cut == pytest.approx(0.01)


def test_a_difference_that_crosses_no_cut_is_no_flip(checkpoint: Checkpoint) -> None:
    assert pairs(checkpoint, (-0.49, -0.01), (0.0, 9.0), (-9.0, -0.51)).flips == ()


def test_flips_between_ctc_and_leukocyte_stand_first(checkpoint: Checkpoint) -> None:
    comparison = pairs(checkpoint, (-0.01, 0.01), (-0.6, 0.1), (0.01, -0.01), (0.3, -0.7))
    assert [flip.cell for flip in comparison.flips] == ["1", "3", "0", "2"]
    assert comparison.review_flips == 2


def test_one_cell_that_changes_between_ctc_and_leukocyte_is_a_fault_however_many_do_not(
    checkpoint: Checkpoint,
) -> None:
    at_one_cut = with_cuts(checkpoint, 0.0, 0.0)
    cells = [(-0.001, 0.001)] + [(1.0, 1.0)] * 99_999
    assert pairs(at_one_cut, *cells).faults() == ("1 cells change between CTC and LEUKOCYTE, allowed none",)


@pytest.mark.parametrize(
    ("flips", "cells", "refused"),
    [(0, 8, False), (1, 8, True), (1, 999, True), (1, 1000, False), (2, 1000, True), (2, 1999, True), (2, 2000, False)],
)
def test_one_cell_of_a_thousand_may_change_to_or_from_review(
    checkpoint: Checkpoint, flips: int, cells: int, *, refused: bool
) -> None:
    scores = [(-0.01, 0.01)] * flips + [(1.0, 1.0)] * (cells - flips)
    faults = pairs(checkpoint, *scores).faults()
    assert faults == ((f"{flips} of {cells} cells change to or from REVIEW, allowed 0.1 %",) if refused else ())


@pytest.mark.parametrize(("expected", "refused"), [(-0.05, False), (-0.0501, True), (0.06, True)])
def test_a_flip_far_from_a_cut_is_a_fault_even_where_the_share_is_allowed(
    checkpoint: Checkpoint, expected: float, *, refused: bool
) -> None:
    found = 0.0 if expected < 0 else -0.01
    faults = pairs(checkpoint, (expected, found), *[(1.0, 1.0)] * 1999).faults()
    assert ("1 cells change that lie further from a cut than 0.05" in faults) == refused
    assert bool(faults) == refused


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("expected", "found"),
    [(1.0, NAN), (-1.0, NAN), (-0.25, NAN), (NAN, 1.0), (NAN, NAN), (1.0, INF), (-1.0, -INF), (INF, INF)],
)
def test_an_answer_that_is_no_number_is_a_fault(checkpoint: Checkpoint, expected: float, found: float) -> None:
    with np.errstate(invalid="ignore"):
        assert pairs(checkpoint, *[(1.0, 1.0)] * 5000, (expected, found)).faults()
        assert pairs(checkpoint, (expected, found), *[(1.0, 1.0)] * 5000).faults()


@pytest.mark.parametrize("found", [{}, {"1": 1.0}, {"1": 1.0, "3": 2.0}, {"1": 1.0, "2": 2.0, "3": 2.0}])
def test_engines_that_answered_other_cells_are_not_compared(checkpoint: Checkpoint, found: dict[str, float]) -> None:
    with pytest.raises(EngineError, match="2 cells answered by one engine"):
        compare({"1": 1.0, "2": 2.0}, found, checkpoint, "fp16")


def test_the_order_of_the_answers_does_not_matter(checkpoint: Checkpoint) -> None:
    assert compare({"1": 1.0, "2": 2.0}, {"2": 2.0, "1": 1.0}, checkpoint, "fp16").largest_difference == 0


NEAR_A_CUT = st.sampled_from([-0.5, 0.0]).flatmap(lambda cut: st.floats(cut - 0.1, cut + 0.1))
SCORES = st.one_of(NEAR_A_CUT, st.floats(-1e6, 1e6), st.sampled_from([-0.5, 0.0, -0.0]))


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=30))
@example([(0.0, -0.0)])
@settings(max_examples=150, deadline=None)
def test_the_flips_are_exactly_the_cells_whose_decision_differs(
    checkpoint: Checkpoint, scores: list[tuple[float, float]]
) -> None:
    cuts = cuts_in_run(checkpoint.description.thresholds, ())
    comparison = pairs(checkpoint, *scores)
    verdicts = [tuple(decide(score, cuts, None).verdict for score in pair) for pair in scores]
    differing = {str(number): pair for number, pair in enumerate(verdicts) if pair[0] != pair[1]}
    assert {flip.cell: (flip.before, flip.after) for flip in comparison.flips} == differing
    assert len(comparison.flips) == len(differing)
    hard = sum(Verdict.REVIEW not in pair for pair in differing.values())
    assert comparison.review_flips == len(differing) - hard
    largest = max(abs(before - after) for before, after in scores)
    if not comparison.faults():
        assert largest <= 0.05
        assert hard == 0
        assert len(differing) <= len(scores) / 1000
    assert comparison.largest_difference == largest


SIMULATED = 10_000
UNSEEN_SEEDS = range(50_000, 50_020)
"""Training patients have seeds from 100,000 on, and instruments from 0 to 11; these are others, half of them."""
INSTRUMENTS = (*range(10), *range(2001, 2011))


@pytest.fixture(scope="module")
def simulated_scores() -> tuple[Checkpoint, dict[Precision, dict[str, float]]]:
    """What the shipped reference says of 10,000 simulated cells at both precisions, on ONNX Runtime."""
    reference = open_checkpoint(shipped_checkpoints() / "reference")
    each = SIMULATED // len(UNSEEN_SEEDS)
    scores: dict[Precision, dict[str, float]] = {precision: {} for precision in PRECISIONS}
    with OnnxCpuEngine(reference) as full, OnnxCpuEngine(reference, "fp16") as half:
        batch: list[str] = []

        def answer() -> None:
            n = len(batch)
            half.inputs[0][:n] = full.inputs[0][:n]
            for precision, engine in (("fp32", full), ("fp16", half)):
                logits = engine.infer(0, n).logits
                scores["fp32" if precision == "fp32" else "fp16"].update(
                    (cell, float(logit)) for cell, logit in zip(batch, logits, strict=True)
                )
            batch.clear()

        for seed, instrument in zip(UNSEEN_SEEDS, INSTRUMENTS, strict=True):
            for cell in simulate_cells(each, each // 5, seed, instrument):
                prepare(list(cell.images), reference.input, full.inputs[0][len(batch)])
                batch.append(f"{seed}/{cell.number}")
                if len(batch) == full.max_batch:
                    answer()
        if batch:
            answer()
    return reference, scores


def test_half_precision_changes_no_decision_on_ten_thousand_simulated_cells(
    simulated_scores: tuple[Checkpoint, dict[Precision, dict[str, float]]],
) -> None:
    reference, scores = simulated_scores
    comparison = compare(scores["fp32"], scores["fp16"], reference, "fp16")
    assert comparison.cells == SIMULATED
    assert comparison.faults() == (), comparison
    assert 0 < comparison.largest_difference <= comparison.tolerance
    assert all(flip.concerns_review and flip.to_cut <= comparison.tolerance for flip in comparison.flips)
    assert comparison.review_flips <= SIMULATED / 1000


def test_the_simulated_cells_get_every_verdict_and_some_lie_near_a_cut(
    simulated_scores: tuple[Checkpoint, dict[Precision, dict[str, float]]],
) -> None:
    reference, scores = simulated_scores
    cuts = cuts_in_run(reference.description.thresholds, ())
    verdicts = [decide(score, cuts, None).verdict for score in scores["fp32"].values()]
    assert all(verdicts.count(verdict) >= 100 for verdict in (Verdict.CTC, Verdict.REVIEW, Verdict.LEUKOCYTE))
    tolerance = reference.reference.tolerances["fp16"]
    near = [
        score for score in scores["fp32"].values() if min(abs(score - cuts.ctc), abs(score - cuts.review)) < tolerance
    ]
    assert near
