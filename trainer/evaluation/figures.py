"""The figures of an out-of-fold table, each with its interval over patients; the only module that imports torchmetrics.

A CTC that cannot be evaluated is ranked last and never called: it counts as missed everywhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError
from trainer.evaluation.bootstrap import RESAMPLES, SPECIFICITIES, drawn_weights, precision_at, resampled
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.evaluation.verdict_counts import called_at_half, called_ctc, found_in_run
from trainer.learning import torchvision_on_cpu  # noqa: F401 - torchmetrics imports torchvision, which it mends

# isort: split
from torchmetrics.functional.classification import binary_sensitivity_at_specificity

NAMES = (
    "f1_ctc",
    "f1_macro",
    "f1_weighted",
    "f1_at_half",
    "precision_at_prevalence",
    "recall_in_top",
    "average_precision_per_fold",
    "average_precision",
    "roc_auc",
    *(f"sensitivity_at_specificity_{specificity:g}" for specificity in SPECIFICITIES),
)
"""`f1_at_half` and those from `recall_in_top` on need no threshold, and so no validation label."""

VERDICTS = tuple(verdict.value for verdict in (Verdict.CTC, Verdict.REVIEW, Verdict.LEUKOCYTE, Verdict.NOT_EVALUABLE))

_PERCENTILES = (2.5, 97.5)
_LAST = np.finfo(np.float32).min
"""The score of a cell without one, where a library takes no infinity."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the figures that need it assume.

    Attributes:
        prevalence: share of CTCs at which precision is stated, 0 to 1, exclusive.
        top: candidates per run that a reader looks at.
        seed: of the bootstrap.
    """

    prevalence: float
    top: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, or one difference of two.

    Attributes:
        name: one of `NAMES`.
        value: mean over the seeds; NaN where it is not defined, such as the precision where nothing is called.
        low: of the 95 % interval over patients; NaN where no resample has the figure.
        high: of the same.
        seed_sd: standard deviation over the seeds; NaN with one seed.
        undefined: resamples without the figure, left out of the interval.
    """

    name: str
    value: float
    low: float
    high: float
    seed_sd: float
    undefined: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, means over the seeds.

    Attributes:
        run_id: of the run.
        patients: whose cells it holds.
        ctcs: labelled ones.
        leukocytes: labelled ones.
        not_evaluable: cells of either class without a score.
        ctcs_called: CTCs called CTC.
        ctcs_review: CTCs called REVIEW.
        ctcs_missed: CTCs called LEUKOCYTE, or not evaluable.
        leukocytes_called: leukocytes called CTC.
        leukocytes_review: leukocytes called REVIEW.
        ctcs_in_top: CTCs among the best cells that a reader looks at.
        expected_ctcs: sum of p_ctc, mean over the seeds in which every cell with a score has one; NaN where none has.
    """

    run_id: str
    patients: tuple[str, ...]
    ctcs: int
    leukocytes: int
    not_evaluable: int
    ctcs_called: float
    ctcs_review: float
    ctcs_missed: float
    leukocytes_called: float
    leukocytes_review: float
    ctcs_in_top: float
    expected_ctcs: float


def figures_of(table: OutOfFold, asked: Asked) -> tuple[Figure, ...]:
    """Every figure of `NAMES`: computed per seed over all folds together, then averaged over the seeds.

    Scores of several networks are ranked together, as they come. Where their scales differ, ranking figures are as a
    rule lower than each fold's own. `average_precision_per_fold` ranks the cells of one network alone, and is the mean
    over the folds, each at its own prevalence.

    Raises:
        DataError: the table lacks a class.
    """
    points = _points(table, asked)
    return _figures(points, _resamples(table, asked))


def differences(first: OutOfFold, second: OutOfFold, asked: Asked) -> tuple[Figure, ...]:
    """Every figure of `second` less that of `first`, with intervals of the same resampled patients.

    What makes one patient harder than another is in both tables and cancels: the interval of the difference is far
    narrower than the two intervals suggest. Seeds are paired where both tables have the same.

    Raises:
        DataError: a table lacks a class, or they are not of the same cells and seeds.
    """
    for name in ("seed", "run_id", "cell_id", "patient", "is_ctc"):
        if not np.array_equal(getattr(first, name), getattr(second, name)):
            raise DataError(
                f"two out-of-fold tables differ in {name}; compare evaluations of the same labels and seeds"
            )
    points = _points(second, asked) - _points(first, asked)
    return _figures(points, _resamples(second, asked) - _resamples(first, asked))


def confusion(table: OutOfFold) -> NDArray[np.float64]:
    """Cells by verdict and truth, float64 (4, 2): rows `VERDICTS`, columns CTC, LEUKOCYTE; means over the seeds."""
    counts = [[np.count_nonzero(table.verdict[table.is_ctc == kind] == one) for kind in (1, 0)] for one in VERDICTS]
    return np.array(counts, np.float64) / len(table.seeds)


def per_run(table: OutOfFold, asked: Asked) -> tuple[RunRow, ...]:
    """One row per run, by name."""
    found = np.zeros(len(table.seed), np.bool_)
    for seed in table.seeds:
        found[table.seed == seed] = found_in_run(table.of_seed(seed), asked.top)[0]
    return tuple(_run_row(table, run_id, found) for run_id in np.unique(table.run_id).tolist())


def _run_row(table: OutOfFold, run_id: str, found: NDArray[np.bool_]) -> RunRow:
    here, seeds = table.run_id == run_id, len(table.seeds)

    def mean(is_ctc: bool, *verdicts: Verdict) -> float:
        return float(np.count_nonzero(here & (table.is_ctc == is_ctc) & np.isin(table.verdict, verdicts))) / seeds

    return RunRow(
        run_id=run_id,
        patients=tuple(np.unique(table.patient[here]).tolist()),
        ctcs=int(np.count_nonzero(here & table.is_ctc)) // seeds,
        leukocytes=int(np.count_nonzero(here & ~table.is_ctc)) // seeds,
        not_evaluable=int(np.count_nonzero(here & ~table.evaluable)) // seeds,
        ctcs_called=mean(True, Verdict.CTC),
        ctcs_review=mean(True, Verdict.REVIEW),
        ctcs_missed=mean(True, Verdict.LEUKOCYTE, Verdict.NOT_EVALUABLE),
        leukocytes_called=mean(False, Verdict.CTC),
        leukocytes_review=mean(False, Verdict.REVIEW),
        ctcs_in_top=float(np.count_nonzero(here & found)) / seeds,
        expected_ctcs=_expected(table, here & table.evaluable),
    )


def _expected(table: OutOfFold, cells: NDArray[np.bool_]) -> float:
    sums = np.array([table.p_ctc[cells & (table.seed == seed)].sum() for seed in table.seeds])
    known = sums[~np.isnan(sums)]
    return float(known.mean()) if known.size else np.nan


def _figures(points: NDArray[np.float64], resamples: NDArray[np.float64]) -> tuple[Figure, ...]:
    """Of points (seeds, F) and resamples (B, F)."""
    return tuple(_figure(name, points[:, place], resamples[:, place]) for place, name in enumerate(NAMES))


def _figure(name: str, points: NDArray[np.float64], resamples: NDArray[np.float64]) -> Figure:
    defined = resamples[~np.isnan(resamples)]
    low, high = np.percentile(defined, _PERCENTILES).tolist() if defined.size else (np.nan, np.nan)
    seed_sd = float(points.std(ddof=1)) if len(points) > 1 else np.nan
    return Figure(name, float(points.mean()), low, high, seed_sd, RESAMPLES - len(defined))


def _resamples(table: OutOfFold, asked: Asked) -> NDArray[np.float64]:
    weights = drawn_weights(len(np.unique(table.patient)), asked.seed)
    repetitions = [resampled(table.of_seed(seed), weights, asked.prevalence, asked.top) for seed in table.seeds]
    mean: NDArray[np.float64] = np.mean(repetitions, axis=0)
    return mean


def _points(table: OutOfFold, asked: Asked) -> NDArray[np.float64]:
    """Float64 (seeds, F)."""
    if table.is_ctc.all() or not table.is_ctc.any():
        raise DataError("out-of-fold table: cells of one class; no figure can be computed, label some of the other")
    return np.array([_of_one_seed(table.of_seed(seed), asked) for seed in table.seeds])


def _of_one_seed(table: OutOfFold, asked: Asked) -> list[float]:
    truth, called = table.is_ctc, called_ctc(table)
    # Ranks instead of logits: torchmetrics puts scores through a sigmoid, in which the highest would become one.
    _, rank = np.unique(np.where(table.evaluable, table.logit, -np.inf), return_inverse=True)
    order, target = torch.from_numpy(rank / (rank.max() + 1)), torch.from_numpy(truth.astype(np.int64))
    kept = [float(binary_sensitivity_at_specificity(order, target, one)[0]) for one in SPECIFICITIES]
    return [
        *(float(f1_score(truth, called, average=kind, zero_division=0)) for kind in ("binary", "macro", "weighted")),
        float(f1_score(truth, called_at_half(table), zero_division=0)),
        _precision(truth, called, asked.prevalence),
        _recall_in_top(table, asked.top),
        _average_precision_per_fold(table),
        float(average_precision_score(truth, rank)),
        float(roc_auc_score(truth, rank)),
        *kept,
    ]


def _precision(truth: NDArray[np.bool_], called: NDArray[np.bool_], prevalence: float) -> float:
    with np.errstate(invalid="ignore"):
        return float(precision_at(prevalence, called[truth].mean(), called[~truth].mean()))


def _recall_in_top(table: OutOfFold, top: int) -> float:
    """The mean over the runs with CTCs."""
    found, share = found_in_run(table, top)
    return float((found * share).sum() / share.sum())


def _average_precision_per_fold(table: OutOfFold) -> float:
    """The mean over the folds with both classes; NaN where none has."""
    folds = [table.of_fold(fold) for fold in np.unique(table.fold).tolist()]
    mixed = [one for one in folds if 0 < np.count_nonzero(one.is_ctc) < len(one.is_ctc)]
    own = [average_precision_score(one.is_ctc, np.where(one.evaluable, one.logit, _LAST)) for one in mixed]
    return float(np.mean(own)) if own else np.nan
