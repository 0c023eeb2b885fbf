"""What the cells of one run look like together, in figures that a few odd cells do not move."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import Appearances
from edge_ctc.run_spread import RUN_MEASURES

DIAMETER = "diameter_px"
STAINS = "stains"

_QUARTER_TO_SD = 1.349
"""Interquartile range of a normal distribution in sds."""

_MIDDLE_TO_MEAN = 1.2
"""Standard error of the mean of the middle half over that of the mean, of a normal distribution (1.19): Stigler, Ann
Statist 5:1055 (1977)."""


@dataclass(frozen=True, slots=True)
class RunFigure:
    """One figure of one run.

    Attributes:
        measure: of `RUN_MEASURES`, or `DIAMETER`, or `STAINS`.
        channel: "" for the last two.
        value: mean over the middle half of the cells: as little moved by the rare ones as a median, and not bound to
            the coarse steps in which the noise of one cell comes.
        error: standard error of it if the run had one cell; over the root of their number for more.
    """

    measure: str
    channel: str
    value: float
    error: float


def run_figures(looks: Appearances, channels: Sequence[str]) -> tuple[RunFigure, ...]:
    """The figures of a run with at least one cell, channel by channel in the order of `RUN_MEASURES`, then the size.

    Noise is its square over the background: of light it says the counts per electron and the read noise (photon
    transfer, Janesick 2007), and does not rise with the lamp.
    """
    return (*_of_channels(looks, channels), _figure(DIAMETER, "", looks.diameter_px))


def _of_channels(looks: Appearances, channels: Sequence[str]) -> Iterator[RunFigure]:
    for place, channel in enumerate(channels):
        for measure in RUN_MEASURES:
            values = looks.noise**2 / np.maximum(looks.background, 1) if measure == "noise" else getattr(looks, measure)
            yield _figure(measure, channel, values[:, place])


def _figure(measure: str, channel: str, values: NDArray[np.float64]) -> RunFigure:
    low, high = np.quantile(values, (0.25, 0.75))
    middle = values[(low <= values) & (values <= high)]
    return RunFigure(measure, channel, float(middle.mean()), _MIDDLE_TO_MEAN * float(high - low) / _QUARTER_TO_SD)


def stains_figure(figures: Sequence[RunFigure], channels: Collection[str]) -> RunFigure:
    """The geometric mean of the brightness in at least one of the channels; 0 if one of them is 0 or below."""
    of_stains = [figure for figure in figures if figure.measure == "brightness" and figure.channel in channels]
    if min(figure.value for figure in of_stains) <= 0:
        return RunFigure(STAINS, "", 0.0, 0.0)
    value = math.exp(sum(math.log(figure.value) for figure in of_stains) / len(of_stains))
    relative = math.hypot(*(figure.error / figure.value for figure in of_stains)) / len(of_stains)
    return RunFigure(STAINS, "", value, value * relative)


def noise_counts(ratio: float, background: float) -> float:
    """The noise in counts that a figure of the measure "noise" means at a background of so many counts."""
    return math.sqrt(max(ratio, 0.0) * max(background, 1.0))
