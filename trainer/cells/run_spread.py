"""How the runs of a data set differ in their leukocytes, for checkpoint.json: what another run is held against."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from edge_ctc.appearance import Appearances
from edge_ctc.run_figures import DIAMETER, STAINS, RunFigure, run_figures, saturated_shares, stains_figure
from edge_ctc.run_spread import RUN_MEASURES, ChannelSpread, RunSpread, Spread
from trainer.cells.labels import Label

AMBER, RED = 0.05, 0.01
"""Of runs like the training's at most this share is not green, and red."""

_OF_BANDS = 0.5
"""Share of the above that the bands are drawn for: figures of runs have heavier tails than a normal distribution, and
cuts that no band knows, as that of saturated cells, need their part."""

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

_DIGITS = 5


def run_spread(looks: Appearances, labels: Sequence[Label], channels: Sequence[str]) -> RunSpread | None:
    """The spread of the runs' leukocytes; None where there are too few runs or patients.

    A new run lies within t * sqrt(1 + 1/n) sds of the mean of n runs, t being Student's for n - 1 degrees of freedom
    (the prediction interval of a normal distribution); the share that may lie outside is divided among all figures, as
    Bonferroni does, so that it holds for the run as a whole. Runs of one patient are no more than one patient: n is the
    smaller of both numbers. Instruments are not told apart: a training on few of them knows little of another one.

    Args:
        looks: of N labelled cells.
        labels: of the same cells.
        channels: by name.
    """
    places = _leukocytes_by_run(labels)
    patients = {labels[place].patient for cells in places for place in cells}
    count = min(len(places), len(patients))
    if count < LEAST_RUNS:
        return None
    runs = [looks.rows(cells) for cells in places]
    by_run = [run_figures(run, channels) for run in runs]
    spreads = {(of_one[0].measure, of_one[0].channel): _spread(of_one) for of_one in zip(*by_run, strict=True)}
    diameter = spreads.pop((DIAMETER, ""))
    if diameter is None:
        return None
    figures = len(spreads) + 2
    return RunSpread(
        runs=len(places),
        patients=len(patients),
        cells=int(np.median([len(cells) for cells in places])),
        amber_sds=_sds(AMBER, count, figures),
        red_sds=_sds(RED, count, figures),
        diameter_px=diameter,
        stains=_of_stains(by_run, spreads),
        channels={
            channel: ChannelSpread(
                **{measure: spreads[measure, channel] for measure in RUN_MEASURES}, saturated=_rounded(share)
            )
            for channel, share in zip(channels, np.max([saturated_shares(run) for run in runs], axis=0), strict=True)
        },
    )


def _of_stains(
    by_run: Sequence[Sequence[RunFigure]], spreads: Mapping[tuple[str, str], Spread | None]
) -> Spread | None:
    stained = [
        channel for (measure, channel), one in spreads.items() if measure == "brightness" and one and one.scale == "log"
    ]
    return _spread([stains_figure(figures, stained) for figures in by_run]) if len(stained) > 1 else None


def _leukocytes_by_run(labels: Sequence[Label]) -> list[list[int]]:
    by_run: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        if not label.is_ctc:
            by_run.setdefault(label.run_id, []).append(place)
    return [cells for cells in by_run.values() if len(cells) >= _LEAST_CELLS]


def _spread(figures: Sequence[RunFigure]) -> Spread | None:
    """Of one figure over all runs; None if it was 0 in all of them."""
    values = np.array([figure.value for figure in figures])
    least, mean = _LEAST_SD[figures[0].measure], float(values.mean())
    if values.min() >= _LOG_FROM * mean > 0:
        logs = np.log(values)
        sd = max(float(logs.std(ddof=1)), least / mean)
        return Spread(scale="log", middle=_rounded(logs.mean()), sd=_rounded(sd)) if sd else None
    sd = max(float(values.std(ddof=1)), least)
    return Spread(scale="linear", middle=_rounded(mean), sd=_rounded(sd)) if sd else None


def _sds(share: float, runs: int, figures: int) -> float:
    within = float(stats.t.ppf(1 - _OF_BANDS * share / figures / 2, runs - 1))
    return _rounded(within * (1 + 1 / runs) ** 0.5)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
