"""Whether a run looks like those that the checkpoint learned from: green, amber or red, each reason with its figure.

Compared are the run's own cells, nearly all of them leukocytes whatever the network calls them, with the leukocytes of
the training's runs. Nothing about other runs of the laboratory enters.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edge_ctc.appearance import Appearances
from edge_ctc.preprocess import Finite
from edge_ctc.run_figures import (
    DIAMETER,
    STAINS,
    RunFigure,
    noise_counts,
    run_figures,
    stains_figure,
)
from edge_ctc.run_spread import RunSpread, Spread
from edge_ctc.toml_file import StrictModel

Light = Literal["green", "amber", "red", "not judged"]

LEAST_CELLS = 20
"""Evaluable cells from which a run is judged: below, the middle of a run says little [assumed]."""

_CUTS = {"not evaluable": (0.05, 0.20), "out of distribution": (0.10, 0.20)}
"""Share of cells above which a run is amber, and red. Red out of distribution is given, the others are [assumed]."""

_DOUBTFUL = (0.10, 0.20)
"""The same of a flag: above the second, `edge_ctc.decision` no longer sends the flagged cells to REVIEW."""

_UNITS = {
    "background": " counts",
    "noise": " counts",
    "brightness": " counts",
    "sharpness": "",
    DIAMETER: " px",
    STAINS: " counts",
}
_NAMES = {DIAMETER: "cell diameter", STAINS: "brightness of all stains"}


class Reason(StrictModel):
    """One figure of a run beside what is expected, or why it is not judged.

    Attributes:
        light: what it alone makes of the run.
        measure: "background", "noise", "brightness", "sharpness", "diameter_px", "stains", "out of distribution",
            "not evaluable", "cells", "training", or the name of a flag.
        channel: "" where it is about no channel.
        found: the run's figure; None where there is none.
        low: below it the run is no longer green; None: nothing is too low.
        high: above it the run is no longer green; None: nothing is too high.
        sentence: for people.
    """

    light: Light
    measure: str
    channel: str
    found: Finite | None
    low: Finite | None
    high: Finite | None
    sentence: str


class Trust(StrictModel):
    """The light of one run.

    Attributes:
        light: the worst of the reasons'; "not judged" only where none is red; green without any.
        reasons: what speaks against the run, the gravest first.
        within: the figures that are as expected.
    """

    light: Light
    reasons: tuple[Reason, ...]
    within: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class RunLooks:
    """What one run shows.

    Attributes:
        channels: of the network, in its order.
        looks: of evaluable cells, all of them or some drawn at random; None: there is none.
        evaluable: how many cells could be evaluated.
        not_evaluable: how many cells could not be evaluated.
        out_of_distribution: how many of the evaluable cells are; None: nobody has asked.
        doubtful: how many of them have each flag that says their image cannot be relied on, by its name.
    """

    channels: tuple[str, ...]
    looks: Appearances | None
    evaluable: int
    not_evaluable: int
    out_of_distribution: int | None
    doubtful: Mapping[str, int] = field(default_factory=dict)


def trust_in(run: RunLooks, spread: RunSpread | None) -> Trust:
    """Judge one run.

    Args:
        run: what it shows.
        spread: of the checkpoint's fingerprint; None: it has none, and only shares of cells can speak against the run.

    Raises:
        KeyError: the fingerprint has none of a channel, a mistake of the caller.
    """
    figures = sorted((*_of_shares(run), *_of_looks(run, spread)), key=lambda one: _GRAVEST.index(one.light))
    reasons = tuple(one for one in figures if one.light != "green")
    return Trust(light=reasons[0].light if reasons else "green", reasons=reasons, within=tuple(figures[len(reasons) :]))


_GRAVEST: Sequence[Light] = ("red", "not judged", "amber", "green")


def _of_shares(run: RunLooks) -> Iterator[Reason]:
    if cells := run.evaluable + run.not_evaluable:
        yield _of_share(run.not_evaluable / cells, "not evaluable")
    if run.evaluable and run.out_of_distribution is not None:
        yield _of_share(run.out_of_distribution / run.evaluable, "out of distribution")
    if run.evaluable >= LEAST_CELLS:
        for flag, count in run.doubtful.items():
            yield _of_share(count / run.evaluable, flag)


def _of_share(found: float, measure: str) -> Reason:
    amber, red = _CUTS.get(measure, _DOUBTFUL)
    return Reason(
        light="red" if found > red else "amber" if found > amber else "green",
        measure=measure,
        channel="",
        found=found,
        low=None,
        high=amber,
        sentence=f"{measure}: {found:.0%} of the cells, at most {amber:.0%} expected",
    )


def _of_looks(run: RunLooks, spread: RunSpread | None) -> Iterator[Reason]:
    if spread is None:
        yield _not_judged("training", None, "the checkpoint does not say how its training's runs differ")
    elif run.looks is None or (there := len(run.looks.diameter_px)) < LEAST_CELLS:
        there = 0 if run.looks is None else there
        yield _not_judged("cells", there, f"images of {there} cells, at least {LEAST_CELLS} wanted")
    else:
        yield from _beside_training(run.looks, run.channels, spread)


def _not_judged(measure: str, found: int | None, sentence: str) -> Reason:
    wanted = None if found is None else LEAST_CELLS
    return Reason(
        light="not judged", measure=measure, channel="", found=found, low=wanted, high=None, sentence=sentence
    )


def _beside_training(looks: Appearances, channels: Sequence[str], spread: RunSpread) -> Iterator[Reason]:
    # Training's runs have an error of their own, which is in their sd already.
    fewer = math.sqrt(max(0.0, 1 / len(looks.diameter_px) - 1 / spread.cells))
    figures = run_figures(looks, channels)
    if spread.stains is not None:
        figures = (*figures, stains_figure(figures, spread.stained))
    backgrounds = {figure.channel: figure.value for figure in figures if figure.measure == "background"}
    for figure in figures:
        known = _known(figure, spread)
        if known is not None:
            yield _beside(figure, known, fewer * figure.error, spread, backgrounds.get(figure.channel, 0.0))


def _known(figure: RunFigure, spread: RunSpread) -> Spread | None:
    if figure.measure == DIAMETER:
        return spread.diameter_px
    if figure.measure == STAINS:
        return spread.stains
    known: Spread | None = getattr(spread.channels[figure.channel], figure.measure)
    return known


def _beside(figure: RunFigure, known: Spread, error: float, spread: RunSpread, background: float) -> Reason:
    """A figure beside what the training's runs let expect of another run's."""
    error = known.on_scale(figure.value, error)
    low, high = known.band(spread.amber_sds, error)
    lowest, highest = known.band(spread.red_sds, error)
    outside: Light = "amber" if lowest <= figure.value <= highest else "red"
    light: Light = "green" if low <= figure.value <= high else outside
    found = figure.value
    if figure.measure == "noise":
        found, low, high = (noise_counts(ratio, background) for ratio in (found, low, high))
    return Reason(
        light=light,
        measure=figure.measure,
        channel=figure.channel,
        found=found,
        low=low,
        high=high,
        sentence=_sentence(figure, found, low, high),
    )


def _sentence(figure: RunFigure, found: float, low: float, high: float) -> str:
    named = _NAMES.get(figure.measure, f"{figure.channel} {figure.measure}")
    light = " at this background" if figure.measure == "noise" else ""
    expected = f"{_read(low)} to {_read(high)} expected from the training's runs{light}"
    return f"{named} {_read(found)}{_UNITS[figure.measure]}, {expected}"


def _read(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
