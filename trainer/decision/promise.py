"""A promised miss rate: the cut below which a cell is called LEUKOCYTE, by conformal risk control.

Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal Risk Control", ICLR 2024, Theorem 1. The unit is a patient with
at least one CTC. The loss of a patient at a cut is the share of the CTCs that are missed: their scores lie below the
cut, or they are not evaluable, which no cut changes. It lies between 0 and B = 1 and does not fall as the cut rises.
With n patients whom no training saw, the cut is the largest at which

    n / (n + 1) * (mean loss) + B / (n + 1) <= alpha

Then the next patient's loss is at most alpha **in the mean** over that patient and the n, as long as all n + 1 are
exchangeable: drawn alike, none chosen by the result. That is less than it may sound: of the sets of n patients that one
might have had, some give a cut whose own mean loss lies above alpha. A promise for all but a share delta of those sets
is another one, which risk-controlling prediction sets (Bates et al., J. ACM 2021) or Learn then Test (Angelopoulos et
al., 2021) give; it is not given here. Nor is one for each patient.

At fewer than 1 / alpha - 1 patients B alone exceeds what is allowed: nothing can be promised, whatever the scores.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edge_ctc.description import Promise
from edge_ctc.errors import DataError


@dataclass(frozen=True, slots=True)
class PatientScores:
    """The CTCs of one patient, one at least.

    Attributes:
        scores: float32 (M,), logits of those that can be evaluated.
        not_evaluable: how many cannot.
    """

    scores: NDArray[np.float32]
    not_evaluable: int

    def __post_init__(self) -> None:
        if self.ctcs == 0:
            raise DataError("a patient without a CTC: nothing can be missed; leave the patient out of the promise")

    @property
    def ctcs(self) -> int:
        """All CTCs of the patient, 1 or more."""
        return len(self.scores) + self.not_evaluable


@dataclass(frozen=True, slots=True)
class PromisedCut:
    """What can be promised.

    Attributes:
        promise: as checkpoint.json says it.
        cut: on the score, a CTC's score as `decimal_of` writes it; None: no guarantee.
        why_none: why there is no guarantee; empty where there is one.
    """

    promise: Promise
    cut: float | None
    why_none: str


def patients_with_ctcs(
    patients: Sequence[str], is_ctc: NDArray[np.bool_], logits: NDArray[np.float32]
) -> tuple[PatientScores, ...]:
    """The patients that a promise can rest on, those without a CTC left out.

    Args:
        patients: whose cell it is, N of them.
        is_ctc: bool (N,).
        logits: float32 (N,), NaN for a cell that cannot be evaluated.
    """
    of = np.array(patients, dtype=object)
    per_patient = (logits[is_ctc & (of == patient)] for patient in dict.fromkeys(of[is_ctc]))
    return tuple(PatientScores(found[~np.isnan(found)], int(np.isnan(found).sum())) for found in per_patient)


def promised_cut(patients: Sequence[PatientScores], alpha: float) -> PromisedCut:
    """The largest cut that keeps the promise, see above; a smaller one keeps it too.

    Fractions, not floats: at n = 1 / alpha - 1 the two sides are equal.

    Args:
        patients: exchangeable with those to come; their order does not matter.
        alpha: 0 < alpha < 1.
    """
    allowed = Fraction(str(alpha))
    lost = sum((Fraction(patient.not_evaluable, patient.ctcs) for patient in patients), Fraction(0))
    wanting = max(0, math.ceil((lost + 1) / allowed) - 1 - len(patients))
    promise = Promise(alpha=alpha, kind="mean", patients=len(patients), wanting=wanting)
    if wanting:
        return PromisedCut(promise, None, _why_none(promise, lost))
    return PromisedCut(promise, _largest_cut(patients, (len(patients) + 1) * allowed - 1 - lost), "")


def _why_none(promise: Promise, lost: Fraction) -> str:
    fewest = math.ceil(1 / Fraction(str(promise.alpha))) - 1
    if promise.patients < fewest:
        return f"{promise.patients} patients with CTCs, expected {fewest} or more for alpha {promise.alpha:g}"
    return (
        f"too many CTCs cannot be evaluated, {float(lost / promise.patients):.3g} of a patient's in the mean; "
        f"no cut keeps alpha {promise.alpha:g}"
    )


def _largest_cut(patients: Sequence[PatientScores], allowed: Fraction) -> float:
    """The largest score of a CTC below which CTCs of a summed loss of at most `allowed` lie, 0 or more."""
    unit = math.lcm(*(patient.ctcs for patient in patients))
    losses = [unit // patient.ctcs for patient in patients for _ in patient.scores]
    scores = np.concatenate([patient.scores for patient in patients])
    order = np.argsort(scores)
    # Equal scores are missed together, so only the first of them is a cut.
    cuts, first = np.unique(scores[order], return_index=True)
    missed = [0, *accumulate(losses[index] for index in order)]
    kept = bisect_right([missed[place] for place in first], math.floor(allowed * unit))
    return decimal_of(cuts[kept - 1])


def mean_loss(patients: Sequence[PatientScores], cut: float) -> float:
    """Mean over patients, 0..1, of the share of CTCs that score below `cut` or cannot be evaluated."""
    return float(np.mean([((p.scores < cut).sum() + p.not_evaluable) / p.ctcs for p in patients]))


def decimal_of(score: np.float32) -> float:
    """The shortest decimal of a float32: what the product writes and compares, so a cut at a score must be it."""
    return float(str(score))
