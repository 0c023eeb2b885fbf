"""Which of an image's pixels are the cell's and which its background's: the arithmetic of `edge_ctc.appearance`."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FRAME_SHARE = 32
"""The frame that counts as background is a thirty-second of the smaller side wide, at least one pixel: 2 of 64."""


@functools.lru_cache(maxsize=64)
def frame_places(height: int, width: int) -> NDArray[np.intp]:
    """The outermost pixels, as places in the image laid out flat."""
    thickness = max(1, min(height, width) // _FRAME_SHARE)
    frame = np.ones((height, width), bool)
    frame[thickness : height - thickness, thickness : width - thickness] = False
    return np.flatnonzero(frame)


def at(images: NDArray[Any], places: NDArray[np.intp]) -> NDArray[Any]:
    """Pixels of (N, C, H, W) at `places` of the image laid out flat: (N, C, P)."""
    cells, channels, height, width = images.shape
    return np.take(images.reshape(cells, channels, height * width), places, axis=-1)


def median(values: NDArray[Any]) -> NDArray[np.float32]:
    """Along the last axis, exact for counts; `np.median` takes twice as long."""
    half = values.shape[-1] // 2
    places = (half,) if values.shape[-1] % 2 else (half - 1, half)
    middle: NDArray[np.float32] = np.partition(values, places, axis=-1)[..., places].mean(axis=-1, dtype=np.float32)
    return middle


def differences(light: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Of each pixel's neighbours along `axis`, the later less the earlier; an edge pixel stands for the one beyond."""
    along = np.moveaxis(light, axis, 0)
    found = np.empty_like(light)
    out = np.moveaxis(found, axis, 0)
    np.subtract(along[2:], along[:-2], out=out[1:-1])
    np.subtract(along[min(1, len(along) - 1)], along[0], out=out[0])
    np.subtract(along[-1], along[max(0, len(along) - 2)], out=out[-1])
    return found


def filled(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, H, W): what has a found pixel on all four sides, itself included."""
    turned = np.ascontiguousarray(found.swapaxes(1, 2))
    return _between(found) & _between(turned).swapaxes(1, 2)


def _between(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """From the first found pixel of each row to its last."""
    width = found.shape[-1]
    place = np.arange(width)
    first = np.where(found.any(axis=-1), found.argmax(axis=-1), width)[..., None]
    last = width - 1 - found[..., ::-1].argmax(axis=-1)[..., None]
    between: NDArray[np.bool_] = (place >= first) & (place <= last)
    return between
