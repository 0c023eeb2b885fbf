"""Counts to the pictures of a page: every channel at one display range for the whole run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import central
from edge_ctc.preprocess import Counts

_DARKEST, _BRIGHTEST = 0.002, 0.998
"""Shares of a group's pixels up to the counts that are shown black and white: a hot pixel or a speck of dust must not
darken all others, and a cell covers far more than 0.2 % of its image."""

_LARGEST_COUNT = 65_535
_AT_ONCE = 64

_BAND = 512
"""Rows that are shaded at a time: as floats, an image takes four times its memory, and again at each step."""


@dataclass(frozen=True, slots=True)
class DisplayRange:
    """Counts that are shown black and white, of one channel in all cells of a run."""

    low: float
    high: float


def display_range(groups: Sequence[Sequence[Counts]]) -> DisplayRange:
    """The range that shows every group: a few bright CTCs would be lost among the pixels of many leukocytes.

    Args:
        groups: images (H, W) of one channel; of CTCs, of REVIEW, of leukocytes. Empty groups do not count.
    """
    ends = [_ends(group) for group in groups if group]
    low = min((dark for dark, _ in ends), default=0.0)
    high = max((bright for _, bright in ends), default=0.0)
    # One flat image in the run: a range of its own has no width.
    return DisplayRange(low, max(high, low + 1))


def _ends(images: Sequence[Counts]) -> tuple[float, float]:
    # Counts are whole: a histogram is exact, and takes a tenth of the time of sorting. Of some images at a time, since
    # numpy counts pixels of two bytes as whole numbers of eight.
    histogram = np.zeros(_LARGEST_COUNT + 1, np.int64)
    for first in range(0, len(images), _AT_ONCE):
        pixels = np.concatenate([central(image).ravel() for image in images[first : first + _AT_ONCE]])
        histogram += np.bincount(pixels, minlength=len(histogram))
    up_to = np.cumsum(histogram)
    dark, bright = np.searchsorted(up_to, up_to[-1] * np.array([_DARKEST, _BRIGHTEST]))
    return float(dark), float(bright)


def shades(image: Counts, shown: DisplayRange) -> NDArray[np.uint8]:
    """8-bit grey (H, W) of the counts in `shown`; what lies outside is black or white."""
    grey = np.empty(image.shape, np.uint8)
    for first in range(0, len(image), _BAND):
        scaled = (image[first : first + _BAND].astype(np.float32) - shown.low) * (255 / (shown.high - shown.low))
        grey[first : first + _BAND] = np.clip(scaled + 0.5, 0, 255)
    return grey
