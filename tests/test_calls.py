import csv
import io
import math
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ctc.cells import CsvDialect, Verdict
from edge_ctc.errors import ResultsError
from edge_ctc.results.calls import COLUMNS, Call, ranked, read_calls, write_calls
from tests.images import CALL, not_evaluable


def raw(*calls: Call, dialect: CsvDialect = "rfc4180") -> bytes:
    file = io.BytesIO()
    write_calls(file, calls, dialect)
    assert not file.closed
    return file.getvalue()


def cells_of(*calls: Call, dialect: CsvDialect = "rfc4180") -> list[dict[str, str]]:
    """The rows as any reader of the dialect sees them."""
    text = raw(*calls, dialect=dialect).decode("utf-8" if dialect == "rfc4180" else "utf-8-sig")
    delimiter = "," if dialect == "rfc4180" else ";"
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def read_back(content: bytes) -> list[Call]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return read_calls(Path(file.name))


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = TEXT | st.builds(str.__add__, st.sampled_from(["=", "+", "-", "@", "\t", "\r", "'", '"', ";", ",", "\n"]), TEXT)
parts = st.lists(texts.map(lambda text: text.replace("|", "")).filter(bool), max_size=3).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
WRITTEN_AS_TEXT = ("run_id", "cell_id", "cage_row", "cage_col", "reason", "intended_use")
WRITTEN_AS_LIST = ("flags", "channels_used", "channels_missing", "image_files", "image_sha256")


@st.composite
def any_call(draw: st.DrawFn) -> Call:
    changes: dict[str, Any] = {name: draw(texts) for name in WRITTEN_AS_TEXT}
    changes |= {name: draw(parts) for name in WRITTEN_AS_LIST}
    changes |= {name: draw(numbers) for name in ("threshold_ctc", "threshold_review")}
    changes["ood_score"] = draw(st.none() | numbers)
    changes["p_ctc"] = draw(st.none() | st.floats(0, 1))
    changes["pixel_size_um"] = draw(st.just("unknown") | st.floats(0.01, 10))
    changes["run_state"] = draw(st.sampled_from(["complete", "partial"]))
    verdict = draw(st.sampled_from(Verdict))
    score = None if verdict is Verdict.NOT_EVALUABLE else draw(numbers)
    return replace(CALL, verdict=verdict, score=score, **changes)


@given(st.lists(any_call(), max_size=4), st.sampled_from(get_args(CsvDialect)))
@example([replace(CALL, reason=text, image_files=(text,)) for text in FORMULAS], "rfc4180")
@example([replace(CALL, reason=text, image_files=(text,)) for text in FORMULAS], "excel-it")
@settings(max_examples=120, deadline=None)
def test_what_was_written_is_read_back_whatever_the_text(calls: list[Call], dialect: CsvDialect) -> None:
    assert read_back(raw(*calls, dialect=dialect)) == calls


@given(any_call(), st.sampled_from(get_args(CsvDialect)))
@settings(max_examples=80, deadline=None)
def test_no_text_in_the_file_starts_a_formula(call: Call, dialect: CsvDialect) -> None:
    (row,) = cells_of(call, dialect=dialect)
    for name in (*WRITTEN_AS_TEXT, *WRITTEN_AS_LIST):
        assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r")), name


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("name", [*WRITTEN_AS_TEXT, *WRITTEN_AS_LIST])
def test_a_formula_is_written_as_the_text_that_it_is(name: str, text: str) -> None:
    value = (text, "b") if name in WRITTEN_AS_LIST else text
    (row,) = cells_of(replace(CALL, **{name: value}))  # type: ignore[arg-type]
    assert row[name] == "'" + ("|".join(value) if isinstance(value, tuple) else value)


def test_the_columns_are_those_of_a_call_and_each_field_stands_in_its_own() -> None:
    assert tuple(field.name for field in fields(Call)) == tuple(name for name in COLUMNS if name != "rank")
    assert COLUMNS[5:7] == ("rank", "verdict")
    (row,) = cells_of(CALL)
    assert tuple(row) == COLUMNS
    shown = {
        "cell_id": "0017",
        "rank": "1",
        "verdict": "CTC",
        "p_ctc": "0.75",
        "score": "1.5",
        "ood_score": "",
        "image_files": "Images/0017_BF.tif|Images/0017_PE.tif",
        "channels_missing": "",
        "pixel_size_um": "0.5",
        "checkpoint_sha256": "c" * 64,
        "profile_sha256": "d" * 64,
        "run_state": "complete",
    }
    assert {name: row[name] for name in shown} == shown


def test_the_file_is_utf8_without_a_mark_and_its_lines_end_as_rfc_4180_says() -> None:
    content = raw(replace(CALL, reason='è, "so"\nit\ris'))
    assert content.startswith(b"schema_version,run_id,")
    assert '"è, ""so""\nit\ris"'.encode() in content
    assert content.endswith(b"\r\n")
    assert content.count(b"\r\n") == 2


def test_a_file_for_excel_in_italy_has_its_mark_semicolons_and_decimal_commas() -> None:
    call = replace(CALL, score=-0.25, p_ctc=1e-30, reason="a,b;c è", image_files=("=1.5.tif",), pixel_size_um=0.65)
    content = raw(call, dialect="excel-it")
    assert content.startswith(b"\xef\xbb\xbfschema_version;run_id;")
    assert content.endswith(b"\r\n")
    assert content.count(b"\r\n") == 2
    (row,) = cells_of(call, dialect="excel-it")
    shown = {
        "rank": "1",
        "p_ctc": "1e-30",
        "score": "-0,25",
        "threshold_ctc": str(CALL.threshold_ctc).replace(".", ","),
        "ood_score": "",
        "reason": "a,b;c è",
        "image_files": "'=1.5.tif",
        "pixel_size_um": "0,65",
    }
    assert {name: row[name] for name in shown} == shown
    assert '"a,b;c è"'.encode() in content


