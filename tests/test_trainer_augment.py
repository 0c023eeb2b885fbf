"""What augmentation may change in a cell, by how much, and what it must leave alone."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from trainer.learning.augment import augment, background, warped
from trainer.recipe import Augmentation

OFF = {"rotation": "none", "flips": False, "shift_px": 0, "gain_sigma": 0, "offset_sigma": 0}
SIDE = 24
SINGLE: dict[str, dict[str, Any]] = {
    "quarter turns": {"rotation": "quarter"},
    "any angle": {"rotation": "any"},
    "flips": {"flips": True},
    "whole shift": {"shift_px": 3},
    "part of a pixel": {"shift_px": 0.5},
    "scale": {"scale": 0.1},
    "dropout": {"dropout": 0.5},
    "crosstalk": {"crosstalk": 0.3},
    "defocus": {"defocus_px": 2},
    "gain": {"gain_sigma": 0.3},
    "offset": {"offset_sigma": 0.1},
    "shot noise": {"shot_noise": 0.1},
    "read noise": {"read_noise": 0.1},
}


def only(**on: Any) -> Augmentation:
    """Everything off but this."""
    return Augmentation.model_validate({**OFF, **on})


def drawn(cells: Tensor, seed: int = 4, **on: Any) -> Tensor:
    """Cells augmented by these operations alone."""
    return augment(cells, cells[:, :0], only(**on), range(cells.shape[1]), torch.Generator().manual_seed(seed))


def noise(count: int, channels: int = 2, side: int = SIDE) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


Plane = NDArray[np.float64]


def scene(right: Plane, down: Plane, blur_px: float = 0) -> Plane:
    """A lopsided smooth cell at places given from the image's middle, as a Gaussian blur would leave it."""
    light = np.zeros_like(right)
    for height, x, y, sd in ((1.0, 1.5, -2.5, 3.0), (0.5, -2.5, 3.5, 2.0)):
        wider = sd**2 + blur_px**2
        light += height * sd**2 / wider * np.exp(-((right - x) ** 2 + (down - y) ** 2) / 2 / wider)
    return light


def places(side: int = 32) -> tuple[Plane, Plane]:
    """How far right and down of the middle each pixel lies, (side, side)."""
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    return right, down


def blobs(count: int, channels: int = 1, behind: float = 0.25) -> Tensor:
    """The scene over a background; each channel is twice as bright as the one before."""
    planes = [behind + 2**channel * scene(*places()) for channel in range(channels)]
    return torch.from_numpy(np.stack(planes).astype(np.float32)).expand(count, -1, -1, -1).clone()


def middles(cells: Tensor) -> Tensor:
    """Centres of mass over the background, (N, C, 2), pixels right and down."""
    light = cells - background(cells)
    place = torch.arange(cells.shape[-1], dtype=torch.float32)
    whole = light.sum((2, 3))
    return torch.stack([(light * place).sum((2, 3)) / whole, (light * place[:, None]).sum((2, 3)) / whole], 2)


def steepness(cells: Tensor) -> Tensor:
    """Mean squared step from pixel to pixel, (N, C)."""
    return (cells.diff(dim=2) ** 2).mean((2, 3))


@pytest.mark.parametrize("name", SINGLE)
def test_each_operation_alone_changes_cells_differently_and_leaves_the_input_and_its_kind(name: str) -> None:
    cells = noise(8)
    kept = cells.clone()
    found = drawn(cells, **SINGLE[name])
    assert torch.equal(cells, kept)
    assert (found.shape, found.dtype, found.is_contiguous(), found.requires_grad) == (
        cells.shape,
        torch.float32,
        True,
        False,
    )
    assert torch.isfinite(found).all()
    assert not torch.equal(found, cells)
    copies = drawn(cells[:1].expand(8, -1, -1, -1), **SINGLE[name])
    assert len({copy.numpy().tobytes() for copy in copies}) > 1


