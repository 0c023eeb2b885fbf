"""Counts as bytes of image files: uncompressed TIFF, and the montage that a viewer saves."""

import functools
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.simulate.field import SIDE_PX

GUTTER_PX = 2
"""Between the panels of a montage and around them."""
_FRAME = 128


def grey_tiff(pages: NDArray[np.uint16]) -> bytes:
    """Uncompressed little-endian TIFF with a page for each of `pages`, `(P, 64, 64)`."""
    blank = _blank_tiff(len(pages))
    data = bytearray(blank.data)
    for offset, page in zip(blank.offsets, pages, strict=True):
        data[offset : offset + page.nbytes] = page.astype("<u2").tobytes()
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _BlankTiff:
    """An uncompressed TIFF of black pages, and where in it the pixels of each page start."""

    data: bytes
    offsets: tuple[int, ...]


# Pixels are copied into a ready file: four new ones would take tifffile a tenth of a cell's time.
@functools.cache
def _blank_tiff(pages: int) -> _BlankTiff:
    # Every command would wait for this import, and one alone writes TIFFs.
    import tifffile  # noqa: PLC0415

    stream = io.BytesIO()
    black = np.zeros((pages, SIDE_PX, SIDE_PX), np.uint16)
    tifffile.imwrite(stream, black, photometric="minisblack", byteorder="<", metadata=None, software=False)
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        return _BlankTiff(stream.getvalue(), tuple(page.dataoffsets[0] for page in tiff.pages))


def montage(images: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """One row of panels as a viewer shows them, each from black at its own minimum to white at its own maximum.

    Args:
        images: `(C, H, W)`.

    Returns:
        `(H + 4, C * (W + 2) + 2)`: a grey frame of 2 px around and between the panels.
    """
    channels, height, width = images.shape
    row = np.full((height + 2 * GUTTER_PX, channels * (width + GUTTER_PX) + GUTTER_PX), _FRAME, np.uint8)
    for place, image in enumerate(images):
        left = GUTTER_PX + place * (width + GUTTER_PX)
        row[GUTTER_PX:-GUTTER_PX, left : left + width] = _stretched(image)
    return row


def _stretched(image: NDArray[np.uint16]) -> NDArray[np.uint8]:
    low, high = int(image.min()), int(image.max())
    shown: NDArray[np.uint8] = np.rint((image.astype(np.float32) - low) * (255 / max(1, high - low))).astype(np.uint8)
    return shown
