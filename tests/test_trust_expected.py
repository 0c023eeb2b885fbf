"""The number of CTCs that calibrated probabilities let expect."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge_ctc.expected import Expected, counts_distribution, expected_ctcs

PROBABILITIES = st.lists(st.floats(0, 1), max_size=40)


def convolved(p: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    whole = np.ones(1)
    for one in p:
        whole = np.convolve(whole, [1 - one, one])
    return whole


@given(p=PROBABILITIES)
@settings(max_examples=100, deadline=None)
def test_the_distribution_is_the_plain_convolution_and_what_is_left_out_changes_nothing(p: list[float]) -> None:
    exact = convolved(p)
    np.testing.assert_allclose(counts_distribution(np.array(p), len(p)), exact, atol=1e-14)
    np.testing.assert_allclose(counts_distribution(np.array(p), len(p) // 2), exact[: len(p) // 2 + 1], atol=1e-14)


def test_the_distribution_is_scipys() -> None:
    p = np.random.default_rng(0).beta(0.2, 3, 50)
    np.testing.assert_allclose(counts_distribution(p, 50), stats.poisson_binom(p).pmf(np.arange(51)), atol=1e-13)


@given(p=PROBABILITIES)
@settings(max_examples=200, deadline=None)
def test_at_most_a_twentieth_lies_on_each_side_and_the_interval_is_the_narrowest_such(p: list[float]) -> None:
    found, exact = expected_ctcs(p), convolved(p)
    assert found.mean == pytest.approx(sum(p))
    assert 0 <= found.low <= found.high <= len(p)
    assert exact[: found.low].sum() <= 0.05 + 1e-9
    assert exact[found.high + 1 :].sum() <= 0.05 + 1e-9
    assert exact[: found.low + 1].sum() >= 0.05 - 1e-9
    assert found.high == 0 or exact[found.high :].sum() >= 0.05 - 1e-9


def test_ten_thousand_cells_take_no_time_and_agree_with_the_normal_distribution() -> None:
    p = np.random.default_rng(1).beta(0.02, 3, 10_000)
    began = time.process_time()
    found = expected_ctcs(p.tolist())
    assert time.process_time() - began < 2
    middle, sd = p.sum(), float(np.sqrt((p * (1 - p)).sum()))
    assert abs(found.low - (middle - 1.645 * sd)) < 2
    assert abs(found.high - (middle + 1.645 * sd)) < 2


@pytest.mark.parametrize(
    ("p", "low", "high"), [([], 0, 0), ([0.0] * 9, 0, 0), ([1.0] * 7, 7, 7), ([0.5], 0, 1), ([0.04], 0, 0)]
)
def test_the_interval_of_plain_cases(p: list[float], low: int, high: int) -> None:
    assert (expected_ctcs(p).low, expected_ctcs(p).high) == (low, high)


def test_the_sentence_stands_beside_the_candidates() -> None:
    assert Expected(mean=2.94, low=1, high=5).sentence(4) == "4 candidates; expected 2.9, 90 % 1-5"
    assert Expected(mean=0.1, low=0, high=1).sentence(1) == "1 candidate; expected 0.1, 90 % 0-1"


@pytest.mark.parametrize("p", [[0.5, 1.2], [-0.1], [float("nan")]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="expected probabilities"):
        expected_ctcs(p)
