"""How the runs of a data set differ in their leukocytes, for checkpoint.json: what another run is held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from edge_ctc.appearance import Appearances
from edge_ctc.run_figures import DIAMETER, STAINS, RunFigure, run_figures, stains_figure
from edge_ctc.run_spread import RUN_MEASURES, ChannelSpread, RunSpread, Spread
from trainer.cells.labels import Label

AMBER, RED = 0.025, 0.005
"""The share of runs like the training's that may lie outside the bands. Besides, shares of cells that are flagged, out
of distribution or not evaluable make a run amber or red, whatever the training's runs were: not green is one in twenty
at most in all, and red one in fifty (docs/results.md)."""

_TAILS = 12.0
"""Degrees of freedom of Student's t that is taken where runs enough would allow a lighter-tailed one: an instrument has
bad days. Chosen on 300 simulated runs that are in no figure."""

LEAST_RUNS = 5
"""With at least `_LEAST_CELLS` leukocytes each, of as many patients: fewer do not say how they differ [assumed]."""

_LEAST_CELLS = 10

_LEAST_SD = {
    "background": 12**-0.5,
    "brightness": 12**-0.5,
    DIAMETER: 12**-0.5,
    STAINS: 12**-0.5,
    "noise": 0.0,
    "sharpness": 0.0,
}
"""Counts or pixels; what rounding alone gives."""

_LOG_FROM = 0.1
"""A figure is averaged as a logarithm if the lowest run has at least this share of the mean: it is a factor then."""

_HEAVIEST = 4.0
"""Degrees of freedom of the heaviest tails that are believed: one odd patient must not widen the bands of all figures
until nothing lies outside. At 60 patients and 18 figures they are 8 sds wide then, and red begins at 12."""

_DIGITS = 5


_Key = tuple[str, str]
"""Measure and channel."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The figures of all runs on the scales of their spreads.

    Attributes:
        keys: of K figures.
        scales: of each of them.
        values: (R, K), natural logarithms where the scale is one.
        least: (K,), the sds that rounding alone gives.
    """

    keys: tuple[_Key, ...]
    scales: tuple[Literal["log", "linear"], ...]
    values: NDArray[np.float64]
    least: NDArray[np.float64]

    def sds(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(K,) from run to run among `rows`."""
        sds: NDArray[np.float64] = np.maximum(self.values[rows].std(axis=0, ddof=1), self.least)
        return sds

    def distances(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How far each of `rows` lies from the mean of the others, in their sds."""
        sds = self.sds(~rows)
        apart = np.abs(self.values[rows] - self.values[~rows].mean(axis=0))
        where_all_are_one = np.where(apart > 0, np.inf, 0.0)
        found: NDArray[np.float64] = np.divide(apart, sds, out=where_all_are_one, where=sds > 0)
        return found

    def spread(self, key: _Key) -> Spread | None:
        """Of one figure over all runs; None if it was the same in all of them, or is not in the table."""
        if key not in self.keys:
            return None
        place = self.keys.index(key)
        sd = self.sds(np.ones(len(self.values), bool))[place]
        middle = self.values[:, place].mean()
        return Spread(scale=self.scales[place], middle=_rounded(middle), sd=_rounded(sd)) if sd else None


def run_spread(looks: Appearances, labels: Sequence[Label], channels: Sequence[str]) -> RunSpread | None:
    """The spread of the runs' leukocytes; None where there are too few runs or patients.

    A new run lies within t * sqrt(1 + 1/n) sds of the mean of n runs, t being Student's for n - 1 degrees of freedom,
    and no more than `_TAILS` (the prediction interval of a normal distribution, a little wider); the share that may lie
    outside is divided among all figures, as Bonferroni does, so that it holds for the run as a whole. Besides, each
    patient's runs are held against the others', and the bands are not narrower than the conformal quantile of the worst
    figures that this gives (the jackknife of Barber et al., Ann Statist 49:486, 2021, which has no guarantee of its
    own; simulated runs bear it out), up to the tails of `_HEAVIEST`. Red is drawn with the tails that amber showed.
    Runs of one patient are no more than one patient: n is that of the patients. Instruments are not told apart: a
    training on few of them knows little of another one.

    Args:
        looks: of N labelled cells.
        labels: of the same cells.
        channels: by name.
    """
    places = _leukocytes_by_run(labels)
    patients = np.array([labels[cells[0]].patient for cells in places])
    count = len(set(patients))
    if count < LEAST_RUNS:
        return None
    table = _table([run_figures(looks.rows(cells), channels) for cells in places])
    diameter = table.spread((DIAMETER, ""))
    if diameter is None:
        return None
    worst = [float(table.distances(patients == patient).max()) for patient in sorted(set(patients))]
    amber_sds, red_sds = _bands(worst, count, len(channels) * len(RUN_MEASURES) + 2)
    return RunSpread(
        runs=len(places),
        patients=count,
        cells=int(np.median([len(cells) for cells in places])),
        amber_sds=_rounded(amber_sds),
        red_sds=_rounded(red_sds),
        diameter_px=diameter,
        stains=table.spread((STAINS, "")),
        channels={
            channel: ChannelSpread(**{measure: table.spread((measure, channel)) for measure in RUN_MEASURES})
            for channel in channels
        },
    )


def _leukocytes_by_run(labels: Sequence[Label]) -> list[list[int]]:
    by_run: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        if not label.is_ctc:
            by_run.setdefault(label.run_id, []).append(place)
    return [cells for cells in by_run.values() if len(cells) >= _LEAST_CELLS]


def _table(by_run: Sequence[Sequence[RunFigure]]) -> _Table:
    keys = tuple((figure.measure, figure.channel) for figure in by_run[0])
    values = np.array([[figure.value for figure in figures] for figures in by_run])
    scales = [_scale(column) for column in values.T]
    stained = [key[1] for key, scale in zip(keys, scales, strict=True) if key[0] == "brightness" and scale == "log"]
    if len(stained) > 1:
        keys, scales = (*keys, (STAINS, "")), [*scales, "log"]
        values = np.column_stack([values, [stains_figure(figures, stained).value for figures in by_run]])
    means = values.mean(axis=0)
    is_log = np.array([scale == "log" for scale in scales])
    least = np.array([_LEAST_SD[measure] for measure, _ in keys]) / np.where(is_log, means, 1)
    return _Table(keys, tuple(scales), np.where(is_log, np.log(np.where(is_log, values, 1)), values), least)


def _scale(values: NDArray[np.float64]) -> Literal["log", "linear"]:
    return "log" if values.min() >= _LOG_FROM * values.mean() > 0 else "linear"


def _bands(worst: Sequence[float], count: int, figures: int) -> tuple[float, float]:
    """(amber, red) in sds."""
    lightest = min(count - 1, _TAILS)

    def within(share: float, freedom: float) -> float:
        return float(stats.t.ppf(1 - share / figures / 2, freedom)) * math.sqrt(1 + 1 / count)

    rank = min(len(worst), math.ceil((len(worst) + 1) * (1 - AMBER)))
    seen = sorted(worst)[rank - 1]
    if seen <= within(AMBER, lightest):
        return within(AMBER, lightest), within(RED, lightest)
    if seen >= within(AMBER, _HEAVIEST):
        return within(AMBER, _HEAVIEST), within(RED, _HEAVIEST)
    freedom = optimize.brentq(lambda freedom: within(AMBER, freedom) - seen, _HEAVIEST, lightest)
    return seen, within(RED, freedom)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
