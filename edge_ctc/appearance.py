"""What a cell's images look like, in figures that need no network; and those of the cells that a network learned from.

All are of raw counts: they hold before any scaling, so that a run can be compared with what a checkpoint learned from,
and a person can check each of them in any image viewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edge_ctc.cell_area import at, differences, filled, frame_places, median
from edge_ctc.preprocess import Bits, Finite
from edge_ctc.run_spread import RunSpread
from edge_ctc.toml_file import StrictModel

MEASURES = ("background", "noise", "brightness", "sharpness", "saturated")
"""What is measured of each channel, as the fields of `Appearances` and `ChannelFingerprint`."""

QUANTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
"""Of each measure, over the cells of one class."""

_SIGMAS = 5.0
"""By how many of the background's own a gradient must exceed it: pure noise does at one pixel in 270,000, as
exp(-5^2 / 2). 3 to 6 were tried against simulated cells of known size: 5 ranks them best; how well, docs/results.md."""

_QUANTISATION = 12**-0.5
"""The sd in counts that rounding alone gives: without it one odd pixel in a flat 8-bit background would be a cell."""

_SD_OF_MEDIAN = 1.4826
"""sd of a normal distribution over its median absolute deviation."""

LARGEST_PX = 512
"""Side that `central` leaves: measuring takes some twenty times the memory of what is measured."""

_AT_ONCE = 8
"""Cells whose arrays stay in the processor's cache together."""


@dataclass(frozen=True, slots=True)
class Appearances:
    """What N cells look like, each a row; one cell is N = 1.

    Attributes:
        background: (N, C) counts; median of the image's outermost pixels: lamp, exposure, camera offset and haze.
        noise: (N, C) counts; robust sd of those pixels, from differences of pixels two apart, so that haze, tilted
            light and a cage's wall do not count: gain and read noise. Not below rounding's 0.29.
        brightness: (N, C) counts; mean over the cell's area, less the background: what cytometry calls mean
            fluorescence intensity. In bright field how much darker (below 0) or lighter the cell is as a whole.
        sharpness: (N, C) no unit; energy of the gradient over that of the signal in the cell's area, both less their
            noise (Brenner et al., J Histochem Cytochem 24:100, 1976). Gain and offset leave it as it is, defocus
            lowers it. 0 where the channel shows nothing above its noise.
        saturated: (N, C) share 0..1 of pixels at full scale: their brightness is no longer a measurement.
        diameter_px: (N,) pixels; of the disc with the cell's area.
    """

    background: NDArray[np.float64]
    noise: NDArray[np.float64]
    brightness: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    saturated: NDArray[np.float64]
    diameter_px: NDArray[np.float64]

    def rows(self, places: Sequence[int] | NDArray[Any]) -> "Appearances":
        """Those of some cells."""
        return Appearances(*(getattr(self, name)[places] for name in (*MEASURES, "diameter_px")))


@dataclass(frozen=True, slots=True)
class Look:
    """One cell.

    Attributes:
        appearances: of one row.
        area: (H, W), True where the cell is, as `measure` finds it.
    """

    appearances: Appearances
    area: NDArray[np.bool_]


