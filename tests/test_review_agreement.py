"""How far readers and machine agree: the figures, and what they are of."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from edge_ctc.review.agreement import MACHINE, Agreement, Pair, Table, agreement
from edge_ctc.review.kappa import cohens_kappa
from tests.conftest import EdgeCtc
from tests.reviews import CTC, LEUKOCYTE, NOT_EVALUABLE, REVIEW, called, read_by

counts = st.integers(0, 30)


@given(counts, counts, counts, counts)
def test_kappa_is_that_of_scikit_learn_and_lies_in_its_interval(a: int, b: int, c: int, d: int) -> None:
    found = cohens_kappa([[a, b], [c, d]])
    first = [1] * (a + b) + [0] * (c + d)
    second = [1] * a + [0] * b + [1] * c + [0] * d
    if not first or len({*first, *second}) == 1:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    if b + c == 0:
        assert (found.value, found.low, found.high) == (1.0, None, None)
    elif min(len({*first}), len({*second})) == 1:
        assert (found.value, found.low, found.high) == (0.0, None, None)
    else:
        assert found.low is not None
        assert found.high is not None
        assert -1 <= found.low <= found.value <= found.high <= 1


def kappa_of(shares: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return (float(np.trace(shares)) - chance) / (1 - chance)


@pytest.mark.parametrize("table", [[[75, 1, 4], [5, 4, 1], [0, 0, 10]], [[20, 5], [10, 15]], [[90, 3], [6, 1]]])
def test_the_standard_error_is_that_of_the_delta_method(table: list[list[int]]) -> None:
    counts = np.array(table)
    shares, step = counts / counts.sum(), 1e-6
    slopes = np.zeros(shares.size)
    for place in range(shares.size):
        nudge = np.zeros(shares.size)
        nudge[place] = step
        more, less = (shares + sign * nudge.reshape(shares.shape) for sign in (1, -1))
        slopes[place] = (kappa_of(more) - kappa_of(less)) / (2 * step)
    flat = shares.ravel()
    error = np.sqrt((flat @ slopes**2 - (flat @ slopes) ** 2) / counts.sum())
    found = cohens_kappa(table)
    assert found is not None
    assert found.low is not None
    assert (found.value - found.low) / 1.959964 == pytest.approx(error, rel=1e-5)


def test_the_interval_holds_the_true_kappa_about_as_often_as_it_says() -> None:
    shares, generator = np.array([0.25, 0.1, 0.05, 0.6]), np.random.default_rng(7)
    chance = 0.35 * 0.3 + 0.65 * 0.7
    true = (0.85 - chance) / (1 - chance)
    held = 0
    for a, b, c, d in generator.multinomial(200, shares, size=1000).tolist():
        found = cohens_kappa([[a, b], [c, d]])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 930 <= held <= 970


def pair(found: Agreement, first: str, second: str) -> Pair:
    (one,) = [pair for pair in found.pairs if (pair.first, pair.second) == (first, second)]
    return one


VERDICTS = {"1": CTC, "2": CTC, "3": REVIEW, "4": REVIEW, "5": LEUKOCYTE, "6": LEUKOCYTE, "7": NOT_EVALUABLE}


def test_each_pair_is_counted_over_the_cells_that_both_graded(tmp_path: Path) -> None:
    place = called(tmp_path, VERDICTS)
    read_by(place, "A", {"1": 4, "2": 3, "3": 3, "4": 2, "5": 1, "6": 2, "7": 1})
    read_by(place, "B", {"1": 3, "2": 2, "3": (None, ["doubt"]), "5": 4, "7": 2}, blind=False)
    read_by(place, "B", {"6": 1})
    found = agreement(place)
    assert (found.run_id, found.readers, found.graded) == ("run 1", ("A", "B"), 7)
    assert [(one.first, one.second) for one in found.pairs] == [("A", "B"), ("A", MACHINE), ("B", MACHINE)]
    assert pair(found, "A", "B") == Pair("A", "B", every=Table(1, 1, 1, 2), blind=Table(0, 0, 0, 1))
    assert pair(found, "A", MACHINE).every == pair(found, "A", MACHINE).blind == Table(2, 0, 0, 2)
    assert pair(found, "B", MACHINE) == Pair("B", MACHINE, every=Table(1, 1, 1, 1), blind=Table(0, 0, 0, 1))
    assert [(one.reader, one.ctc, one.other) for one in found.of_review] == [("A", 1, 1), ("B", 0, 0)]
    assert [(one.cell_id, one.grades, one.verdict) for one in found.disagreements] == [
        ("2", (("A", 3), ("B", 2)), CTC),
        ("5", (("A", 1), ("B", 4)), LEUKOCYTE),
    ]


def test_the_last_reading_counts_and_one_that_was_taken_back_does_not(tmp_path: Path) -> None:
    place = called(tmp_path, VERDICTS)
    read_by(place, "A", {"1": 1, "2": 4}, at="2026-11-23T20:00:00Z")
    read_by(place, "A", {"1": 4, "2": None}, at="2026-11-23T20:00:01Z")
    read_by(place, "A", {"1": 2}, at="2026-11-23T19:00:00Z")
    assert pair(agreement(place), "A", MACHINE).every == Table(1, 0, 0, 0)


def test_a_cell_with_a_reading_of_other_images_is_left_out_and_named(tmp_path: Path) -> None:
    place = called(tmp_path, VERDICTS)
    read_by(place, "A", {"1": 1, "2": 1})
    called(tmp_path, VERDICTS, images="of another scan")
    read_by(place, "A", {"1": 4}, at="2026-11-23T21:00:00Z")
    found = agreement(place)
    assert found.stale == ("2",)
    assert pair(found, "A", MACHINE).every == Table(1, 0, 0, 0)
    called(tmp_path, {"1": CTC}, images="of another scan")
    assert agreement(place).stale == ("2",)


def test_shares_of_no_cell_and_of_one_class_are_not_defined_rather_than_a_number() -> None:
    assert Table(0, 0, 0, 0).agreed is None
    assert Table(0, 0, 0, 0).kappa is None
    assert Table(5, 0, 0, 0).kappa is None
    assert Table(3, 1, 0, 0).agreed == 0.75
    assert Table(3, 1, 0, 0).kappa is not None


def test_the_lines_say_every_figure_in_words(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path, VERDICTS)
    read_by(place, "A", {"1": 4, "2": 3, "3": 3, "5": 1, "6": 2})
    read_by(place, "B", {"1": 3, "2": 2, "5": 1, "6": 1}, blind=False)
    finished = edge_ctc("review", "agreement", tmp_path / "run 1")
    assert finished.code == 0
    assert "run 1: 5 cells graded by A, B" in finished.out
    assert "A and B: 4 cells, 75.0 % agree, kappa 0.50 (95 % -0.23 to 1.00)" in finished.out
    assert "A and the machine: 4 cells, 100.0 % agree, kappa 1.00, no interval: they never disagree" in finished.out
    assert "of these blind: 4 cells" in finished.out
    assert "A: of 1 REVIEW cell 1 CTC, 0 not" in finished.out
    assert "Fleiss, Cohen and Everitt 1969" in finished.out
    assert "    2: A 3, B 2; CTC, score 5.00" in finished.out
    shown = json.loads(edge_ctc("review", "agreement", tmp_path / "run 1", "--json").out)
    first = shown["pairs"][0]
    assert (first["first"], first["second"], first["every"]["cells"], first["blind"]["cells"]) == ("A", "B", 4, 0)
    assert first["every"]["kappa"]["value"] == pytest.approx(0.5)
    assert math.isclose(first["every"]["agreed"], 0.75)
    assert first["blind"]["kappa"] is None
    assert shown["disagreements"] == [{"cell_id": "2", "grades": {"A": 3, "B": 2}, "verdict": "CTC", "score": 5.0}]


def test_one_class_alone_and_no_reader_are_said(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path, VERDICTS)
    assert "0 cells graded by nobody" in edge_ctc("review", "agreement", tmp_path / "run 1").out
    read_by(place, "A", {"1": 4, "2": 4})
    out = edge_ctc("review", "agreement", tmp_path / "run 1").out
    assert "A and the machine: 2 cells, 100.0 % agree, kappa not defined: both say the same of every cell" in out
    read_by(place, "A", {"5": 4, "6": 4})
    out = edge_ctc("review", "agreement", tmp_path / "run 1").out
    assert "kappa 0.00, no interval: one of them says the same of every cell" in out
    read_by(place, "B", {"3": 1})
    assert "A and B: no cell that both graded" in edge_ctc("review", "agreement", tmp_path / "run 1").out
    assert "nan" not in out


def test_a_run_that_was_never_called_or_whose_readings_were_changed_ends_with_65(
    tmp_path: Path, edge_ctc: EdgeCtc
) -> None:
    finished = edge_ctc("review", "agreement", tmp_path / "run 1", "--json")
    assert finished.code == json.loads(finished.out)["exit_code"] == 65
    place = called(tmp_path, VERDICTS)
    (tmp_path / "run 1.ctc-review.csv").write_bytes(b"cell_id,grade\r\n")
    for command in ("agreement", "recovery"):
        finished = edge_ctc("review", command, tmp_path / "run 1")
        assert (finished.code, finished.out) == (65, "")
        assert "not as edge-ctc wrote it" in finished.err
    assert edge_ctc("review", "agreement", "").code == 64
    assert place.calls.exists()
