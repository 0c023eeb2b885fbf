"""The promised miss rate: the theorem's inequality, MAPIE's answer, and what many splits say."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mapie.risk_control import MultiLabelClassificationController

from edge_ctc.errors import DataError
from trainer.decision.promise import PatientScores, mean_loss, patients_with_ctcs, promised_cut

ALPHAS = st.sampled_from([0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.9])


def patient(*scores: float, not_evaluable: int = 0) -> PatientScores:
    return PatientScores(np.array(scores, np.float32), not_evaluable)


def test_nine_patients_are_enough_for_a_tenth_and_eight_are_not() -> None:
    nine = [patient(float(number)) for number in range(9)]
    assert promised_cut(nine, 0.1).cut == 0.0
    short = promised_cut(nine[:8], 0.1)
    assert short.cut is None
    assert short.promise.wanting == 1
    assert short.why_none == "8 patients with CTCs, expected 9 or more for alpha 0.1"


@pytest.mark.parametrize(("alpha", "fewest"), [(0.05, 19), (0.07, 14), (0.15, 6), (0.3, 3), (0.999, 1)])
def test_fewer_than_one_in_alpha_less_one_promise_nothing(alpha: float, fewest: int) -> None:
    patients = [patient(1.0)] * fewest
    assert promised_cut(patients, alpha).promise.wanting == 0
    assert promised_cut(patients[1:], alpha).promise.wanting == 1
    assert promised_cut([], alpha).promise.wanting == fewest


def test_a_cut_misses_shares_of_patients_not_of_cells() -> None:
    # 20 patients may lose (20 + 1) / 10 - 1 = 1.1 patients: a hundred cells of one and a tenth of another.
    many = patient(*(float(number) for number in range(100)))
    few = patient(*(200.0 + number for number in range(10)))
    others = [patient(1000.0)] * 18
    assert promised_cut([many, few, *others], 0.1).cut == 201.0


def test_equal_scores_are_missed_together_or_not_at_all() -> None:
    patients = [patient(5.0, 5.0, 7.0)] * 9 + [patient(9.0)] * 10
    # (19 + 1) / 5 - 1 = 3 patients may be lost; a cut at 7 would lose 9 * 2 / 3 = 6.
    assert promised_cut(patients, 0.2).cut == 5.0


def test_a_cut_is_the_decimal_that_the_product_compares() -> None:
    assert promised_cut([patient(0.1)] * 9, 0.1).cut == 0.1


def test_cells_that_cannot_be_evaluated_are_missed_at_every_cut() -> None:
    whole = [patient(1.0, 2.0)] * 18
    assert promised_cut([*whole, patient(not_evaluable=1)], 0.1).cut == 1.0
    assert promised_cut([*whole, *[patient(not_evaluable=2)] * 2], 0.1).promise.wanting == 9


def test_no_cut_helps_where_too_many_cells_cannot_be_evaluated() -> None:
    found = promised_cut([patient(1.0, not_evaluable=1)] * 50, 0.1)
    assert found.cut is None
    assert found.why_none == "too many CTCs cannot be evaluated, 0.5 of a patient's in the mean; no cut keeps alpha 0.1"
    # 209 patients without a loss beside these: (25 + 1) / 0.1 = 260 = 259 + 1.
    assert found.promise.wanting == 209
    enough = [patient(1.0, not_evaluable=1)] * 50 + [patient(1.0)] * 209
    assert promised_cut(enough, 0.1).cut == 1.0
    assert promised_cut(enough[:-1], 0.1).cut is None


def test_a_patient_without_a_ctc_is_refused() -> None:
    with pytest.raises(DataError, match="without a CTC"):
        patient()


def test_patients_with_ctcs_are_grouped_and_those_without_left_out() -> None:
    found = patients_with_ctcs(
        ["b", "a", "b", "c", "a", "b"],
        np.array([True, True, True, False, False, True]),
        np.array([1.0, np.nan, 2.0, 3.0, 4.0, np.nan], np.float32),
    )
    assert [(list(one.scores), one.not_evaluable) for one in found] == [([1.0, 2.0], 1), ([], 1)]


scores = st.lists(st.integers(-40, 40).map(lambda tenths: tenths / 8), min_size=0, max_size=6)
patient_lists = st.lists(
    st.builds(lambda found, lost: patient(*found, not_evaluable=lost if found else 1), scores, st.integers(0, 1)),
    min_size=1,
    max_size=30,
)


def bound(patients: list[PatientScores], cut: float) -> float:
    n = len(patients)
    return n / (n + 1) * mean_loss(patients, cut) + 1 / (n + 1)


@settings(deadline=None, max_examples=50)
@given(patients=patient_lists, alpha=ALPHAS)
def test_the_inequality_holds_at_the_cut_and_at_no_larger_score(patients: list[PatientScores], alpha: float) -> None:
    candidates = sorted({float(score) for one in patients for score in one.scores})
    kept = [score for score in candidates if bound(patients, score) <= alpha + 1e-12]
    found = promised_cut(patients, alpha)
    assert found.cut == (kept[-1] if kept else None)
    assert (found.promise.wanting == 0) == bool(kept) == (not found.why_none)


@settings(deadline=None, max_examples=50)
@given(patients=patient_lists, alpha=ALPHAS)
def test_without_a_promise_so_many_patients_more_would_do_and_one_less_would_not(
    patients: list[PatientScores], alpha: float
) -> None:
    wanting = promised_cut(patients, alpha).promise.wanting
    assume(wanting)
    perfect = patient(100.0)
    assert promised_cut([*patients, *[perfect] * wanting], alpha).cut is not None
    assert promised_cut([*patients, *[perfect] * (wanting - 1)], alpha).cut is None


@settings(deadline=None, max_examples=50)
@given(patients=patient_lists, alpha=ALPHAS, data=st.data())
def test_the_order_of_patients_does_not_matter(
    patients: list[PatientScores], alpha: float, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(patients))
    assert promised_cut(shuffled, alpha) == promised_cut(patients, alpha)


@settings(deadline=None, max_examples=50)
@given(patients=patient_lists, alpha=ALPHAS, score=st.integers(-40, 40))
def test_a_patient_without_a_loss_lowers_no_cut(patients: list[PatientScores], alpha: float, score: int) -> None:
    before = promised_cut(patients, alpha).cut
    lowest = -1000.0 if before is None else before
    after = promised_cut([*patients, patient(max(float(score), lowest))], alpha).cut
    assert (-1000.0 if after is None else after) >= lowest


@settings(deadline=None, max_examples=50)
@given(patients=patient_lists, alphas=st.tuples(ALPHAS, ALPHAS).map(sorted))
def test_a_larger_alpha_lowers_no_cut(patients: list[PatientScores], alphas: list[float]) -> None:
    low, high = (promised_cut(patients, alpha) for alpha in alphas)
    assert low.promise.wanting >= high.promise.wanting
    if low.cut is not None:
        assert high.cut is not None
        assert high.cut >= low.cut


GRID = np.linspace(0, 1, 501)


def mapies_cut(patients: list[PatientScores], alpha: float) -> float:
    """MAPIE's conformal risk control of recall: a patient is a sample, a CTC a label, a score a probability, 0..1.

    A cell that cannot be evaluated has probability 0, which is above no cut.
    """
    width = max(one.ctcs for one in patients)
    truth = np.zeros((len(patients), width), int)
    probability = np.zeros((len(patients), width))
    for row, one in enumerate(patients):
        truth[row, : one.ctcs] = 1
        probability[row, : len(one.scores)] = one.scores
    controller = MultiLabelClassificationController(
        lambda _: probability, risk="recall", method="crc", target_level=1 - alpha, predict_params=GRID
    )
    return float(controller.calibrate(truth, truth).best_predict_param[0])


def drawn_patients(rng: np.random.Generator, count: int, lost_share: float = 0.02) -> list[PatientScores]:
    """Exchangeable: each with a level of its own and 1 to 10 CTCs, some of them not evaluable; scores 0..1."""
    drawn = []
    for level in rng.normal(1, 1, count):
        logits = level + rng.normal(0, 1, rng.integers(1, 11))
        lost = int((rng.random(len(logits)) < lost_share).sum())
        drawn.append(PatientScores((1 / (1 + np.exp(-logits[lost:]))).astype(np.float32), lost))
    return drawn


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.35])
def test_mapie_gives_the_same_cut_within_its_grid(seed: int, alpha: float) -> None:
    patients = drawn_patients(np.random.default_rng(seed), 30)
    ours = promised_cut(patients, alpha).cut
    assert ours is not None
    # MAPIE calls a cell at scores above the cut, we do so from it on: its cut is the last of its grid below ours.
    assert mapies_cut(patients, alpha) == GRID[ours > GRID].max()


def test_mapie_wants_one_patient_more_where_both_sides_are_equal_and_answers_where_nothing_can_be_promised() -> None:
    """Why the product's cut is not MAPIE's: `>= alpha` is refused there, the theorem allows equality; and a warning
    beside an extreme value stands where we say that there is no guarantee."""
    patients = [patient(0.5)] * 4
    assert promised_cut(patients, 0.2).cut == 0.5
    with pytest.warns(UserWarning, match="The risk cannot be controlled"):
        assert mapies_cut(patients, 0.2) == 0.0
    assert mapies_cut([*patients, patient(0.5)], 0.2) == GRID[GRID < 0.5].max()


def naive_cut(patients: list[PatientScores], alpha: float) -> float:
    """What the calibration patients alone suggest: no + 1 for the next patient."""
    candidates = np.unique(np.concatenate([one.scores for one in patients]))
    return max((float(cut) for cut in candidates if mean_loss(patients, float(cut)) <= alpha), default=0.0)


def our_cut(patients: list[PatientScores], alpha: float) -> float:
    cut = promised_cut(patients, alpha).cut
    assert cut is not None
    return cut


def mean_and_error(choose: Callable[[list[PatientScores], float], float], n: int) -> tuple[float, float]:
    """Mean loss of new patients at alpha 0.2, and its standard error; every split has patients of its own."""
    rng = np.random.default_rng(11)
    found = [mean_loss(drawn_patients(rng, 20, 0), choose(drawn_patients(rng, n, 0), 0.2)) for _ in range(SPLITS)]
    return float(np.mean(found)), float(np.std(found, ddof=1) / SPLITS**0.5)


SPLITS = 600


@pytest.mark.parametrize("n", [4, 8, 30])
def test_over_many_splits_the_mean_loss_is_at_most_alpha_and_not_far_below(n: int) -> None:
    mean, error = mean_and_error(our_cut, n)
    assert mean <= 0.2 + 2 * error
    # The theorem's other side, for losses without jumps: alpha - 2 / (n + 1).
    assert mean >= 0.2 - 2 / (n + 1) - 2 * error


def test_without_the_next_patient_in_the_sum_the_miss_rate_is_broken() -> None:
    mean, error = mean_and_error(naive_cut, 4)
    assert mean > 0.2 + 3 * error
