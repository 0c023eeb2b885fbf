"""The labels: one CSV that says of each cell what it is and whose it is."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, InputMissingError

COLUMNS = ("run_id", "cell_id", "label", "patient")
CLASSES = (Verdict.LEUKOCYTE.value, Verdict.CTC.value)

_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Label:
    """What a person said of one cell.

    Attributes:
        run_id: name of the run's folder.
        cell_id: as the run's files spell it, leading zeros included.
        is_ctc: True for CTC, False for LEUKOCYTE.
        patient: whose cell it is; patients are never split.
    """

    run_id: str
    cell_id: str
    is_ctc: bool
    patient: str


def read_labels(path: Path) -> tuple[Label, ...]:
    """The labels in `path`, in its order; a row that is repeated word for word counts once.

    Raises:
        InputMissingError: there is no such file.
        DataError: it cannot be read as a table with the columns `run_id,cell_id,label,patient`, a field is
            empty, a label is unknown, or two rows contradict each other.
    """
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    labels: dict[tuple[str, str], Label] = {}
    try:
        _check_columns(path, rows.fieldnames)
        for row in rows:
            label = _label(f"{path}, line {rows.line_num}", row)
            known = labels.setdefault((label.run_id, label.cell_id), label)
            if known != label:
                raise DataError(
                    f"{path}, line {rows.line_num}: cell {label.cell_id} of run {label.run_id} is labelled before, "
                    f"otherwise ({_said(known)}, here {_said(label)}); keep one row for it"
                )
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: no CSV ({error}); save the table as CSV, UTF-8") from error
    if not labels:
        raise DataError(f"{path}: no row, expected one for each labelled cell")
    return tuple(labels.values())


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
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{path}: columns {columns}, {missing} missing; expected {','.join(COLUMNS)}")
    if len(set(columns)) != len(columns):
        raise DataError(f"{path}: columns {columns}, one of them twice; expected {','.join(COLUMNS)}")


def _label(where: str, row: dict[str, str | None]) -> Label:
    fields = {column: row[column] for column in COLUMNS}
    empty = [column for column, value in fields.items() if not value]
    if empty or None in row:
        fault = f"{empty} empty" if empty else "more fields than columns"
        raise DataError(f"{where}: {fault}; expected {','.join(COLUMNS)}")
    blank = [column for column, value in fields.items() if str(value) != str(value).strip()]
    if blank:
        # "P1" and "P1 " would be two patients, one on each side of the split.
        raise DataError(f"{where}: {blank} with blanks around; take them off")
    run_id, cell_id, label, patient = (str(value) for value in fields.values())
    if label not in CLASSES:
        raise DataError(f"{where}: label {label!r}, expected {' or '.join(CLASSES)}")
    return Label(run_id, cell_id, label == Verdict.CTC, patient)


def _said(label: Label) -> str:
    return f"{CLASSES[label.is_ctc]} of patient {label.patient}"
