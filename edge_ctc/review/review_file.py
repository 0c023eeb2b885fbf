"""The review as it leaves the gallery's page: one JSON file per save, `<run>.<reader>.ctc-review.json`."""

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from edge_ctc.description import Sha256
from edge_ctc.errors import DataError, InputMissingError
from edge_ctc.exports.listing import display_name
from edge_ctc.review.regular import read_regular
from edge_ctc.toml_file import StrictModel

MAX_BYTES = 1 << 25
"""32 MiB: a review of 10,000 cells has 3."""

Mark = Literal["cluster", "debris", "doubt"]
MARKS: tuple[Mark, ...] = ("cluster", "debris", "doubt")

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=1)
"""A computer whose zone is set wrong is hours off; its readings keep their order among themselves."""
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_LONGEST_RUN_ID = 195
"""Bytes: a run with a longer name cannot be called, since the names of its results have no room."""
_FAULTS_SHOWN = 3
_INPUT_SHOWN = 60


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _utc(text: Any) -> datetime:
    if not isinstance(text, str) or not _UTC.fullmatch(text):
        raise ValueError(f"expected a time in UTC such as 2026-11-23T20:58:01Z, found {repr(text)[:_INPUT_SHOWN]}")
    time = datetime.fromisoformat(text)
    # The last reading counts: one from the far future could never be corrected, one from 1970 would correct nothing.
    if not _EARLIEST <= time <= datetime.now(UTC) + _LATEST_AHEAD:
        raise ValueError(
            f"expected a time between {_EARLIEST:%Y-%m-%d} and tomorrow, found {text}: "
            "set the clock of the computer that was read on, and read those cells again"
        )
    return time


def _is_run_name(run_id: str) -> str:
    if "/" in run_id or "\0" in run_id or len(run_id.encode()) > _LONGEST_RUN_ID:
        raise ValueError(f"no run is named so: it has a slash, a NUL or over {_LONGEST_RUN_ID} bytes")
    return run_id


def _in_order(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    if marks != tuple(mark for mark in MARKS if mark in marks):
        raise ValueError(f"expected each mark once, in the order {', '.join(MARKS)}")
    return marks


# A name typed with a blank behind it is the same reader's.
Reader = Annotated[str, BeforeValidator(_trimmed), Field(min_length=1, max_length=100)]
UtcTime = Annotated[datetime, BeforeValidator(_utc)]


class ReadingInFile(StrictModel):
    """What the reader said of one cell when the file was saved.

    Attributes:
        cell_id: as in the calls.
        images_sha256: sha256 of the image_sha256 of the cell's row joined by `|`: which images were read.
        grade: 1 definitely not, 2 most likely not, 3 most likely, 4 definitely a CTC (the scale of ACCEPT); None: no
            grade, only marks, or nothing any more: the reader took back what was said.
        marks: a subset of `MARKS`, in that order.
        read_at_utc: by the reader's computer.
        blind: verdict, probability and order were hidden.
    """

    cell_id: Annotated[str, Field(min_length=1)]
    images_sha256: Sha256
    grade: Annotated[int, Field(ge=1, le=4)] | None
    marks: Annotated[tuple[Mark, ...], AfterValidator(_in_order)]
    read_at_utc: UtcTime
    blind: bool


class ReviewFile(StrictModel):
    """One reader's review of one run.

    Attributes:
        run_id: of the run.
        calls_sha256: of the calls that the page was made from.
        checkpoint_sha256: of the model that made them.
        reader: who read, without blanks around.
        saved_at_utc: by the reader's computer.
        readings: one per cell.
    """

    schema_version: Literal[1]
    kind: Literal["edge-ctc review"]
    run_id: Annotated[str, Field(min_length=1), AfterValidator(_is_run_name)]
    calls_sha256: Sha256
    checkpoint_sha256: Sha256
    reader: Reader
    saved_at_utc: UtcTime
    readings: tuple[ReadingInFile, ...]

    @model_validator(mode="after")
    def _each_cell_once(self) -> Self:
        ids = [reading.cell_id for reading in self.readings]
        if len(set(ids)) != len(ids):
            twice = next(cell_id for cell_id, times in Counter(ids).items() if times > 1)
            raise ValueError(f"cell {display_name(twice)} is read twice; expected each cell once")
        return self


def read_review(path: Path) -> ReviewFile:
    """The review in `path`.

    Raises:
        InputMissingError: there is no such file.
        DataError: it cannot be read, is larger than `MAX_BYTES`, or is no review; the first faults are named.
    """
    try:
        content = read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{path}: no such file; name the file that the gallery's page saved") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); name the file that the gallery's page saved"
        ) from error
    try:
        return ReviewFile.model_validate_json(content.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        raise DataError(
            f"{path}: no review of schema 1: {_told(error.errors(include_url=False))}; "
            "nothing was imported: save the review from the page again"
        ) from error


def _told(faults: Sequence[Any]) -> str:
    told = "; ".join(_fault(fault) for fault in faults[:_FAULTS_SHOWN])
    more = len(faults) - _FAULTS_SHOWN
    return f"{told}; and {more} more" if more > 0 else told


def _fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    found = ""
    if fault["type"] not in ("missing", "value_error", "json_invalid", "model_type"):
        found = f", found {repr(fault['input'])[:_INPUT_SHOWN]}"
    return f"{where}: {message}{found}" if where else f"{message}{found}"
