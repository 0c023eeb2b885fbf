"""Thresholds, calibration and figures from validation scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from edge_ctc.cells import Verdict
from edge_ctc.decision import cuts_in_run, decide
from edge_ctc.description import Calibration, Promise, Thresholds
from trainer.decision.measure import (
    DecisionRule,
    Scored,
    at_prevalence,
    calibration_of,
    ctc_cut,
    decision_rule_of,
    figures_of,
)
from trainer.decision.promise import PatientScores
from trainer.recipe import Recipe

LOW, HIGH = [float(score) for score in range(40)], [float(score) for score in range(30, 50)]


def scored(ctcs: list[float], others: list[float]) -> Scored:
    truth = np.array([True] * len(ctcs) + [False] * len(others))
    return Scored(np.array(ctcs + others, np.float32), truth)


def rule_of(ctcs: list[float], others: list[float], patients: int = 1, **recipe: float) -> DecisionRule:
    """CTCs are dealt out to patients like cards; leukocytes may be of anyone."""
    dealt = [PatientScores(np.array(ctcs[number::patients], np.float32), 0) for number in range(patients)]
    settings = {"schema_version": 1, "name": "tiny", "epochs": 1, **recipe}
    return decision_rule_of(scored(ctcs, others), dealt, Recipe.model_validate(settings))


def test_the_ctc_threshold_lies_half_way_below_the_best_cut() -> None:
    assert ctc_cut(scored([3.0, 2.0], [1.0, 0.0, -1.0])) == 1.5


def test_a_ctc_threshold_without_a_lower_score_is_reached_by_the_cell_that_it_stands_on() -> None:
    # As a float32, 0.1 lies above the 0.1 that the product writes and compares.
    cut = ctc_cut(scored([0.1, 0.2], [0.3]))
    assert decide(0.1, cuts_in_run(Thresholds(ctc=cut, review_top=1), ()), None).verdict is Verdict.CTC


def test_review_begins_at_the_promised_cut() -> None:
    # 20 patients with one CTC each: (20 + 1) / 10 - 1 = 1.1 may be missed, the one at 5.
    rule = rule_of([5.0, 6.0, 7.0, *[100.0] * 17], [10.0, 11.0] * 50, patients=20)
    assert rule.thresholds.review == 6.0
    assert rule.thresholds.ctc == (100.0 + 11.0) / 2
    assert rule.promise == Promise(alpha=0.1, kind="mean", patients=20, wanting=0)
    assert rule.why_no_promise == ""


def test_a_promised_cut_above_the_ctc_cut_or_the_best_leukocytes_is_lowered() -> None:
    rule = rule_of(HIGH, LOW, patients=20, alpha=0.9)
    assert rule.thresholds.review == min(rule.thresholds.ctc, 39.0)
    separate = rule_of(HIGH, [float(score) for score in range(-400, 0)], patients=20, alpha=0.9)
    assert separate.thresholds.review == -4.0


def test_without_a_promise_review_keeps_ninety_nine_of_a_hundred_ctcs() -> None:
    rule = rule_of([float(score) for score in range(1, 101)], [20.5] * 400, patients=3)
    assert rule.thresholds.review == 2.0
    assert rule.promise == Promise(alpha=0.1, kind="mean", patients=3, wanting=6)
    assert rule.why_no_promise == "3 patients with CTCs, expected 9 or more for alpha 0.1"


def test_review_is_no_empty_band_where_validation_has_no_miss() -> None:
    rule = rule_of([300.0 + score for score in range(10)], [float(score) for score in range(200)])
    assert rule.thresholds.ctc == (300.0 + 199.0) / 2
    assert rule.thresholds.review == 198.0


def test_without_a_calibration_review_goes_by_rank_and_promises_nothing() -> None:
    rule = rule_of([1.0] * 9, [0.0] * 50, patients=9, review_top=7)
    assert (rule.calibration, rule.promise) == (None, None)
    assert (rule.thresholds.review, rule.thresholds.review_top) == (None, 7)
    assert rule.why_no_promise == "the scores cannot be calibrated, and REVIEW goes by rank"


def test_the_rule_assumes_the_recipes_prevalence() -> None:
    given = rule_of(HIGH, LOW, prevalence=0.01).calibration
    plain = rule_of(HIGH, LOW).calibration
    assert given is not None
    assert plain is not None
    assert given.prevalence == 0.01
    assert plain.prevalence == pytest.approx(1 / 3)
    assert given.slope == plain.slope
    assert given.intercept < plain.intercept


logit_arrays = stn.arrays(np.float32, st.integers(4, 60), elements=st.floats(-30, 30, width=32))


@settings(deadline=None, max_examples=20)
@given(logits=logit_arrays, data=st.data())
def test_no_other_cut_has_a_larger_f1(logits: NDArray[np.float32], data: st.DataObject) -> None:
    truth = np.array(data.draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits))))
    if truth.all() or not truth.any():
        return
    found = f1_score(truth, logits >= ctc_cut(Scored(logits, truth)))
    assert found == pytest.approx(max(f1_score(truth, logits >= each) for each in np.unique(logits)))


@settings(deadline=None, max_examples=30)
@given(ctcs=logit_arrays, others=logit_arrays, patients=st.integers(1, 4))
def test_without_a_promise_review_keeps_its_share_as_the_product_decides(
    ctcs: NDArray[np.float32], others: NDArray[np.float32], patients: int
) -> None:
    rule = rule_of(ctcs.tolist(), others.tolist(), patients)
    if rule.calibration is None:
        return
    cuts = cuts_in_run(rule.thresholds, ())
    for logits, share in ((ctcs, 0.99), (others, 0.01)):
        verdicts = [decide(float(str(logit)), cuts, None).verdict for logit in logits]
        assert sum(verdict is not Verdict.LEUKOCYTE for verdict in verdicts) >= share * len(logits)


def test_calibration_wants_ten_of_each_class() -> None:
    assert calibration_of(scored([1.0] * 9, [0.0] * 50), None) is None


def test_calibration_is_refused_where_scores_fall_with_truth() -> None:
    assert calibration_of(scored([-1.0, -2.0] * 10, [1.0, 2.0] * 10), None) is None


def test_a_perfect_separation_has_a_finite_slope() -> None:
    found = calibration_of(scored([2.0 + i / 10 for i in range(12)], [-2.0 - i / 10 for i in range(30)]), None)
    assert found is not None
    assert 0 < found.slope < 20
    assert found.prevalence == pytest.approx(12 / 42)


def test_calibration_finds_the_logistic_that_drew_the_labels() -> None:
    generator = np.random.default_rng(7)
    logits = generator.normal(0, 3, 20_000).astype(np.float32)
    truth = generator.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    found = calibration_of(Scored(logits, truth), None)
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1, abs=0.08)


def test_the_intercept_moves_so_that_p_sums_to_the_count_at_another_prevalence() -> None:
    generator = np.random.default_rng(3)

    def drawn(ctcs: int, others: int) -> Scored:
        return scored(list(generator.normal(2, 1, ctcs)), list(generator.normal(-1, 1, others)))

    found = calibration_of(drawn(2_000, 2_000), 0.02)
    assert found is not None
    rare = drawn(2_000, 98_000)
    p = 1 / (1 + np.exp(-(found.slope * rare.logits + found.intercept)))
    assert p.sum() == pytest.approx(2_000, rel=0.1)


def test_a_prevalence_there_and_back_changes_nothing() -> None:
    here = Calibration(slope=2.0, intercept=-0.5, prevalence=0.3)
    there = at_prevalence(here, 0.01)
    assert there.intercept == pytest.approx(-0.5 + np.log(0.01 / 0.99) - np.log(0.3 / 0.7))
    assert at_prevalence(there, 0.3).intercept == pytest.approx(-0.5)


def test_figures_count_both_classes() -> None:
    cells = scored([3.0, 2.0], [1.0, 0.0, -1.0])
    figures = figures_of(cells, Thresholds(ctc=ctc_cut(cells), review_top=1))
    assert figures == {
        "validation_average_precision": 1.0,
        "validation_f1": 1.0,
        "validation_auc": 1.0,
        "validation_ctc": 2,
        "validation_leukocyte": 3,
    }
