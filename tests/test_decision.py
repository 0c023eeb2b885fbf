import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_ctc.cells import Verdict
from edge_ctc.decision import Cuts, cuts_in_run, decide
from edge_ctc.description import Calibration, Thresholds

CUTS = cuts_in_run(Thresholds(ctc=1.5, review=-0.25), ())
PLAIN = Calibration(slope=1.0, intercept=0.0, prevalence=0.1)

finite = st.floats(allow_nan=False, allow_infinity=False)
calibrations = st.builds(
    Calibration,
    slope=st.floats(0, exclude_min=True, allow_infinity=False),
    intercept=finite,
    prevalence=st.just(0.1),
)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (1e30, Verdict.CTC),
        (1.5, Verdict.CTC),
        (math.nextafter(1.5, 0), Verdict.REVIEW),
        (-0.25, Verdict.REVIEW),
        (math.nextafter(-0.25, -1), Verdict.LEUKOCYTE),
        (-1e30, Verdict.LEUKOCYTE),
    ],
)
def test_a_score_that_equals_a_threshold_has_reached_it(score: float, verdict: Verdict) -> None:
    assert decide(score, CUTS, PLAIN).verdict is verdict
    assert decide(score, CUTS, None).verdict is verdict


def test_equal_thresholds_leave_nothing_to_review() -> None:
    found = [decide(score, Cuts(0.0, 0.0, None), None).verdict for score in (-0.1, 0.0, 0.1)]
    assert found == [Verdict.LEUKOCYTE, Verdict.CTC, Verdict.CTC]


def test_each_verdict_has_its_own_reason_that_names_the_threshold() -> None:
    reasons = [decide(score, CUTS, None).reason for score in (2.0, 0.0, -1.0)]
    assert len(set(reasons)) == 3
    assert "threshold_ctc" in reasons[0]
    assert "threshold_review" in reasons[2]


@given(finite, finite, st.lists(finite))
def test_cuts_of_a_checkpoint_are_the_same_in_every_run(one: float, other: float, scores: list[float]) -> None:
    thresholds = Thresholds(ctc=max(one, other), review=min(one, other))
    assert cuts_in_run(thresholds, scores) == Cuts(max(one, other), min(one, other), None)


few = st.integers(-3, 3).map(float)
runs = st.lists(few | finite, max_size=12)


@given(runs, few, st.integers(1, 15))
def test_by_rank_the_best_cells_of_a_run_and_all_that_equal_the_last_of_them_are_ctc_or_review(
    scores: list[float], ctc: float, top: int
) -> None:
    cuts = cuts_in_run(Thresholds(ctc=ctc, review_top=top), scores)
    verdicts = [decide(score, cuts, None).verdict for score in scores]
    better = [sum(other > score for other in scores) for score in scores]
    for score, verdict, ahead in zip(scores, verdicts, better, strict=True):
        assert (verdict is Verdict.CTC) == (score >= ctc)
        assert (verdict is Verdict.LEUKOCYTE) == (score < ctc and ahead >= top)
    assert len(scores) - verdicts.count(Verdict.LEUKOCYTE) >= min(top, len(scores))
    assert cuts.review <= cuts.ctc == ctc
    assert cuts.review in (ctc, *scores)


@given(runs.flatmap(lambda scores: st.tuples(st.just(scores), st.permutations(scores))), few, st.integers(1, 15))
def test_the_cut_by_rank_does_not_depend_on_the_order_of_the_cells(
    orders: tuple[list[float], list[float]], ctc: float, top: int
) -> None:
    one, other = (cuts_in_run(Thresholds(ctc=ctc, review_top=top), scores) for scores in orders)
    assert one == other


@pytest.mark.parametrize(
    ("scores", "review"),
    [
        ([], 1.5),
        ([-2.0, -1.0], -2.0),
        ([-2.0, -1.0, 0.0], -2.0),
        ([-1.0, -2.0, 0.0, -3.0], -2.0),
        ([-2.0, -1.0, -2.0, 0.0, -2.0], -2.0),
        ([5.0, -1.0, 2.0, -3.0], -1.0),
        ([2.0, 3.0, 4.0, 5.0, 1.0], 1.5),
        ([2.0], 1.5),
    ],
    ids=["no cell", "fewer", "just as many", "more", "a tie", "CTCs count", "enough CTCs", "one CTC"],
)
def test_the_cut_by_rank_lies_at_the_third_best_cell_and_never_above_the_cut_for_ctc(
    scores: list[float], review: float
) -> None:
    assert cuts_in_run(Thresholds(ctc=1.5, review_top=3), scores).review == review


def test_a_review_by_rank_says_so() -> None:
    cuts = cuts_in_run(Thresholds(ctc=1.5, review_top=20), [1.0, -1.0])
    assert decide(-1.0, cuts, None).reason == "among the 20 best of the run"
    assert decide(1.5, cuts, None).reason == decide(1.5, CUTS, None).reason


def test_without_calibration_there_is_no_probability() -> None:
    assert decide(0.0, CUTS, None).p_ctc is None


@given(st.floats(-700, 700), st.floats(0.01, 5), st.floats(-5, 5))
def test_the_probability_is_the_logistic_of_the_calibrated_score_in_six_digits(
    score: float, slope: float, intercept: float
) -> None:
    x = slope * score + intercept
    assume(-700 < x < 700)
    found = decide(score, CUTS, Calibration(slope=slope, intercept=intercept, prevalence=0.1)).p_ctc
    assert found == pytest.approx(1 / (1 + math.exp(-x)), rel=6e-6, abs=0)
    assert found == float(f"{found:.6g}")


@given(finite, finite, calibrations)
def test_a_higher_score_never_has_a_lower_probability(one: float, other: float, calibration: Calibration) -> None:
    low, high = (decide(score, CUTS, calibration).p_ctc for score in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(("score", "probability"), [(1e308, 1.0), (-1e308, 0.0), (0.0, 0.5)])
def test_an_extreme_score_does_not_overflow(score: float, probability: float) -> None:
    steep = Calibration(slope=1e308, intercept=0.0, prevalence=0.1)
    for calibration in (PLAIN, steep):
        assert decide(score, CUTS, calibration).p_ctc == probability
