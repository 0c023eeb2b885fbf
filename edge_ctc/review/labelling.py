"""Reviewed cells as the labels that the trainer reads."""

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge_ctc import durable
from edge_ctc.cells import Verdict
from edge_ctc.errors import ConfigError, DataError, InputMissingError
from edge_ctc.exports.listing import display_name
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.readings import Reading
from edge_ctc.review.regular import read_regular
from edge_ctc.review.reviewed import ReviewedCell, reviewed_run, says_ctc

COLUMNS = ("run_id", "cell_id", "label", "patient", "reader", "truth")
TRUTH = "gallery review"
"""What a label rests on: people who looked at the run's gallery."""

_MAX_BYTES = 1 << 24
_NO_NAMES = ("nan", "none", "null", "n/a", "na", "#n/a")
"""What spreadsheets write for an empty field: as a patient's name it would make one patient of many."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one reader said of one cell, as the trainer wants it."""

    run_id: str
    cell_id: str
    label: Verdict
    patient: str
    reader: str


@dataclass(frozen=True, slots=True)
class LabelsMade:
    """The labels of all runs.

    Attributes:
        rows: one per cell and reader.
        cells: labelled cells.
        conflicts: cells that readers labelled differently; every row of them is kept.
        sighted: rows of readings that were not blind: they may echo the machine.
        debris: cells left out, since a reader marks debris, which is of neither class.
        unsure: cells left out, since a grade is 2 or 3 and only definite ones were asked for.
        stale: cells left out, since all of their readings were of other images than were called.
    """

    rows: tuple[LabelRow, ...]
    cells: int
    conflicts: int
    sighted: int
    debris: int
    unsure: int
    stale: int


@dataclass(frozen=True, slots=True)
class _Found:
    """Of one run, or of several."""

    kept: tuple[ReviewedCell, ...]
    debris: int
    unsure: int
    stale: int


def make_labels(places: Sequence[ResultPlace], patients: Mapping[str, str], least_sure: int) -> LabelsMade:
    """A label for each last grade: CTC from 3 on, LEUKOCYTE below.

    By default every grade is a label, also "most likely": without the cells that readers find hard, a network would be
    trained and judged on easier cells than a run holds.

    Args:
        places: of the runs' results, each run once.
        patients: whose each run is, by run_id.
        least_sure: 1: of every graded cell; 2: of cells that all their readers grade 1 or 4.

    Raises:
        DataError: a run has no patient, a name cannot stand in labels, no cell is graded, or the readings were changed.
        NotARunError: a run has no committed calls.
        RunError: something cannot be read.
    """
    found = [_found(place, least_sure) for place in places]
    labelled = [(cell, _patient(patients, cell.call.run_id)) for one in found for cell in one.kept]
    rows = [_row(cell, reading, patient) for cell, patient in labelled for reading in _graded(cell)]
    if not rows:
        raise DataError("no cell of these runs has a grade that can be a label; import reviews first")
    for row in rows:
        _check_row(row)
    _check_spellings(dict.fromkeys(row.patient for row in rows))
    return LabelsMade(
        rows=tuple(rows),
        cells=len(labelled),
        conflicts=sum(len({says_ctc(grade) for grade in cell.grades}) > 1 for cell, _ in labelled),
        sighted=sum(not reading.blind for cell, _ in labelled for reading in _graded(cell)),
        debris=sum(one.debris for one in found),
        unsure=sum(one.unsure for one in found),
        stale=sum(one.stale for one in found),
    )


def _found(place: ResultPlace, least_sure: int) -> _Found:
    run = reviewed_run(place)
    graded = [cell for cell in run.current if cell.grades]
    cells = [cell for cell in graded if not any("debris" in reading.marks for reading in cell.readings)]
    kept = tuple(cell for cell in cells if min(map(_sureness, cell.grades)) >= least_sure)
    return _Found(kept, len(graded) - len(cells), len(cells) - len(kept), len(run.stale))


def _sureness(grade: int) -> int:
    return 2 if grade in (1, 4) else 1


def _graded(cell: ReviewedCell) -> list[Reading]:
    return [reading for reading in cell.readings if reading.grade is not None]


def _patient(patients: Mapping[str, str], run_id: str) -> str:
    if run_id not in patients:
        raise DataError(f"run {run_id}: whose it is was not said; add it to the file of --patients: run_id,patient")
    return patients[run_id]


def _row(cell: ReviewedCell, reading: Reading, patient: str) -> LabelRow:
    label = Verdict.CTC if reading.grade and says_ctc(reading.grade) else Verdict.LEUKOCYTE
    return LabelRow(cell.call.run_id, cell.call.cell_id, label, patient, reading.reader)


def _check_row(row: LabelRow) -> None:
    for what, text in (("run", row.run_id), ("cell", row.cell_id), ("patient", row.patient), ("reader", row.reader)):
        if not text.strip() or text != text.strip():
            raise DataError(
                f"{what} {display_name(text)!r} of run {row.run_id}: is blank, or has blanks around it, which the "
                "trainer refuses; rename it, or leave that run out"
            )
    if row.patient.lower() in _NO_NAMES:
        raise DataError(f"patient {row.patient!r} stands for an empty field; name the patient")


def _check_spellings(patients: Iterable[str]) -> None:
    known: dict[str, str] = {}
    for patient in patients:
        other = known.setdefault(unicodedata.normalize("NFKC", patient).casefold(), patient)
        if other != patient:
            raise DataError(
                f"patients {other!r} and {patient!r} differ in case or in how a letter is encoded alone; spell one "
                "patient one way, or two in two names"
            )


def read_patients(path: Path) -> dict[str, str]:
    """Whose each run is, by run_id, from a CSV with the columns run_id and patient.

    Raises:
        InputMissingError: there is no such file.
        DataError: it cannot be read, lacks a column or a name, or has a run twice.
    """
    try:
        text = read_regular(path, _MAX_BYTES).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{path}: no such file; name a CSV with run_id,patient") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected CSV with run_id,patient, UTF-8") from error
    table = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
    try:
        rows = [(row.get("run_id", ""), row.get("patient", "")) for row in table]
    except csv.Error as error:
        raise DataError(f"{path}: no CSV ({error}); expected run_id,patient") from error
    if not {"run_id", "patient"}.issubset(table.fieldnames or ()) or any("" in row for row in rows):
        raise DataError(f"{path}: a column or a name is missing; expected CSV with run_id,patient, both in each row")
    if len(dict(rows)) != len(rows):
        raise DataError(f"{path}: a run is named twice; expected each run once")
    return dict(rows)


def write_labels(path: Path, rows: Iterable[LabelRow]) -> None:
    """Write CSV, UTF-8; ids and names exactly, since the trainer finds folders and cells by them.

    Raises:
        ConfigError: something stands at `path`, which might be somebody's own labels.
        ResultsError: it cannot be written.
    """
    if os.path.lexists(path):
        _refuse(path)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((row.run_id, row.cell_id, row.label.value, row.patient, row.reader, TRUTH) for row in rows)
    durable.write_bytes(path, text.getvalue().encode())


def _refuse(path: Path) -> NoReturn:
    raise ConfigError(f"{path}: is there already, and labels are never overwritten; name another file, or move it away")
