"""Thumbnails: cells that are only glanced at, many in one lossy picture."""

import functools
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.appearance import central
from edge_ctc.cells import Cell
from edge_ctc.gallery.called_run import CalledRun
from edge_ctc.gallery.pictures import DisplayRange, shades
from edge_ctc.preprocess import Counts

SIDE_PX = 32
"""Of a thumbnail. Four blocks of JPEG's, 8 px each: nothing of a cell gets into its neighbour's."""

ACROSS, DOWN = 20, 10
"""Thumbnails on a sheet. A JPEG's tables are as large as a cell in it, and a browser opens 50 pictures sooner than
10,000."""

Miniature = NDArray[np.uint16]
"""The middle of an image as the means of its parts, at most `SIDE_PX` x `SIDE_PX`: counts still, since what is black
and white is known only when the whole run is called."""

_JPEG_QUALITY = 40

_MOST_KEPT = 20_000
"""Miniatures that are kept, 40 MB; images of the cells beyond are read once more."""


def miniature(image: Counts) -> Miniature:
    """Of an image (H, W): `SIDE_PX` along the longer side; a smaller image has its own size."""
    middle = central(image)
    shrink = min(1.0, SIDE_PX / max(middle.shape))
    down, across = (_means(side, max(1, round(side * shrink))) for side in middle.shape)
    means: Miniature = (down @ middle.astype(np.float32) @ across.T + np.float32(0.5)).astype(np.uint16)
    return means


@functools.lru_cache(maxsize=16)
def _means(side: int, parts: int) -> NDArray[np.float32]:
    """Weights (parts, side) that take the means of equal parts of a side; a pixel that lies in two is shared."""
    ends = np.linspace(0, side, parts + 1)
    pixels = np.arange(side)
    shared = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(shared, 0, None) * (parts / side)).astype(np.float32)
    return weights


def sheet(miniatures: Sequence[Miniature | None], shown: DisplayRange) -> bytes:
    """One JPEG of `ACROSS` x `DOWN` thumbnails, row by row, each in the middle of its place; black where there is none.

    Args:
        miniatures: at most `ACROSS` x `DOWN`; none larger than `SIDE_PX`.
        shown: of their channel.
    """
    counts = np.full((DOWN * SIDE_PX, ACROSS * SIDE_PX), max(0, int(shown.low)), np.uint16)
    for place, small in enumerate(miniatures):
        if small is not None:
            height, width = small.shape
            top = place // ACROSS * SIDE_PX + (SIDE_PX - height) // 2
            left = place % ACROSS * SIDE_PX + (SIDE_PX - width) // 2
            counts[top : top + height, left : left + width] = small
    content = io.BytesIO()
    Image.fromarray(shades(counts, shown)).save(content, "JPEG", quality=_JPEG_QUALITY)
    return content.getvalue()


def sheet_rules(addresses: Sequence[str]) -> str:
    """CSS that shows of sheet n what lies in column x and row y, for elements of class `tile sheet-n x y`.

    A rule holds a sheet once, which the pictures of 200 elements could not.

    Args:
        addresses: of the sheets, as `data:`.
    """
    whole = f".tile {{ background-size: {100 * ACROSS}% {100 * DOWN}%; }}"
    columns = (f".x{x} {{ background-position-x: {100 * x / (ACROSS - 1):.4f}%; }}" for x in range(ACROSS))
    rows = (f".y{y} {{ background-position-y: {100 * y / (DOWN - 1):.4f}%; }}" for y in range(DOWN))
    sheets = (f".sheet-{n} {{ background-image: url({address}); }}" for n, address in enumerate(addresses))
    return "\n".join((whole, *columns, *rows, *sheets))


class MiniatureKeeper:
    """Keeps those of the cells that are being called: their run need not be read once more to be drawn.

    Attributes:
        kept: by cell id.
    """

    def __init__(self, called: CalledRun) -> None:
        """None is kept yet, nor ever where the network does not take the channel that thumbnails show."""
        read, shown = called.network.channel_names, called.thumbnail_channel
        self._place = read.index(shown) if shown in read else None
        self.kept: dict[str, Miniature] = {}

    def keep(self, cell: Cell, counts: Sequence[Counts]) -> None:
        """That of the cell, whose counts are given channel by channel, in network order."""
        if self._place is not None and len(self.kept) < _MOST_KEPT:
            self.kept[cell.cell_id] = miniature(counts[self._place])