@pytest.mark.parametrize("name", SINGLE)
def test_each_operation_follows_from_its_generator_alone(name: str) -> None:
    cells = noise(8)
    first, again, other = (drawn(cells, seed, **SINGLE[name]) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_any_augmentation_cells_stay_as_they_are_and_nothing_is_drawn() -> None:
    cells = noise(4)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert augment(cells, cells[:, :0], only(), (), generator) is cells
    assert torch.equal(generator.get_state(), before)


def test_torchs_own_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    everything = {key: value for on in SINGLE.values() for key, value in on.items()}
    augment(noise(4, 1), noise(4, 2), only(**everything, auxiliary=0.5), (0,), torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("on", "images"),
    [
        ({"flips": True}, 2),
        ({"rotation": "quarter"}, 4),
        ({"rotation": "quarter", "flips": True}, 8),
    ],
)
def test_turns_and_mirror_images_are_exact_and_equally_often(on: dict[str, Any], images: int) -> None:
    cell = noise(1)
    ways = [cell.rot90(quarter, (2, 3)) for quarter in range(4 if "rotation" in on else 1)]
    ways += [way.flip(3) for way in ways] if "flips" in on else []
    found = drawn(cell.expand(1600, -1, -1, -1), **on)
    often = [int((found == way).all(3).all(2).all(1).sum()) for way in ways]
    assert (len(often), sum(often)) == (images, 1600)
    assert min(often) > 0.7 * 1600 / images


def test_a_shift_by_whole_pixels_moves_every_channel_alike_and_repeats_the_edge() -> None:
    cell = noise(1)
    framed = torch.nn.functional.pad(cell, (3,) * 4, mode="replicate")[0]
    expected = {
        framed[:, top : top + SIDE, left : left + SIDE].numpy().tobytes() for top in range(7) for left in range(7)
    }
    found = {image.numpy().tobytes() for image in drawn(cell.expand(1000, -1, -1, -1), shift_px=3)}
    assert found == expected


@pytest.mark.parametrize("on", [{"shift_px": 2}, {"shift_px": 1.5}, {"shift_px": 1.5, "scale": 0.01}])
def test_a_shift_moves_the_middle_of_a_blob_by_at_most_as_much(on: dict[str, Any]) -> None:
    cells = blobs(200)
    away = middles(drawn(cells, **on)) - middles(cells)
    slack = 0.05 + 4 * on.get("scale", 0)
    for farthest in (*away.amax((0, 1)), *-away.amin((0, 1))):
        assert 0.9 * on["shift_px"] < farthest < on["shift_px"] + slack


@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.9, 1.1),
    right=st.floats(-2, 2),
    down=st.floats(-2, 2),
)
def test_warping_shows_the_scene_turned_clockwise_and_scaled_about_the_middle_then_shifted(
    angle: float, scale: float, right: float, down: float
) -> None:
    found = warped(blobs(1), torch.tensor([angle]), torch.tensor([scale]), torch.tensor([[right, down]]))
    cosine, sine = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
    x, y = places()
    expected = 0.25 + scene(cosine * (x - right) + sine * (y - down), cosine * (y - down) - sine * (x - right))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=0.02)


def test_channels_stay_registered_when_a_cell_is_turned_scaled_and_shifted() -> None:
    cells = blobs(50, channels=3)
    found = drawn(cells, rotation="any", flips=True, scale=0.1, shift_px=2.5)
    light = found - background(found)
    torch.testing.assert_close(light[:, 1], 2 * light[:, 0], atol=2e-3, rtol=0)
    torch.testing.assert_close(light[:, 2], 4 * light[:, 0], atol=4e-3, rtol=0)
    assert float((light[:1, 0] - light[1:2, 0]).abs().max()) > 0.1


def test_what_comes_into_view_is_each_channels_background() -> None:
    cells = torch.cat([blobs(200, behind=0.25), blobs(200, behind=0.75)], 1)
    found = drawn(cells, rotation="any", shift_px=2)
    corners = found[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.tensor([0.25, 0.75])[None, :, None].expand_as(corners), atol=1e-3, rtol=0)


def test_what_lay_at_the_edge_is_not_smeared_over_what_comes_into_view() -> None:
    cells = torch.full((1, 1, 16, 16), 0.25)
    cells[..., 6:10, 0] = 5
    found = warped(cells, torch.zeros(1), torch.ones(1), torch.tensor([[6.0, 0.0]]))
    torch.testing.assert_close(found[..., :4], cells[..., 4:8], atol=1e-3, rtol=0)


def test_any_angle_turns_all_the_way_round() -> None:
    cells = blobs(400)
    away = middles(drawn(cells, rotation="any"))[:, 0] - (cells.shape[-1] - 1) / 2
    angles = torch.atan2(away[:, 1], away[:, 0])
    assert torch.histc(angles, 8, -np.pi, np.pi).min() > 25