def test_a_file_for_excel_in_italy_without_cells_is_a_header() -> None:
    assert raw(dialect="excel-it") == b"\xef\xbb\xbf" + ";".join(COLUMNS).encode() + b"\r\n"
    assert read_back(raw(dialect="excel-it")) == []


def test_a_run_without_cells_is_a_header() -> None:
    assert raw() == ",".join(COLUMNS).encode() + b"\r\n"
    assert read_back(raw()) == []


def test_a_cell_that_is_not_evaluable_has_empty_figures() -> None:
    (row,) = cells_of(not_evaluable("1"))
    assert [row[name] for name in ("rank", "score", "p_ctc", "verdict")] == ["", "", "", "NOT_EVALUABLE"]


@pytest.mark.parametrize("score", [0.1, -1e-30, 1.7976931348623157e308, 5e-324, -0.0])
def test_a_figure_is_written_with_all_its_digits(score: float) -> None:
    (call,) = read_back(raw(replace(CALL, score=score)))
    assert call.score is not None
    assert (call.score, math.copysign(1, call.score)) == (score, math.copysign(1, score))


@pytest.mark.parametrize(("verdict", "score"), [(Verdict.NOT_EVALUABLE, 1.0), (Verdict.CTC, None)])
def test_a_verdict_without_its_score_cannot_be_made(verdict: Verdict, score: float | None) -> None:
    with pytest.raises(ValueError, match="0017"):
        replace(CALL, verdict=verdict, score=score)


def test_cells_rank_by_falling_score_and_equal_ones_keep_their_order() -> None:
    scores = {"a": -1.0, "b": 2.0, "c": 0.5, "d": 2.0, "e": 0.5, "f": -0.0, "g": 0.0}
    given_calls = [replace(CALL, cell_id=cell_id, score=score) for cell_id, score in scores.items()]
    given_calls.insert(0, not_evaluable("x"))
    given_calls.insert(3, not_evaluable("y"))
    rows = cells_of(*ranked(given_calls))
    assert "".join(row["cell_id"] for row in rows) == "bdcefgaxy"
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7", "", ""]


@given(st.lists(st.none() | numbers, max_size=12))
def test_ranking_keeps_every_cell_and_is_stable_when_repeated(scores: list[float | None]) -> None:
    calls = [
        not_evaluable(str(cell)) if score is None else replace(CALL, cell_id=str(cell), score=score)
        for cell, score in enumerate(scores)
    ]
    found = ranked(calls)
    assert sorted(call.cell_id for call in found) == sorted(call.cell_id for call in calls)
    figures = [call.score for call in found]
    called = [score for score in figures if score is not None]
    assert figures == sorted(called, reverse=True) + [None] * (len(figures) - len(called))
    assert ranked(found) == found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"schema_version,run_id\r\n",
        raw(CALL).replace(b"cell_id", b"cell", 1),
        b"\xef\xbb\xbf" + raw(CALL),
        raw(CALL, dialect="excel-it")[3:],
        raw(CALL).replace(b",", b";"),
        b",".join(reversed(raw().rstrip().split(b","))),
    ],
)
def test_another_header_is_refused(content: bytes) -> None:
    with pytest.raises(ResultsError, match="expected those of edge_ctc's calls"):
        read_back(content)


def test_a_file_torn_within_a_row_is_refused() -> None:
    content = raw(CALL, replace(CALL, cell_id="0018"))
    start = content.index(b"1,run 1,0018")
    for length in range(start + 1, content.rindex(b",")):
        with pytest.raises(ResultsError, match="classify the run again"):
            read_back(content[:length])


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "an unknown verdict": lambda content: content.replace(b",CTC,", b",MAYBE,"),
    "a score in words": lambda content: content.replace(b",1.5,", b",high,"),
    "a decimal comma": lambda content: content.replace(b",1.5,", b',"1,5",'),
    "a verdict without its score": lambda content: content.replace(b",1.5,", b",,"),
    "a score that is no number": lambda content: content.replace(b",1.5,", b",nan,"),
    "an unknown state": lambda content: content.replace(b",complete,", b",complet,"),
    "another schema": lambda content: content.replace(b"\n1,run 1", b"\n2,run 1"),
    "a column too many": lambda content: content.replace(b",RUO\r\n", b",RUO,more\r\n"),
    "bytes that are no UTF-8": lambda content: content.replace(b"RUO", b"RU\xe8"),
}


@pytest.mark.parametrize("harm", SPOILT)
def test_a_row_that_edge_ctc_would_not_write_is_refused(harm: str) -> None:
    content = raw(CALL)
    spoilt = SPOILT[harm](content)
    assert spoilt != content
    with pytest.raises(ResultsError, match="cannot be read as calls"):
        read_back(spoilt)


@pytest.mark.parametrize("score", ["1.5", "1,5,0", "inf", "1;5"])
def test_a_number_that_excel_in_italy_would_not_take_is_refused(score: str) -> None:
    content = raw(CALL, dialect="excel-it")
    assert content.count(b";1,5;") == 1
    with pytest.raises(ResultsError, match="cannot be read as calls"):
        read_back(content.replace(b";1,5;", f";{score};".encode()))


def test_a_row_of_very_many_files_is_read_back() -> None:
    call = replace(CALL, image_files=tuple(f"Images/{number:06}_BF.tif" for number in range(10_000)))
    assert read_back(raw(call)) == [call]


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=f"{tmp_path / 'none.csv'}: cannot be read"):
        read_calls(tmp_path / "none.csv")
