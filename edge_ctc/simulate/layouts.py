"""Where each layout puts a cell's images, and under which names."""

from collections.abc import Iterator
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge_ctc.images.write_png import grey_png
from edge_ctc.simulate.field import CHANNELS
from edge_ctc.simulate.image_files import grey_tiff, montage


class Layout(StrEnum):
    """How a simulated run lies on the disk; all but the montage hold the same counts."""

    FLAT = "flat"
    PER_CELL = "per-cell"
    MULTIPAGE = "multipage"
    MONTAGE = "montage"


_DIGITS = {Layout.FLAT: 4, Layout.PER_CELL: 5, Layout.MULTIPAGE: 1, Layout.MONTAGE: 5}


def cell_ids(cells: int, layout: Layout) -> list[str]:
    """The ids of cells 1 to `cells` as they stand in the file names: all but the multipage layout pad them."""
    digits = _DIGITS[layout] if layout is Layout.MULTIPAGE else max(_DIGITS[layout], len(str(cells)))
    return [f"{number:0{digits}d}" for number in range(1, cells + 1)]


def cell_files(run: str, cell_id: str, images: NDArray[np.uint16], layout: Layout) -> Iterator[tuple[str, bytes]]:
    """(path below the run, content) of each file of one cell.

    Args:
        run: The name of the run's folder.
        cell_id: As `cell_ids` gives it.
        images: `(4, 64, 64)` in the order of `CHANNELS`.
        layout: How the run lies on the disk.
    """
    match layout:
        case Layout.FLAT:
            for channel, image in zip(CHANNELS, images, strict=True):
                yield f"Images/{cell_id}_{channel}.tif", grey_tiff(image[None])
        case Layout.PER_CELL:
            for channel, image in zip(CHANNELS, images, strict=True):
                yield f"Cell_{cell_id}/{channel}.png", grey_png(image)
        case Layout.MULTIPAGE:
            yield f"thumbs/{cell_id}_thumb.tif", grey_tiff(images)
        case Layout.MONTAGE:
            yield f"{run}_cell-{cell_id}.png", grey_png(montage(images))
