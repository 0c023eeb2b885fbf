"""The worst errors as one picture: CTCs that scored lowest, leukocytes that scored highest, out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from trainer.cells.dataset import Dataset, LabelledCell
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.pages.plots import png

WORST = 12

_SEEN_CELLS = 500
_PERCENTILES = (0.5, 99.8)
_CELL_INCHES, _CAPTION_INCHES, _GAP_INCHES, _HEAD_INCHES = 1.0, 1.75, 0.35, 0.9
_DPI = 110


@dataclass(frozen=True, slots=True)
class _Scored:
    cell: LabelledCell
    score: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What both halves of the sheet share: channels, the display range of each in counts, rows."""

    channels: tuple[str, ...]
    ranges: list[tuple[float, float]]
    rows: int


def worst_errors(table: OutOfFold, dataset: Dataset) -> bytes:
    """PNG of up to `WORST` cells of each class, every channel at one display range for all of them.

    Cells without a score have no place here: they are missed for another reason, and the table lists them.

    Args:
        table: all seeds; a cell's score is the mean over them.
        dataset: with the images of the table's cells.
    """
    scored = _scored(table, dataset)
    lowest = sorted((one for one in scored if one.cell.label.is_ctc), key=lambda one: one.score)[:WORST]
    highest = sorted((one for one in scored if not one.cell.label.is_ctc), key=lambda one: -one.score)[:WORST]
    rows = max(len(lowest), len(highest))
    look = _Look(dataset.channels, _display_ranges([one.cell for one in scored]), rows)
    block = _CAPTION_INCHES + _CELL_INCHES * len(dataset.channels)
    figure = Figure(figsize=(2 * block + _GAP_INCHES, _HEAD_INCHES + _CELL_INCHES * rows), dpi=_DPI)
    grid = figure.add_gridspec(1, 2, left=0, right=1, bottom=0, top=1, wspace=0.04)
    _draw(figure.add_subfigure(grid[0]), f"CTCs, lowest scores, {len(lowest)} of {_count(table, True)}", lowest, look)
    title = f"Leukocytes, highest scores, {len(highest)} of {_count(table, False)}"
    _draw(figure.add_subfigure(grid[1]), title, highest, look)
    return png(figure)


def _scored(table: OutOfFold, dataset: Dataset) -> list[_Scored]:
    names = zip(table.run_id.tolist(), table.cell_id.tolist(), table.logit.tolist(), strict=True)
    scores: dict[tuple[str, str], list[float]] = {}
    for run_id, cell_id, logit in names:
        if not np.isnan(logit):
            scores.setdefault((run_id, cell_id), []).append(logit)
    places = [(cell, scores.get((cell.label.run_id, cell.label.cell_id))) for cell in dataset.cells]
    return [_Scored(cell, float(np.mean(found))) for cell, found in places if found]


def _count(table: OutOfFold, is_ctc: bool) -> int:
    return int(np.count_nonzero(table.is_ctc == is_ctc)) // len(table.seeds)


def _display_ranges(cells: Sequence[LabelledCell]) -> list[tuple[float, float]]:
    """Of each channel, counts: percentiles of cells spread evenly over all of them."""
    seen = cells[:: max(1, len(cells) // _SEEN_CELLS)]
    channels = range(len(cells[0].counts))
    pixels = [np.concatenate([cell.counts[channel].ravel() for cell in seen]) for channel in channels]
    return [(float(low), float(high)) for low, high in (np.percentile(one, _PERCENTILES) for one in pixels)]


def _draw(figure: SubFigure, title: str, cells: Sequence[_Scored], look: _Look) -> None:
    figure.suptitle(f"{title}\nscore: mean logit; ranges in counts", fontsize=8.5, y=0.995)
    widths = [_CAPTION_INCHES, *[_CELL_INCHES] * len(look.channels)]
    top = 1 - (_HEAD_INCHES - 0.1) / (_HEAD_INCHES + _CELL_INCHES * look.rows)
    margins = {"left": 0.01, "right": 0.99, "bottom": 0.01, "top": top, "wspace": 0.04, "hspace": 0.04}
    places = figure.subplots(look.rows, len(widths), squeeze=False, width_ratios=widths, gridspec_kw=margins)
    for place in places.flat:
        place.set_axis_off()
    for row, one in zip(places, cells, strict=False):
        _caption(row[0], one)
        for place, counts, (low, high) in zip(row[1:], one.cell.counts, look.ranges, strict=True):
            place.imshow(counts, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for place, channel, (low, high) in zip(places[0, 1:], look.channels, look.ranges, strict=True):
        place.set_title(f"{channel}\n{low:.0f} to {high:.0f}", fontsize=8, pad=3)


def _caption(place: Axes, one: _Scored) -> None:
    label = one.cell.label
    text = f"{_shortened(label.run_id)}\ncell {_shortened(label.cell_id)}\nscore {one.score:+.2f}"
    place.text(0.98, 0.5, text, ha="right", va="center", fontsize=8, transform=place.transAxes)


def _shortened(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:10]}…{name[-11:]}"
