"""Whether the last runs differ from those before: a stain, a lamp or a computer that changes slowly shows here.

The rule is Hampel's identifier: a median is set against the median of the earlier runs, in units of their median
absolute deviation (MAD); 1.4826 MAD is the standard deviation where values are normal, and three of these the usual cut
(Leys et al. 2013, J. Exp. Soc. Psychol. 49:764). Both are deaf to single odd runs, of which a lab has many. In 200,000
simulated series in which nothing drifts, normal or Poisson of mean 4, the cut was passed in 1.0 to 1.7 % with 10 runs
before, in 0.1 to 0.3 % with 20 and in 0.004 to 0.02 % with 45: hence twenty.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_ctc.cells import Verdict
from edge_ctc.daemon.status import RunSummary
from edge_ctc.quality import EMPTY, SATURATED

LAST = 5
"""Runs that are set against those before."""

LEAST_EARLIER = 20
"""Fewer tell too little of how much runs differ anyway."""

_CUT = 3
_SD_OF_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure of runs.

    Attributes:
        figure: what is counted.
        last: median of the last five runs, or of as many as there are; None: there is none that tells it.
        earlier: median of the runs before these.
        spread: of the runs before, 1.4826 times their MAD.
        runs_before: how many these are.
        drifts: up or down where `last` lies outside what the earlier runs make likely; None: it does not, or they are
            too few.
    """

    figure: str
    last: float | None
    earlier: float | None
    spread: float | None
    runs_before: int
    drifts: Literal["up", "down"] | None


@dataclass(frozen=True, slots=True)
class _Figure:
    """How a figure is got from a run.

    Attributes:
        name: of it.
        of_run: the figure; None where the run tells nothing.
        least: a smaller difference concerns nobody. Where more than half of the earlier runs are equal, mostly at 0,
            their deviation is 0, and any difference at all would be a drift.
        is_relative: `least` is a share of the earlier median.
    """

    name: str
    of_run: Callable[[RunSummary], float | None]
    least: float
    is_relative: bool = False


_PACED_CELLS = 100


def _per_thousand(run: RunSummary) -> float:
    return 1000 * (run.verdicts.get(Verdict.CTC, 0) + run.verdicts.get(Verdict.REVIEW, 0)) / run.cells


def _pace(run: RunSummary) -> float | None:
    # Of few cells the rest of the work would be most of it: a run that was called as it grew ends with a few.
    computed = run.cells - run.cells_reused
    return 1000 * run.seconds / computed if computed >= _PACED_CELLS else None


_FIGURES = (
    _Figure("candidates per 1,000 cells", _per_thousand, 1.0),
    _Figure("not evaluable, % of cells", lambda run: 100 * run.verdicts.get(Verdict.NOT_EVALUABLE, 0) / run.cells, 1.0),
    _Figure("saturated, % of cells", lambda run: 100 * run.flags.get(SATURATED, 0) / run.cells, 1.0),
    _Figure("empty channel, % of cells", lambda run: 100 * run.flags.get(EMPTY, 0) / run.cells, 1.0),
    _Figure("seconds per 1,000 cells", _pace, 0.2, is_relative=True),
)


def trends(recent: Sequence[RunSummary]) -> tuple[Trend, ...]:
    """Of every figure, over runs as their manifests tell them, the newest last.

    Of a run that was called several times the last call counts, and only one that is complete.
    """
    latest: dict[str, RunSummary] = {}
    for run in recent:
        if run.run_state == "complete" and run.cells:
            latest.pop(run.run, None)  # its place is that of its last call; times would not do, since clocks jump
            latest[run.run] = run
    return tuple(_trend(figure, tuple(latest.values())) for figure in _FIGURES)


def _trend(figure: _Figure, runs: Sequence[RunSummary]) -> Trend:
    values = [value for value in map(figure.of_run, runs) if value is not None]
    last, before = values[-LAST:], values[:-LAST]
    if not last:
        return Trend(figure.name, None, None, None, 0, None)
    now = statistics.median(last)
    if not before:
        return Trend(figure.name, now, None, None, 0, None)
    usual = statistics.median(before)
    spread = _SD_OF_MAD * statistics.median(abs(value - usual) for value in before)
    least = figure.least * usual if figure.is_relative else figure.least
    is_outside = len(before) >= LEAST_EARLIER and abs(now - usual) > max(_CUT * spread, least)
    direction: Literal["up", "down"] = "up" if now > usual else "down"
    return Trend(figure.name, now, usual, spread, len(before), direction if is_outside else None)
