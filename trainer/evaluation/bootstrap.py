"""Bootstrap over patients: figures of many resamples at once, without scoring a cell anew.

A resample draws as many patients as there are, with replacement; a patient drawn twice counts twice, with all cells. So
a resample is a weight per patient, and every figure a sum or a ranking of weighted cells. Efron and Tibshirani, An
Introduction to the Bootstrap (1993), chapter 13, percentile intervals. Patients, not cells, are drawn: the cells of one
patient resemble each other, and an interval over cells would promise what it cannot keep.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.out_of_fold import OutOfFold
from trainer.evaluation.verdict_counts import called_at_half, called_ctc, found_in_run

RESAMPLES = 1000
SPECIFICITIES = (0.95, 0.99, 0.999)

_WEIGHTS_AT_ONCE = 300_000
_ROUNDING = 1e-9


def drawn_weights(patients: int, seed: int) -> NDArray[np.float64]:
    """How often each patient is in each resample, float64 (`RESAMPLES`, patients)."""
    even = np.full(patients, 1 / patients)
    return np.random.default_rng(seed).multinomial(patients, even, RESAMPLES).astype(np.float64)


def resampled(table: OutOfFold, weights: NDArray[np.float64], prevalence: float, top: int) -> NDArray[np.float64]:
    """The figures of every resample of one repetition.

    Args:
        table: every cell once.
        weights: float64 (B, P), of the patients in sorted order.
        prevalence: of `precision_at_prevalence`.
        top: candidates per run of `recall_in_top`.

    Returns:
        Float64 (B, F), in the order of `trainer.evaluation.figures.NAMES`; NaN where a resample lacks a class, or a
        figure is not defined.
    """
    _, patient = np.unique(table.patient, return_inverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.column_stack(
            [
                _counted(table, patient, weights, prevalence, top),
                _per_fold(table, patient, weights),
                _ranked(table, patient, weights),
            ]
        )
    has_both = [weights @ np.bincount(patient, table.is_ctc == kind, weights.shape[1]) > 0 for kind in (True, False)]
    found[~(has_both[0] & has_both[1])] = np.nan
    return found


def _counted(
    table: OutOfFold, patient: NDArray[np.intp], weights: NDArray[np.float64], prevalence: float, top: int
) -> NDArray[np.float64]:
    """Figures of verdicts, (B, 6): sums per patient, weighted."""

    def total(cells: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ np.bincount(patient, cells, weights.shape[1])

    is_ctc, called, half = table.is_ctc, called_ctc(table), called_at_half(table)
    ctcs, leukocytes = total(is_ctc), total(~is_ctc)
    right, wrong = total(called & is_ctc), total(called & ~is_ctc)
    f1_ctc = 2 * right / (right + wrong + ctcs)
    f1_leukocyte = 2 * (leukocytes - wrong) / (2 * leukocytes - wrong + ctcs - right)
    f1_at_half = 2 * total(half & is_ctc) / (total(half) + ctcs)
    found, share = found_in_run(table, top)
    return np.column_stack(
        [
            f1_ctc,
            (f1_ctc + f1_leukocyte) / 2,
            (ctcs * f1_ctc + leukocytes * f1_leukocyte) / (ctcs + leukocytes),
            f1_at_half,
            precision_at(prevalence, right / ctcs, wrong / leukocytes),
            total(found * share) / total(share),
        ]
    )


def precision_at(
    prevalence: float, sensitivity: NDArray[np.float64], false_alarms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bayes: the share of CTCs among the cells called CTC where `prevalence` of all are; NaN where none is called.

    Args:
        prevalence: 0 to 1.
        sensitivity: share of the CTCs that are called CTC.
        false_alarms: share of the leukocytes that are called CTC.
    """
    right = sensitivity * prevalence
    return right / (right + false_alarms * (1 - prevalence))


def _per_fold(table: OutOfFold, patient: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision of each fold's own ranking, (B,): mean over the folds of which a resample has both classes."""
    folds = np.unique(table.fold).tolist()
    own = np.array([_ranked(table.of_fold(fold), patient[table.fold == fold], weights)[:, :2] for fold in folds])
    # Without either class there is no area under the ROC curve.
    has_both = ~np.isnan(own[..., 1])
    mean: NDArray[np.float64] = np.where(has_both, own[..., 0], 0).sum(axis=0) / has_both.sum(axis=0)
    return mean


def _ranked(table: OutOfFold, patient: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Figures of the ranking, (B, 2 + S), some resamples at a time; a cell without a score comes last."""
    score = np.where(table.evaluable, table.logit, -np.inf)
    order = np.argsort(-score, kind="stable")
    # Cells of one score are one step: no order among them is better than another.
    ends = np.flatnonzero(np.append(score[order][1:] != score[order][:-1], True))
    is_ctc = table.is_ctc[order]
    steps = max(1, len(order) * len(weights) // _WEIGHTS_AT_ONCE)
    parts = [_ranking(chunk[:, patient[order]], is_ctc, ends) for chunk in np.array_split(weights, steps)]
    return np.concatenate(parts)


def _ranking(weight: NDArray[np.float64], is_ctc: NDArray[np.bool_], ends: NDArray[np.intp]) -> NDArray[np.float64]:
    """AP, AUC and sensitivities at `SPECIFICITIES` of cells in falling order.

    Args:
        weight: float64 (B, N), of each cell.
        is_ctc: bool (N,).
        ends: the last cell of each step of the ranking.
    """
    right = np.cumsum(weight * is_ctc, axis=1)[:, ends]
    wrong = np.cumsum(weight * ~is_ctc, axis=1)[:, ends]
    ctcs, leukocytes = right[:, -1:], wrong[:, -1:]
    gained = np.diff(right, axis=1, prepend=0)
    precision = right / np.maximum(right + wrong, np.finfo(float).tiny)
    average_precision = (gained * precision).sum(axis=1) / ctcs[:, 0]
    beaten = leukocytes - wrong + np.diff(wrong, axis=1, prepend=0) / 2
    area = (gained * beaten).sum(axis=1) / (ctcs * leukocytes)[:, 0]
    kept = [
        np.where(wrong <= (1 - specificity) * leukocytes + _ROUNDING, right, 0).max(axis=1) / ctcs[:, 0]
        for specificity in SPECIFICITIES
    ]
    return np.column_stack([average_precision, area, *kept])