def central(image: NDArray[Any]) -> NDArray[Any]:
    """What is looked at of an image (H, W): all of it, or the middle of one that is larger than any cell."""
    rows, columns = ((max(0, (side - LARGEST_PX) // 2), min(side, LARGEST_PX)) for side in image.shape)
    return image[rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]]


def look_at(counts: NDArray[Any], bits: Bits = "unknown") -> Look:
    """One cell, uint8 or uint16 (C, H, W), measured as `measure` does, and where it is."""
    appearances, area = _measured(counts[None], bits)
    return Look(appearances, area[0])


def measure(counts: NDArray[Any], bits: Bits = "unknown") -> Appearances:
    """Measure cells of one size.

    The cell's area is where any channel's gradient stands out of the background's, filled: pixels with such neighbours
    to the left and right and above and below belong to it. A level instead of a gradient finds haze and the walls of
    cages in bright field; one channel alone misses cells that it does not stain, or that are in focus in bright field.
    Two cells and the debris beside one count together, and the area has the blur's rim: about 1.2 diameters.

    Args:
        counts: uint8 or uint16 (N, C, H, W), as stored; N may be 0.
        bits: declared depth; "unknown": full scale is taken to be 12 bits for uint16 images that stay
            within 12 bits, else the dtype's own.
    """
    firsts = range(0, max(len(counts), 1), _AT_ONCE)
    return joined([_measured(counts[first : first + _AT_ONCE], bits)[0] for first in firsts])


def measure_each(cells: Sequence[NDArray[Any]], bits: Bits = "unknown") -> Appearances:
    """Measure cells of whatever sizes, uint8 or uint16 (C, H, W) each, at least one; rows in their order."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, cell in enumerate(cells):
        by_shape.setdefault(cell.shape, []).append(place)
    parts = [
        _measured(np.stack([cells[place] for place in places[first : first + _AT_ONCE]]), bits)[0]
        for places in by_shape.values()
        for first in range(0, len(places), _AT_ONCE)
    ]
    order = np.argsort([place for places in by_shape.values() for place in places])
    return joined(parts).rows(order)


def joined(parts: Sequence[Appearances]) -> Appearances:
    """The rows of all parts, at least one, in their order."""
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in (*MEASURES, "diameter_px"))
    return Appearances(*columns)


def _measured(counts: NDArray[Any], bits: Bits) -> tuple[Appearances, NDArray[np.bool_]]:
    """What cells (N, C, H, W) look like, and their areas (N, H, W)."""
    frame = frame_places(*counts.shape[-2:])
    background = median(at(counts, frame))
    signal = counts.astype(np.float32)
    across, down = differences(signal, -1), differences(signal, -2)
    # Two independent pixels differ by sqrt(2) times the noise of one.
    steps = np.abs(np.concatenate([at(across, frame), at(down, frame)], axis=-1))
    noise = np.maximum(_SD_OF_MEDIAN * median(steps) / 2**0.5, _QUANTISATION)
    # From here on in place: fresh arrays of this size cost more than the arithmetic.
    gradient = np.add(np.square(across, out=across), np.square(down, out=down), out=across)
    area = filled((gradient > (2 * _SIGMAS**2 * noise**2)[..., None, None]).any(axis=1))
    signal -= background[..., None, None]
    brightness = _mean_over(area, signal)
    energy = _mean_over(area, np.square(signal, out=signal))
    looks = Appearances(
        background=background.astype(np.float64),
        noise=noise.astype(np.float64),
        brightness=brightness,
        sharpness=_ratio(_mean_over(area, gradient) - 4 * noise**2, energy - noise**2, noise**2),
        saturated=_saturated(counts, bits),
        diameter_px=2 * np.sqrt(area.sum(axis=(-2, -1)) / np.pi),
    )
    return looks, area


def _mean_over(area: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of `values` (N, C, H, W) over each cell's area (N, H, W): (N, C), 0 where there is none."""
    cells, channels, height, width = values.shape
    flat = values.reshape(cells, channels, height * width)
    inside = area.reshape(cells, height * width, 1)
    totals = np.matmul(flat, inside.astype(np.float32))[..., 0].astype(np.float64)
    means: NDArray[np.float64] = totals / np.maximum(inside.sum(axis=1), 1)
    return means


def _ratio(gradient: NDArray[Any], signal: NDArray[Any], least: NDArray[Any]) -> NDArray[np.float64]:
    """Gradient over signal, both squared counts (N, C); 0 where either is no more than what noise alone may leave."""
    shows = (signal > least) & (gradient > 0)
    ratio: NDArray[np.float64] = np.divide(gradient, signal, out=np.zeros(signal.shape), where=shows)
    return ratio


def _saturated(counts: NDArray[Any], bits: Bits) -> NDArray[np.float64]:
    scales = (2**bits - 1,) if bits != "unknown" else (255,) if counts.dtype == np.uint8 else (4095, 65535)
    largest = counts.max(axis=(-2, -1))
    at_top = np.isin(largest, scales)
    if not at_top.any():
        return np.zeros(largest.shape)
    pixels = (counts == largest[..., None, None]).mean(axis=(-2, -1), dtype=np.float64)
    share: NDArray[np.float64] = np.where(at_top, pixels, 0.0)
    return share


Quantiles = tuple[Finite, Finite, Finite, Finite, Finite, Finite, Finite]
"""At `QUANTILES`."""


class ChannelFingerprint(StrictModel):
    """Quantiles of what `Appearances` says of one channel, over the cells of one class."""

    background: Quantiles
    noise: Quantiles
    brightness: Quantiles
    sharpness: Quantiles
    saturated: Quantiles

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in MEASURES:
            check_rising(name, getattr(self, name))
        return self


class ClassFingerprint(StrictModel):
    """The cells of one class.

    Attributes:
        cells: how many.
        diameter_px: quantiles, pixels.
        channels: by name.
    """

    cells: Annotated[int, Field(ge=1)]
    diameter_px: Quantiles
    channels: dict[str, ChannelFingerprint]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_rising("diameter_px", self.diameter_px)
        return self


class Fingerprint(StrictModel):
    """What the labelled cells look like that a checkpoint was made from; travels in it.

    Attributes:
        patients: how many.
        sides_px: smallest and largest height or width of an image.
        leukocyte: the cells labelled LEUKOCYTE.
        ctc: the cells labelled CTC.
        runs: how their leukocytes differ from run to run; None: too few runs or patients to say.
    """

    patients: Annotated[int, Field(ge=1)]
    sides_px: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    leukocyte: ClassFingerprint
    ctc: ClassFingerprint
    runs: RunSpread | None = None

    @property
    def channel_names(self) -> tuple[set[str], ...]:
        """Of both classes, and of the runs where they are known."""
        runs = () if self.runs is None else (self.runs,)
        return tuple(set(one.channels) for one in (self.leukocyte, self.ctc, *runs))


def check_rising(name: str, quantiles: Sequence[float]) -> None:
    """Refuse quantiles that fall.

    Raises:
        ValueError: a later one is smaller; `name` names them.
    """
    if any(later < earlier for earlier, later in pairwise(quantiles)):
        raise ValueError(f"{name}: quantiles {list(quantiles)} fall; expected them at {list(QUANTILES)}, rising")
