"""Cells by patient, and their truth as an array."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.labels import Label


def cells_of(cells: Iterable[LabelledCell], patients: Iterable[str]) -> tuple[LabelledCell, ...]:
    """Those of `patients`, in their order."""
    members = set(patients)
    return tuple(cell for cell in cells if cell.label.patient in members)


def left_out_of(dataset: Dataset, patients: Iterable[str]) -> list[Label]:
    """The labelled cells of `patients` that cannot be evaluated."""
    members = set(patients)
    return [cell.label for cell in dataset.left_out if cell.label.patient in members]


def truth_of(cells: Sequence[LabelledCell]) -> NDArray[np.bool_]:
    """Bool (N,), True for CTC."""
    return np.array([cell.label.is_ctc for cell in cells], np.bool_)
