"""Trust in a run: lights, reasons with figures, and what is not judged. Rates on simulated runs: docs/results.md."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_ctc.appearance import Appearances, joined, measure
from edge_ctc.run_figures import run_figures
from edge_ctc.run_spread import ChannelSpread, RunSpread
from edge_ctc.simulate import CHANNELS, simulate_cells
from edge_ctc.trust import LEAST_CELLS, RunLooks, Trust, trust_in
from tests.defects import Counts, amplified, blurred, dimmed
from trainer.cells.labels import Label
from trainer.cells.run_spread import run_spread

ONE = ("PE",)
INSTRUMENT = 3


def looks(cells: int = 200, seed: int = 0, **means: float) -> Appearances:
    """One channel; every figure 5 % from cell to cell about its mean."""
    usual = {"background": 220.0, "noise": 6.0, "brightness": 80.0, "sharpness": 0.3, "diameter_px": 23.0} | means
    rng = np.random.default_rng(seed)
    drawn = {name: mean * rng.normal(1, 0.05, (cells, 1)) for name, mean in usual.items()}
    diameter = drawn.pop("diameter_px")[:, 0]
    return Appearances(**drawn, saturated=np.zeros((cells, 1)), diameter_px=diameter)


def labels(runs: int, cells: int, patients: int) -> list[Label]:
    return [Label(f"r{run}", str(cell), False, f"p{run % patients}") for run in range(runs) for cell in range(cells)]


def learned(runs: int = 20, patients: int = 20, sd: float = 0.1) -> RunSpread | None:
    """Runs of 100 cells whose backgrounds, and nothing else, differ by a factor."""
    rng = np.random.default_rng(5)
    parts = [looks(100, run, background=220 * rng.lognormal(0, sd)) for run in range(runs)]
    return run_spread(joined(parts), labels(runs, 100, patients), ONE)


@pytest.fixture(scope="module")
def spread() -> RunSpread:
    found = learned()
    assert found is not None
    return found


def run_of(found: Appearances | None, not_evaluable: int = 0, out: int | None = 0) -> RunLooks:
    return RunLooks(ONE, found, 0 if found is None else len(found.diameter_px), not_evaluable, out)


def test_a_run_like_the_trainings_is_green_without_a_reason(spread: RunSpread) -> None:
    found = trust_in(run_of(looks(seed=99)), spread)
    assert (found.light, found.reasons) == ("green", ())
    assert [one.measure for one in found.within] == [
        *("not evaluable", "out of distribution", "background", "noise", "brightness", "sharpness", "diameter_px")
    ]
    for one in found.within:
        assert one.light == "green"
        assert one.found is not None
        assert one.high is not None
        assert (one.low or 0) <= one.found <= one.high


def test_a_far_background_is_red_and_says_both_figures(spread: RunSpread) -> None:
    found = trust_in(run_of(looks(background=412)), spread)
    (reason,) = [one for one in found.reasons if one.measure == "background"]
    assert (found.light, reason.light, reason.channel) == ("red", "red", "PE")
    assert reason.low is not None
    assert reason.high is not None
    assert reason.low < 220 < reason.high < 400
    assert reason.found == pytest.approx(412, rel=0.01)
    band = f"{reason.low:.0f} to {reason.high:.0f} expected from the training's runs"
    assert reason.sentence == f"PE background {reason.found:.0f} counts, {band}"


def test_just_outside_the_green_band_is_amber(spread: RunSpread) -> None:
    background = spread.channels["PE"].background
    assert background is not None
    (_, green), (_, amber) = background.band(spread.amber_sds, 0), background.band(spread.red_sds, 0)
    between = (green + amber) / 2
    found = trust_in(run_of(looks(2000, background=between, noise=6 * (between / 220) ** 0.5)), spread)
    assert found.light == "amber"


def test_noise_is_judged_at_the_runs_own_background(spread: RunSpread) -> None:
    brighter = looks(background=250, noise=6 * (250 / 220) ** 0.5)
    assert trust_in(run_of(brighter), spread).light == "green"
    (reason, *_) = trust_in(run_of(looks(noise=12)), spread).reasons
    assert (reason.measure, reason.light) == ("noise", "red")
    assert reason.found == pytest.approx(12, rel=0.01)
    assert reason.sentence.startswith(f"PE noise {reason.found:.3g} counts, ")
    assert reason.sentence.endswith(" expected from the training's runs at this background")


def test_fewer_cells_widen_the_band_and_do_not_judge_below_twenty(spread: RunSpread) -> None:
    rng = np.random.default_rng(1)
    spread_out = replace(looks(1000), diameter_px=rng.normal(25.5, 9, 1000))
    assert "diameter_px" in {one.measure for one in trust_in(run_of(spread_out), spread).reasons}
    few = spread_out.rows(np.argsort(np.abs(spread_out.diameter_px - 25.5))[::25])
    assert trust_in(run_of(few), spread).light == "green"
    too_few = trust_in(run_of(looks(8)), spread)
    assert (too_few.light, too_few.reasons[0].sentence) == (
        "not judged",
        "images of 8 cells, at least 20 wanted",
    )


def test_a_checkpoint_that_knows_no_runs_judges_nothing_but_shares() -> None:
    found = trust_in(run_of(looks(background=9000)), None)
    assert (found.light, found.reasons[0].measure) == ("not judged", "training")
    assert trust_in(run_of(looks(100), not_evaluable=60), None).light == "red"


@pytest.mark.parametrize(("out", "light"), [(20, "green"), (21, "amber"), (40, "amber"), (41, "red")])
def test_over_a_fifth_out_of_distribution_is_red(out: int, light: str, spread: RunSpread) -> None:
    assert trust_in(run_of(looks(200), out=out), spread).light == light


@pytest.mark.parametrize(("failed", "light"), [(10, "green"), (11, "amber"), (50, "amber"), (51, "red")])
def test_cells_that_cannot_be_evaluated_speak_against_a_run(failed: int, light: str, spread: RunSpread) -> None:
    assert trust_in(run_of(looks(200), not_evaluable=failed), spread).light == light


def test_a_run_of_which_nothing_can_be_evaluated_is_red_and_an_empty_one_not_judged(spread: RunSpread) -> None:
    assert trust_in(run_of(None, not_evaluable=30), spread).light == "red"
    assert trust_in(run_of(None), spread).light == "not judged"


@pytest.mark.parametrize(("flagged", "light"), [(20, "green"), (21, "amber"), (40, "amber"), (41, "red")])
def test_a_flag_of_many_cells_speaks_against_the_run(flagged: int, light: str, spread: RunSpread) -> None:
    run = replace(run_of(looks(200)), doubtful={"saturated": flagged, "blur": 0})
    found = trust_in(run, spread)
    assert found.light == light
    told = f"saturated: {flagged / 200:.0%} of the cells, at most 10% expected"
    assert [one.sentence for one in found.reasons] == ([] if light == "green" else [told])


@given(
    background=st.floats(1, 4000),
    noise=st.floats(0.29, 400),
    brightness=st.floats(-500, 4000),
    cells=st.integers(1, 60),
    failed=st.integers(0, 60),
)
@settings(max_examples=40, deadline=None)
def test_the_light_is_the_gravest_reasons_and_the_trust_survives_json(
    spread: RunSpread, background: float, noise: float, brightness: float, cells: int, failed: int
) -> None:
    odd = looks(cells, background=background, noise=noise, brightness=brightness)
    found = trust_in(run_of(odd, failed), spread)
    told = {one.light for one in found.reasons}
    assert {one.light for one in found.within} <= {"green"}
    assert found.light == next((light for light in ("red", "not judged", "amber") if light in told), "green")
    assert (found.light == "not judged") <= (cells < LEAST_CELLS)
    assert Trust.model_validate_json(found.model_dump_json()) == found


@given(order=st.randoms(), extra=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_few_odd_cells_and_their_order_do_not_move_a_runs_figures(order: Any, extra: int) -> None:
    usual = looks(200)
    odd = joined([usual, looks(5, brightness=4000, diameter_px=60).rows(np.arange(extra))])
    places = list(range(200 + extra))
    order.shuffle(places)
    for one, other in zip(run_figures(usual, ONE), run_figures(odd.rows(places), ONE), strict=True):
        assert other.value == pytest.approx(one.value, rel=0.01)


@pytest.mark.parametrize(("runs", "patients"), [(4, 4), (20, 4)])
def test_too_few_runs_or_patients_say_nothing_of_another_run(runs: int, patients: int) -> None:
    assert learned(runs, patients) is None
    assert learned(5, 5) is not None


def test_few_runs_and_many_runs_of_few_patients_give_wide_bands() -> None:
    many, few, same = learned(40, 40), learned(6, 6), learned(40, 6)
    assert many is not None
    assert few is not None
    assert same is not None
    assert many.amber_sds < few.amber_sds == same.amber_sds
    assert many.amber_sds < many.red_sds


def patients_whose_backgrounds(draw: Any, runs: int, seed: int) -> list[Appearances]:
    """One run of 40 cells each; `draw` gives the natural logarithm of a factor from a generator."""
    rng = np.random.default_rng(seed)
    return [looks(40, 1000 * seed + run, background=220 * np.exp(0.1 * draw(rng))) for run in range(runs)]


@pytest.mark.parametrize(
    "draw",
    [lambda rng: rng.standard_t(2.5), lambda rng: rng.exponential() ** 1.5, lambda rng: rng.normal()],
    ids=["heavy tails", "one heavy tail", "normal"],
)
def test_the_bands_hold_for_tails_that_a_normal_distribution_does_not_have(draw: Any) -> None:
    lights = []
    for seed in range(8):
        runs = patients_whose_backgrounds(draw, 90, seed)
        known = run_spread(joined(runs[:60]), labels(60, 40, 60), ONE)
        lights += [trust_in(run_of(run), known).light for run in runs[60:]]
    assert np.mean([light != "green" for light in lights]) <= 0.05


SHIFTS: dict[str, dict[str, float]] = {
    "background": {"background": 3000, "noise": 6 * (3000 / 220) ** 0.5},
    "noise": {"noise": 18},
    "brightness": {"brightness": 25},
    "sharpness": {"sharpness": 0.08},
    "size": {"diameter_px": 60},
}


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("odd_ones", [0, 1, 2])
def test_a_shifted_run_is_not_green_also_where_a_patient_of_the_training_was_odd(odd_ones: int, shift: str) -> None:
    rng = np.random.default_rng(3)
    names = {"background": 220.0, "noise": 6.0, "brightness": 80.0, "sharpness": 0.3, "diameter_px": 23.0}
    runs = [looks(60, run, **{name: mean * rng.lognormal(0, 0.1) for name, mean in names.items()}) for run in range(58)]
    runs += [looks(60, 90 + run, background=880) for run in range(odd_ones)]
    known = run_spread(joined(runs), labels(len(runs), 60, len(runs)), ONE)
    found = trust_in(run_of(looks(200, 99, **SHIFTS[shift])), known)
    assert found.light in ("amber", "red"), found.within


def test_one_odd_patient_among_equal_ones_widens_the_bands_and_breaks_nothing() -> None:
    usual = [looks(100, run, background=100 + 0.1 * run) for run in range(12)]
    odd = [*usual, looks(100, 99, background=1000)]
    without, with_it = (run_spread(joined(runs), labels(len(runs), 100, len(runs)), ONE) for runs in (usual, odd))
    assert without is not None
    assert with_it is not None
    assert without.amber_sds < with_it.amber_sds < with_it.red_sds < 15
    assert all(len(one.sentence) < 120 for one in trust_in(run_of(looks(200)), with_it).within)


def test_noise_that_only_one_patient_has_counts_as_far_off() -> None:
    """Rounding lays no least spread of noise: the others' is then 0."""
    flat = [
        replace(looks(50, run), noise=np.full((50, 1), 6.0), background=np.full((50, 1), 220.0)) for run in range(8)
    ]
    odd = replace(flat[0], noise=np.full((50, 1), 12.0))
    usual, with_it = (run_spread(joined(runs), labels(8, 50, 8), ONE) for runs in (flat, [*flat[1:], odd]))
    assert usual is not None
    assert with_it is not None
    assert with_it.amber_sds > usual.amber_sds


