"""The scores of a run as one inline SVG: a histogram of all cells, and a tick for each candidate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from markupsafe import Markup

from edge_ctc.cells import Verdict

WIDTH = 560
HEIGHT = 190
_LEFT, _RIGHT, _TOP, _BASE = 74, 12, 34, 118
_BINS = 48
_LANES = ((Verdict.CTC, 124), (Verdict.REVIEW, 142))
_TICK = 14
_FLOOR = 160
_WORDS_WIDTH = 150

Scores = Sequence[tuple[Verdict, float]]


@dataclass(frozen=True, slots=True)
class Cuts:
    """The cuts of the run on the score; `review` is at most `ctc`."""

    ctc: float
    review: float


@dataclass(frozen=True, slots=True)
class _Axis:
    """Scores from `low` to `high`, laid from the left of the drawing to its right."""

    low: float
    high: float

    def at(self, score: float) -> float:
        share = (score - self.low) / (self.high - self.low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def histogram(scores: Scores, cuts: Cuts) -> Markup:
    """The drawing, styled by the page's CSS classes; empty for a run without a score.

    The height of a bar is the logarithm of 1 + its cells: a handful of candidates is seen beside thousands of
    leukocytes. The lanes below have one tick per CTC and per REVIEW, at most one for each half pixel.
    """
    if not scores:
        return Markup("")
    values = [score for _, score in scores]
    axis = _axis(min(*values, cuts.review), max(*values, cuts.ctc))
    cut_lines = [
        _cut_line(f"CTC from {cuts.ctc:.2f}", axis.at(cuts.ctc), 14, "start"),
        _cut_line(f"REVIEW from {cuts.review:.2f}", axis.at(cuts.review), 30, "end"),
    ]
    parts = [_bars(values, axis), *cut_lines, *(_lane(scores, *lane, axis) for lane in _LANES), _ends(axis)]
    return Markup('<svg class="histogram" role="img" viewBox="0 0 {} {}" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, _in_words(scores, cuts), Markup("").join(parts)
    )


def _axis(low: float, high: float) -> _Axis:
    margin = 0.02 * (high - low) or 1.0
    return _Axis(low - margin, high + margin)


def _in_words(scores: Scores, cuts: Cuts) -> str:
    called = [verdict for verdict, _ in scores]
    values = [score for _, score in scores]
    return (
        f"Scores of {len(scores)} cells, from {min(values):.2f} to {max(values):.2f}: "
        f"{called.count(Verdict.CTC)} CTC, cut {cuts.ctc:.2f}; "
        f"{called.count(Verdict.REVIEW)} REVIEW, cut {cuts.review:.2f}."
    )


def _bars(values: Sequence[float], axis: _Axis) -> Markup:
    counts = [0] * _BINS
    width = (axis.high - axis.low) / _BINS
    for value in values:
        counts[min(int((value - axis.low) / width), _BINS - 1)] += 1
    edges = [axis.at(axis.low + place * width) for place in range(_BINS + 1)]
    unit = (_BASE - _TOP) / math.log1p(max(counts))
    path = "".join(
        f"M{left:g} {_BASE}V{_BASE - unit * math.log1p(count):.1f}H{right:g}V{_BASE}Z"
        for count, (left, right) in zip(counts, pairwise(edges), strict=True)
        if count
    )
    most = Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
        _LEFT - 6, _TOP + 5, max(counts)
    )
    cells = Markup('<text class="axis" x="{}" y="{}" text-anchor="end">cells</text>').format(_LEFT - 6, _BASE)
    return Markup('<path class="all" d="{}"/>').format(path) + most + cells


def _cut_line(words: str, x: float, words_y: int, side: Literal["start", "end"]) -> Markup:
    """A line at `x`, its words in a row of their own, since the cuts may be close; to their `side` if there is room."""
    if x < _WORDS_WIDTH:
        side = "start"
    elif x > WIDTH - _WORDS_WIDTH:
        side = "end"
    return Markup(
        '<path class="cut" d="M{:g} {}V{}"/><text class="cut-word" x="{:g}" y="{}" text-anchor="{}">{}</text>'
    ).format(x, words_y - 11, _FLOOR, x + 4 if side == "start" else x - 4, words_y, side, words)


def _lane(scores: Scores, lane: Verdict, top: int, axis: _Axis) -> Markup:
    places = sorted({round(2 * axis.at(score)) / 2 for verdict, score in scores if verdict is lane})
    ticks = "".join(f"M{place:g} {top}v{_TICK}" for place in places)
    return Markup('<path class="tick {}" d="{}"/><text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
        lane.lower(), ticks or "M0 0", _LEFT - 6, top + _TICK - 2, lane
    )


def _ends(axis: _Axis) -> Markup:
    """The score's axis: its line, and the numbers at its ends."""
    return Markup(
        '<path class="axis-line" d="M{left} {base}H{right}"/>'
        '<text class="axis" x="{left}" y="{y}">{low}</text>'
        '<text class="axis" x="{right}" y="{y}" text-anchor="end">{high}</text>'
        '<text class="axis" x="{middle}" y="{y}" text-anchor="middle">score</text>'
    ).format(
        left=_LEFT,
        right=WIDTH - _RIGHT,
        middle=(_LEFT + WIDTH - _RIGHT) // 2,
        base=_BASE,
        y=HEIGHT - 8,
        low=f"{axis.low:.1f}",
        high=f"{axis.high:.1f}",
    )
