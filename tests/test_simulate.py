import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_ctc.errors import ConfigError
from edge_ctc.simulate import CHANNELS, SIDE_PX, SimulatedCell, simulate_cells

PATIENTS = range(16)
INSTRUMENTS = range(12)
KINDS = {
    "CTC": {"ctc", "ctc_bland", "ctc_marker_low", "ctc_apoptotic", "ctc_cluster", "ctc_leukocyte"},
    "LEUKOCYTE": {"lymphocyte", "granulocyte", "monocyte", "doublet", "debris", "dead", "apoptotic"},
}


@dataclass(frozen=True, slots=True)
class Pool:
    """The cells of all patients, spread over the instruments: counts `(N, 4, 64, 64)`, and the truth, each `(N,)`."""

    images: NDArray[np.uint16]
    is_ctc: NDArray[np.bool_]
    diameters: NDArray[np.float64]
    kinds: NDArray[np.str_]


@pytest.fixture(scope="module")
def pool() -> Pool:
    runs = (simulate_cells(120, 24, patient, patient % len(INSTRUMENTS)) for patient in PATIENTS)
    cells = list(itertools.chain.from_iterable(runs))
    return Pool(
        images=np.stack([cell.images for cell in cells]),
        is_ctc=np.array([cell.label == "CTC" for cell in cells]),
        diameters=np.array([cell.diameter_um for cell in cells]),
        kinds=np.array([cell.kind for cell in cells]),
    )


def either_way(area: float) -> float:
    return max(area, 1 - area)


def centre(radius_px: float) -> NDArray[np.bool_]:
    axis = np.arange(SIDE_PX) - (SIDE_PX - 1) / 2
    mask: NDArray[np.bool_] = np.hypot(axis[:, None], axis[None, :]) < radius_px
    return mask


