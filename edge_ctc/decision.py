"""Logit to calibrated probability to verdict: the one place that knows thresholds."""

import math
from dataclasses import dataclass

from edge_ctc.cells import Verdict
from edge_ctc.description import Calibration, Thresholds


@dataclass(frozen=True, slots=True)
class Decision:
    """What the score of one cell means.

    Attributes:
        verdict: of the cell.
        p_ctc: calibrated probability, six significant digits; None where the checkpoint has no calibration.
        reason: the verdict's reason in words.
    """

    verdict: Verdict
    p_ctc: float | None
    reason: str


NOT_EVALUABLE = Decision(Verdict.NOT_EVALUABLE, None, "")
"""Of a cell without a score; its reason is what its files say."""


def decide(score: float, thresholds: Thresholds, calibration: Calibration | None) -> Decision:
    """The decision for a finite score (logit); a score that equals a threshold has reached it."""
    if score >= thresholds.ctc:
        verdict, reason = Verdict.CTC, "score reaches threshold_ctc"
    elif score >= thresholds.review:
        verdict, reason = Verdict.REVIEW, "score between threshold_review and threshold_ctc"
    else:
        verdict, reason = Verdict.LEUKOCYTE, "score below threshold_review"
    return Decision(verdict, None if calibration is None else _probability(score, calibration), reason)


def _probability(score: float, calibration: Calibration) -> float:
    logit = calibration.slope * score + calibration.intercept
    # The exponential of a negative number does not overflow, however far the logit.
    small = math.exp(-abs(logit))
    return float(f"{(1 if logit >= 0 else small) / (1 + small):.6g}")
