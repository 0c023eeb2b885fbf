from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_ctc.errors import ConfigError, ImageError
from edge_ctc.preprocess import Bits, Counts, InputSpec, PixelSize, check_fit, prepare
from tests.images import some_counts


def spec_of(side_px: int = 8, dtype: str = "uint16", **changes: Any) -> InputSpec:
    fields = {"channels": ({"name": "BF", "range": "raw"},), "side_px": side_px, "dtype": dtype}
    return InputSpec.model_validate(fields | changes)


def prepared(spec: InputSpec, *images: Counts) -> NDArray[np.float32]:
    out = np.full(spec.shape, np.nan, np.float32)
    prepare(images, spec, out)
    return out


SIDES = st.integers(1, 24)


@given(height=SIDES, width=SIDES, side=st.integers(8, 16), seed=st.integers(0, 99))
@settings(max_examples=150)
def test_a_cell_is_padded_or_cropped_about_its_centre_and_never_stretched(
    height: int, width: int, side: int, seed: int
) -> None:
    counts = some_counts(height, width, seed=seed)
    (plane,) = prepared(spec_of(side), counts)
    shown_rows, shown_columns = min(height, side), min(width, side)
    # Where the difference is odd, the extra row or column is at the bottom or right.
    top, left = (height - shown_rows) // 2, (width - shown_columns) // 2
    window = counts[top : top + shown_rows, left : left + shown_columns]
    above, before = (side - shown_rows) // 2, (side - shown_columns) // 2
    expected = np.pad(
        window,
        ((above, side - shown_rows - above), (before, side - shown_columns - before)),
        mode="edge",
    )
    np.testing.assert_array_equal(plane, expected)


def test_an_odd_difference_puts_the_extra_row_and_column_at_the_bottom_and_right() -> None:
    nine = np.arange(81, dtype=np.uint16).reshape(9, 9)
    np.testing.assert_array_equal(prepared(spec_of(8), nine)[0], nine[:8, :8])
    seven = np.arange(49, dtype=np.uint16).reshape(7, 7)
    np.testing.assert_array_equal(prepared(spec_of(8), seven)[0], np.pad(seven, ((0, 1), (0, 1)), mode="edge"))


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 8), ("uint16", 16)])
def test_counts_as_they_are_are_exact_at_every_depth(dtype: str, bits: int) -> None:
    counts = some_counts(8, 8, bits)
    np.testing.assert_array_equal(prepared(spec_of(8, dtype), counts)[0], counts)


@given(
    counts=hnp.arrays(np.uint16, (8, 8)),
    low=st.integers(0, 60_000).map(float),
    width=st.integers(1, 65_535).map(float),
)
def test_a_range_maps_its_low_to_0_and_its_high_to_1_and_clips_nothing(
    counts: Counts, low: float, width: float
) -> None:
    spec = spec_of(channels=({"name": "BF", "range": (low, low + width)},))
    expected = (counts.astype(np.float64) - low) / width
    np.testing.assert_allclose(prepared(spec, counts)[0], expected, rtol=1e-6)


def test_each_channel_has_its_own_range_in_the_order_of_the_checkpoint() -> None:
    spec = spec_of(channels=({"name": "PE", "range": (0.0, 100.0)}, {"name": "BF", "range": (100.0, 300.0)}))
    assert spec.channel_names == ("PE", "BF")
    out = prepared(spec, np.full((8, 8), 50, np.uint16), np.full((8, 8), 200, np.uint16))
    np.testing.assert_allclose(out, 0.5)
    below = prepared(spec, np.full((8, 8), 200, np.uint16), np.full((8, 8), 0, np.uint16))
    np.testing.assert_allclose(below[:, 0, 0], [2.0, -0.5])


def test_the_images_are_left_as_they_were() -> None:
    counts = some_counts(8, 8)
    counts.flags.writeable = False
    prepared(spec_of(channels=({"name": "BF", "range": (0.0, 4095.0)},)), counts)
    np.testing.assert_array_equal(counts, some_counts(8, 8))


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_input_of_a_cell_does_not_depend_on_the_cells_before_and_beside_it(
    sizes: list[tuple[int, int]], chance: Any
) -> None:
    spec = spec_of(channels=({"name": "BF", "range": (0.0, 4095.0)},))
    cells = [some_counts(*size, seed=seed) for seed, size in enumerate(sizes)]
    alone = [prepared(spec, cell) for cell in cells]
    batch = np.full((len(cells), *spec.shape), 1e30, np.float32)
    order = list(range(len(cells)))
    chance.shuffle(order)
    for place in [*order, *order]:
        prepare([cells[place]], spec, batch[place])
    np.testing.assert_array_equal(batch, alone)