def measured_sizes(bright: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Measure as a technician would: how far the image departs from its background, within the cage."""
    counts = bright.astype(float)
    background = np.median(counts, axis=(1, 2), keepdims=True)
    noise = 1.48 * np.median(np.abs(counts - background)[:, :8], axis=(1, 2), keepdims=True)
    areas: NDArray[np.float64] = (np.abs(counts - background) > 5 * noise)[:, centre(23)].sum(axis=1)
    return np.sqrt(areas) + np.linspace(0, 1e-3, len(counts))


def same(first: SimulatedCell, second: SimulatedCell) -> bool:
    return (
        (first.number, first.label, first.kind, first.diameter_um)
        == (second.number, second.label, second.kind, second.diameter_um)
    ) and np.array_equal(first.images, second.images)


def test_one_seed_gives_the_same_cells_twice() -> None:
    pairs = zip(simulate_cells(10, 4, 3), simulate_cells(10, 4, 3), strict=True)
    assert all(same(first, second) for first, second in pairs)


def test_a_cell_does_not_depend_on_the_cells_before_it() -> None:
    # All are CTCs, so that the two runs differ in nothing but their length.
    assert same(list(simulate_cells(7, 7, 3))[6], list(simulate_cells(10, 10, 3))[6])


def test_another_seed_gives_other_pixels() -> None:
    first, second = (next(simulate_cells(1, 1, seed)) for seed in (3, 4))
    assert not np.array_equal(first.images, second.images)


def test_a_patient_has_the_same_cells_on_every_instrument_and_other_pixels() -> None:
    here, there = (list(simulate_cells(30, 6, 3, instrument)) for instrument in (0, 5))
    for first, second in zip(here, there, strict=True):
        assert (first.number, first.label, first.kind) == (second.number, second.label, second.kind)
        assert first.diameter_um == second.diameter_um
        assert (first.images != second.images).mean() > 0.9


def test_without_a_word_about_it_the_instrument_is_the_default_one() -> None:
    assert same(next(simulate_cells(1, 0, 3)), next(simulate_cells(1, 0, 3, 0)))


def test_an_instrument_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="instrument"):
        simulate_cells(5, 1, 1, -1)


def test_cells_are_numbered_from_one_and_so_many_are_ctcs() -> None:
    cells = list(simulate_cells(40, 7, 2))
    assert [cell.number for cell in cells] == list(range(1, 41))
    assert sum(cell.label == "CTC" for cell in cells) == 7


@pytest.mark.parametrize(("ctcs", "label"), [(0, "LEUKOCYTE"), (5, "CTC")])
def test_a_run_may_hold_no_ctc_or_nothing_else(ctcs: int, label: str) -> None:
    assert {cell.label for cell in simulate_cells(5, ctcs, 2)} == {label}


def test_the_seed_shuffles_the_places_of_ctcs() -> None:
    places = {tuple(cell.number for cell in simulate_cells(20, 4, seed) if cell.label == "CTC") for seed in range(4)}
    assert len(places) == 4


def test_images_hold_twelve_bit_counts_that_seldom_saturate(pool: Pool) -> None:
    assert pool.images.dtype == np.uint16
    assert pool.images.shape[1:] == (4, SIDE_PX, SIDE_PX)
    assert pool.images.max() <= 4095
    assert (pool.images == 4095).mean() < 1e-3
    assert (pool.images == 0).mean() < 1e-3


def test_every_kind_occurs_under_its_own_label(pool: Pool) -> None:
    assert set(pool.kinds[pool.is_ctc].tolist()) == KINDS["CTC"]
    assert set(pool.kinds[~pool.is_ctc].tolist()) == KINDS["LEUKOCYTE"]


def test_leukocytes_have_the_published_median_diameter(pool: Pool) -> None:
    single = np.isin(pool.kinds, ("lymphocyte", "granulocyte", "monocyte"))
    assert np.median(pool.diameters[single]) == pytest.approx(9.4, abs=0.4)


def test_patients_differ_in_the_diameters_of_their_ctcs() -> None:
    medians = [np.median([c.diameter_um for c in simulate_cells(15, 15, p)]) for p in range(16)]
    assert 6.5 < min(medians) < 9.0
    assert 10.5 < max(medians) < 14.0


def test_patients_differ_in_the_strength_of_their_stains() -> None:
    def leukocytes(patient: int) -> list[SimulatedCell]:
        return [cell for cell in simulate_cells(60, 0, patient) if cell.kind == "lymphocyte"]

    def strength(cell: SimulatedCell) -> NDArray[np.float64]:
        stains = cell.images[1:]
        over: NDArray[np.float64] = stains[:, centre(6)].mean(axis=1) - stains[:, ~centre(28)].mean(axis=1)
        return over

    medians = np.array([np.median([strength(cell) for cell in leukocytes(p)], axis=0) for p in range(8)])
    assert medians[:, 0].max() > 1.3 * medians[:, 0].min()
    assert medians[:, 2].max() > 1.3 * medians[:, 2].min()


def test_instruments_differ_in_their_backgrounds_more_than_the_cells_of_a_run() -> None:
    corners = np.array(
        [
            [cell.images[:, :6, :6].mean(axis=(1, 2)) for cell in simulate_cells(8, 1, 3, instrument)]
            for instrument in INSTRUMENTS
        ]
    )
    assert (corners.mean(axis=1).std(axis=0) > 1.5 * corners.std(axis=1).mean(axis=0)).all()


def test_the_true_diameter_alone_does_not_tell_a_ctc(pool: Pool) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, pool.diameters)) <= 0.80


def test_the_measured_diameter_alone_does_not_tell_a_ctc(pool: Pool) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, measured_sizes(pool.images[:, 0]))) <= 0.80


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_mean_of_one_channel_alone_does_not_tell_a_ctc(pool: Pool, channel: int) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, pool.images[:, channel].mean(axis=(1, 2)))) <= 0.87


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_mean_over_the_cell_alone_does_not_tell_a_ctc(pool: Pool, channel: int) -> None:
    inner = pool.images[:, channel, centre(10)].mean(axis=1)
    assert either_way(roc_auc_score(pool.is_ctc, inner)) <= 0.87


def over_background(images: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Mean within 10 px of the middle less that of the corners, counts `(N, 4)`, as a lab measures a stain."""
    over: NDArray[np.float64] = images[:, :, centre(10)].mean(axis=2) - images[:, :, ~centre(28)].mean(axis=2)
    return over


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_a_stain_measured_over_its_background_alone_does_not_tell_a_ctc(pool: Pool, channel: int) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, over_background(pool.images)[:, channel])) <= 0.87


def test_markers_point_the_right_way(pool: Pool) -> None:
    over = over_background(pool.images)
    assert roc_auc_score(pool.is_ctc, over[:, 2]) > 0.65
    assert roc_auc_score(pool.is_ctc, over[:, 3]) < 0.25


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_empty_corners_tell_nothing(pool: Pool, channel: int) -> None:
    corner = pool.images[:, channel, :5, :5].astype(float)
    assert 0.43 < roc_auc_score(pool.is_ctc, corner.mean(axis=(1, 2))) < 0.57
    assert 0.43 < roc_auc_score(pool.is_ctc, corner.std(axis=(1, 2))) < 0.57


@pytest.mark.parametrize(
    ("cells", "ctcs", "seed", "named"),
    [(0, 0, 1, "cells"), (5, -1, 1, "ctcs"), (5, 6, 1, "ctcs"), (5, 1, -1, "seed")],
)
def test_counts_that_no_run_can_have_are_refused(cells: int, ctcs: int, seed: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        simulate_cells(cells, ctcs, seed)
