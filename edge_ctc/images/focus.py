"""How sharp an image is, to choose among the focal planes of one channel."""

from collections.abc import Sequence

import numpy as np

from edge_ctc.preprocess import Counts


def sharpest(planes: Sequence[Counts]) -> int:
    """The index of the plane with the largest Brenner gradient, the first of equals.

    Brenner et al., J Histochem Cytochem 24:100 (1976): the mean squared difference of pixels two apart, here along
    both axes. It finds the focus of a stained cell. An unstained cell in bright field is a phase object: its contrast
    is largest a few um off focus, and that plane is found (docs/results.md has the figures).

    Args:
        planes: (H, W) counts of one channel at each focal plane; at least one.
    """
    return int(np.argmax([_brenner(plane) for plane in planes]))


def _brenner(plane: Counts) -> float:
    light = plane.astype(np.float32)
    steps = (light[2:] - light[:-2], light[:, 2:] - light[:, :-2])
    return float(sum(np.mean(step**2) for step in steps if step.size))
