"""The shortcut audit on data made so that the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ctc.appearance import Appearances
from trainer.evaluation.audit import audit, audit_markdown, matched_by_size

Floats = NDArray[np.float64]


def looks_of(diameter_px: Floats, brightness: Floats | None = None) -> Appearances:
    """One channel; everything that is not given is the same in all cells."""
    flat = np.ones((len(diameter_px), 1))
    light = flat if brightness is None else brightness[:, None]
    return Appearances(flat, flat, light, flat, flat, diameter_px)


def drawn(seed: int = 0, cells: int = 2000) -> tuple[NDArray[np.bool_], Floats, np.random.Generator]:
    """A tenth CTCs, larger by one sd."""
    rng = np.random.default_rng(seed)
    is_ctc = rng.random(cells) < 0.1
    return is_ctc, rng.normal(20, 3, cells) + 3 * is_ctc, rng


def test_the_auc_of_size_alone_is_that_of_two_shifted_normals() -> None:
    is_ctc, diameter, _ = drawn(cells=20_000)
    size = audit(looks_of(diameter), is_ctc, ["BF"]).alone[0]
    assert (size.measure, size.larger_in_ctc) == ("diameter_px", True)
    assert size.auc == pytest.approx(0.760, abs=0.02)  # Phi(1 / sqrt(2))


def test_a_measure_that_is_smaller_in_ctcs_tells_as_much_and_says_so() -> None:
    is_ctc, diameter, _ = drawn()
    found = {one.measure: one for one in audit(looks_of(diameter, -diameter), is_ctc, ["PE"]).alone}
    assert found["brightness of PE"].auc == pytest.approx(found["diameter_px"].auc)
    assert not found["brightness of PE"].larger_in_ctc
    assert found["background of PE"].auc == 0.5


def test_a_network_that_knows_size_alone_loses_most_of_it_among_cells_of_like_size() -> None:
    is_ctc, diameter, rng = drawn(cells=5000)
    noise = rng.normal(0, 0.1, len(is_ctc))
    matched = matched_by_size(diameter, is_ctc, (diameter + noise).astype(np.float32))
    assert matched is not None
    assert matched.overall.auc > 0.74
    assert matched.auc < 0.66
    assert matched.auc == pytest.approx(matched.size_auc, abs=0.02)


def test_a_network_that_knows_more_than_size_keeps_it_among_cells_of_like_size() -> None:
    is_ctc, diameter, rng = drawn(cells=5000)
    logits = (rng.normal(0, 1, len(is_ctc)) + 2.5 * is_ctc).astype(np.float32)
    matched = matched_by_size(diameter, is_ctc, logits)
    assert matched is not None
    assert matched.auc == pytest.approx(matched.overall.auc, abs=0.02)
    assert matched.average_precision > 2 * matched.chance


@given(seed=st.integers(0, 1000), cells=st.integers(20, 120))
@settings(max_examples=40, deadline=None)
def test_every_cell_is_in_one_stratum_or_left_out(seed: int, cells: int) -> None:
    is_ctc, diameter, rng = drawn(seed, cells)
    is_ctc[:2] = True, False
    matched = matched_by_size(diameter, is_ctc, rng.normal(size=cells).astype(np.float32))
    if matched is not None:
        assert sum(one.network.ctc + one.network.leukocyte for one in matched.strata) + matched.left_out == cells
        assert matched.overall.ctc == is_ctc.sum()
        lows = [one.low_px for one in matched.strata]
        assert lows == sorted(lows)


def test_strata_hold_a_like_number_of_ctcs_however_rare_they_are() -> None:
    rng = np.random.default_rng(3)
    is_ctc = np.arange(4000) < 50
    matched = matched_by_size(rng.normal(20, 3, 4000) + 6 * is_ctc, is_ctc, rng.normal(size=4000).astype(np.float32))
    assert matched is not None
    assert [one.network.ctc for one in matched.strata] == [10] * 5


def test_classes_that_share_no_size_have_no_matched_strata() -> None:
    is_ctc = np.array([True] * 10 + [False] * 10)
    found = audit(
        looks_of(np.where(is_ctc, 30.0, 10.0) + np.arange(20) / 100), is_ctc, ["BF"], np.arange(20.0, dtype=np.float32)
    )
    assert found.alone[0].auc == 1
    if found.matched is not None:
        assert found.matched.left_out > 0


def test_equal_diameters_are_one_stratum() -> None:
    is_ctc, diameter, rng = drawn(cells=50)
    is_ctc[:2] = True, False
    matched = matched_by_size(np.full_like(diameter, 20), is_ctc, rng.normal(size=50).astype(np.float32))
    assert matched is not None
    assert len(matched.strata) == 1
    assert matched.auc == pytest.approx(matched.overall.auc)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="expected both classes"):
        audit(looks_of(np.ones(3)), np.zeros(3, bool), ["BF"])


def test_the_table_says_measure_direction_and_strata() -> None:
    is_ctc, diameter, rng = drawn()
    found = audit(looks_of(diameter), is_ctc, ["BF"], rng.normal(size=len(is_ctc)).astype(np.float32))
    lines = audit_markdown(found)
    assert lines[2] == f"| diameter_px | {found.alone[0].auc:.3f} | larger |"
    assert sum(" to " in line for line in lines) == 5
    assert any(line.startswith("| matched |") for line in lines)
    assert len(audit_markdown(audit(looks_of(diameter), is_ctc, ["BF"]))) == 2 + 3