def test_ctcs_and_runs_with_few_leukocytes_do_not_enter_the_spread() -> None:
    parts = [looks(100, run, background=220) for run in range(6)]
    known = run_spread(joined(parts), labels(6, 100, 6), ONE)
    odd = [*labels(6, 100, 6), *[Label("r0", f"c{one}", True, "p0") for one in range(50)]]
    odd += [Label("small", str(one), False, "p9") for one in range(9)]
    assert run_spread(joined([*parts, looks(59, 7, background=9999)]), odd, ONE) == known


def test_of_unshifted_runs_no_more_than_the_stated_share_is_not_green() -> None:
    lights = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        backgrounds = 220 * rng.lognormal(0, 0.1, 52)
        runs = [looks(40, 100 * seed + run, background=value) for run, value in enumerate(backgrounds)]
        known = run_spread(joined(runs[:12]), labels(12, 40, 12), ONE)
        lights += [trust_in(run_of(run), known).light for run in runs[12:]]
    assert 0.90 < np.mean([light == "green" for light in lights]) < 1


def test_a_fingerprint_whose_red_begins_before_amber_is_refused(spread: RunSpread) -> None:
    with pytest.raises(ValidationError, match=r"red_sds 1\.0 below amber_sds"):
        RunSpread.model_validate({**dict(spread), "red_sds": 1.0})


