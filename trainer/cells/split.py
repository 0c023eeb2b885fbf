"""Which patients are trained on, which say when to stop, which choose the thresholds.

A patient is never split. All draws are scikit-learn's StratifiedGroupKFold: patients whole, classes spread evenly.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from edge_ctc.errors import ConfigError, DataError
from trainer.cells.dataset import LabelledCell
from trainer.cells.labels import Label
from trainer.recipe import SplitRecipe

_SIDES = 4
"""Thresholds rest on the validation patients' CTCs alone: a quarter leaves both sides enough of them."""


@dataclass(frozen=True, slots=True)
class Split:
    """Patients by part, each sorted.

    Attributes:
        train: trained on.
        validation: choose thresholds and calibration.
        unused: named for no part by a recipe that names both, or without a cell that can be evaluated.
        stopping: say when to stop; none where the recipe has no patience.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    unused: tuple[str, ...] = ()
    stopping: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = Counter([*self.train, *self.validation, *self.unused, *self.stopping])
        twice = sorted(patient for patient, count in named.items() if count > 1)
        if twice:
            raise DataError(f"patients {twice} stand in two parts of the split; each belongs to one")

    def with_unused(self, patients: Iterable[str]) -> Self:
        """The same split, and those of `patients` that stand in no part yet among the unused."""
        strangers = set(patients).difference(self.train, self.validation, self.unused, self.stopping)
        return replace(self, unused=tuple(sorted((*self.unused, *strangers))))


def make_split(cells: Sequence[LabelledCell], recipe: SplitRecipe, seed: int) -> Split:
    """Take the patients that the recipe names, and draw the rest by `seed`; nobody stops yet.

    Raises:
        DataError: one patient only, one class only, or no split with both classes on both sides.
        ConfigError: the recipe names a patient that has no cell.
    """
    labels = [cell.label for cell in cells]
    patients = sorted({label.patient for label in labels})
    _check_enough(labels, patients)
    check_known(recipe, patients)
    free = without(patients, {*(recipe.train or ()), *(recipe.validation or ()), *recipe.train_only})
    if recipe.validation is not None:
        split = Split(recipe.train or free, recipe.validation, free if recipe.train else ())
    elif recipe.train is not None:
        split = Split(recipe.train, free)
    else:
        validation = _drawn(labels, free, recipe.train_only, seed)
        split = Split(without(free, validation), validation)
    if recipe.train_only:
        split = replace(split, train=tuple(sorted((*split.train, *recipe.train_only))))
    for part, members in (("train", split.train), ("validation", split.validation)):
        if not has_both(labels, members):
            raise DataError(f"split: {part} patients {list(members)} have not both classes; name others in the recipe")
    return split


def with_stopping(split: Split, cells: Sequence[LabelledCell], recipe: SplitRecipe, seed: int) -> Split:
    """The same split, and a quarter of its train patients, never one of `recipe.train_only`, for stopping instead.

    Raises:
        DataError: no quarter leaves both classes on both sides.
    """
    labels = [cell.label for cell in cells]
    stopping = _drawn(labels, without(split.train, recipe.train_only), recipe.train_only, seed)
    return replace(split, train=without(split.train, stopping), stopping=stopping)


def check_known(recipe: SplitRecipe, patients: Sequence[str]) -> None:
    """Refuse a recipe that names a patient who has no cell.

    Raises:
        ConfigError: it does.
    """
    named = {*(recipe.train or ()), *(recipe.validation or ()), *recipe.train_only}
    if strangers := sorted(named.difference(patients)):
        raise ConfigError(f"split: the recipe names {strangers}, the labels have {patients}; name patients with cells")


def _check_enough(labels: Sequence[Label], patients: Sequence[str]) -> None:
    if not has_both(labels, patients):
        only = "CTC" if labels[0].is_ctc else "LEUKOCYTE"
        raise DataError(f"all {len(labels)} cells are {only}; expected both classes: label some of the other")
    if len(patients) < 2:
        raise DataError(
            f"all {len(labels)} cells are of one patient ({patients[0]}); expected two or more, since what a network "
            "learned of a patient says nothing of another: label cells of another patient"
        )


def _drawn(labels: Sequence[Label], patients: Sequence[str], fixed: Sequence[str], seed: int) -> tuple[str, ...]:
    """About a quarter of `patients`, with both classes, that leaves both to the others and `fixed`."""
    for side in _sides(labels, patients, seed):
        if has_both(labels, side) and has_both(labels, {*patients, *fixed}.difference(side)):
            return side
    raise DataError(
        f"split: however the {len(patients)} patients are parted, one side lacks a class; "
        "expected CTC and LEUKOCYTE of two patients or more"
    )


def _sides(labels: Sequence[Label], patients: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """A quarter, else a third, else a half; last the smallest sides, which a greedy deal of few patients may miss."""
    ctc, leukocyte = having(labels, patients, True), having(labels, patients, False)
    for sides in range(min(_SIDES, len(ctc), len(leukocyte)), 1, -1):
        yield from dealt(labels, patients, sides, seed)
    for patient in sorted(ctc & leukocyte):
        yield (patient,)
    if ctc and leukocyte:
        yield tuple(sorted({min(ctc), min(leukocyte)}))


def dealt(labels: Sequence[Label], patients: Iterable[str], sides: int, seed: int) -> Iterator[tuple[str, ...]]:
    """`patients` in so many sides, classes spread evenly; each class needs so many patients."""
    members = set(patients)
    chosen = [label for label in labels if label.patient in members]
    groups = np.array([label.patient for label in chosen])
    classes = np.array([label.is_ctc for label in chosen])
    dealer = StratifiedGroupKFold(sides, shuffle=True, random_state=seed)
    for _, side in dealer.split(classes, classes, groups):
        yield tuple(np.unique(groups[side]).tolist())


def having(labels: Sequence[Label], patients: Iterable[str], is_ctc: bool) -> set[str]:
    """Those of `patients` who have a cell of the class."""
    return {label.patient for label in labels if label.is_ctc == is_ctc}.intersection(patients)


def has_both(labels: Sequence[Label], patients: Iterable[str]) -> bool:
    """Whether the cells of `patients` are of both classes."""
    members = set(patients)
    return len({label.is_ctc for label in labels if label.patient in members}) == 2


def without(patients: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Those of `patients` that are none of `others`, sorted."""
    return tuple(sorted(set(patients).difference(others)))
