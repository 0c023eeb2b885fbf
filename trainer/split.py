"""Which patients are trained on and which choose the thresholds. A patient is never split."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from edge_ctc.errors import ConfigError, DataError
from trainer.data import LabelledCell
from trainer.recipe import SplitRecipe

_VALIDATION_SHARE = 0.25
"""Thresholds rest on the validation patients' CTCs alone: a quarter leaves both sides enough of them."""


@dataclass(frozen=True, slots=True)
class Split:
    """Patients by part, each sorted.

    Attributes:
        train: trained on.
        validation: choose thresholds and calibration.
        unused: named for no part by a recipe that names both, or without a cell that can be evaluated.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = [*self.train, *self.validation, *self.unused]
        twice = sorted({patient for patient in named if named.count(patient) > 1})
        if twice:
            raise DataError(f"patients {twice} stand in two parts of the split; each belongs to one")

    def with_unused(self, patients: Iterable[str]) -> Self:
        """The same split, and those of `patients` that stand in no part yet among the unused."""
        strangers = set(patients).difference(self.train, self.validation, self.unused)
        return replace(self, unused=tuple(sorted((*self.unused, *strangers))))


def make_split(cells: Sequence[LabelledCell], recipe: SplitRecipe, seed: int) -> Split:
    """Give every patient to one part, so that both parts have both classes.

    Raises:
        DataError: one patient only, one class only, or no split with both classes on both sides.
        ConfigError: the recipe names a patient that has no cell.
    """
    patients = sorted({cell.label.patient for cell in cells})
    _check_enough(cells, patients)
    named = {*(recipe.train or ()), *(recipe.validation or ())}
    if strangers := sorted(named.difference(patients)):
        raise ConfigError(f"split: the recipe names {strangers}, the labels have {patients}; name patients with cells")
    free = [patient for patient in patients if patient not in named]
    if recipe.validation is not None:
        train = recipe.train or tuple(free)
        split = Split(train, recipe.validation, tuple(free) if recipe.train else ())
    elif recipe.train is not None:
        split = Split(recipe.train, tuple(free))
    else:
        split = _drawn(cells, patients, seed)
    for part, members in (("train", split.train), ("validation", split.validation)):
        if not _has_both(cells, members):
            raise DataError(f"split: {part} patients {list(members)} have not both classes; name others in the recipe")
    return split


def _check_enough(cells: Sequence[LabelledCell], patients: Sequence[str]) -> None:
    if not _has_both(cells, patients):
        only = "CTC" if cells[0].label.is_ctc else "LEUKOCYTE"
        raise DataError(f"all {len(cells)} cells are {only}; expected both classes: label some of the other")
    if len(patients) < 2:
        raise DataError(
            f"all {len(cells)} cells are of one patient ({patients[0]}); expected two or more, since what a network "
            "learned of a patient says nothing of another: label cells of another patient"
        )


def _drawn(cells: Sequence[LabelledCell], patients: list[str], seed: int) -> Split:
    """The first run of neighbours in a shuffled circle that leaves both classes on both sides, the smallest first."""
    circle = random.Random(seed).sample(patients, len(patients))  # noqa: S311 - nothing secret depends on it
    count = len(circle)
    for size in range(max(1, round(_VALIDATION_SHARE * count)), count):
        for first in range(count):
            turned = circle[first:] + circle[:first]
            validation, train = turned[:size], turned[size:]
            if _has_both(cells, validation) and _has_both(cells, train):
                return Split(tuple(sorted(train)), tuple(sorted(validation)))
    raise DataError(
        f"split: however the {count} patients are parted, one side lacks a class; "
        "expected CTC and LEUKOCYTE of two patients or more"
    )


def _has_both(cells: Sequence[LabelledCell], patients: Sequence[str]) -> bool:
    members = set(patients)
    return len({cell.label.is_ctc for cell in cells if cell.label.patient in members}) == 2