def test_a_channel_that_showed_nothing_in_training_is_not_judged(spread: RunSpread) -> None:
    dark = ChannelSpread(background=None, noise=None, brightness=None, sharpness=None)
    assert (
        trust_in(run_of(looks(background=9000)), spread.model_copy(update={"channels": {"PE": dark}})).light == "green"
    )


@pytest.fixture(scope="module")
def laboratory() -> RunSpread:
    """Six patients on one instrument."""
    runs = [list(simulate_cells(40, 4, 50_000 + run, INSTRUMENT)) for run in range(6)]
    found = run_spread(
        measure(np.stack([cell.images for run in runs for cell in run]), 12),
        [Label(f"r{at}", str(one.number), one.label == "CTC", f"p{at}") for at, run in enumerate(runs) for one in run],
        CHANNELS,
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cells: amplified(cells, 2, 100), {"noise"}),
        (lambda cells: blurred(cells, 1.5), {"sharpness"}),
        (lambda cells: dimmed(cells, 0.33, [1, 2, 3]), {"stains", "brightness"}),
    ],
    ids=["gain", "focus", "stain"],
)
def test_new_patients_on_the_instrument_are_green_and_shifted_ones_are_not(
    change: Any, told: set[str], laboratory: RunSpread
) -> None:
    cells: Counts = np.stack([cell.images for cell in simulate_cells(60, 2, 51_000, INSTRUMENT)])
    assert trust_in(RunLooks(CHANNELS, measure(cells, 12), len(cells), 0, None), laboratory).light == "green"
    shifted = trust_in(RunLooks(CHANNELS, measure(change(cells), 12), len(cells), 0, None), laboratory)
    assert shifted.light in ("amber", "red")
    assert told & {one.measure for one in shifted.reasons}