def test_a_scale_changes_the_area_by_at_most_its_square() -> None:
    cells = blobs(200)
    light = (drawn(cells, scale=0.1) - 0.25).sum((1, 2, 3)) / (cells - 0.25).sum((1, 2, 3))
    assert 0.8 < light.min() < 0.85
    assert 1.17 < light.max() < 1.22


def test_defocus_keeps_the_light_and_lowers_the_steps_by_channel() -> None:
    cells = blobs(50, channels=2)
    found = drawn(cells, defocus_px=2)
    torch.testing.assert_close(found.mean((2, 3)), cells.mean((2, 3)), rtol=1e-3, atol=0)
    left = steepness(found) / steepness(cells)
    assert left.max() < 1.0001
    assert left.min() < 0.7
    assert float((left[:, 0] - left[:, 1]).abs().max()) > 0.1


def test_the_strongest_defocus_is_a_gaussian_of_the_recipes_sd() -> None:
    cells = blobs(400)
    expected = 0.25 + scene(*places(), blur_px=1.5)
    found = drawn(cells, defocus_px=1.5)
    most = found[steepness(found)[:, 0].argmin(), 0].numpy()
    np.testing.assert_allclose(most, expected, atol=5e-3)


def test_a_tiny_defocus_is_hardly_any() -> None:
    cells = noise(8)
    torch.testing.assert_close(drawn(cells, defocus_px=0.01), cells, atol=1e-6, rtol=0)


def test_gain_and_offset_have_the_recipes_sd_in_each_channel_by_itself() -> None:
    cells = noise(4000, side=8)
    found = drawn(cells, gain_sigma=0.2, offset_sigma=0.05)
    ranges = (found.amax((2, 3)) - found.amin((2, 3))) / (cells.amax((2, 3)) - cells.amin((2, 3)))
    gains = ranges.log()
    offsets = found.amin((2, 3)) - ranges * cells.amin((2, 3))
    for drawn_values, sd in ((gains, 0.2), (offsets, 0.05)):
        assert drawn_values.std(0).numpy() == pytest.approx([sd, sd], rel=0.05)
        assert drawn_values.mean(0).abs().max() < 0.1 * sd
        assert abs(float(torch.corrcoef(drawn_values.T)[0, 1])) < 0.06


def test_shot_noise_grows_in_variance_with_brightness_and_read_noise_does_not() -> None:
    levels = torch.tensor([-0.5, 0.0, 0.5, 1.0, 2.0])
    cells = levels.repeat_interleave(4).expand(3000, 1, 20, 20).clone()
    # The largest sd is a uniform draw's end: the mean square of a draw is a third of its square.
    ons: tuple[dict[str, Any], ...] = ({"shot_noise": 0.3}, {"read_noise": 0.3})
    shot, read = ((drawn(cells, **on) - cells).square().mean((0, 1, 2)).view(5, 4).mean(1) * 3 for on in ons)
    torch.testing.assert_close(shot, 0.09 * levels.clamp(min=0), rtol=0.08, atol=1e-9)
    torch.testing.assert_close(read, torch.full((5,), 0.09), rtol=0.08, atol=0)


def test_noise_differs_from_pixel_to_pixel_and_in_strength_from_cell_to_cell() -> None:
    cells = torch.ones(200, 2, SIDE, SIDE)
    noisy = drawn(cells, read_noise=0.1) - cells
    strengths = noisy.std((1, 2, 3))
    assert strengths.min() < 0.02
    assert 0.08 < strengths.max() < 0.11
    for one, beside in ((noisy[:, 0], noisy[:, 1]), (noisy[..., 1:], noisy[..., :-1])):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), beside.flatten()]))[0, 1])) < 0.02


