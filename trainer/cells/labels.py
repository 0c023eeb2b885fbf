"""The labels: one CSV that says of each cell what it is, whose it is, who read it and what proves it."""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, InputMissingError

COLUMNS = ("run_id", "cell_id", "label", "patient")
OPTIONAL_COLUMNS = ("reader", "truth")
CLASSES = (Verdict.LEUKOCYTE.value, Verdict.CTC.value)

_OTHER_SEPARATORS = (";", "\t")
_MAX_BYTES = 1 << 30
_NO_NAMES = ("nan", "none", "null", "n/a", "na", "#n/a")
"""What spreadsheets and pandas write for an empty field, in lower case."""


@dataclass(frozen=True, slots=True)
class Label:
    """What people said of one cell.

    Attributes:
        run_id: name of the run's folder.
        cell_id: as the run's files spell it, leading zeros included.
        is_ctc: True for CTC, False for LEUKOCYTE; the majority's where readers differ, CTC where they tie.
        patient: whose cell it is; patients are never split.
        readers: who read it, in the order of the rows; empty where the table does not say.
        truth: what the label rests on, "three readers" or "genomics" for instance; empty where the table does not say.
    """

    run_id: str
    cell_id: str
    is_ctc: bool
    patient: str
    readers: tuple[str, ...] = ()
    truth: str = ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A cell that readers labelled differently. It is kept.

    Attributes:
        label: what it counts as.
        ctc: who said CTC.
        leukocyte: who said LEUKOCYTE.
    """

    label: Label
    ctc: tuple[str, ...]
    leukocyte: tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.label.run_id} cell {self.label.cell_id}: CTC by {', '.join(self.ctc)}; "
            f"LEUKOCYTE by {', '.join(self.leukocyte)}; counts as {CLASSES[self.label.is_ctc]}"
        )


@dataclass(frozen=True, slots=True)
class Labels:
    """All labels of one table.

    Attributes:
        cells: one for each labelled cell, in the order of their first rows.
        conflicts: those of them that readers labelled differently.
    """

    cells: tuple[Label, ...]
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One reading of one cell; `reader` is empty where the table does not say."""

    run_id: str
    cell_id: str
    is_ctc: bool
    patient: str
    reader: str
    truth: str


def read_labels(path: Path) -> Labels:
    """The labels in `path`; a row that is repeated word for word counts once.

    A cell has one row, or one for each of its readers. Where they differ, the majority's label counts, and CTC where
    they tie: a missed CTC costs more than a leukocyte looked at twice. Nothing is dropped.

    Raises:
        InputMissingError: there is no such file.
        DataError: it cannot be read as a table with the columns `run_id,cell_id,label,patient` and perhaps
            `reader,truth`, a required field is empty, a label is unknown, or two rows contradict each other in
            anything but what two readers say, or a patient's name is spelt in two ways.
    """
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    readings: dict[tuple[str, str], dict[str, _Row]] = {}
    try:
        _check_columns(path, rows.fieldnames)
        for fields in rows:
            where = f"{path}, line {rows.line_num}"
            row = _row(where, fields)
            _add(where, readings.setdefault((row.run_id, row.cell_id), {}), row)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: no CSV ({error}); save the table as CSV, UTF-8") from error
    if not readings:
        raise DataError(f"{path}: no row, expected one for each labelled cell")
    cells = [tuple(by_reader.values()) for by_reader in readings.values()]
    _check_patients(path, dict.fromkeys(rows_of_one[0].patient for rows_of_one in cells))
    return Labels(
        tuple(_label(rows_of_one) for rows_of_one in cells),
        tuple(_conflict(rows_of_one) for rows_of_one in cells if len({row.is_ctc for row in rows_of_one}) > 1),
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{path}: no such file; name the CSV with {','.join(COLUMNS)}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name the CSV with the labels") from error
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path}: larger than {_MAX_BYTES} bytes; expected a table of labels")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}); save the table as CSV, UTF-8") from error


