"""Whether p_ctc means what it says: evidence from cells of patients who fitted nothing."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainer.evaluation.out_of_fold import OutOfFold

EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the bins of p_ctc, which hold every cell that has one; most leukocytes lie in the first."""

_SMALLEST = 1e-6
"""p_ctc has six digits: at 1 its logit would be infinite."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Cells with p_ctc from `low` up to `high`; means over the seeds.

    Attributes:
        low: of p_ctc, included.
        high: of p_ctc, included in the last bin only.
        cells: how many.
        expected: the sum of their p_ctc.
        ctcs: how many of them are CTCs.
    """

    low: float
    high: float
    cells: float
    expected: float
    ctcs: float


@dataclass(frozen=True, slots=True)
class CalibrationEvidence:
    """What the out-of-fold p_ctc says against the truth.

    Attributes:
        slope: of truth on the logit of p_ctc, mean over the seeds; 1 is right, under 1 too sure of itself. None
            where the classes part without overlap in some seed.
        intercept: of the same refit; 0 is right, above 0 p_ctc is too small.
        expected: the sum of p_ctc over all cells, mean over the seeds.
        ctcs: how many CTCs there are among the same cells.
        without: labelled cells without p_ctc, mean over the seeds.
        moved_from: the prevalence that p_ctc assumes, where that is not the prevalence of these cells: their odds were
            moved to the latter before anything was compared. None where nothing was moved.
        bins: between `EDGES`.
    """

    slope: float | None
    intercept: float | None
    expected: float
    ctcs: float
    without: float
    moved_from: float | None
    bins: tuple[Bin, ...]


def calibration_evidence(table: OutOfFold, assumed: float | None) -> CalibrationEvidence | None:
    """The evidence; None where no cell has a p_ctc.

    The refit is Cox's: Two further applications of a model for binary regression, Biometrika 45:562 (1958).

    Args:
        table: of all seeds.
        assumed: the prevalence that the recipe lets p_ctc assume; None: that of the validation cells.
    """
    known = ~np.isnan(table.p_ctc)
    if not known.any():
        return None
    p, truth, seed = table.p_ctc[known], table.is_ctc[known], table.seed[known]
    if assumed is not None and 0 < truth.mean() < 1:
        p = _moved(p, assumed, float(truth.mean()))
    fits = [_refit(p[seed == one], truth[seed == one]) for one in np.unique(seed)]
    fitted = [fit for fit in fits if fit is not None]
    whole = len(fitted) == len(fits)
    seeds = len(table.seeds)
    return CalibrationEvidence(
        slope=float(np.mean([fit[0] for fit in fitted])) if whole else None,
        intercept=float(np.mean([fit[1] for fit in fitted])) if whole else None,
        expected=float(p.sum()) / seeds,
        ctcs=float(np.count_nonzero(truth)) / seeds,
        without=float(np.count_nonzero(~known)) / seeds,
        moved_from=assumed,
        bins=tuple(_bin(p, truth, low, high, seeds) for low, high in pairwise(EDGES)),
    )


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    logit: NDArray[np.float64] = np.log(inside / (1 - inside))
    return logit


def _moved(p: NDArray[np.float64], assumed: float, found: float) -> NDArray[np.float64]:
    shift = _logit(np.array([found])) - _logit(np.array([assumed]))
    moved: NDArray[np.float64] = 1 / (1 + np.exp(-(_logit(p) + shift)))
    return moved


def _refit(p: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Slope and intercept; None where a class is missing or both part without overlap: any slope would fit."""
    if truth.all() or not truth.any() or p[truth].min() >= p[~truth].max() or p[truth].max() <= p[~truth].min():
        return None
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(_logit(p)[:, None], truth)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _bin(p: NDArray[np.float64], truth: NDArray[np.bool_], low: float, high: float, seeds: int) -> Bin:
    inside = (p >= low) & ((p < high) | (high == EDGES[-1]))
    return Bin(
        low,
        high,
        cells=float(np.count_nonzero(inside)) / seeds,
        expected=float(p[inside].sum()) / seeds,
        ctcs=float(np.count_nonzero(inside & truth)) / seeds,
    )
