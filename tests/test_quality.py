from collections.abc import Sequence

import numpy as np
import pytest

from edge_ctc.appearance import look_at
from edge_ctc.preprocess import Bits, Counts
from edge_ctc.quality import flags_of


def image(full: int, share: float, dtype: str = "uint16") -> Counts:
    """(100, 100) counts with a share of pixels at `full`, the others well below."""
    counts = np.random.default_rng(0).integers(0, 100, (100, 100))
    counts.flat[: round(share * 10_000)] = full
    return counts.astype(np.uint8) if dtype == "uint8" else counts.astype(np.uint16)


def flagged(images: Sequence[Counts], bits: Bits) -> tuple[str, ...]:
    """What is seen without a fingerprint; images of one cell have one size and depth."""
    sides = {image.shape for image in images}
    assert len(sides) == 1
    counts = np.stack(images)
    names = [f"channel {place}" for place in range(len(images))]
    return tuple(flag.name for flag in flags_of(counts, look_at(counts, bits), names, None))


def test_a_plain_cell_has_no_flag() -> None:
    assert flagged([image(3000, 0.5), image(200, 0.0)], 12) == ()


@pytest.mark.parametrize("count", [0, 7, 65535])
def test_a_channel_that_shows_one_single_count_is_empty(count: int) -> None:
    flat = np.full((100, 100), count, np.uint16)
    assert "empty" in flagged([image(9, 0.1), flat], "unknown")
    flat[2, 2] = 8
    assert "empty" not in flagged([image(9, 0.1), flat], "unknown")


@pytest.mark.parametrize(
    ("bits", "dtype", "full"),
    [
        (8, "uint8", 255),
        (12, "uint16", 4095),
        (16, "uint16", 65535),
        ("unknown", "uint8", 255),
        ("unknown", "uint16", 4095),
        ("unknown", "uint16", 65535),
    ],
)
def test_over_one_percent_at_full_scale_is_saturated_and_one_percent_is_not(bits: Bits, dtype: str, full: int) -> None:
    assert flagged([image(full, 0.0101, dtype)], bits) == ("saturated",)
    assert flagged([image(full, 0.01, dtype)], bits) == ()
    assert flagged([image(full - 1, 0.5, dtype)], bits) == ()


@pytest.mark.parametrize(("bits", "full"), [(16, 4095), (12, 255), ("unknown", 255), ("unknown", 4096)])
def test_full_scale_is_that_of_the_declared_depth_alone(bits: Bits, full: int) -> None:
    assert flagged([image(full, 0.5)], bits) == ()


def test_an_image_beyond_twelve_bits_is_not_saturated_at_twelve() -> None:
    counts = image(4095, 0.5)
    counts[99, 99] = 4096
    assert flagged([counts], "unknown") == ()


def test_one_channel_suffices_for_a_flag_and_each_flag_stands_once() -> None:
    full = np.full((100, 100), 4095, np.uint16)
    assert flagged([image(9, 0.1), full, full], 12) == ("empty", "saturated")
