"""Labelled cells to network input: which InputSpec a training gives its network, and the arrays under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_ctc.errors import ConfigError, DataError
from edge_ctc.preprocess import ChannelInput, InputSpec, prepare
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.selection import truth_of
from trainer.recipe import Recipe

_RANGE_PERCENTILES = (0.1, 99.9)
_SMALLEST_SIDE_PX = 8


@dataclass(frozen=True, slots=True)
class Inputs:
    """Cells as the network takes them.

    Attributes:
        cells: float32 (N, C, side, side).
        auxiliary: float32 (N, A, side, side).
        is_ctc: bool (N,).
        stains: which of the C channels fluoresce, in the order of the recipe's `stains`.
    """

    cells: NDArray[np.float32]
    auxiliary: NDArray[np.float32]
    is_ctc: NDArray[np.bool_]
    stains: tuple[int, ...] = ()


def input_spec(train: Sequence[LabelledCell], dataset: Dataset, recipe: Recipe) -> InputSpec:
    """What the network takes, settled by the training cells alone and fixed from then on.

    Raises:
        DataError: a channel shows one count in all training cells, or the images are larger than a network takes.
    """
    images = [cell.counts for cell in train]
    return _spec(images, dataset.channels, dataset, recipe)


def auxiliary_spec(train: Sequence[LabelledCell], dataset: Dataset, recipe: Recipe) -> InputSpec | None:
    """How auxiliary channels are scaled: each by its own range, as the network's; None where there are none.

    Raises:
        DataError: as `input_spec`.
    """
    if not dataset.auxiliary_channels:
        return None
    images = [cell.auxiliary for cell in train]
    return _spec(images, dataset.auxiliary_channels, dataset, recipe)


def _spec(images: Sequence[NDArray[Any]], names: tuple[str, ...], dataset: Dataset, recipe: Recipe) -> InputSpec:
    largest = max(max(image.shape[1:]) for image in images)
    side = max(largest, _SMALLEST_SIDE_PX) if recipe.side_px == "native" else recipe.side_px
    try:
        return InputSpec(
            channels=tuple(_channel(images, index, name, recipe) for index, name in enumerate(names)),
            side_px=side,
            dtype=dataset.dtype,
            bits=dataset.bits,
            pixel_size_um=dataset.pixel_size_um,
            intensity=dataset.intensity,
        )
    except ValidationError as error:
        raise DataError(f"images of {largest} px: {error.errors()[0]['msg']}; name side_px in the recipe") from error


def _channel(images: Sequence[NDArray[Any]], index: int, name: str, recipe: Recipe) -> ChannelInput:
    if recipe.range == "raw":
        return ChannelInput(name=name, range="raw")
    pixels = np.concatenate([image[index].ravel() for image in images])
    low, high = np.percentile(pixels, _RANGE_PERCENTILES, method="nearest")
    if low == high:
        raise DataError(
            f"channel {name}: nearly all pixels of the training cells show {low} counts; "
            "a channel without contrast cannot be scaled: leave it out of the recipe's channels, or take range raw"
        )
    return ChannelInput(name=name, range=(float(low), float(high)))


def stain_places(spec: InputSpec, recipe: Recipe) -> tuple[int, ...]:
    """Where the recipe's stains stand among the channels, in the recipe's order.

    Raises:
        ConfigError: one is no channel.
    """
    if strangers := sorted(set(recipe.stains).difference(spec.channel_names)):
        raise ConfigError(f"stains: {strangers} are not among channels {list(spec.channel_names)}; name channels")
    return tuple(spec.channel_names.index(name) for name in recipe.stains)


def prepared(
    cells: Sequence[LabelledCell],
    spec: InputSpec,
    auxiliary: InputSpec | None = None,
    stains: tuple[int, ...] = (),
) -> Inputs:
    """Every cell through the product's own preprocessing; four bytes per pixel and channel stay in memory.

    Args:
        cells: to prepare.
        spec: of the network.
        auxiliary: of the auxiliary channels; None leaves them out.
        stains: as `stain_places` gives them; only augmentation asks for them.
    """
    return Inputs(
        cells=_prepared([cell.counts for cell in cells], spec),
        auxiliary=_prepared([cell.auxiliary for cell in cells], auxiliary)
        if auxiliary is not None
        else np.empty((len(cells), 0, *spec.shape[1:]), np.float32),
        is_ctc=truth_of(cells),
        stains=stains,
    )


def _prepared(images: Sequence[NDArray[Any]], spec: InputSpec) -> NDArray[np.float32]:
    inputs = np.empty((len(images), *spec.shape), np.float32)
    for image, place in zip(images, inputs, strict=True):
        prepare(list(image), spec, place)
    return inputs
