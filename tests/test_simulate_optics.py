"""What a microscopist would check: focus, point spread, noise, crosstalk, light, drift; and the shapes of nuclei."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ctc.errors import ConfigError
from edge_ctc.simulate import focal_series
from edge_ctc.simulate.bodies import Body, bodies_of
from edge_ctc.simulate.camera import expose
from edge_ctc.simulate.field import SIDE_PX, Plane, X, Y
from edge_ctc.simulate.forms import form_of
from edge_ctc.simulate.instruments import Day, Instrument
from edge_ctc.simulate.kinds import CTC_SHARES, LEUKOCYTE_SHARES, RECIPES
from edge_ctc.simulate.optics import bright_field, cage, fluorescence, illumination, point_spread_um
from edge_ctc.simulate.patients import Patient
from edge_ctc.simulate.scene import Scene, scene_of

RADIUS = np.hypot(X, Y)
DEFAULT = Instrument()


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def patient() -> Patient:
    return Patient.draw(generator(1))


def ball(radius_um: float, index: float = 0.03) -> Scene:
    """A clear ball that refracts `index` more than its medium."""
    path = 2 * index * np.sqrt(np.maximum(radius_um**2 - RADIUS**2, 0))
    return Scene(path.astype(np.float32), np.zeros_like(X), np.zeros((3, *X.shape), np.float32))


def speck(stain: int) -> Scene:
    """A point of one stain of 10,000 electrons, and nothing else."""
    stains = np.zeros((3, SIDE_PX, SIDE_PX), np.float32)
    stains[stain, SIDE_PX // 2, SIDE_PX // 2] = 10_000
    return Scene(np.zeros_like(X), np.zeros_like(X), stains)


def width_um(spot: Plane) -> float:
    """Standard deviation along x."""
    middle = (spot * X).sum() / spot.sum()
    return float(np.sqrt((spot * (X - middle) ** 2).sum() / spot.sum()))


# Focus in bright field


@pytest.mark.parametrize("defocus", [3.0, 5.0, 8.0])
def test_middle_and_ring_of_a_cell_invert_through_focus(defocus: float) -> None:
    below, above = (bright_field(ball(4.5), z, DEFAULT) - 1 for z in (-defocus, defocus))
    middle, ring = RADIUS < 2.0, (RADIUS > 4.6) & (RADIUS < 5.6)
    assert below[middle].mean() * above[middle].mean() < 0
    assert below[ring].mean() * above[ring].mean() < 0
    assert below[middle].mean() * below[ring].mean() < 0


def test_a_cell_that_refracts_more_than_its_medium_gathers_light_behind_it() -> None:
    # Geometrical optics: a ball is a lens of focal length n R / (2 (n' - n)), here 100 um; defocus counts downstream.
    middle, focal_um = RADIUS < 1.5, 1.33 * 4.5 / (2 * 0.03)
    for index, z in ((0.03, 6.0), (0.03, -6.0), (-0.03, 6.0)):
        gathered = bright_field(ball(4.5, index), z, DEFAULT)[middle].mean()
        assert gathered == pytest.approx((1 - np.sign(index) * z / focal_um) ** -2, abs=0.05)
        assert (gathered > 1.04) if index * z > 0 else (gathered < 0.96)


def test_a_clear_cell_nearly_vanishes_in_focus() -> None:
    contrast = [float(bright_field(ball(4.5), z, DEFAULT)[RADIUS < 8].std()) for z in (-6.0, 0.0, 6.0)]
    assert contrast[1] < min(contrast[0], contrast[2]) / 1.5


def test_light_from_a_wider_condenser_damps_the_fringes_far_from_focus() -> None:
    fringes = (RADIUS > 5) & (RADIUS < 9)
    narrow, wide = (bright_field(ball(4.5), 8.0, replace(DEFAULT, condenser=na))[fringes].std() for na in (0.05, 0.25))
    assert wide < narrow / 1.5


def test_most_of_the_light_passes_a_cell(patient: Patient) -> None:
    bodies = [Body(RECIPES["lymphocyte"], 4.0)]
    light = bright_field(scene_of(bodies, patient, generator()), 3.0, DEFAULT)
    assert 0.98 < light.mean() < 1.0


def test_the_ring_inverts_in_the_counts_of_whole_simulated_cells() -> None:
    turned = []
    for number in range(1, 13):
        bright = focal_series(3, number, False, (-5.0, 5.0))[:, 0].astype(float)
        contrast = bright - np.median(bright, axis=(1, 2), keepdims=True)
        inside = RADIUS < 9
        turned.append(np.corrcoef(contrast[0, inside], contrast[1, inside])[0, 1] < -0.2)
    assert sum(turned) >= 10


# Point spread and crosstalk of the stains


@pytest.mark.parametrize("stain", range(3))
def test_a_speck_in_focus_is_as_wide_as_the_formula_and_the_pixel_say(stain: int) -> None:
    sharp = replace(DEFAULT, chromatic_um=(0.0, 0.0, 0.0))
    measured = width_um(fluorescence(speck(stain), 0.0, sharp)[stain])
    assert measured == pytest.approx(point_spread_um(0.0, sharp)[stain], rel=0.03)
    assert measured > 0.21 * sharp.emissions_um[stain] / sharp.aperture


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_speck_grows_with_the_distance_from_focus_on_both_sides(sign: int) -> None:
    widths = [width_um(fluorescence(speck(1), sign * z + DEFAULT.chromatic_um[1], DEFAULT)[1]) for z in (0, 2, 4, 6)]
    assert (np.diff(widths) > 0.1).all()


def test_in_focus_a_speck_is_wider_the_longer_its_wavelength() -> None:
    sharp = replace(DEFAULT, chromatic_um=(0.0, 0.0, 0.0))
    widths = [width_um(fluorescence(speck(stain), 0.0, sharp)[stain]) for stain in range(3)]
    assert (np.diff(widths) > 0.005).all()


def test_each_stain_is_sharpest_at_its_own_chromatic_offset() -> None:
    planes = np.linspace(-2, 2, 41)
    spreads = np.array([point_spread_um(float(z), DEFAULT) for z in planes])
    assert planes[spreads.argmin(axis=0)] == pytest.approx(DEFAULT.chromatic_um)


def test_a_larger_aperture_is_sharper_in_focus_and_blurs_faster_beside_it() -> None:
    low, high = (replace(DEFAULT, aperture=na, chromatic_um=(0.0, 0.0, 0.0)) for na in (0.40, 0.50))
    assert point_spread_um(8.0, low)[1] < point_spread_um(8.0, high)[1]
    diffraction = [0.21 * one.emissions_um[1] / one.aperture for one in (low, high)]
    assert diffraction[0] > diffraction[1]


def test_light_of_a_stain_leaks_to_its_spectral_neighbours_as_the_matrix_says() -> None:
    seen = np.array([fluorescence(speck(stain), 1.0, DEFAULT).sum(axis=(1, 2)) for stain in range(3)])
    shares = seen / np.diagonal(seen)[:, None]
    assert np.allclose(shares.T, DEFAULT.crosstalk, atol=1e-5)
    assert shares[1, 2] > shares[0, 1] > shares[2, 1] > 0
    assert shares[0, 2] == pytest.approx(0, abs=1e-5)


def test_crosstalk_shows_in_the_counts_of_a_bright_ck_cell_without_cd45() -> None:
    clear, leaky = (replace(DEFAULT, crosstalk=((1, 0, 0), (0, 1, 0), (0, share, 1))) for share in (0.0, 0.10))
    scene = Scene(np.zeros_like(X), np.zeros_like(X), np.stack([0 * X, 2000.0 * (RADIUS < 5), 0 * X]))
    counts = [expose(fluorescence(scene, 0.5, one), 0.0, one, generator()).astype(float) for one in (clear, leaky)]
    gained = (counts[1] - counts[0])[:, RADIUS < 3].mean(axis=1)
    assert gained[2] == pytest.approx(0.10 * 2000 * DEFAULT.gain, rel=0.05)
    assert gained[:2] == pytest.approx(0, abs=1.0)


# The camera and the light


@pytest.mark.parametrize("gain", [0.3, 0.8])
def test_the_variance_of_a_flat_light_grows_with_its_mean_by_the_gain(gain: float) -> None:
    camera = replace(DEFAULT, gain=gain)
    levels = np.linspace(200, 4000, 12)
    flat = [expose(np.full((16, SIDE_PX, SIDE_PX), level), 0.0, camera, generator()).astype(float) for level in levels]
    slope, dark = np.polyfit([one.mean() - camera.offset for one in flat], [one.var() for one in flat], 1)
    assert slope == pytest.approx(gain, rel=0.03)
    # Read noise, and rounding to whole counts.
    assert dark == pytest.approx((gain * camera.read_noise) ** 2 + 1 / 12, abs=12 * gain)


def test_counts_saturate_at_4095_and_not_before() -> None:
    below, above = ((count - DEFAULT.offset) / DEFAULT.gain for count in (3600, 6000))
    light = np.concatenate([np.full((1, SIDE_PX, SIDE_PX), below), np.full((1, SIDE_PX, SIDE_PX), above)])
    counts = expose(light, 0.0, DEFAULT, generator())
    assert 3600 < counts[0].max() < 4095
    assert counts[0].mean() == pytest.approx(3600, abs=5)
    assert (counts[1] == 4095).all()


def test_counts_never_fall_below_zero() -> None:
    assert (expose(np.full((1, SIDE_PX, SIDE_PX), -5000.0), 0.0, DEFAULT, generator()) == 0).all()


def test_light_falls_towards_the_corner_of_the_frame() -> None:
    centred = replace(DEFAULT, decentred=(0.0, 0.0))
    middle, side, corner = (illumination(place, centred).mean() for place in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))
    assert middle > side > corner
    # cos^4 of the angle whose tangent is the falloff.
    assert corner / middle == pytest.approx(np.cos(np.arctan(centred.falloff)) ** 4, rel=0.01)


def test_light_falls_within_one_image_near_the_frames_edge() -> None:
    light = illumination((1.0, 0.0), DEFAULT)
    assert (np.diff(light.mean(axis=0)) < 0).all()


def test_the_edges_of_a_cage_are_faint_dark_lines_at_the_images_border() -> None:
    light = cage((0.0, 0.0), -4.0, replace(DEFAULT, cage_turn=0.0))
    assert light[:, SIDE_PX // 2].argmin() == int(np.argmin(np.abs(Y[:, 0] + DEFAULT.cage_um / 2)))
    assert 1 - 2.2 * DEFAULT.cage_depth < light.min() < 1 - 0.8 * DEFAULT.cage_depth
    assert light[RADIUS < 10].min() > 0.995


def test_the_cage_moves_with_its_centre_and_blurs_with_focus() -> None:
    sharp, far = (cage((1.5, 0.0), z, DEFAULT) for z in (-4.0, 20.0))
    assert not np.allclose(sharp, cage((-1.5, 0.0), -4.0, DEFAULT), atol=0.01)
    assert far.min() > sharp.min() + 0.01


def test_hot_pixels_stand_out_in_all_channels_at_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instrument, "of", classmethod(lambda _, __: replace(DEFAULT, hot_pixels=20.0)))
    first, second = focal_series(3, 1, False, (0.0, 0.0))[:, :, :8].astype(float)
    hot = first - np.median(first, axis=(1, 2), keepdims=True) > 120
    again = second - np.median(second, axis=(1, 2), keepdims=True) > 120
    assert hot[2].any()
    assert np.array_equal(hot[2], again[2])
    assert np.array_equal(hot[2], hot[3])


# A run, an instrument


def test_light_and_offset_drift_slowly_over_a_run() -> None:
    for seed in range(8):
        day = Day.draw(generator(seed))
        light = np.array([day.at(number).light for number in range(1, 2001)])
        offset = np.array([day.at(number).offset for number in range(1, 2001)])
        assert np.abs(np.diff(light, axis=0)).max() < 1e-3
        assert np.abs(np.diff(offset)).max() < 0.1
        assert np.ptp(light, axis=0).max() > 0.01
        assert np.abs(light / day.light - 1).max() < 0.30


def test_the_background_drifts_in_the_counts_of_a_run() -> None:
    def background(seed: int, first: int) -> NDArray[np.float64]:
        numbers = range(first, first + 25)
        cells = np.stack([focal_series(seed, number, False, (0.0,))[0] for number in numbers])
        corners: NDArray[np.float64] = cells[:, 0, :6, :6].mean(axis=(1, 2))
        return corners

    drifts = []
    for seed in range(6):
        start, end = background(seed, 1), background(seed, 2000)
        error = np.hypot(start.std(), end.std()) / 5
        drifts.append(abs(float(end.mean() - start.mean())) / error)
    assert np.median(drifts) > 3


def test_instruments_differ_in_optics_camera_and_light() -> None:
    drawn = [Instrument.of(number) for number in range(1, 13)]
    spreads = np.array([point_spread_um(2.0, one) for one in drawn])
    assert (np.ptp(spreads, axis=0) > 0.05).all()
    assert np.ptp([one.gain for one in drawn]) > 0.05
    assert np.ptp([one.focus_um for one in drawn]) > 1.5
    assert np.ptp([one.crosstalk[2][1] for one in drawn]) > 0.01


def test_an_instrument_is_the_same_each_time_it_is_asked_for() -> None:
    assert Instrument.of(4) == Instrument.of(4)
    assert Instrument.of(4) != Instrument.of(5)
    assert Instrument.of(0) == Instrument()


def test_a_focal_series_shows_one_cell_and_changes_nothing_but_focus_and_noise() -> None:
    series = focal_series(3, 2, True, (0.0, 0.0, 6.0), 4).astype(float)
    assert series.shape == (3, 4, SIDE_PX, SIDE_PX)
    repeated, moved = series[1] - series[0], series[2] - series[0]
    assert np.abs(repeated.mean(axis=(1, 2))).max() < 1.0
    expected = np.sqrt(2 * Instrument.of(4).gain * (series[0] - 60).clip(1).mean(axis=(1, 2)))
    assert (repeated.std(axis=(1, 2)) < 1.5 * expected).all()
    assert (moved.std(axis=(1, 2))[:2] > 1.5 * repeated.std(axis=(1, 2))[:2]).all()


@pytest.mark.parametrize(("seed", "instrument", "named"), [(-1, 0, "seed"), (0, -1, "instrument")])
def test_a_focal_series_of_no_patient_or_instrument_is_refused(seed: int, instrument: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        focal_series(seed, 1, False, (0.0,), instrument)


# Nuclei and cells


def filled_share(mask: NDArray[np.bool_]) -> float:
    """Area over the area of the convex hull: 1 is convex, a kidney and segments have less."""
    rows, columns = np.nonzero(mask)
    corners = [
        (row + dy, column + dx)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    points = sorted(set(corners))

    def half(line: list[tuple[int, int]]) -> list[tuple[int, int]]:
        hull: list[tuple[int, int]] = []
        for y, x in line:
            while len(hull) > 1:
                (y1, x1), (y2, x2) = hull[-2:]
                if (y2 - y1) * (x - x1) - (x2 - x1) * (y - y1) > 0:
                    break
                hull.pop()
            hull.append((y, x))
        return hull[:-1]

    hull = np.array(half(points) + half(points[::-1]))
    y, x = hull.T
    area = abs(float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum())) / 2
    return float(mask.sum()) / area


def pieces(mask: NDArray[np.bool_]) -> int:
    """Number of 4-connected parts."""
    left, found = mask.copy(), 0
    while left.any():
        part = np.zeros_like(left)
        part[np.unravel_index(left.argmax(), left.shape)] = True
        grown = part
        while True:
            grown = part.copy()
            grown[1:] |= part[:-1]
            grown[:-1] |= part[1:]
            grown[:, 1:] |= part[:, :-1]
            grown[:, :-1] |= part[:, 1:]
            grown &= mask
            if np.array_equal(grown, part):
                break
            part = grown
        left &= ~part
        found += 1
    return found


def nuclei(kind: str, measure: Callable[[NDArray[np.bool_]], float]) -> NDArray[np.float64]:
    # Three times as large as in life, so that pixels do not round the measure.
    forms = (form_of(Body(RECIPES[kind], 14.0), generator(seed)) for seed in range(40))
    return np.array([measure(form.nucleus > 0) for form in forms])


def test_a_lymphocyte_has_one_round_nucleus_that_nearly_fills_it() -> None:
    assert (nuclei("lymphocyte", pieces) == 1).all()
    assert nuclei("lymphocyte", filled_share).min() > 0.93
    form = form_of(Body(RECIPES["lymphocyte"], 4.0), generator())
    assert 0.5 < (form.nucleus > 0).sum() / (form.inside > 0.5).sum() < 0.85


def test_a_monocyte_has_one_kidney_shaped_nucleus() -> None:
    assert (nuclei("monocyte", pieces) == 1).all()
    filled = nuclei("monocyte", filled_share)
    assert 0.75 < np.median(filled) < 0.92


def test_a_granulocyte_has_a_nucleus_of_segments() -> None:
    assert np.median(nuclei("granulocyte", filled_share)) < 0.80
    assert np.median(nuclei("granulocyte", pieces)) >= 2
    assert nuclei("granulocyte", pieces).max() <= 5


def test_an_apoptotic_nucleus_lies_in_separate_fragments() -> None:
    assert np.median(nuclei("apoptotic", pieces)) >= 3
    assert np.median(nuclei("ctc_apoptotic", pieces)) >= 3


def brightest_dapi(kind: str, patient: Patient) -> float:
    peaks = []
    for seed in range(12):
        body = Body(RECIPES[kind], 0.5 * RECIPES[kind].diameter)
        peaks.append(float(scene_of([body], patient, generator(seed)).stains[0].max()))
    return float(np.median(peaks))


def test_a_condensed_nucleus_shines_and_a_swollen_one_is_dim(patient: Patient) -> None:
    condensed, whole, swollen = (brightest_dapi(kind, patient) for kind in ("apoptotic", "lymphocyte", "dead"))
    assert condensed > 1.3 * whole
    assert swollen < 0.5 * whole
    assert RECIPES["dead"].diameter > RECIPES["lymphocyte"].diameter > RECIPES["apoptotic"].diameter


def test_granulocytes_monocytes_and_dead_cells_glow_by_themselves_more_than_lymphocytes() -> None:
    glows = {kind: RECIPES[kind].glow for kind in ("lymphocyte", "monocyte", "granulocyte", "dead")}
    assert glows["lymphocyte"] < min(glows["monocyte"], glows["granulocyte"], glows["dead"])


@pytest.mark.parametrize(
    ("kind", "fewest", "most"),
    [("ctc_cluster", 2, 3), ("ctc_leukocyte", 2, 2), ("doublet", 2, 3), ("apoptotic", 3, 6), ("lymphocyte", 1, 1)],
)
def test_a_cell_consists_of_as_many_bodies_as_its_kind_says(
    kind: str, fewest: int, most: int, patient: Patient
) -> None:
    clean = replace(patient, platelets=0.0)
    counts = {len(bodies_of(kind, clean, generator(seed))) for seed in range(60)}
    assert counts == set(range(fewest, most + 1))


@pytest.mark.parametrize("kind", ["ctc_cluster", "ctc_leukocyte", "doublet"])
def test_cells_of_a_group_touch_each_other(kind: str, patient: Patient) -> None:
    for seed in range(20):
        first, second, *_ = bodies_of(kind, patient, generator(seed))
        apart = np.hypot(first.x - second.x, first.y - second.y)
        assert 0.8 * (first.radius + second.radius) < apart <= first.radius + second.radius


@pytest.mark.parametrize("kind", ["ctc", "lymphocyte", "granulocyte", "ctc_cluster"])
def test_platelets_of_two_to_three_um_sit_on_cells_of_either_label(kind: str, patient: Patient) -> None:
    rich = replace(patient, platelets=1.0)
    for seed in range(20):
        bodies = bodies_of(kind, rich, generator(seed))
        platelets = [body for body in bodies if body.recipe == RECIPES["platelet"]]
        assert 1 <= len(platelets) <= 3
        assert all(1.3 < 2 * body.radius < 4.5 for body in platelets)


def test_patients_differ_in_tumour_blood_and_staining() -> None:
    patients = [Patient.draw(generator(seed)) for seed in range(40)]
    assert np.ptp([one.ctc_um for one in patients]) > 3.5
    assert np.ptp([one.ctc_shares["ctc_marker_low"] for one in patients]) > 0.15
    assert np.ptp([one.leukocyte_shares["lymphocyte"] for one in patients]) > 0.10
    for stains in ([one.dapi for one in patients], [one.ck for one in patients], [one.cd45 for one in patients]):
        assert max(stains) > 1.5 * min(stains)


def test_every_patient_may_have_every_kind(patient: Patient) -> None:
    assert set(patient.ctc_shares) == set(CTC_SHARES)
    assert set(patient.leukocyte_shares) == set(LEUKOCYTE_SHARES)
    assert sum(patient.ctc_shares.values()) == pytest.approx(1)
