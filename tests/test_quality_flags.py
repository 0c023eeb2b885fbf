"""Flags by the training cells' cuts, on simulated cells of instruments that gave no cut. Figures: docs/results.md."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ctc.appearance import Fingerprint, look_at
from edge_ctc.flag_cuts import FlagCuts
from edge_ctc.nuclei import nuclear_channel, separation_px
from edge_ctc.quality import (
    BLUR,
    EDGE,
    EMPTY,
    LOW_SIGNAL,
    MEASURED,
    SATURATED,
    SEVERAL_NUCLEI,
    SIZE_OUTLIER,
    Flag,
    flags_of,
)
from edge_ctc.simulate import CHANNELS, SimulatedCell, focal_series, simulate_cells
from tests.defects import NUCLEAR, Counts, blurred, clipped, dimmed, gone, moved, sized
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.fingerprint import fingerprint
from trainer.cells.labels import Label

MARKERS = dict(zip(CHANNELS, ("bright field", "nucleus", "CK", "CD45"), strict=True))
NONE = np.empty((0, 64, 64), np.uint16)


def learned(cells: Sequence[SimulatedCell], channels: slice = slice(0, 4)) -> Fingerprint:
    members = [
        LabelledCell(Label("r", str(place), cell.label == "CTC", "p"), cell.images[channels], NONE)
        for place, cell in enumerate(cells)
    ]
    return fingerprint(Dataset(tuple(members), (), 0, CHANNELS[: channels.stop], (), "uint16", 12, 0.5, "counts"))


@pytest.fixture(scope="module")
def training() -> list[SimulatedCell]:
    return [cell for run in range(8) for cell in simulate_cells(50, 15, 100_000 + run, run)]


@pytest.fixture(scope="module")
def cuts(training: list[SimulatedCell]) -> FlagCuts:
    return FlagCuts.of(learned(training), MARKERS)


@pytest.fixture(scope="module")
def cells() -> list[SimulatedCell]:
    return [cell for run in range(4) for cell in simulate_cells(30, 8, 43_000 + run, 600 + run)]


@pytest.fixture(scope="module")
def single(cells: list[SimulatedCell]) -> Counts:
    """Cells with one nucleus, apart from debris and pairs."""
    others = ("doublet", "ctc_cluster", "ctc_leukocyte", "debris")
    return np.stack([cell.images for cell in cells if cell.kind not in others])


def flags(counts: Counts, cuts: FlagCuts | None, channels: Sequence[str] = CHANNELS) -> tuple[Flag, ...]:
    return flags_of(counts, look_at(counts, 12), channels, cuts)


def share(flag: str, cells: Counts, cuts: FlagCuts, channels: Sequence[str] = CHANNELS) -> float:
    """Of the cells (N, C, H, W) that have the flag."""
    return float(np.mean([flag in {one.name for one in flags(cell, cuts, channels)} for cell in cells]))


@pytest.mark.parametrize("flag", MEASURED)
def test_ordinary_cells_of_another_instrument_are_hardly_flagged(flag: str, single: Counts, cuts: FlagCuts) -> None:
    assert share(flag, single, cuts) <= 0.04


def test_cells_far_from_the_focal_plane_are_blurred(cells: list[SimulatedCell], cuts: FlagCuts) -> None:
    planes = np.concatenate(
        [focal_series(43_000, cell.number, cell.label == "CTC", (-13, 13), 600) for cell in cells[:20]]
    )
    assert share(BLUR, planes, cuts) >= 0.9


def test_a_strong_blur_is_seen_and_its_reason_names_channel_figure_and_cut(single: Counts, cuts: FlagCuts) -> None:
    assert share(BLUR, blurred(single, 2.5), cuts) >= 0.95
    (flag,) = [one for one in flags(blurred(single[:1], 2.5)[0], cuts) if one.name == BLUR]
    place = CHANNELS.index(flag.channel)
    assert flag.low == cuts.sharpness[place].low > flag.found
    assert flag.sentence.startswith(
        f"blur: {flag.channel} sharpness {flag.found:.3g}, training cells {flag.low:.3g} to "
    )


@pytest.mark.parametrize("channel", [0, NUCLEAR])
def test_clipped_pixels_are_saturated_in_their_channel(channel: int, single: Counts, cuts: FlagCuts) -> None:
    for cell in clipped(single[:10], channel, 0.03):
        (flag,) = [one for one in flags(cell, cuts) if one.name == SATURATED]
        assert flag.channel == CHANNELS[channel]
        assert flag.sentence.endswith(f"of pixels at full scale, at most {cuts.saturated[channel]:.1%} expected")


def test_saturation_that_the_training_had_too_is_no_flag(training: list[SimulatedCell], cuts: FlagCuts) -> None:
    assert min(cuts.saturated) == 0.01
    bright = [replace(one, images=clipped(one.images[None], NUCLEAR, 0.05)[0]) for one in training]
    of_these = FlagCuts.of(learned(bright), MARKERS)
    assert 0.05 < of_these.saturated[NUCLEAR] < 0.08
    assert SATURATED not in [one.name for one in flags(bright[0].images, of_these)]
    assert SATURATED in [one.name for one in flags(bright[0].images, cuts)]


def test_two_cells_have_several_nuclei_and_one_cell_has_not(
    cells: list[SimulatedCell], single: Counts, cuts: FlagCuts
) -> None:
    pairs = np.stack([cell.images for cell in cells if cell.kind in ("doublet", "ctc_cluster", "ctc_leukocyte")])
    assert share(SEVERAL_NUCLEI, pairs, cuts) >= 0.9
    assert share(SEVERAL_NUCLEI, single, cuts) <= 0.02


def test_a_cell_that_the_images_border_cuts_off_is_flagged(single: Counts, cuts: FlagCuts) -> None:
    assert share(EDGE, moved(single, 28), cuts) >= 0.95
    assert share(EDGE, np.rot90(moved(single, 28), 1, (2, 3)), cuts) >= 0.95


def test_one_hot_pixel_at_the_border_is_no_cut_off_cell(single: Counts, cuts: FlagCuts) -> None:
    hot = single.copy()
    hot[:, :, 5, 0] = 4000
    assert share(EDGE, hot, cuts) <= 0.02


def test_no_cell_and_no_nuclear_stain_are_low_signal(single: Counts, cuts: FlagCuts) -> None:
    empty, unstained = gone(single), dimmed(single, 0.0, [NUCLEAR])
    assert share(LOW_SIGNAL, empty, cuts) >= 0.95
    assert share(LOW_SIGNAL, unstained, cuts) >= 0.95
    assert not share(SIZE_OUTLIER, empty, cuts)
    assert any(one.channel == "DAPI" for one in flags(unstained[0], cuts))


def test_cells_larger_than_all_of_the_training_are_size_outliers(single: Counts, cuts: FlagCuts) -> None:
    giants = np.stack([sized(52, "ctc", seed, 600 + seed) for seed in range(20)])
    assert share(SIZE_OUTLIER, giants, cuts) >= 0.9
    assert share(SIZE_OUTLIER, single, cuts) <= 0.02


def test_bright_field_alone_tells_no_nuclei_but_blur_and_edge(
    training: list[SimulatedCell], single: Counts, cells: list[SimulatedCell]
) -> None:
    alone = FlagCuts.of(learned(training, slice(0, 1)), {"BF": "bright field"})
    assert alone.nuclear is None
    assert share(EDGE, moved(single, 28)[:, :1], alone, ("BF",)) >= 0.9
    assert share(LOW_SIGNAL, gone(single)[:, :1], alone, ("BF",)) >= 0.9
    assert share(SEVERAL_NUCLEI, np.stack([cell.images[:1] for cell in cells]), alone, ("BF",)) == 0


def test_without_a_fingerprint_only_empty_and_saturated_are_told(single: Counts) -> None:
    spoilt = clipped(moved(blurred(single[:1], 3), 28), 2, 0.05)[0]
    spoilt[0] = 7
    assert [one.name for one in flags(spoilt, None)] == [EMPTY, SATURATED]


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 4),
    side=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    top=st.integers(0, 65535),
)
@settings(max_examples=60, deadline=None)
def test_any_images_get_each_flag_at_most_once_in_order_and_with_a_sentence(
    cuts: FlagCuts, seed: int, channels: int, side: tuple[int, int], top: int
) -> None:
    counts = np.random.default_rng(seed).integers(0, top + 1, (channels, *side)).astype(np.uint16)
    names = CHANNELS[:channels]
    of_these = FlagCuts(
        cuts.saturated[:channels],
        cuts.sharpness[:channels],
        cuts.diameter_px,
        cuts.nothing_px,
        cuts.apart_px,
        cuts.grain_px,
        1 if channels > 1 else None,
        cuts.nuclear_light,
        cuts.nuclear_px,
    )
    found = flags(counts, of_these, names)
    places = [MEASURED.index(one.name) for one in found]
    assert places == sorted(set(places))
    assert all(one.sentence.startswith(f"{one.name}: ") and one.channel in ("", *names) for one in found)


@pytest.mark.parametrize(
    ("markers", "channel"),
    [
        (MARKERS, "DAPI"),
        ({"Ch1": "campo chiaro", "Ch2": "Nuclei (Hoechst)"}, "Ch2"),
        ({"BF": "", "DAPI": ""}, "DAPI"),
        ({"BF": "bright field", "PE": "CK"}, None),
        ({"DAPI": "CK", "PE": "CD45"}, None),
        ({"DAPI": "nucleus", "DRAQ5": "nucleus"}, None),
    ],
)
def test_the_nuclear_channel_is_told_by_its_marker_or_stain_and_never_guessed(
    markers: dict[str, str], channel: str | None
) -> None:
    assert nuclear_channel(markers) == channel


def nuclei(places: Sequence[tuple[int, int]], levels: Sequence[float], side: int = 64) -> NDArray[np.uint16]:
    """Soft discs of radius 6 on a background of 100 counts."""
    rows, columns = np.mgrid[:side, :side]
    light = np.random.default_rng(0).normal(100, 5, (side, side))
    for (row, column), level in zip(places, levels, strict=True):
        light += level / (1 + np.exp(np.hypot(rows - row, columns - column) - 6))
    return np.rint(light).astype(np.uint16)


@given(apart=st.integers(16, 40), level=st.floats(200, 500), turned=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_distance_of_two_nuclei_is_found_to_a_few_pixels(apart: int, level: float, turned: bool) -> None:
    image = nuclei([(32, 10), (32, 10 + apart)], [500, level])
    found = separation_px(image.T if turned else image, 100, 5, 2)
    assert abs(found - apart) <= 6


def test_one_nucleus_a_faint_second_one_and_noise_are_not_two() -> None:
    assert separation_px(nuclei([(30, 30)], [400]), 100, 5, 2) == 0
    assert separation_px(nuclei([(30, 15), (30, 45)], [400, 60]), 100, 5, 2) == 0
    assert separation_px(nuclei([], []), 100, 5, 2) == 0