def _check_columns(path: Path, found: object) -> None:
    columns = list(found) if isinstance(found, (list, tuple)) else []
    if len(columns) == 1 and (parted := [mark for mark in _OTHER_SEPARATORS if mark in columns[0]]):
        raise DataError(
            f"{path}: columns parted by {parted[0]!r}, expected by ','; a spreadsheet whose language writes 0,5 saves "
            "CSV so: replace each of them by a comma in a text editor, or choose the comma where it saves"
        )
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} missing, found {', '.join(columns) or 'none'}; "
            f"expected {','.join(COLUMNS)}"
        )
    if len(set(columns)) != len(columns):
        raise DataError(f"{path}: columns {columns}, one of them twice; expected {','.join(COLUMNS)}")


def _row(where: str, row: dict[str, str | None]) -> _Row:
    fields = {column: row[column] for column in COLUMNS}
    empty = [column for column, value in fields.items() if not value]
    if empty or None in row:
        fault = f"{empty} empty" if empty else "more fields than columns"
        raise DataError(f"{where}: {fault}; expected {','.join(COLUMNS)}")
    fields |= {column: row.get(column) or "" for column in OPTIONAL_COLUMNS}
    blank = [column for column, value in fields.items() if str(value) != str(value).strip()]
    if blank:
        # "P1" and "P1 " would be two patients, one on each side of the split.
        raise DataError(f"{where}: {blank} with blanks around; take them off")
    run_id, cell_id, label, patient, reader, truth = (str(value) for value in fields.values())
    if patient.lower() in _NO_NAMES:
        # All cells without a patient would be one patient.
        raise DataError(f"{where}: patient {patient!r} stands for an empty field; name the patient")
    if label not in CLASSES:
        raise DataError(f"{where}: label {label!r}, expected {' or '.join(CLASSES)}")
    return _Row(run_id, cell_id, label == Verdict.CTC, patient, reader, truth)


def _add(where: str, by_reader: dict[str, _Row], row: _Row) -> None:
    """Keep `row` beside the other readers' of the same cell, which are by another reader and agree on the rest."""
    for known in by_reader.values():
        if (known.patient, known.truth) != (row.patient, row.truth):
            _refuse(where, known, row, "mend patient or truth")
    known = by_reader.setdefault(row.reader, row)
    if known != row:
        _refuse(where, known, row, "keep one row for each reader")
    if len(by_reader) > 1 and "" in by_reader:
        _refuse(where, by_reader[""], row, "name the reader in each of its rows, or keep one row for it")


def _check_patients(path: Path, patients: Iterable[str]) -> None:
    """Refuse one name in two spellings: it would be two patients, one on each side of the split."""
    known: dict[str, str] = {}
    for patient in patients:
        other = known.setdefault(unicodedata.normalize("NFKC", patient).casefold(), patient)
        if other != patient:
            raise DataError(
                f"{path}: patients {other!r} and {patient!r} differ in case or in how a letter is encoded alone; "
                "spell one patient one way, or two in two names"
            )


def _refuse(where: str, known: _Row, row: _Row, remedy: str) -> NoReturn:
    raise DataError(
        f"{where}: cell {row.cell_id} of run {row.run_id} is labelled before, otherwise "
        f"({_said(known)}, here {_said(row)}); {remedy}"
    )


def _said(row: _Row) -> str:
    more = [f"{name} {value}" for name, value in (("by", row.reader), ("truth", row.truth)) if value]
    return ", ".join([f"{CLASSES[row.is_ctc]} of patient {row.patient}", *more])


def _label(rows: Sequence[_Row]) -> Label:
    """One cell's label from its readings."""
    first = rows[0]
    said = Counter(row.is_ctc for row in rows)
    readers = tuple(row.reader for row in rows if row.reader)
    return Label(first.run_id, first.cell_id, said[True] >= said[False], first.patient, readers, first.truth)


def _conflict(rows: Sequence[_Row]) -> Conflict:
    return Conflict(
        _label(rows),
        tuple(row.reader for row in rows if row.is_ctc),
        tuple(row.reader for row in rows if not row.is_ctc),
    )
