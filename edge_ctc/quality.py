"""Flags of one cell: what a reader should know before trusting its call. A flag never makes a CTC.

What is measured is `edge_ctc.appearance`; where to cut, `edge_ctc.flag_cuts`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import Appearances, Look
from edge_ctc.flag_cuts import FlagCuts, saturated_without_fingerprint
from edge_ctc.nuclei import separation_px

EMPTY = "empty"
SATURATED = "saturated"
BLUR = "blur"
EDGE = "edge"
SEVERAL_NUCLEI = "several_nuclei"
LOW_SIGNAL = "low_signal"
SIZE_OUTLIER = "size_outlier"
MEASURED = (EMPTY, SATURATED, BLUR, EDGE, SEVERAL_NUCLEI, LOW_SIGNAL, SIZE_OUTLIER)
"""In the order in which they stand in a call."""

WITHOUT_FINGERPRINT = (EMPTY, SATURATED)
"""Those that can be told where the checkpoint has none."""

PIXEL_SIZE_UNCHECKED = "pixel_size_unchecked"
DISPLAY_STRETCHED = "display_stretched"
OF_RUNS = (PIXEL_SIZE_UNCHECKED, DISPLAY_STRETCHED)
"""Flags that all cells of a run have, or none."""

NOT_IN_TABLE = "not_in_table"

_BORDER_SHARE = 16
"""A cell that takes more than a sixteenth of one side of the image is cut off there; single hot pixels are not."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag and why.

    Attributes:
        name: of `MEASURED`.
        channel: that shows it; "" for the cell as a whole.
        found: the figure.
        low: below it the flag is raised; None: nothing is too low.
        high: above it the flag is raised; None: nothing is too high.
        sentence: for people, with figure and cuts.
    """

    name: str
    channel: str
    found: float
    low: float | None
    high: float | None
    sentence: str


def flags_of(counts: NDArray[Any], look: Look, channels: Sequence[str], cuts: FlagCuts | None) -> tuple[Flag, ...]:
    """The flags of one cell in the order of `MEASURED`, each once.

    Args:
        counts: uint8 or uint16 (C, H, W), as stored.
        look: of these counts.
        channels: their names.
        cuts: None: the checkpoint has no fingerprint, and only `empty` and `saturated` can be told.
    """
    saturated = saturated_without_fingerprint(len(channels)) if cuts is None else cuts.saturated
    flags = [*_of_pixels(counts, look.appearances, channels, saturated)]
    if cuts is not None:
        flags += [*_blurred(look.appearances, channels, cuts), *_cut_off(look.area)]
        flags += _of_nuclei(counts, look.appearances, channels, cuts)
        flags += _of_light_and_size(look.appearances, channels, cuts)
    return tuple(flags)


def _of_pixels(
    counts: NDArray[Any], looks: Appearances, channels: Sequence[str], saturated: Sequence[float]
) -> Iterator[Flag]:
    flat = np.flatnonzero(counts.min(axis=(-2, -1)) == counts.max(axis=(-2, -1)))
    if flat.size:
        channel, count = channels[flat[0]], float(counts[flat[0], 0, 0])
        yield Flag(EMPTY, channel, count, None, None, f"{EMPTY}: {channel} shows the single count {count:.0f}")
    worst = int((looks.saturated[0] / saturated).argmax())
    channel, share, most = channels[worst], float(looks.saturated[0, worst]), saturated[worst]
    if share > most:
        said = f"{SATURATED}: {channel} {share:.1%} of pixels at full scale, at most {most:.1%} expected"
        yield Flag(SATURATED, channel, share, None, most, said)


def _blurred(looks: Appearances, channels: Sequence[str], cuts: FlagCuts) -> Iterator[Flag]:
    """By the channel that is furthest below its cut; where there is no cell, nothing can be blurred."""
    if looks.diameter_px[0] < cuts.nothing_px:
        return
    found = looks.sharpness[0].tolist()
    of_cut = [sharp.share_of(value) for value, sharp in zip(found, cuts.sharpness, strict=True)]
    place = min(range(len(found)), key=of_cut.__getitem__)
    if of_cut[place] < 1:
        low, high = cuts.sharpness[place].low, cuts.sharpness[place].high
        said = _said(BLUR, f"{channels[place]} sharpness", found[place], low, high)
        yield Flag(BLUR, channels[place], found[place], low, None, said)


def _cut_off(area: NDArray[np.bool_]) -> Iterator[Flag]:
    sides = (area[0], area[-1], area[:, 0], area[:, -1])
    touched, side = max((int(line.sum()), len(line)) for line in sides)
    most = side // _BORDER_SHARE
    if touched > most:
        said = f"{EDGE}: the cell takes {touched} of {side} pixels of the image's border, at most {most} expected"
        yield Flag(EDGE, "", touched, None, most, said)


def _of_nuclei(counts: NDArray[Any], looks: Appearances, channels: Sequence[str], cuts: FlagCuts) -> Iterator[Flag]:
    if cuts.nuclear is None:
        return
    light = float(looks.background[0, cuts.nuclear]), float(looks.noise[0, cuts.nuclear])
    found = separation_px(counts[cuts.nuclear], *light, cuts.grain_px)
    if found > cuts.apart_px:
        channel = channels[cuts.nuclear]
        said = f"{SEVERAL_NUCLEI}: two in {channel} {found:.0f} px apart, at most {cuts.apart_px:.0f} px within one"
        yield Flag(SEVERAL_NUCLEI, channel, found, None, cuts.apart_px, said)


def _of_light_and_size(looks: Appearances, channels: Sequence[str], cuts: FlagCuts) -> Iterator[Flag]:
    """Of a cell that shows nothing, the size is not a measurement."""
    diameter, (low, high) = float(looks.diameter_px[0]), cuts.diameter_px
    light = np.inf if cuts.nuclear is None else float(looks.brightness[0, cuts.nuclear])
    # Of a dim cell only the core stands out: its light is spread over a cell before it is compared.
    light *= min(1.0, diameter / cuts.nuclear_px) ** 2
    if diameter < cuts.nothing_px:
        said = f"{LOW_SIGNAL}: {diameter:.0f} px stand out of the noise, at least {cuts.nothing_px:.0f} px expected"
        yield Flag(LOW_SIGNAL, "", diameter, cuts.nothing_px, None, said)
    elif light < cuts.nuclear_light:
        channel = channels[cuts.nuclear or 0]
        said = f"{LOW_SIGNAL}: {channel} {light:.0f} counts, nuclei at least {cuts.nuclear_light:.0f}"
        yield Flag(LOW_SIGNAL, channel, light, cuts.nuclear_light, None, said)
    if cuts.nothing_px <= diameter and not low <= diameter <= high:
        yield Flag(SIZE_OUTLIER, "", diameter, low, high, _said(SIZE_OUTLIER, "diameter, px,", diameter, low, high))


def _said(name: str, what: str, found: float, low: float, high: float) -> str:
    return f"{name}: {what} {found:.3g}, training cells {low:.3g} to {high:.3g}"
