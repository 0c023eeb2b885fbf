import numpy as np

from edge_ctc.images.focus import sharpest
from edge_ctc.preprocess import Counts
from tests.images import some_counts


def blurred(image: Counts, times: int) -> Counts:
    light = image.astype(float)
    for _ in range(times):
        light = (light + np.roll(light, 1, 0) + np.roll(light, 1, 1)) / 3
    return light.astype(np.uint16)


def test_the_least_blurred_plane_is_the_sharpest() -> None:
    image = some_counts(24, 24, 12)
    assert sharpest([blurred(image, times) for times in (4, 2, 0, 1, 3)]) == 2


def test_of_equal_planes_the_first_is_taken() -> None:
    image = some_counts(8, 8, 8)
    assert sharpest([image, image.copy()]) == 0


def test_planes_too_small_for_a_gradient_are_all_equal() -> None:
    assert sharpest([some_counts(2, 1, 8), some_counts(1, 2, 8)]) == 0
