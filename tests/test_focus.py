from collections import Counter

import numpy as np
import pytest

from edge_ctc.images.focus import sharpest
from edge_ctc.preprocess import Counts
from edge_ctc.simulate import CHANNELS, focal_series
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


PLANES_UM = (-6.0, -3.0, 0.0, 3.0, 6.0)


@pytest.fixture(scope="module")
def found() -> dict[str, Counter[float]]:
    """How often each plane is the sharpest of 60 simulated cells, per channel."""
    counts: dict[str, Counter[float]] = {name: Counter() for name in CHANNELS}
    for seed in range(6):
        for number in range(1, 11):
            series = focal_series(seed, number, number % 3 == 0, PLANES_UM)
            for place, name in enumerate(CHANNELS):
                counts[name][PLANES_UM[sharpest(list(series[:, place]))]] += 1
    return counts


@pytest.mark.parametrize("channel", ["DAPI", "PE", "APC"])
def test_the_sharpest_plane_of_a_stain_is_the_one_in_focus(found: dict[str, Counter[float]], channel: str) -> None:
    assert found[channel][0.0] >= 0.75 * 60


def test_the_sharpest_plane_of_bright_field_is_off_focus_as_a_phase_object_is(
    found: dict[str, Counter[float]],
) -> None:
    assert found["BF"][0.0] == 0
