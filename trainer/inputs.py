"""Labelled cells to network input: which InputSpec a training gives its network, and the arrays under it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_ctc.errors import DataError
from edge_ctc.preprocess import ChannelInput, InputSpec, prepare
from trainer.data import Dataset, LabelledCell
from trainer.recipe import Recipe

_RANGE_PERCENTILES = (0.1, 99.9)
_SMALLEST_SIDE_PX = 8


@dataclass(frozen=True, slots=True)
class Inputs:
    """Cells as the network takes them.

    Attributes:
        cells: float32 (N, C, side, side).
        is_ctc: bool (N,).
    """

    cells: NDArray[np.float32]
    is_ctc: NDArray[np.bool_]


def input_spec(train: Sequence[LabelledCell], dataset: Dataset, recipe: Recipe) -> InputSpec:
    """What the network takes, settled by the training cells alone and fixed from then on.

    Raises:
        DataError: a channel shows one count in all training cells, or the images are larger than a network takes.
    """
    largest = max(max(cell.counts.shape[1:]) for cell in train)
    side = max(largest, _SMALLEST_SIDE_PX) if recipe.side_px == "native" else recipe.side_px
    try:
        return InputSpec(
            channels=tuple(_channel(train, index, name, recipe) for index, name in enumerate(dataset.channels)),
            side_px=side,
            dtype=dataset.dtype,
            bits=dataset.bits,
            pixel_size_um=dataset.pixel_size_um,
            intensity=dataset.intensity,
        )
    except ValidationError as error:
        raise DataError(f"images of {largest} px: {error.errors()[0]['msg']}; name side_px in the recipe") from error


def _channel(train: Sequence[LabelledCell], index: int, name: str, recipe: Recipe) -> ChannelInput:
    if recipe.range == "raw":
        return ChannelInput(name=name, range="raw")
    pixels = np.concatenate([cell.counts[index].ravel() for cell in train])
    low, high = np.percentile(pixels, _RANGE_PERCENTILES, method="nearest")
    if low == high:
        raise DataError(
            f"channel {name}: nearly all pixels of the training cells show {low} counts; "
            "a channel without contrast cannot be scaled: leave it out of the recipe's channels, or take range raw"
        )
    return ChannelInput(name=name, range=(float(low), float(high)))


def prepared(cells: Sequence[LabelledCell], spec: InputSpec) -> Inputs:
    """Every cell through the product's own preprocessing; four bytes per pixel and channel stay in memory."""
    inputs = np.empty((len(cells), *spec.shape), np.float32)
    for cell, place in zip(cells, inputs, strict=True):
        prepare(list(cell.counts), spec, place)
    return Inputs(inputs, np.array([cell.label.is_ctc for cell in cells], np.bool_))
