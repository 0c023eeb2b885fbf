import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_ctc.cells import Verdict
from edge_ctc.decision import decide
from edge_ctc.description import Calibration, Thresholds

THRESHOLDS = Thresholds(ctc=1.5, review=-0.25)
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
    assert decide(score, THRESHOLDS, PLAIN).verdict is verdict
    assert decide(score, THRESHOLDS, None).verdict is verdict


def test_equal_thresholds_leave_nothing_to_review() -> None:
    thresholds = Thresholds(ctc=0.0, review=0.0)
    found = [decide(score, thresholds, None).verdict for score in (-0.1, 0.0, 0.1)]
    assert found == [Verdict.LEUKOCYTE, Verdict.CTC, Verdict.CTC]


def test_each_verdict_has_its_own_reason_that_names_the_threshold() -> None:
    reasons = [decide(score, THRESHOLDS, None).reason for score in (2.0, 0.0, -1.0)]
    assert len(set(reasons)) == 3
    assert "threshold_ctc" in reasons[0]
    assert "threshold_review" in reasons[2]


def test_without_calibration_there_is_no_probability() -> None:
    assert decide(0.0, THRESHOLDS, None).p_ctc is None


@given(st.floats(-700, 700), st.floats(0.01, 5), st.floats(-5, 5))
def test_the_probability_is_the_logistic_of_the_calibrated_score_in_six_digits(
    score: float, slope: float, intercept: float
) -> None:
    x = slope * score + intercept
    assume(-700 < x < 700)
    found = decide(score, THRESHOLDS, Calibration(slope=slope, intercept=intercept, prevalence=0.1)).p_ctc
    assert found == pytest.approx(1 / (1 + math.exp(-x)), rel=6e-6, abs=0)
    assert found == float(f"{found:.6g}")


@given(finite, finite, calibrations)
def test_a_higher_score_never_has_a_lower_probability(one: float, other: float, calibration: Calibration) -> None:
    low, high = (decide(score, THRESHOLDS, calibration).p_ctc for score in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(("score", "probability"), [(1e308, 1.0), (-1e308, 0.0), (0.0, 0.5)])
def test_an_extreme_score_does_not_overflow(score: float, probability: float) -> None:
    steep = Calibration(slope=1e308, intercept=0.0, prevalence=0.1)
    for calibration in (PLAIN, steep):
        assert decide(score, THRESHOLDS, calibration).p_ctc == probability
