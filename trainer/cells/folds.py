"""Cross-validation by patient: who is held out in each fold, and which cells of the others play which part."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_ctc.errors import ConfigError, DataError
from trainer.cells.dataset import LabelledCell
from trainer.cells.labels import Label
from trainer.cells.selection import cells_of
from trainer.cells.split import check_known, dealt, has_both, having, make_split, with_stopping, without
from trainer.recipe import Recipe, SplitRecipe


@dataclass(frozen=True, slots=True)
class Sample:
    """How many cells of each class are learned from, drawn from those of a fold that may be."""

    ctcs: int
    leukocytes: int

    def __post_init__(self) -> None:
        if min(self.ctcs, self.leukocytes) < 1:
            raise ConfigError(
                f"sample of {self.ctcs} CTCs and {self.leukocytes} leukocytes; expected 1 of each at least"
            )


@dataclass(frozen=True, slots=True)
class Folds:
    """How a cross-validation is laid out.

    Attributes:
        folds: parts of the patients, each held out once.
        seeds: repetitions, each with folds and draws of its own: seeds 0 to `seeds` - 1.
        sample: learn from so many cells only; None: from all.
    """

    folds: int
    seeds: int
    sample: Sample | None = None

    def __post_init__(self) -> None:
        if self.folds < 2 or self.seeds < 1:
            raise ConfigError(f"{self.folds} folds, {self.seeds} seeds; expected 2 folds and 1 seed at least")


@dataclass(frozen=True, slots=True)
class FoldCells:
    """The cells of one fold that can be evaluated, by part; no two parts share a patient.

    Attributes:
        train: learned from.
        stopping: say when to stop; none where the recipe has no patience.
        validation: choose thresholds and calibration.
        held_out: scored; nothing is chosen on them.
    """

    train: tuple[LabelledCell, ...]
    stopping: tuple[LabelledCell, ...]
    validation: tuple[LabelledCell, ...]
    held_out: tuple[LabelledCell, ...]

    def __post_init__(self) -> None:
        parts = (self.train, self.stopping, self.validation, self.held_out)
        count = Counter(patient for part in parts for patient in {cell.label.patient for cell in part})
        if shared := sorted(patient for patient, times in count.items() if times > 1):
            raise DataError(f"patients {shared} stand in two parts of a fold; each belongs to one")


def held_out_folds(labels: Sequence[Label], recipe: SplitRecipe, folds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """The patients held out in each fold: every one once, but for those that are only trained on.

    Args:
        labels: of all labelled cells, also of those that cannot be evaluated.
        recipe: who is never held out.
        folds: how many.
        seed: of the draw.

    Raises:
        DataError: a fold would lack a class.
        ConfigError: the recipe names patients to train or validate on, or a patient that has no cell.
    """
    check_known(recipe, sorted({label.patient for label in labels}))
    if recipe.train or recipe.validation:
        raise ConfigError(
            "split: the recipe names patients to train or validate on, but cross-validation holds each out once; "
            "take `train` and `validation` out of the recipe (`train_only` may stay)"
        )
    patients = without({label.patient for label in labels}, recipe.train_only)
    for name, wanted in (("CTC", True), ("LEUKOCYTE", False)):
        count = len(having(labels, patients, wanted))
        if count < folds:
            fewer = "ask for fewer folds, or " if count > 1 else ""
            raise DataError(
                f"{folds} folds, but only {count} patients that may be held out have a {name}: fold {count} would "
                f"have none; expected {folds} such patients: {fewer}label cells of more patients"
            )
    held_out = tuple(dealt(labels, patients, folds, seed))
    for number, members in enumerate(held_out):
        if not has_both(labels, members):
            raise DataError(
                f"seed {seed}, fold {number}: patients {list(members)[:10]} have not both classes; "
                "ask for fewer folds, or label cells of more patients"
            )
    return held_out


def fold_cells(
    cells: Sequence[LabelledCell], held_out: Sequence[str], recipe: Recipe, sample: Sample | None
) -> FoldCells:
    """The parts of one fold.

    Validation patients are drawn from those that are not held out. A sample is drawn from the cells of the rest, and
    stopping patients from the sample's: a training that learns from 60 CTCs has seen no label of another one.
    Its thresholds and calibration still come from validation cells, that is from labels beyond the sample. Whoever has
    60 lacks them; of the figures, `f1_at_half` and those of the ranking need none.

    Args:
        cells: all that can be evaluated.
        held_out: patients of the fold.
        recipe: its seed, its patience, and who is only trained on.
        sample: how many cells to learn from.

    Raises:
        DataError: too few patients or cells are left.
    """
    outside = set(held_out)
    left = [cell for cell in cells if cell.label.patient not in outside]
    split = make_split(left, recipe.split, recipe.seed)
    learned = cells_of(left, split.train)
    if sample is not None:
        learned = _sampled(learned, sample, np.random.default_rng(recipe.seed))
        split = replace(split, train=tuple(sorted({cell.label.patient for cell in learned})))
    if recipe.patience is not None:
        split = with_stopping(split, learned, recipe.split, recipe.seed)
    return FoldCells(
        train=cells_of(learned, split.train),
        stopping=cells_of(learned, split.stopping),
        validation=cells_of(left, split.validation),
        held_out=cells_of(cells, held_out),
    )


def _sampled(cells: Sequence[LabelledCell], sample: Sample, draw: np.random.Generator) -> tuple[LabelledCell, ...]:
    chosen: list[int] = []
    for name, is_ctc, count in (("CTCs", True, sample.ctcs), ("leukocytes", False, sample.leukocytes)):
        places = [place for place, cell in enumerate(cells) if cell.label.is_ctc == is_ctc]
        if len(places) < count:
            raise DataError(f"{len(places)} {name} to learn from, the sample wants {count}; ask for fewer")
        chosen += draw.choice(places, count, replace=False).tolist()
    return tuple(cells[place] for place in sorted(chosen))
