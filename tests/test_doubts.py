"""What sends a cell to REVIEW although its score does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.cells import Verdict
from edge_ctc.decision import OUT_OF_DISTRIBUTION, Decision, believed_in_run, doubted, doubts_of
from edge_ctc.quality import MEASURED

LEUKOCYTE = Decision(Verdict.LEUKOCYTE, 0.01, "score below threshold_review")


@pytest.mark.parametrize("flag", ["empty", "saturated", "blur", "edge"])
def test_a_flag_of_the_image_is_a_doubt(flag: str) -> None:
    assert doubts_of(("pixel_size_unchecked", flag), None, None) == (flag,)


@pytest.mark.parametrize("flag", ["several_nuclei", "low_signal", "size_outlier", "not_in_table"])
def test_a_flag_of_the_cell_is_none(flag: str) -> None:
    assert doubts_of((flag,), None, None) == ()


def test_out_of_distribution_is_above_the_cut_and_only_where_both_are_known() -> None:
    assert doubts_of((), 5.1, 5.0) == (OUT_OF_DISTRIBUTION,)
    assert doubts_of((), 5.0, 5.0) == ()
    assert doubts_of((), None, 5.0) == ()
    assert doubts_of((), 5.1, None) == ()


@pytest.mark.parametrize(("count", "believed"), [(1, True), (20, True), (21, False), (100, False)])
def test_what_holds_of_more_than_a_fifth_of_the_run_is_no_doubt_of_a_cell(count: int, believed: bool) -> None:
    doubts = [("blur",)] * count + [()] * (100 - count)
    assert ("blur" in believed_in_run(doubts)) is believed


def test_a_leukocyte_in_doubt_goes_to_review_with_the_reason() -> None:
    found = doubted(LEUKOCYTE, ("blur", OUT_OF_DISTRIBUTION), {"blur", OUT_OF_DISTRIBUTION})
    assert found == Decision(Verdict.REVIEW, 0.01, "score below threshold_review, but blur and out of distribution")
    assert doubted(LEUKOCYTE, ("blur",), frozenset()) == LEUKOCYTE


@given(
    verdict=st.sampled_from([Verdict.CTC, Verdict.REVIEW, Verdict.LEUKOCYTE]),
    doubts=st.lists(st.sampled_from([*MEASURED, OUT_OF_DISTRIBUTION]), unique=True),
)
def test_a_doubt_never_makes_a_ctc_and_never_hides_one(verdict: Verdict, doubts: list[str]) -> None:
    before = Decision(verdict, None, "why")
    after = doubted(before, doubts, frozenset(doubts))
    kept = not doubts or verdict is not Verdict.LEUKOCYTE
    assert after.verdict is (verdict if kept else Verdict.REVIEW)
    assert after.reason == (f"why, but {' and '.join(doubts)}" if doubts else "why")


@pytest.mark.parametrize("cells", [1, 2, 19])
def test_a_run_too_small_to_be_judged_believes_every_doubt(cells: int) -> None:
    assert believed_in_run([("edge",)] * cells) == {"edge"}
