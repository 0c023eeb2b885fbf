"""Logit to calibrated probability to verdict: the one place that knows thresholds."""

import heapq
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_ctc.cells import Verdict
from edge_ctc.description import Calibration, Thresholds
from edge_ctc.quality import BLUR, EDGE, EMPTY, SATURATED
from edge_ctc.trust import LEAST_CELLS


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


@dataclass(frozen=True, slots=True)
class Cuts:
    """The cuts of one run, on the score (logit).

    Attributes:
        ctc: CTC at it and above.
        review: REVIEW from it up to `ctc`, LEUKOCYTE below; at most `ctc`.
        review_top: the best cells of the run that `review` was laid by; None: it is the checkpoint's own.
    """

    ctc: float
    review: float
    review_top: int | None


def cuts_in_run(thresholds: Thresholds, scores: Collection[float]) -> Cuts:
    """The cuts of the run whose evaluable cells have these finite scores.

    By rank, REVIEW begins at the score of the run's `review_top`-th best cell, CTCs counted, at the lowest where the
    run has fewer, and never above the CTC cut, which it is in a run without any. So at least so many cells are CTC or
    REVIEW, and all that have the score of the last of them.
    """
    best = [] if thresholds.review_top is None else heapq.nlargest(thresholds.review_top, scores)
    highest = thresholds.ctc if thresholds.review is None else thresholds.review
    return Cuts(thresholds.ctc, min([highest, *best]), thresholds.review_top)


def decide(score: float, cuts: Cuts, calibration: Calibration | None) -> Decision:
    """The decision for a finite score (logit); a score that equals a threshold has reached it."""
    if score >= cuts.ctc:
        verdict, reason = Verdict.CTC, "score reaches threshold_ctc"
    elif score >= cuts.review:
        verdict, reason = Verdict.REVIEW, _why_review(cuts)
    else:
        verdict, reason = Verdict.LEUKOCYTE, "score below threshold_review"
    return Decision(verdict, None if calibration is None else _probability(score, calibration), reason)


OUT_OF_DISTRIBUTION = "out of distribution"

MOST_DOUBTED = 0.20
"""Share of a run's evaluable cells: what holds of more speaks of the run, and of no cell in particular."""

DOUBTED_FLAGS = (EMPTY, SATURATED, BLUR, EDGE)
"""Of such images nobody could be sure. The other flags tell of the cell: most large ones, and pairs, are no CTCs."""


def doubts_of(flags: Sequence[str], ood_score: float | None, ood_cut: float | None) -> tuple[str, ...]:
    """Why a score below REVIEW is not to be believed, the gravest first; it may be believed where there is nothing.

    Args:
        flags: of the call.
        ood_score: of the call; None: not known.
        ood_cut: of the checkpoint; None: it has none.
    """
    found = [flag for flag in DOUBTED_FLAGS if flag in flags]
    if ood_score is not None and ood_cut is not None and ood_score > ood_cut:
        found.append(OUT_OF_DISTRIBUTION)
    return tuple(found)


def believed_in_run(doubts: Sequence[Sequence[str]]) -> frozenset[str]:
    """Those doubts that send cells of this run to REVIEW: each that holds of `MOST_DOUBTED` of them at most.

    A run that is too small to be judged as a whole believes all of them. The others make the run red.

    Args:
        doubts: of every evaluable cell of the run.
    """
    counts = Counter(doubt for of_one in doubts for doubt in of_one)
    if len(doubts) < LEAST_CELLS:
        return frozenset(counts)
    return frozenset(doubt for doubt, count in counts.items() if count <= MOST_DOUBTED * len(doubts))


def doubted(decision: Decision, doubts: Sequence[str], believed: Collection[str]) -> Decision:
    """LEUKOCYTE becomes REVIEW where there is a doubt; nothing ever becomes CTC, and a CTC in doubt stays one."""
    reasons = [doubt for doubt in doubts if doubt in believed]
    if not reasons:
        return decision
    verdict = Verdict.REVIEW if decision.verdict is Verdict.LEUKOCYTE else decision.verdict
    return Decision(verdict, decision.p_ctc, f"{decision.reason}, but {' and '.join(reasons)}")


def _why_review(cuts: Cuts) -> str:
    if cuts.review_top is None:
        return "score between threshold_review and threshold_ctc"
    return f"among the {cuts.review_top} best of the run"


def _probability(score: float, calibration: Calibration) -> float:
    logit = calibration.slope * score + calibration.intercept
    # The exponential of a negative number does not overflow, however far the logit.
    small = math.exp(-abs(logit))
    return float(f"{(1 if logit >= 0 else small) / (1 + small):.6g}")
