"""Rows and columns of one single count in every picture: where a montage may have its border and gutters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.preprocess import Counts


@dataclass(frozen=True, slots=True)
class Stripes:
    """Stripes along one axis.

    Attributes:
        side_px: pixels along the axis.
        runs: (first, last) row or column of each stripe, counted from 0.
    """

    side_px: int
    runs: tuple[tuple[int, int], ...]


def find_stripes(pictures: Sequence[Counts]) -> tuple[Stripes, Stripes] | None:
    """(rows, columns) of one single count, the same in every picture; None where sizes differ or nothing is there."""
    if not pictures or len({picture.shape for picture in pictures}) != 1:
        return None
    rows, columns = (_stripes(pictures, axis) for axis in (1, 0))
    return rows, columns


def _stripes(pictures: Sequence[Counts], axis: int) -> Stripes:
    low = np.min([picture.min(axis=axis) for picture in pictures], axis=0)
    high = np.max([picture.max(axis=axis) for picture in pictures], axis=0)
    plain = low == high
    return Stripes(len(plain), tuple(_runs(plain)))


def _runs(plain: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], plain.view(np.int8), [0]))))
    return [(int(first), int(after) - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]
