"""What is measured of a cell without a network: exact where it can be, true to simulated cells where it cannot."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_ctc.appearance import MEASURES, QUANTILES, Appearances, ChannelFingerprint, measure, measure_each
from edge_ctc.simulate import PIXEL_SIZE_UM, focal_series, simulate_cells

SEEDS = st.integers(0, 2**32 - 1)


def disc(radius: float, level: float = 400, noise: float = 6, seed: int = 0, side: int = 48) -> NDArray[np.uint16]:
    """One cell of one channel, (1, side, side): a bright disc on a noisy background of 200 counts."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    light = 200 + np.random.default_rng(seed).normal(0, noise, (side, side))
    cell: NDArray[np.uint16] = np.rint(light + level * (np.hypot(rows, columns) <= radius))[None].astype(np.uint16)
    return cell


def random_cell(seed: int) -> NDArray[np.uint16]:
    """A disc off centre with a second one beside it, two channels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :36]
    light = 300 + rng.normal(0, 5, (2, 40, 36))
    for _ in range(2):
        row, column, radius = rng.uniform(12, 26), rng.uniform(12, 24), rng.uniform(3, 8)
        light += rng.uniform(-130, 300, (2, 1, 1)) * (np.hypot(rows - row, columns - column) < radius)
    return np.rint(light).astype(np.uint16)


def same(one: Appearances, other: Appearances, names: tuple[str, ...] = (*MEASURES, "diameter_px")) -> None:
    for name in names:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("radius", [5, 8, 12, 16])
def test_a_discs_diameter_is_found_to_the_gradients_rim(radius: float) -> None:
    (diameter,) = measure(disc(radius)[None]).diameter_px
    assert 2 * radius <= diameter <= 2 * radius + 3


def test_background_noise_and_brightness_of_a_known_image_are_found() -> None:
    looks = measure(disc(12, level=400, noise=6)[None])
    assert looks.background[0, 0] == pytest.approx(200, abs=1.5)
    assert looks.noise[0, 0] == pytest.approx(6, rel=0.25)
    assert 400 * (12 / 13.5) ** 2 < looks.brightness[0, 0] < 400


def test_an_image_without_a_cell_has_no_size_and_no_light() -> None:
    looks = measure(disc(0, level=0)[None])
    assert looks.diameter_px[0] < 3
    assert abs(looks.brightness[0, 0]) < 30
    flat = measure(np.full((1, 1, 8, 8), 7, np.uint8))
    assert (flat.diameter_px[0], flat.brightness[0, 0], flat.sharpness[0, 0]) == (0, 0, 0)


def test_one_odd_pixel_in_a_flat_8_bit_background_is_no_cell() -> None:
    counts = np.full((1, 1, 24, 24), 30, np.uint8)
    counts[0, 0, 5, 5] += 1
    assert measure(counts).diameter_px[0] == 0


@given(seed=SEEDS, quarters=st.integers(1, 3), mirrored=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_turned_or_mirrored_cell_measures_the_same(seed: int, quarters: int, mirrored: bool) -> None:
    cell = random_cell(seed)
    turned = np.rot90(cell[..., ::-1] if mirrored else cell, quarters, (-2, -1))
    same(measure(turned[None]), measure(cell[None]))


@given(seed=SEEDS, gain=st.sampled_from([2, 4, 8]), offset=st.integers(0, 3000))
@settings(max_examples=40, deadline=None)
def test_gain_and_offset_change_counts_and_neither_size_nor_sharpness(seed: int, gain: int, offset: int) -> None:
    cell = random_cell(seed)
    plain, amplified = measure(cell[None]), measure((gain * cell + offset).astype(np.uint16)[None])
    same(plain, amplified, ("diameter_px", "sharpness"))
    np.testing.assert_allclose(amplified.noise, gain * plain.noise, rtol=1e-6)
    np.testing.assert_allclose(amplified.brightness, gain * plain.brightness, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(amplified.background, gain * plain.background + offset)


@given(saturated=st.integers(1, 30), bits=st.sampled_from([8, 12, 16, "unknown"]))
@settings(max_examples=40, deadline=None)
def test_the_saturated_share_is_the_share_at_full_scale(saturated: int, bits: Any) -> None:
    top = 4095 if bits == "unknown" else 2**bits - 1
    counts = np.full((1, 2, 10, 12), 50, np.uint16)
    counts[0, 1].flat[:saturated] = top
    assert measure(counts, bits).saturated.tolist() == [[0, saturated / 120]]
    counts[0, 1].flat[:saturated] = top - 1
    assert measure(counts, bits).saturated.tolist() == [[0, 0]]


@given(side=st.tuples(st.integers(1, 6), st.integers(1, 6)), count=st.integers(0, 65535))
@settings(max_examples=30, deadline=None)
def test_even_the_smallest_image_measures_finite(side: tuple[int, int], count: int) -> None:
    counts = np.zeros((1, 1, *side), np.uint16)
    counts[0, 0, -1, -1] = count
    looks = measure(counts)
    assert all(np.isfinite(getattr(looks, name)).all() for name in (*MEASURES, "diameter_px"))


def test_cells_of_several_sizes_keep_their_order() -> None:
    cells = [disc(6, seed=1), disc(9, seed=2, side=40), disc(12, seed=3), disc(4, seed=4, side=40), *[disc(7)] * 9]
    alone = [measure(cell[None]) for cell in cells]
    together = measure_each(cells)
    assert together.diameter_px.tolist() == [looks.diameter_px[0] for looks in alone]
    assert together.brightness.tolist() == [looks.brightness[0].tolist() for looks in alone]


def test_no_cell_measures_to_nothing() -> None:
    looks = measure(np.zeros((0, 4, 64, 64), np.uint16))
    assert looks.background.shape == (0, 4)
    assert looks.diameter_px.shape == (0,)


@pytest.mark.parametrize(("channels", "least"), [(slice(None), 0.85), (slice(0, 1), 0.75)])
def test_the_diameter_ranks_simulated_cells_as_their_true_size_does(channels: slice, least: float) -> None:
    cells = [cell for seed in range(4) for cell in simulate_cells(40, 16, seed, instrument=seed)]
    found = measure(np.stack([cell.images[channels] for cell in cells])).diameter_px
    true = np.array([cell.diameter_um / PIXEL_SIZE_UM for cell in cells])
    found_rank, true_rank = (np.argsort(np.argsort(values)) for values in (found, true))
    assert np.corrcoef(found_rank, true_rank)[0, 1] > least
    assert 1.0 < np.median(found / true) < 1.4


def test_a_stained_cell_is_sharpest_in_focus() -> None:
    planes = [measure(focal_series(3, number, True, (-7, 0, 7))).sharpness[:, 1:3] for number in range(1, 13)]
    left, middle, right = np.median(planes, axis=0)
    assert (middle > left).all()
    assert (middle > right).all()


def test_noise_makes_a_dim_stain_no_sharper() -> None:
    rows, columns = np.mgrid[:48, :48] - 23.5
    stain = np.exp(-(np.maximum(np.hypot(rows, columns) - 8, 0) ** 2) / 18) * np.array([400, 40])[:, None, None]
    quiet, loud = (
        measure(np.rint(200 + stain + np.random.default_rng(1).normal(0, noise, stain.shape))[None].astype(np.uint16))
        for noise in ([[[1]], [[1]]], [[[1]], [[5]]])
    )
    assert loud.sharpness[0, 1] == pytest.approx(quiet.sharpness[0, 1], rel=0.3)


def test_a_fingerprint_whose_quantiles_fall_is_refused() -> None:
    rising = tuple(float(value) for value in range(len(QUANTILES)))
    fields = dict.fromkeys(MEASURES, rising)
    assert ChannelFingerprint.model_validate(fields)
    with pytest.raises(ValidationError, match=r"sharpness: quantiles .* fall"):
        ChannelFingerprint.model_validate({**fields, "sharpness": rising[::-1]})
