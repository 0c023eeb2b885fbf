"""What validation scores tell: thresholds, calibration, figures."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from edge_ctc.description import Calibration, Thresholds

REVIEW_SENSITIVITY = 0.99
"""Share of the CTCs that reach REVIEW or CTC."""
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


def thresholds_of(scored: Scored) -> Thresholds:
    """CTC where F1 is largest; REVIEW at the largest score that keeps 99 % of the CTCs and 1 % of the leukocytes.

    REVIEW never lies above CTC.

    The CTC cut lies half-way to the next lower score, so that no engine's rounding moves a cell across it.
    """
    precision, recall, cuts = precision_recall_curve(scored.is_ctc, scored.logits)
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], np.finfo(float).tiny)
    best = int(f1.argmax())
    below = scored.logits[scored.logits < cuts[best]]
    ctc = float(cuts[best]) if below.size == 0 else (float(cuts[best]) + float(below.max())) / 2
    review = min(
        _keeping(REVIEW_SENSITIVITY, scored.logits[scored.is_ctc]),
        _keeping(REVIEW_LEUKOCYTES, scored.logits[~scored.is_ctc]),
    )
    return Thresholds(ctc=ctc, review=min(review, ctc))


def _keeping(share: float, logits: NDArray[np.float32]) -> float:
    """The largest score that at least `share` of the cells reach."""
    falling = np.sort(logits)[::-1]
    # The product compares the shortest decimal of a float32, so the cut is written as the same decimal.
    return float(str(falling[math.ceil(share * len(falling)) - 1]))


def calibration_of(scored: Scored) -> Calibration | None:
    """Platt's slope and intercept; None where a class has fewer than ten cells, or scores do not rise with truth.

    With the targets (n + 1) / (n + 2) of Platt, Probabilistic Outputs for Support Vector Machines (1999),
    eq. 2.2, as weights: without them a perfect separation would have an infinite slope.
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
    return Calibration(slope=slope, intercept=intercept, prevalence=positives / len(is_ctc))


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
