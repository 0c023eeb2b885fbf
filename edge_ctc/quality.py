"""Flags of one cell: what a reader should know before trusting its call. A flag never changes a verdict."""

from collections.abc import Sequence

import numpy as np

from edge_ctc.preprocess import Bits, Counts

SATURATED = "saturated"
EMPTY = "empty"
PIXEL_SIZE_UNCHECKED = "pixel_size_unchecked"
DISPLAY_STRETCHED = "display_stretched"
NOT_IN_TABLE = "not_in_table"

SATURATED_SHARE = 0.01
"""Share of a channel's pixels at full scale from which its intensity is no longer a measurement [assumed]."""


def flags_of(images: Sequence[Counts], bits: Bits) -> tuple[str, ...]:
    """`empty` if a channel shows one single count, `saturated` if one has over 1 % of its pixels at full scale.

    Args:
        images: (H, W) counts per channel.
        bits: declared depth; "unknown": full scale is taken to be 12 bits for uint16 images that stay
            within 12 bits, else the dtype's own.
    """
    flags = []
    if any(image.min() == image.max() for image in images):
        flags.append(EMPTY)
    if any(_saturated_share(image, bits) > SATURATED_SHARE for image in images):
        flags.append(SATURATED)
    return tuple(flags)


def _saturated_share(image: Counts, bits: Bits) -> float:
    largest = int(image.max())
    scales = (2**bits - 1,) if bits != "unknown" else (255,) if image.dtype == np.uint8 else (4095, 65535)
    if largest not in scales:
        return 0.0
    return float(np.count_nonzero(image == largest)) / image.size
