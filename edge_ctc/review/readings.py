"""`<run>.ctc-review.csv`: every reading that was ever imported, one row each, in the order of their import."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ctc import durable
from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, RunUnreadableError
from edge_ctc.results.calls import as_it_was, formula_safe
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.regular import read_regular
from edge_ctc.review.review_file import MARKS, Mark

SCHEMA_VERSION = 1
MAX_BYTES = 1 << 28
COLUMNS = (
    *("schema_version", "run_id", "cell_id", "images_sha256", "reader", "grade", "marks", "blind", "read_at_utc"),
    *("page_calls_sha256", "imported_at_utc", "calls_sha256", "checkpoint_sha256", "verdict", "score"),
)

_SHA256 = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_BOOLS = {"true": True, "false": False}
_MARKS: dict[str, Mark] = {mark: mark for mark in MARKS}


@dataclass(frozen=True, slots=True)
class Reading:
    """One reader's grade of one cell, and what the machine said of it when it was imported.

    Attributes:
        run_id: of the run.
        cell_id: as in the calls.
        images_sha256: which images were read, as in the review file.
        reader: who read.
        grade: 1 to 4; None: only marks, or nothing any more.
        marks: of `MARKS`, in that order.
        blind: verdict, probability and order were hidden.
        read_at_utc: ISO 8601 with microseconds and Z, so that the later time is the greater text.
        page_calls_sha256: of the calls that the page showed from which the reading was saved.
        imported_at_utc: in the same form.
        calls_sha256: of the calls that stood there at the import.
        checkpoint_sha256: of the model that made them.
        verdict: of the cell in them.
        score: of the cell in them; None where it is not evaluable.
    """

    run_id: str
    cell_id: str
    images_sha256: str
    reader: str
    grade: int | None
    marks: tuple[Mark, ...]
    blind: bool
    read_at_utc: str
    page_calls_sha256: str
    imported_at_utc: str
    calls_sha256: str
    checkpoint_sha256: str
    verdict: Verdict
    score: float | None

    @property
    def said(self) -> tuple[str, str, str, int | None, tuple[Mark, ...]]:
        """By what a reading is known again when the same file comes a second time."""
        return self.reader, self.cell_id, self.read_at_utc, self.grade, self.marks


def readings_path(place: ResultPlace) -> Path:
    """`<run>.ctc-review.csv`."""
    return place.folder / f"{place.run_id}.ctc-review.csv"


def table_of(readings: Iterable[Reading]) -> bytes:
    """The readings as RFC 4180 CSV, UTF-8, a header first, with text that no spreadsheet takes for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_row(reading) for reading in readings)
    return text.getvalue().encode()


def _row(reading: Reading) -> list[str | int | float | None]:
    return [
        SCHEMA_VERSION,
        formula_safe(reading.run_id),
        formula_safe(reading.cell_id),
        reading.images_sha256,
        formula_safe(reading.reader),
        reading.grade,
        "|".join(reading.marks),
        "true" if reading.blind else "false",
        reading.read_at_utc,
        reading.page_calls_sha256,
        reading.imported_at_utc,
        reading.calls_sha256,
        reading.checkpoint_sha256,
        reading.verdict.value,
        reading.score,
    ]


def read_readings(place: ResultPlace) -> tuple[Reading, ...]:
    """All readings of the run, in file order; none where nothing was ever imported.

    Raises:
        DataError: the file is not, byte for byte, as edge-ctc writes it, or is of another run.
        RunUnreadableError: it cannot be read, or is being written.
    """
    path = readings_path(place)
    try:
        content = read_regular(path, MAX_BYTES)
    except FileNotFoundError as error:
        # Between two renames the file is away for a moment: that is not a run that nobody read.
        if path in durable.cut_short(place.folder):
            raise RunUnreadableError(
                f"{path}: is being written, or a crash tore it; import again, which mends"
            ) from error
        return ()
    except OSError as error:
        raise RunUnreadableError(f"{path}: cannot be read ({error.strerror}); mend the disk or rights") from error
    return _parsed(path, place.run_id, content)


def _parsed(path: Path, run_id: str, content: bytes) -> tuple[Reading, ...]:
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        _check_columns(tuple(next(rows, ())))
        readings = tuple(_reading(row) for row in rows)
    except (KeyError, ValueError, csv.Error) as error:
        raise _spoilt(path, str(error)) from error
    if strangers := sorted({reading.run_id for reading in readings} - {run_id}):
        raise _spoilt(path, f"readings of run {strangers[0]}")
    # A spreadsheet that saved it takes zeros from ids, and a cut line may still have all its fields.
    if table_of(readings) != content:
        raise _spoilt(path, "another program saved it, or its end is cut off")
    return readings


def _check_columns(found: tuple[str, ...]) -> None:
    if found != COLUMNS:
        raise ValueError(f"columns {list(found[:3])}…")


def _spoilt(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: not as edge-ctc wrote it ({found}); expected the readings of this run, schema {SCHEMA_VERSION}: "
        "bring it back from a copy, or move it away and import every review file again"
    )


def _reading(row: Sequence[str]) -> Reading:
    cell = dict(zip(COLUMNS, row, strict=True))
    if cell["schema_version"] != str(SCHEMA_VERSION):
        raise ValueError(f"schema_version {cell['schema_version']}")
    return Reading(
        run_id=as_it_was(cell["run_id"]),
        cell_id=as_it_was(cell["cell_id"]),
        images_sha256=_matching(_SHA256, cell["images_sha256"]),
        reader=as_it_was(cell["reader"]),
        grade=_grade(cell["grade"]),
        marks=tuple(_MARKS[mark] for mark in cell["marks"].split("|")) if cell["marks"] else (),
        blind=_BOOLS[cell["blind"]],
        read_at_utc=_matching(_TIME, cell["read_at_utc"]),
        page_calls_sha256=_matching(_SHA256, cell["page_calls_sha256"]),
        imported_at_utc=_matching(_TIME, cell["imported_at_utc"]),
        calls_sha256=_matching(_SHA256, cell["calls_sha256"]),
        checkpoint_sha256=_matching(_SHA256, cell["checkpoint_sha256"]),
        verdict=Verdict(cell["verdict"]),
        score=_score(cell["score"]),
    )


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"found {text[:64]!r}")
    return text


def _grade(text: str) -> int | None:
    if not text:
        return None
    grade = int(text)
    if not 1 <= grade <= 4:
        raise ValueError(f"grade {text}")
    return grade


def _score(text: str) -> float | None:
    if not text:
        return None
    score = float(text)
    if not math.isfinite(score):
        raise ValueError(f"score {text}")
    return score