def test_crosstalk_adds_a_share_of_the_neighbours_signal_and_of_nothing_else() -> None:
    cells = blobs(300, channels=1, behind=0.25).repeat(1, 4, 1, 1)
    cells[:, 1:] = 0.5
    cells[:, 3, 4:8, 4:8] = 1.5
    added = drawn(cells, crosstalk=0.2) - cells
    signal = cells - background(cells)
    first = (added[:, 1] * signal[:, 0]).sum((1, 2)) / signal[:, 0].square().sum((1, 2))
    third = (added[:, 2] * signal[:, 3]).sum((1, 2)) / signal[:, 3].square().sum((1, 2))
    for shares in (first, third):
        assert 0 <= shares.min() < 0.02
        assert 0.18 < shares.max() <= 0.2001
    torch.testing.assert_close(added[:, 1], first[:, None, None] * signal[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(added[:, 2], third[:, None, None] * signal[:, 3], atol=1e-5, rtol=0)
    assert float(added[:, [0, 3]].abs().max()) < 1e-6


def test_what_stains_do_leaves_light_that_passes_through_the_cell_alone() -> None:
    cells = noise(40, channels=4)
    found = augment(cells, cells[:, :0], only(crosstalk=0.5, dropout=0.5), (1, 2, 3), torch.Generator().manual_seed(1))
    assert torch.equal(found[:, 0], cells[:, 0])
    assert not torch.isclose(found[:, 1:], cells[:, 1:]).all(3).all(2).any(0).all()
    without_light = augment(
        torch.cat([torch.zeros_like(cells[:, :1]), cells[:, 1:]], 1),
        cells[:, :0],
        only(crosstalk=0.5, dropout=0.5),
        (1, 2, 3),
        torch.Generator().manual_seed(1),
    )
    assert torch.equal(found[:, 1:], without_light[:, 1:])


def test_stains_are_neighbours_in_the_order_in_which_they_are_named() -> None:
    cells = torch.full((20, 3, 8, 8), 0.5)
    cells[:, 0, 3:5, 3:5] = 1.5
    found = augment(cells, cells[:, :0], only(crosstalk=0.5), (0, 2, 1), torch.Generator().manual_seed(1))
    assert torch.equal(found[:, :2], cells[:, :2])
    assert float((found - cells)[:, 2].amax()) > 0.3


def test_one_stain_has_no_neighbour() -> None:
    cells = noise(4, 1)
    torch.testing.assert_close(drawn(cells, crosstalk=0.5), cells, atol=1e-6, rtol=0)


def test_dropout_leaves_the_background_and_never_drops_all_channels() -> None:
    cells = noise(2000, channels=3, side=8)
    found = drawn(cells, dropout=0.9)
    dropped = (found == background(cells)).all(3).all(2)
    assert torch.equal(found[~dropped], cells[~dropped])
    assert int((~dropped).sum(1).min()) == 1
    # One of three stays for sure, the others with 0.1.
    assert dropped.float().mean(0).numpy() == pytest.approx([0.6] * 3, abs=0.04)


def test_a_stain_that_dropped_out_sends_no_crosstalk_but_shows_its_neighbours() -> None:
    cells = blobs(400, channels=2)
    ranges = (found := drawn(cells, dropout=0.5, crosstalk=0.3)).amax((2, 3)) - found.amin((2, 3))
    dropped = ranges < 0.7
    for channel, beside in ((0, 1), (1, 0)):
        alone = dropped[:, beside]
        assert 50 < int(alone.sum()) < 150
        torch.testing.assert_close(found[alone, channel], cells[alone, channel], atol=1e-5, rtol=0)
        assert float(ranges[alone, beside].max()) > 0.2


def test_auxiliary_images_take_the_place_of_the_recipes_share_and_each_kind_as_often() -> None:
    cells = torch.zeros(4000, 1, 4, 4)
    auxiliary = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None] + torch.arange(4000)[:, None, None, None] * 10
    found = augment(cells, auxiliary.expand(-1, -1, 4, 4), only(auxiliary=0.4), (), torch.Generator().manual_seed(1))
    shown = found[:, 0, 0, 0]
    kinds = [int((shown == auxiliary[:, kind, 0, 0]).sum()) for kind in range(3)]
    assert int((shown == 0).sum()) + sum(kinds) == 4000
    assert sum(kinds) == pytest.approx(0.4 * 4000, rel=0.06)
    assert kinds == pytest.approx([sum(kinds) / 3] * 3, rel=0.12)
    assert torch.equal(found, shown[:, None, None, None].expand_as(found))


def test_auxiliary_images_are_left_alone_where_the_share_is_none() -> None:
    cells = noise(4, 1)
    assert torch.equal(augment(cells, cells + 1, only(), (), torch.Generator()), cells)


def test_the_background_is_what_most_of_the_border_shows() -> None:
    cells = torch.full((1, 2, 8, 8), 0.5)
    cells[0, 0, 2:6, 2:6] = 9
    cells[0, 1, :, :2] = 9
    assert background(cells).flatten().tolist() == [0.5, 0.5]
