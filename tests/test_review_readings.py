"""What was read is read back, whatever the ids and names hold."""

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ctc.cells import Verdict
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.readings import COLUMNS, Reading, read_readings, readings_path, table_of
from edge_ctc.review.review_file import MARKS
from edge_ctc.review.reviewed import last_readings
from tests.reviews import CTC, called, read_by

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = TEXT | st.builds(
    str.__add__, st.sampled_from(["=", "+", "-", "@", "\t", "\r", "'", '"', ",", "\n", "\u202e"]), TEXT
)
HOSTILE = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''",
    "<script>",
    "a\nb\r\nc",
    "\u202e7100",
    "0\x00",
    '"',
    "|",
)
sums = st.sampled_from(["a" * 64, "0123456789abcdef" * 4])
times = st.datetimes().map(lambda time: time.isoformat(timespec="microseconds") + "Z")


EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000001Z"


def reading(cell_id: str = "1", reader: str = "A", grade: int | None = 4, at: str = EARLY) -> Reading:
    return Reading(
        "run 1", cell_id, "a" * 64, reader, grade, (), True, at, "d" * 64, at, "b" * 64, "c" * 64, Verdict.CTC, 1.5
    )


@st.composite
def any_reading(draw: st.DrawFn) -> Reading:
    marks = draw(st.sets(st.sampled_from(MARKS)))
    return Reading(
        run_id="run 1",
        cell_id=draw(texts),
        images_sha256=draw(sums),
        reader=draw(texts),
        grade=draw(st.none() | st.integers(1, 4)),
        marks=tuple(mark for mark in MARKS if mark in marks),
        blind=draw(st.booleans()),
        read_at_utc=draw(times),
        imported_at_utc=draw(times),
        page_calls_sha256=draw(sums),
        calls_sha256=draw(sums),
        checkpoint_sha256=draw(sums),
        verdict=draw(st.sampled_from(Verdict)),
        score=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    )


def read_back(readings: list[Reading]) -> list[Reading]:
    with tempfile.TemporaryDirectory() as folder:
        place = ResultPlace(Path(folder), "run 1")
        readings_path(place).write_bytes(table_of(readings))
        return list(read_readings(place))


@given(st.lists(any_reading(), max_size=4))
@example([reading(text, text) for text in HOSTILE])
@settings(max_examples=120, deadline=None)
def test_what_was_written_is_read_back_whatever_the_text(readings: list[Reading]) -> None:
    assert read_back(readings) == readings


@given(any_reading())
@settings(max_examples=80, deadline=None)
def test_no_text_in_the_file_starts_a_formula(one: Reading) -> None:
    (row,) = csv.DictReader(io.StringIO(table_of([one]).decode(), newline=""), strict=True)
    assert tuple(row) == COLUMNS
    for name in ("cell_id", "reader", "run_id", "marks"):
        assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r")), name


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), TEXT.filter(str.strip))
@example("=1+1", "@SUM(A1)")
@example("a\nb", "M.\nRossi")
@example("\u202e<script>", '=cmd|"/c"')
@settings(max_examples=40, deadline=None)
def test_a_hostile_id_and_name_come_through_an_import_as_they_are(cell_id: str, reader: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = called(Path(folder), {cell_id: CTC})
        read_by(place, reader, {cell_id: 4})
        (one,) = read_readings(place)
        assert (one.cell_id, one.reader) == (cell_id, reader.strip())


def test_of_two_readings_the_later_counts_and_of_the_same_time_the_one_imported_later() -> None:
    last = last_readings([reading("1", "A", 4, LATE), reading("1", "A", 1, EARLY), reading("1", "B", 2, EARLY)])
    assert [(one.reader, one.grade) for one in last["1"]] == [("A", 4), ("B", 2)]
    last = last_readings([reading("1", "A", 4, LATE), reading("1", "A", None, LATE)])
    assert [one.grade for one in last["1"]] == [None]


def test_a_run_that_nobody_read_has_no_readings(tmp_path: Path) -> None:
    assert read_readings(called(tmp_path)) == ()
