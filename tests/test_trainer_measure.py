"""Thresholds, calibration and figures from validation scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from sklearn.metrics import f1_score

from edge_ctc.cells import Verdict
from edge_ctc.decision import decide
from trainer.measure import Scored, calibration_of, figures_of, thresholds_of


def scored(ctcs: list[float], others: list[float]) -> Scored:
    truth = np.array([True] * len(ctcs) + [False] * len(others))
    return Scored(np.array(ctcs + others, np.float32), truth)


def test_the_ctc_threshold_lies_half_way_below_the_best_cut() -> None:
    assert thresholds_of(scored([3.0, 2.0], [1.0, 0.0, -1.0])).ctc == 1.5


def test_review_is_no_empty_band_where_validation_has_no_miss() -> None:
    others = [float(score) for score in range(200)]
    cuts = thresholds_of(scored([300.0, 310.0], others))
    assert cuts.ctc == (300.0 + 199.0) / 2
    assert cuts.review == 198.0


def test_review_keeps_ninety_nine_of_a_hundred_ctcs() -> None:
    ctcs = [float(score) for score in range(1, 101)]
    cuts = thresholds_of(scored(ctcs, [50.5] * 400))
    assert cuts.review == 2.0


@settings(deadline=None, max_examples=30)
@given(
    logits=stn.arrays(np.float32, st.integers(4, 60), elements=st.floats(-30, 30, width=32)),
    data=st.data(),
)
def test_no_other_cut_has_a_larger_f1_and_review_keeps_its_share(
    logits: np.ndarray[tuple[int], np.dtype[np.float32]], data: st.DataObject
) -> None:
    truth = np.array(data.draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits))))
    if truth.all() or not truth.any():
        return
    cuts = thresholds_of(Scored(logits, truth))
    best = max(f1_score(truth, logits >= cut) for cut in logits)
    assert f1_score(truth, logits >= cuts.ctc) == pytest.approx(best)
    verdicts = [decide(float(str(logit)), cuts, None).verdict for logit in logits[truth]]
    assert sum(verdict is not Verdict.LEUKOCYTE for verdict in verdicts) >= 0.99 * truth.sum()


def test_calibration_wants_ten_of_each_class() -> None:
    assert calibration_of(scored([1.0] * 9, [0.0] * 50)) is None


def test_calibration_is_refused_where_scores_fall_with_truth() -> None:
    assert calibration_of(scored([-1.0, -2.0] * 10, [1.0, 2.0] * 10)) is None


def test_a_perfect_separation_has_a_finite_slope() -> None:
    found = calibration_of(scored([2.0 + i / 10 for i in range(12)], [-2.0 - i / 10 for i in range(30)]))
    assert found is not None
    assert 0 < found.slope < 20
    assert found.prevalence == pytest.approx(12 / 42)


def test_calibration_finds_the_logistic_that_drew_the_labels() -> None:
    generator = np.random.default_rng(7)
    logits = generator.normal(0, 3, 20_000).astype(np.float32)
    truth = generator.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    found = calibration_of(Scored(logits, truth))
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1, abs=0.08)


def test_figures_count_both_classes() -> None:
    cells = scored([3.0, 2.0], [1.0, 0.0, -1.0])
    figures = figures_of(cells, thresholds_of(cells))
    assert figures == {
        "validation_average_precision": 1.0,
        "validation_f1": 1.0,
        "validation_auc": 1.0,
        "validation_ctc": 2,
        "validation_leukocyte": 3,
    }
