"""The command `evaluate`: cross-validate a recipe, and write figures, pictures and a report."""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_ctc import durable
from edge_ctc.appearance import measure_each
from edge_ctc.errors import ResultsError
from trainer.cells.dataset import Dataset
from trainer.cells.folds import Folds
from trainer.cells.identity import dataset_sha256
from trainer.cells.selection import truth_of
from trainer.evaluation.audit import audit, audit_markdown
from trainer.evaluation.calibration_evidence import calibration_evidence
from trainer.evaluation.crossval import PARTS, cross_validate, read_results
from trainer.evaluation.figures import VERDICTS, Asked, confusion, figures_of, per_run
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.fit import Order, described_dataset
from trainer.learning.start import read_start
from trainer.pages.plots import confusion_matrix, precision_recall, reliability, training_curves
from trainer.pages.report import Findings, write_report
from trainer.pages.sheet import worst_errors
from trainer.progress import Reporter

OUT_OF_FOLD, FIGURES, REPORT = "out_of_fold.csv", "figures.json", "report.md"

USUAL_PREVALENCE = 0.01
"""Ten CTCs in a thousand leukocytes, where a recipe says nothing else."""


def evaluate(order: Order, folds: Folds, reporter: Reporter) -> Findings:
    """Cross-validate `order.recipe` on the labelled runs, and write what was found into `order.out`.

    An evaluation that was killed goes on where it stood. One that has ended writes its report anew.

    Raises:
        InputMissingError: runs or labels are not there.
        RunError: a run cannot be read, or is none.
        DataError: labels contradict what is there, a fold would lack a class, or `order.out` holds parts of another
            experiment or a spoilt one.
        ConfigError: recipe or profile do not fit the runs.
        ResultsError: `order.out` holds something else, or cannot be written; what stood there still stands.
        EngineError: a score is not finite.
    """
    _refuse_strange(order.out)
    dataset, data = described_dataset(order, reporter)
    recipe = order.recipe
    table = cross_validate(dataset, recipe, folds, order.out, reporter)
    prevalence = USUAL_PREVALENCE if recipe.prevalence is None else recipe.prevalence
    asked = Asked(prevalence=prevalence, top=recipe.review_top)
    reporter.say("computing figures and their intervals")
    found = Findings(
        recipe=recipe,
        folds=folds,
        asked=asked,
        table=table,
        figures=figures_of(table, asked),
        calibration=calibration_evidence(table, recipe.prevalence),
        results=read_results(order.out, folds),
    )
    sections = {"Shortcuts": _shortcuts(table, dataset), "Data": "\n".join(map(_bullet, data.lines))}
    _write(order.out, _contents(found, dataset, write_report(found, dataset, sections)))
    return found


def _bullet(line: str) -> str:
    """Markdown of a line of the data, which is indented where it belongs to the one before."""
    return f"{line[: len(line) - len(line.lstrip())]}- {line.lstrip()}"


def _refuse_strange(out: Path) -> None:
    try:
        strange = out.is_symlink() or (out.exists() and not out.is_dir())
        strange = strange or (out.is_dir() and any(out.iterdir()) and not (out / PARTS).is_dir())
    except OSError as error:
        raise ResultsError(f"{out}: cannot be looked at ({error.strerror}); name another --out") from error
    if strange:
        raise ResultsError(f"{out}: holds something that is no evaluation; name another --out")


def _shortcuts(table: OutOfFold, dataset: Dataset) -> str:
    """The audit of one seed's scores: a mean over seeds would be another network than any of them, and a better one."""
    one = table.of_seed(table.seeds[0])
    named = zip(one.run_id.tolist(), one.cell_id.tolist(), strict=True)
    logits = dict(zip(named, one.logit.tolist(), strict=True))
    scored = [(cell, logits.get((cell.label.run_id, cell.label.cell_id), math.nan)) for cell in dataset.cells]
    kept = [(cell, logit) for cell, logit in scored if not math.isnan(logit)]
    is_ctc = truth_of([cell for cell, _ in kept])
    if is_ctc.all() or not is_ctc.any():
        return "None: cells of one class alone have scores."
    looks = measure_each([cell.counts for cell, _ in kept], dataset.bits)
    found = audit(looks, is_ctc, dataset.channels, np.array([logit for _, logit in kept], np.float32))
    return "\n".join([f"Scores of seed {table.seeds[0]}.", "", *audit_markdown(found)])


def _contents(found: Findings, dataset: Dataset, report: str) -> dict[str, bytes]:
    """All files by name, whole before the first is written."""
    contents = {
        OUT_OF_FOLD: found.table.to_csv(),
        FIGURES: json.dumps(_as_json(_summary(found, dataset)), indent=1, allow_nan=False).encode() + b"\n",
        REPORT: report.encode(),
        "training_curves.png": training_curves(found.results),
        "precision_recall.png": precision_recall(found.table),
        "confusion.png": confusion_matrix(found.table),
        "worst_errors.png": worst_errors(found.table, dataset),
    }
    if found.calibration is not None:
        contents["reliability.png"] = reliability(found.calibration)
    return contents


def _summary(found: Findings, dataset: Dataset) -> dict[str, Any]:
    table = found.table
    counts = [[float(count) for count in row] for row in confusion(table)]
    return {
        "schema_version": 1,
        "recipe": found.recipe.model_dump(mode="json"),
        "start_sha256": read_start(found.recipe).sha256,
        "data_sha256": dataset_sha256(dataset),
        "folds": asdict(found.folds),
        "assumed": asdict(found.asked),
        "patients": len(set(table.patient.tolist())),
        "figures": {one.name: asdict(one) for one in found.figures},
        "confusion": {
            verdict: {"CTC": row[0], "LEUKOCYTE": row[1]} for verdict, row in zip(VERDICTS, counts, strict=True)
        },
        "calibration": None if found.calibration is None else asdict(found.calibration),
        "runs": [asdict(row) for row in per_run(table, found.asked)],
    }


def _as_json(value: Any) -> Any:
    """JSON knows no NaN: null."""
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _write(out: Path, contents: Mapping[str, bytes]) -> None:
    """All of them staged before the first appears: a full disk leaves what stood there."""
    with durable.sole_writer(out), contextlib.ExitStack() as stack:
        for left in durable.cut_short(out):
            durable.mend(left)
        staged = [
            stack.enter_context(durable.staged(out / name, durable.writing(content)))
            for name, content in contents.items()
        ]
        for one in staged:
            one.publish()
