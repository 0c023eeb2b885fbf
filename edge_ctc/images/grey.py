"""Pictures in colours hold counts only where every pixel is grey: told here, for PNG and BMP alike."""

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ImageError

_OPAQUE = 255


def grey_of(samples: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    """The one count of each pixel.

    Args:
        samples: uint8 (H, W, S): S = 2 grey and alpha, 3 the colours, 4 the colours and alpha.
        what: for errors, as "RGB".

    Returns:
        uint8 (H, W).

    Raises:
        ImageError: colours that differ in a pixel, or a pixel that is not opaque.
    """
    colours = 1 if samples.shape[2] == 2 else 3
    first: NDArray[np.uint8] = samples[:, :, 0]
    for other in range(1, colours):
        if not np.array_equal(first, samples[:, :, other]):
            raise coloured(what)
    if samples.shape[2] % 2 == 0 and samples[:, :, -1].min() != _OPAQUE:
        raise ImageError(
            f"{what} with see-through pixels: expected alpha {_OPAQUE} everywhere, got "
            f"{samples[:, :, -1].min()}; export grey images without alpha"
        )
    return np.ascontiguousarray(first)


def through_palette(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The count that each index stands for.

    Args:
        indices: uint8 (H, W).
        palette: uint8 (N, 3), the colours of indices 0 to N - 1, N at most 256.

    Returns:
        uint8 (H, W).

    Raises:
        ImageError: the palette has colours, or an index points beyond it.
    """
    if not (palette == palette[:, :1]).all():
        raise coloured("a palette")
    if (largest := int(indices.max())) >= len(palette):
        raise ImageError(f"torn: expected indices below {len(palette)}, the length of the palette, got {largest}")
    counts: NDArray[np.uint8] = palette[:, 0][indices]
    return counts


def coloured(what: str) -> ImageError:
    """The refusal of a picture in colours."""
    return ImageError(
        f"{what} whose red, green and blue differ: a picture in colours holds no counts; export one grey image "
        "per channel"
    )
