"""report.md: an evaluation in words and tables, for whoever must believe it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.cells.dataset import Dataset
from trainer.cells.folds import Folds
from trainer.evaluation.calibration_evidence import CalibrationEvidence
from trainer.evaluation.figures import VERDICTS, Asked, Figure, RunRow, confusion, per_run
from trainer.evaluation.fold_result import FoldResult
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.pages.caveats import what_figures_rest_on, what_recall_rests_on
from trainer.recipe import Recipe

_NAMED_PATIENTS = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """What an evaluation found.

    Attributes:
        recipe: that every network was trained by.
        folds: how the patients were parted.
        asked: what the figures assume.
        table: every cell of every seed.
        figures: of the table.
        calibration: evidence; None where no fold could calibrate.
        results: of each fold.
    """

    recipe: Recipe
    folds: Folds
    asked: Asked
    table: OutOfFold
    figures: tuple[Figure, ...]
    calibration: CalibrationEvidence | None
    results: tuple[FoldResult, ...]


def write_report(found: Findings, dataset: Dataset, sections: Mapping[str, str]) -> str:
    """The report as Markdown.

    Args:
        found: by the cross-validation.
        dataset: of the labelled cells.
        sections: more of them, Markdown by heading: the data, the shortcut audit.
    """
    parts = [f"# Evaluation of {found.recipe.name}", *([found.recipe.notice] if found.recipe.notice else [])]
    runs = per_run(found.table, found.asked)
    parts += [_how(found), "## Figures", _figures(found), *_caveats(found, runs, dataset)]
    parts += ["![Precision and recall](precision_recall.png)", "## Verdicts", _confusion(found.table)]
    parts += ["![Confusion](confusion.png)", "![Worst errors](worst_errors.png)"]
    parts += ["## Runs", _runs(runs, found.asked), *_assumed(found.calibration)]
    parts += ["## Calibration", *_calibration(found.calibration)]
    parts += ["## What was chosen in each fold, on its validation patients", _chosen(found.results)]
    parts += ["![Training curves](training_curves.png)", "## Cells that cannot be evaluated", _left_out(dataset)]
    for heading, text in sections.items():
        parts += [f"## {heading}", text]
    return "\n\n".join(parts) + "\n"


def _how(found: Findings) -> str:
    one, folds = found.table.of_seed(found.table.seeds[0]), found.folds
    ctcs = int(np.count_nonzero(one.is_ctc))
    said = (
        f"{ctcs} CTCs and {len(one.is_ctc) - ctcs} leukocytes of {len(np.unique(one.patient))} patients, "
        f"{folds.folds} folds, {folds.seeds} seeds. Every cell was scored by networks that saw no cell of its patient. "
        "Thresholds, calibration and promise were chosen on yet other patients, those who validate in each fold. "
        "A CTC that cannot be evaluated counts as missed."
    )
    if folds.sample is not None:
        said += (
            f"\n\nEach network learned from {folds.sample.ctcs} CTCs and {folds.sample.leukocytes} leukocytes. Its "
            "thresholds were chosen on labels beyond these, which a laboratory with so few does not have: "
            "of the F1 figures, the one at even odds alone rests on the sample's labels."
        )
    if fixed := found.recipe.split.train_only:
        said += f"\n\nOnly trained on, never held out: {', '.join(fixed)}."
    return said


def titles(asked: Asked) -> dict[str, str]:
    """What each figure is, in words."""
    return {
        "f1_ctc": "F1 of CTC, verdict CTC",
        "f1_macro": "F1, mean of both classes",
        "f1_weighted": "F1, mean of both classes weighted by their cells",
        "f1_at_half": "F1 of CTC at even odds, no threshold chosen",
        "precision_at_prevalence": f"precision of verdict CTC where {asked.prevalence:g} of the cells are CTCs",
        "recall_in_top": f"recall at {asked.top} candidates per run, mean over runs with CTCs",
        "average_precision_per_fold": "average precision, mean over the folds of each network's own",
        "average_precision": "average precision, scores of all folds in one ranking",
        "roc_auc": "area under the ROC curve",
    } | {
        f"sensitivity_at_specificity_{one}": f"sensitivity at specificity {one}, read off the ROC curve"
        for one in ("0.95", "0.99", "0.999")
    }


def _figures(found: Findings) -> str:
    names = titles(found.asked)
    rows = [
        (names[one.name], _number(one.value), f"{_number(one.low)} to {_number(one.high)}", _number(one.seed_sd))
        for one in found.figures
    ]
    intervals = (
        "95 % intervals: percentile bootstrap over patients. The sd tells how far seeds and folds alone move it."
    )
    return _table(("figure", "mean of the seeds", "95 % interval", "sd of the seeds"), rows) + f"\n\n{intervals}"


def _caveats(found: Findings, runs: Sequence[RunRow], dataset: Dataset) -> tuple[str, str]:
    return what_figures_rest_on(found.table, found.figures), what_recall_rests_on(runs, dataset.unlabelled, found.asked)


def _assumed(evidence: CalibrationEvidence | None) -> list[str]:
    if evidence is None or evidence.moved_from is None:
        return []
    return [
        f"p_ctc assumes that {evidence.moved_from:g} of the cells are CTCs: hold its sums against the CTCs of a run "
        "only where that is so."
    ]


def _confusion(table: OutOfFold) -> str:
    rows = [
        (verdict, f"{ctcs:.1f}", f"{others:.1f}")
        for verdict, (ctcs, others) in zip(VERDICTS, confusion(table), strict=True)
    ]
    return _table(("verdict, mean of the seeds", "CTCs", "leukocytes"), rows)


def _runs(runs: Sequence[RunRow], asked: Asked) -> str:
    heads = ["run", "patients", "CTCs", "called CTC", "REVIEW", "missed", f"in the top {asked.top}", "sum of p_ctc"]
    heads += ["leukocytes", "called CTC", "REVIEW", "not evaluable"]
    rows = [
        (
            *(one.run_id, _patients(one.patients), str(one.ctcs)),
            *(f"{count:.1f}" for count in (one.ctcs_called, one.ctcs_review, one.ctcs_missed, one.ctcs_in_top)),
            *(_number(one.expected_ctcs), str(one.leukocytes)),
            *(f"{count:.1f}" for count in (one.leukocytes_called, one.leukocytes_review)),
            str(one.not_evaluable),
        )
        for one in runs
    ]
    return _table(heads, rows)


def _patients(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED_PATIENTS else f"{len(names)} patients"


def _calibration(evidence: CalibrationEvidence | None) -> list[str]:
    if evidence is None:
        return [
            "None: the validation patients of every fold have too few cells, or their scores do not rise with truth."
        ]
    slope, intercept = (_number(math.nan if value is None else value) for value in (evidence.slope, evidence.intercept))
    said = (
        f"Refit of the truth on p_ctc: slope {slope} (1 is right, less is too sure of itself), intercept {intercept} "
        f"(0 is right, more means that p_ctc is too small). Sum of p_ctc {evidence.expected:.1f}, "
        f"CTCs among the same cells {evidence.ctcs:.1f}. Cells without p_ctc: {evidence.without:.1f}."
    )
    if evidence.moved_from is not None:
        said += f" p_ctc assumes a prevalence of {evidence.moved_from:g}; it was moved to that of these cells first."
    rows = [
        (f"{one.low:g} to {one.high:g}", f"{one.cells:.1f}", f"{one.expected:.1f}", f"{one.ctcs:.1f}")
        for one in evidence.bins
    ]
    bins = _table(("p_ctc", "cells", "sum of p_ctc", "CTCs"), rows)
    return [said, bins, "![Reliability](reliability.png)"]


def _chosen(results: Sequence[FoldResult]) -> str:
    parts = tuple(results[0].cells)
    heads = ["seed", "fold", *(f"{part.replace('_', ' ')} (CTC + leukocytes)" for part in parts)]
    heads += ["cut CTC", "cut REVIEW", "p_ctc", "promise", "epochs"]
    rows = [
        (
            *(str(one.seed), str(one.fold), *(f"{ctcs} + {others}" for ctcs, others in one.cells.values())),
            *(f"{one.thresholds.ctc:.3g}", _review(one), _scaling(one), _promised(one), str(len(one.epochs))),
        )
        for one in results
    ]
    return _table(heads, rows)


def _review(result: FoldResult) -> str:
    cut = result.thresholds.review
    return f"top {result.thresholds.review_top}" if cut is None else f"{cut:.3g}"


def _scaling(result: FoldResult) -> str:
    known = result.calibration
    return "none" if known is None else f"slope {known.slope:.3g}, intercept {known.intercept:.3g}"


def _promised(result: FoldResult) -> str:
    if result.promise is None:
        return "none"
    wanting = f"none, {result.promise.wanting} patients wanting"
    return wanting if result.promise.wanting else f"{result.promise.alpha:g} in the mean"


def _left_out(dataset: Dataset) -> str:
    if not dataset.left_out:
        return "None."
    rows = [(one.label.run_id, one.label.cell_id, one.problem) for one in dataset.left_out]
    return _table(("run", "cell", "problem"), rows)


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(one.replace("|", "\\|") for one in row) + " |" for row in cells)
