"""The calls of a run: columns, order, and the CSV file that the README specifies."""

import codecs
import csv
import hashlib
import io
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO, Literal

from edge_ctc.cells import CsvDialect, Verdict
from edge_ctc.errors import ResultsError

SCHEMA_VERSION = 1
RunState = Literal["complete", "partial"]

# Python's csv refuses to read fields of over 128 KiB, which the file names of one spoilt cell can reach.
csv.field_size_limit(1 << 24)

_Row = list[str | int | float | None]
_LIST_SEPARATOR = "|"
_QUOTED_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclass(frozen=True, slots=True)
class _Spelling:
    """How a dialect is written."""

    encoding: str
    delimiter: str
    decimal: str


_SPELLINGS: dict[CsvDialect, _Spelling] = {
    "rfc4180": _Spelling("utf-8", ",", "."),
    "excel-it": _Spelling("utf-8-sig", ";", ","),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the calls, one per cell; the README says what the fields mean.

    The fields are the columns but for `rank`, which is the place among the evaluable cells and no fact of one cell.
    """

    schema_version: int
    run_id: str
    cell_id: str
    cage_row: str
    cage_col: str
    verdict: Verdict
    p_ctc: float | None
    score: float | None
    threshold_ctc: float
    threshold_review: float
    ood_score: float | None
    flags: tuple[str, ...]
    reason: str
    channels_used: tuple[str, ...]
    channels_missing: tuple[str, ...]
    image_files: tuple[str, ...]
    image_sha256: tuple[str, ...]
    pixel_size_um: float | Literal["unknown"]
    checkpoint_name: str
    checkpoint_sha256: str
    profile_name: str
    profile_sha256: str
    engine: str
    software_version: str
    classified_at_utc: str
    run_state: RunState
    intended_use: str

    def __post_init__(self) -> None:
        if (self.score is None) != (self.verdict is Verdict.NOT_EVALUABLE):
            raise ValueError(f"cell {self.cell_id}: verdict {self.verdict} with score {self.score}")

    @property
    def images_sha256(self) -> str:
        """Which images were called, in one sum: of their own sums, joined by `|`."""
        return hashlib.sha256(_LIST_SEPARATOR.join(self.image_sha256).encode()).hexdigest()


_FIELDS = tuple(field.name for field in fields(Call))
_RANK = _FIELDS.index("verdict")
COLUMNS = (*_FIELDS[:_RANK], "rank", *_FIELDS[_RANK:])


def ranked(calls: Iterable[Call]) -> list[Call]:
    """Evaluable cells by falling score, equal scores in the order given, then the others; ranks count from the top."""
    return sorted(calls, key=lambda call: math.inf if call.score is None else -call.score)


def write_calls(file: BinaryIO, calls: Iterable[Call], dialect: CsvDialect = "rfc4180") -> None:
    """Write CSV: a header, then one row per call, lines ending in CRLF; `calls` are `ranked`."""
    spelling = _SPELLINGS[dialect]
    text = io.TextIOWrapper(file, spelling.encoding, newline="", write_through=False)
    writer = csv.writer(text, delimiter=spelling.delimiter)
    writer.writerow(COLUMNS)
    rows: Iterable[_Row] = itertools.starmap(_row, enumerate(calls, 1))
    if spelling.decimal != ".":
        rows = (_with_decimal(row, spelling.decimal) for row in rows)
    writer.writerows(rows)
    text.flush()
    text.detach()


def _with_decimal(row: _Row, decimal: str) -> _Row:
    return [str(value).replace(".", decimal) if isinstance(value, float) else value for value in row]


def _row(place: int, call: Call) -> _Row:
    return [
        call.schema_version,
        formula_safe(call.run_id),
        formula_safe(call.cell_id),
        formula_safe(call.cage_row),
        formula_safe(call.cage_col),
        None if call.score is None else place,
        call.verdict.value,
        call.p_ctc,
        call.score,
        call.threshold_ctc,
        call.threshold_review,
        call.ood_score,
        _joined(call.flags),
        formula_safe(call.reason),
        _joined(call.channels_used),
        _joined(call.channels_missing),
        _joined(call.image_files),
        _joined(call.image_sha256),
        call.pixel_size_um,
        call.checkpoint_name,
        call.checkpoint_sha256,
        call.profile_name,
        call.profile_sha256,
        call.engine,
        call.software_version,
        call.classified_at_utc,
        call.run_state,
        formula_safe(call.intended_use),
    ]


def formula_safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula; `as_it_was` gives the text back."""
    return "'" + text if text.startswith(_QUOTED_STARTS) else text


def as_it_was(text: str) -> str:
    """The text that `formula_safe` was given."""
    return text[1:] if text.startswith("'") else text


def _joined(parts: Sequence[str]) -> str:
    return formula_safe(_LIST_SEPARATOR.join(parts))


def _parted(text: str) -> tuple[str, ...]:
    return tuple(as_it_was(text).split(_LIST_SEPARATOR)) if text else ()


def read_calls(path: Path) -> list[Call]:
    """The calls of a file that edge_ctc wrote in any dialect, in file order: ranked.

    Raises:
        ResultsError: the file cannot be read, or is not such a file.
    """
    try:
        with path.open("rb") as file:
            spelling = _SPELLINGS["excel-it" if file.read(3) == codecs.BOM_UTF8 else "rfc4180"]
            file.seek(0)
            rows = csv.reader(io.TextIOWrapper(file, spelling.encoding, newline=""), delimiter=spelling.delimiter)
            header = tuple(next(rows, ()))
            if header != COLUMNS:
                raise ResultsError(f"{path}: columns {header[:3]}…, expected those of edge_ctc's calls, schema 1")
            return [_call(row, spelling.decimal) for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise ResultsError(f"{path}: cannot be read as calls ({error}); classify the run again") from error


def _call(row: Sequence[str], decimal: str) -> Call:
    cell = dict(zip(COLUMNS, row, strict=True))
    return Call(
        schema_version=_schema_version(cell["schema_version"]),
        run_id=as_it_was(cell["run_id"]),
        cell_id=as_it_was(cell["cell_id"]),
        cage_row=as_it_was(cell["cage_row"]),
        cage_col=as_it_was(cell["cage_col"]),
        verdict=Verdict(cell["verdict"]),
        p_ctc=_number(cell["p_ctc"], decimal),
        score=_number(cell["score"], decimal),
        threshold_ctc=_float(cell["threshold_ctc"], decimal),
        threshold_review=_float(cell["threshold_review"], decimal),
        ood_score=_number(cell["ood_score"], decimal),
        flags=_parted(cell["flags"]),
        reason=as_it_was(cell["reason"]),
        channels_used=_parted(cell["channels_used"]),
        channels_missing=_parted(cell["channels_missing"]),
        image_files=_parted(cell["image_files"]),
        image_sha256=_parted(cell["image_sha256"]),
        pixel_size_um="unknown" if cell["pixel_size_um"] == "unknown" else _float(cell["pixel_size_um"], decimal),
        checkpoint_name=cell["checkpoint_name"],
        checkpoint_sha256=cell["checkpoint_sha256"],
        profile_name=cell["profile_name"],
        profile_sha256=cell["profile_sha256"],
        engine=cell["engine"],
        software_version=cell["software_version"],
        classified_at_utc=cell["classified_at_utc"],
        run_state=_run_state(cell["run_state"]),
        intended_use=as_it_was(cell["intended_use"]),
    )


def _number(text: str, decimal: str) -> float | None:
    if not text:
        return None
    number = _float(text, decimal)
    if not math.isfinite(number):
        raise ValueError(f"{text}: expected a finite number")
    return number


def _float(text: str, decimal: str) -> float:
    if decimal == ".":
        return float(text)
    if "." in text:
        raise ValueError(f"{text}: expected a number with a decimal {decimal}")
    return float(text.replace(decimal, "."))


def _schema_version(text: str) -> int:
    if text != str(SCHEMA_VERSION):
        raise ValueError(f"schema_version {text}: expected {SCHEMA_VERSION}")
    return SCHEMA_VERSION


def _run_state(text: str) -> RunState:
    match text:
        case "complete" | "partial":
            return text
        case _:
            raise ValueError(f"run_state {text}: expected complete or partial")
