"""Cross-validation by patient: folds times seeds of networks, each cell scored by one that never saw its patient."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_ctc import durable
from edge_ctc.decision import NOT_EVALUABLE, Decision, cuts_in_run, decide
from edge_ctc.errors import DataError, EngineError
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.folds import FoldCells, Folds, Sample, fold_cells, held_out_folds
from trainer.cells.identity import dataset_sha256
from trainer.cells.labels import CLASSES, Label
from trainer.cells.selection import left_out_of, truth_of
from trainer.decision.measure import DecisionRule
from trainer.decision.validation import rule_from
from trainer.evaluation.fold_result import FoldResult, read_result, write_result
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.learning.start import Start, read_start
from trainer.learning.training import Parts, Trained, scores, train_network
from trainer.learning.work_folder import WorkFolder
from trainer.out_folder import make_folder
from trainer.progress import Reporter
from trainer.recipe import Recipe

__all__ = ["FoldResult", "Folds", "OutOfFold", "Sample", "cross_validate", "read_results"]

PARTS = "parts"
_WORK = ".work"


@dataclass(frozen=True, slots=True)
class _Experiment:
    dataset: Dataset
    recipe: Recipe
    folds: Folds
    start: Start
    fingerprint: str
    parts: Path

    def labels(self) -> list[Label]:
        return [cell.label for cell in self.dataset.cells] + [one.label for one in self.dataset.left_out]

    def cells(self, seed: int, held_out: Sequence[str], where: str) -> FoldCells:
        """The cells of the fold `where`; a DataError names it."""
        try:
            return fold_cells(self.dataset.cells, held_out, self.seeded(seed), self.folds.sample)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error

    def seeded(self, seed: int) -> Recipe:
        """The recipe of one repetition."""
        return self.recipe.model_copy(update={"seed": seed})

    def path(self, seed: int, fold: int) -> Path:
        return self.parts / f"seed-{seed}-fold-{fold}.json"


def cross_validate(dataset: Dataset, recipe: Recipe, folds: Folds, out: Path, reporter: Reporter) -> OutOfFold:
    """Train a network for every fold and seed, and let it score the patients whom it never saw.

    Each finished fold stays in `out/parts`; what was killed goes on there, inside a fold after its last epoch. More
    seeds can be added to what is finished. The recipe's own seed plays no part: the repetitions are seeds 0, 1, 2, ...

    Args:
        dataset: all labelled cells.
        recipe: how to train.
        folds: how the patients are parted, and how often.
        out: folder of the experiment; made if need be.
        reporter: told of each fold.

    Returns:
        One row per seed and labelled cell, but for patients that are only trained on. A cell that cannot be evaluated
        has a row without a logit.

    Raises:
        DataError: a part of a fold would lack a class, or `out/parts` holds another experiment or is spoilt.
        ConfigError: the recipe does not fit.
        ResultsError: `out` cannot be written.
        EngineError: a score is not finite.
    """
    start = read_start(recipe)
    experiment = _Experiment(dataset, recipe, folds, start, _fingerprint(dataset, recipe, folds, start), out / PARTS)
    # All folds of all seeds before the first training: a part without positives shows at once, not after hours.
    labels = experiment.labels()
    held_out = [held_out_folds(labels, recipe.split, folds.folds, seed) for seed in range(folds.seeds)]
    for seed, fold in _places(folds):
        if not experiment.path(seed, fold).exists():
            experiment.cells(seed, held_out[seed][fold], f"seed {seed}, fold {fold}")
    make_folder(experiment.parts)
    with durable.sole_writer(experiment.parts):
        done = {place: part for place in _places(folds) if (part := _finished(experiment, *place)) is not None}
        for number, (seed, fold) in enumerate(_places(folds), 1):
            if (seed, fold) not in done:
                done[seed, fold] = _new(experiment, seed, fold, held_out[seed][fold], reporter)
            reporter.advanced("folds", number, folds.folds * folds.seeds, f"seed {seed}, fold {fold}")
    table = OutOfFold.of_rows([row for place in _places(folds) for row in done[place].rows])
    _check_complete(table, labels, recipe)
    return table


def read_results(out: Path, folds: Folds) -> tuple[FoldResult, ...]:
    """Every fold's result of a cross-validation that has ended in `out`, by seed and fold.

    Raises:
        DataError: one is missing or spoilt.
    """
    return tuple(read_result(out / PARTS / f"seed-{seed}-fold-{fold}.json") for seed, fold in _places(folds))


def _places(folds: Folds) -> list[tuple[int, int]]:
    return [(seed, fold) for seed in range(folds.seeds) for fold in range(folds.folds)]


def _fingerprint(dataset: Dataset, recipe: Recipe, folds: Folds, start: Start) -> str:
    """sha256 of all that decides a fold's rows; the number of seeds and the recipe's own seed do not."""
    sample = None if folds.sample is None else (folds.sample.ctcs, folds.sample.leukocytes)
    layout = [folds.folds, sample, recipe.model_copy(update={"seed": 0}).model_dump(mode="json"), start.sha256]
    facts = [dataset_sha256(dataset), layout, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _finished(experiment: _Experiment, seed: int, fold: int) -> FoldResult | None:
    path = experiment.path(seed, fold)
    durable.mend(path)
    if not path.exists():
        return None
    part = read_result(path)
    if part.fingerprint != experiment.fingerprint:
        raise DataError(
            f"{path}: of another recipe, labels, images, folds or torch ({part.fingerprint[:12]}…, now "
            f"{experiment.fingerprint[:12]}…); go on with those, or name another --out"
        )
    # A kill between the result and the tidying after it leaves the training behind.
    shutil.rmtree(path.with_suffix(_WORK), ignore_errors=True)
    return part


def _new(experiment: _Experiment, seed: int, fold: int, held_out: Sequence[str], reporter: Reporter) -> FoldResult:
    """Train the fold, on from where it stands, and keep what it gave."""
    where = f"seed {seed}, fold {fold}"
    reporter.say(where)
    recipe, cells = experiment.seeded(seed), experiment.cells(seed, held_out, where)
    path = experiment.path(seed, fold)
    own = hashlib.sha256(f"{experiment.fingerprint} {seed} {fold}".encode()).hexdigest()
    work = WorkFolder(path.with_suffix(_WORK), own)
    parts = Parts(cells.train, cells.stopping)
    trained = train_network(parts, experiment.dataset, recipe, experiment.start, work, reporter)
    left_out = left_out_of(experiment.dataset, [cell.label.patient for cell in cells.validation])
    rule = rule_from(cells.validation, _finite(trained, cells.validation), left_out, recipe)
    share = float(truth_of(cells.train).mean())
    decided = _decided(trained, cells.held_out, rule)
    unscored = [(label, None, NOT_EVALUABLE) for label in left_out_of(experiment.dataset, held_out)]
    result = FoldResult(
        schema_version=1,
        fingerprint=experiment.fingerprint,
        seed=seed,
        fold=fold,
        cells=_counts(cells),
        thresholds=rule.thresholds,
        calibration=rule.calibration,
        promise=rule.promise,
        epochs=trained.epochs,
        rows=tuple(
            (seed, fold, *_named(label), logit, decision.p_ctc, decision.verdict.value, share)
            for label, logit, decision in (*decided, *unscored)
        ),
    )
    write_result(path, result)
    work.remove()
    return result


def _decided(
    trained: Trained, cells: Sequence[LabelledCell], rule: DecisionRule
) -> list[tuple[Label, float | None, Decision]]:
    """Every cell with its logit and what it means in its run."""
    logits = _finite(trained, cells).tolist() if cells else []
    by_run: dict[str, list[float]] = {}
    for cell, logit in zip(cells, logits, strict=True):
        by_run.setdefault(cell.label.run_id, []).append(logit)
    cuts = {run_id: cuts_in_run(rule.thresholds, found) for run_id, found in by_run.items()}
    return [
        (cell.label, logit, decide(logit, cuts[cell.label.run_id], rule.calibration))
        for cell, logit in zip(cells, logits, strict=True)
    ]


def _named(label: Label) -> tuple[str, str, str, str]:
    return (label.run_id, label.cell_id, label.patient, CLASSES[label.is_ctc])


def _finite(trained: Trained, cells: Sequence[LabelledCell]) -> NDArray[np.float32]:
    logits = scores(trained, cells)
    if not np.isfinite(logits).all():
        raise EngineError(
            f"{np.count_nonzero(~np.isfinite(logits))} of {len(logits)} scores are not finite; "
            "lower the recipe's learning_rate and begin anew in another --out"
        )
    return logits


def _counts(cells: FoldCells) -> dict[str, tuple[int, int]]:
    parts = {field.name: truth_of(getattr(cells, field.name)) for field in fields(cells)}
    return {name: (int(truth.sum()), int((~truth).sum())) for name, truth in parts.items()}


def _check_complete(table: OutOfFold, labels: Sequence[Label], recipe: Recipe) -> None:
    wanted = {(one.run_id, one.cell_id) for one in labels if one.patient not in recipe.split.train_only}
    found = set(zip(table.run_id.tolist(), table.cell_id.tolist(), strict=True))
    if strange := sorted(found ^ wanted):
        raise DataError(f"out-of-fold table: {len(strange)} cells too many or missing, first {strange[0]}; begin anew")
