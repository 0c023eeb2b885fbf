"""What validation scores tell: calibration, thresholds, the promise, figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from edge_ctc.description import Calibration, Promise, Thresholds
from trainer.decision.promise import PatientScores, PromisedCut, decimal_of, promised_cut
from trainer.recipe import Recipe

REVIEW_SENSITIVITY = 0.99
"""Share of the CTCs that reach REVIEW or CTC where no miss rate can be promised."""
REVIEW_LEUKOCYTES = 0.01
"""Share of the leukocytes that reach REVIEW or CTC at least: a reader's ten looks in a thousand cells, so that
a validation without a miss does not leave a bare list of yes and no."""
FEWEST_TO_CALIBRATE = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores with the truth.

    Attributes:
        logits: float32 (N,).
        is_ctc: bool (N,), both classes present.
    """

    logits: NDArray[np.float32]
    is_ctc: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How a score becomes p_ctc and a verdict, as checkpoint.json says it.

    Attributes:
        calibration: None: p_ctc stays empty, and REVIEW goes by rank.
        thresholds: of the verdicts.
        promise: of the miss rate; None where REVIEW goes by rank, which promises nothing.
        why_no_promise: why nothing is promised; empty where something is.
    """

    calibration: Calibration | None
    thresholds: Thresholds
    promise: Promise | None
    why_no_promise: str


def decision_rule_of(scored: Scored, patients: Sequence[PatientScores], recipe: Recipe) -> DecisionRule:
    """Calibration, thresholds and promise, of patients whom no training saw.

    Args:
        scored: their cells that can be evaluated.
        patients: those of them with a CTC, its cells that cannot be evaluated included.
        recipe: says prevalence, alpha and review_top.
    """
    ctc = ctc_cut(scored)
    calibration = calibration_of(scored, recipe.prevalence)
    if calibration is None:
        why = "the scores cannot be calibrated, and REVIEW goes by rank"
        return DecisionRule(None, Thresholds(ctc=ctc, review_top=recipe.review_top), None, why)
    promised = promised_cut(patients, recipe.alpha)
    thresholds = Thresholds(ctc=ctc, review=min(ctc, _review_cut(scored, promised)))
    return DecisionRule(calibration, thresholds, promised.promise, promised.why_none)


def ctc_cut(scored: Scored) -> float:
    """Where F1 is largest, half-way to the next lower score, so that no engine's rounding moves a cell across it."""
    precision, recall, cuts = precision_recall_curve(scored.is_ctc, scored.logits)
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], np.finfo(float).tiny)
    best = int(f1.argmax())
    below = scored.logits[scored.logits < cuts[best]]
    return decimal_of(cuts[best]) if below.size == 0 else (float(cuts[best]) + float(below.max())) / 2


def _review_cut(scored: Scored, promised: PromisedCut) -> float:
    """The promised cut, or the one that keeps 99 % of the CTCs; lower where less than 1 % of the leukocytes reach it.

    A lower cut keeps every promise that a higher one does.
    """
    most_ctcs = _keeping(REVIEW_SENSITIVITY, scored.logits[scored.is_ctc])
    some_leukocytes = _keeping(REVIEW_LEUKOCYTES, scored.logits[~scored.is_ctc])
    return min(most_ctcs if promised.cut is None else promised.cut, some_leukocytes)


def _keeping(share: float, logits: NDArray[np.float32]) -> float:
    """The largest score that at least `share` of the cells reach."""
    falling = np.sort(logits)[::-1]
    return decimal_of(falling[math.ceil(share * len(falling)) - 1])


def calibration_of(scored: Scored, prevalence: float | None) -> Calibration | None:
    """Platt's slope and intercept; None where a class has fewer than ten cells, or scores do not rise with truth.

    With the targets (n + 1) / (n + 2) of Platt, Probabilistic Outputs for Support Vector Machines (1999),
    eq. 2.2, as weights: without them a perfect separation would have an infinite slope.

    Args:
        scored: cells of patients whom no training saw.
        prevalence: what p_ctc shall assume, 0..1, exclusive; None: the share of CTCs in `scored`.
    """
    is_ctc = scored.is_ctc
    positives, negatives = int(is_ctc.sum()), int((~is_ctc).sum())
    if min(positives, negatives) < FEWEST_TO_CALIBRATE:
        return None
    target = np.where(is_ctc, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scores = np.tile(scored.logits.astype(np.float64), 2)[:, None]
    truth = np.repeat([1, 0], len(target))
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(scores, truth, np.concatenate([target, 1 - target]))
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        return None
    found = Calibration(slope=slope, intercept=intercept, prevalence=positives / len(is_ctc))
    return found if prevalence is None else at_prevalence(found, prevalence)


def at_prevalence(calibration: Calibration, prevalence: float) -> Calibration:
    """The same calibration where another share of the cells is CTC.

    The intercept moves by the difference of the two log odds: King and Zeng, Logistic Regression in Rare Events Data,
    Political Analysis 9:137 (2001), eq. 7. It rests on CTCs, and leukocytes, that score alike in both places.
    """
    shift = _logit(prevalence) - _logit(calibration.prevalence)
    return Calibration(slope=calibration.slope, intercept=calibration.intercept + shift, prevalence=prevalence)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def figures_of(scored: Scored, thresholds: Thresholds) -> dict[str, float | int | str | None]:
    """Figures of the validation patients; the thresholds were chosen on the same cells."""
    called = scored.logits >= thresholds.ctc
    return {
        "validation_average_precision": round(float(average_precision_score(scored.is_ctc, scored.logits)), 4),
        "validation_f1": round(float(f1_score(scored.is_ctc, called)), 4),
        "validation_auc": round(float(roc_auc_score(scored.is_ctc, scored.logits)), 4),
        "validation_ctc": int(scored.is_ctc.sum()),
        "validation_leukocyte": int((~scored.is_ctc).sum()),
    }