@pytest.mark.parametrize(
    ("image", "telling"),
    [
        (np.zeros((8, 8), np.uint8), r"BF: expected uint16 \(H, W\), got uint8 \(8, 8\)"),
        (np.zeros((8, 8), np.int16), "got int16"),
        (np.zeros((8, 8), np.float32), "got float32"),
        (np.zeros((8, 8), ">u2"), "got >u2"),
        (np.zeros(64, np.uint16), r"\(64,\)"),
        (np.zeros((8, 8, 3), np.uint16), r"\(8, 8, 3\)"),
        (np.zeros((0, 8), np.uint16), r"\(0, 8\)"),
        (np.zeros((8, 0), np.uint16), r"\(8, 0\)"),
    ],
)
def test_an_image_of_another_kind_is_refused_with_what_was_found(image: Any, telling: str) -> None:
    with pytest.raises(ImageError, match=telling):
        prepared(spec_of(), image)


def test_channels_of_different_sizes_are_refused_by_name() -> None:
    spec = spec_of(channels=({"name": "BF", "range": "raw"}, {"name": "PE", "range": "raw"}))
    with pytest.raises(ImageError, match=r"PE: \(8, 9\) px, another channel of this cell has \(8, 8\)"):
        prepared(spec, some_counts(8, 8), some_counts(8, 9))


def test_a_wrong_number_of_images_or_shape_of_the_output_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="expected"):
        prepare([], spec_of(), np.zeros((1, 8, 8), np.float32))
    with pytest.raises(ValueError, match="expected"):
        prepare([some_counts(8, 8)], spec_of(), np.zeros((1, 8, 9), np.float32))


@pytest.mark.parametrize(
    ("run", "network", "fits"),
    [
        ("unknown", "unknown", True),
        ("unknown", 0.5, True),
        (0.5, "unknown", True),
        (0.5, 0.5, True),
        (0.5049, 0.5, True),
        (0.4951, 0.5, True),
        (0.506, 0.5, False),
        (0.494, 0.5, False),
        (5.04, 5.0, True),
        (5.06, 5.0, False),
    ],
)
def test_the_pixel_size_may_be_unknown_or_differ_by_one_percent(run: PixelSize, network: PixelSize, fits: bool) -> None:
    spec = spec_of(pixel_size_um=network)
    if fits:
        check_fit(spec, run, "unknown")
        return
    with pytest.raises(ConfigError, match=f"pixel_size_um: the profile says {run}, the checkpoint .* {network}"):
        check_fit(spec, run, "unknown")


@pytest.mark.parametrize(
    ("run", "network", "fits"),
    [(12, 12, True), ("unknown", 12, True), (12, "unknown", True), (12, 16, False), (16, 12, False), (8, 16, False)],
)
def test_the_depth_may_be_unknown_and_not_differ(run: Bits, network: Bits, fits: bool) -> None:
    spec = spec_of(bits=network)
    if fits:
        check_fit(spec, "unknown", run)
        return
    with pytest.raises(ConfigError, match=f"bits: the profile says {run}, the checkpoint was trained on {network}"):
        check_fit(spec, "unknown", run)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": ()},
        {"channels": ({"name": "", "range": "raw"},)},
        {"channels": ({"name": "BF", "range": "raw"}, {"name": "BF", "range": "raw"})},
        {"side_px": 7},
        {"side_px": 1025},
        {"dtype": "float32"},
        {"colour": "grey"},
        *(
            {"channels": ({"name": "BF", "range": bounds},)}
            for bounds in [
                (1.0, 1.0),
                (2.0, 1.0),
                (0.0, float("nan")),
                (float("nan"), 1.0),
                (0.0, float("inf")),
                (float("-inf"), 0.0),
                "auto",
            ]
        ),
    ],
)
def test_an_input_that_no_network_can_take_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec_of(**changes)
