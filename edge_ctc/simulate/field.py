"""The field of view: the pixels of one image, in um, and its spatial frequencies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]

CHANNELS = ("BF", "DAPI", "PE", "APC")
PIXEL_SIZE_UM = 0.5
SIDE_PX = 64

_axis = (np.arange(SIDE_PX, dtype=np.float32) - (SIDE_PX - 1) / 2) * np.float32(PIXEL_SIZE_UM)
Y, X = np.meshgrid(_axis, _axis, indexing="ij")
"""um from the centre, (64, 64) each."""
HALF_SIDE_UM = float(_axis[-1])

_frequency = np.fft.fftfreq(SIDE_PX, PIXEL_SIZE_UM).astype(np.float32)
Q2 = _frequency[:, None] ** 2 + _frequency[None, :] ** 2
"""Squared spatial frequency, 1 / um^2, (64, 64), as numpy's fft2 orders it."""
Q2_HALF = Q2[:, : SIDE_PX // 2 + 1]
"""The same for rfft2, (64, 33)."""
