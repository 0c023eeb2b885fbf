"""A table beside a run's cells, CSV or XLSX: the profile declares how it is written, and nothing is guessed."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_ctc.cells import Cell
from edge_ctc.errors import DataError
from edge_ctc.exports.delimited import read_delimited
from edge_ctc.exports.sheet import MAX_COLUMNS
from edge_ctc.exports.table_fields import number_of, place_of, quoted, text_of
from edge_ctc.exports.table_profile import TableProfile
from edge_ctc.exports.workbook import read_workbook
from edge_ctc.exports.xml_tags import Unfit, Value

__all__ = ["Table", "TableMatch", "TableProfile", "TableRow", "match_table", "read_table"]

MAX_ROWS = 100_000
_MAX_NUMBERS = 2_000_000
"""Features of all rows together; 32 bytes each."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        line: where it starts in the file, counted from 1; for XLSX the row.
        key: cell id, or name of an image, as written but for zeros that were filled in. Text only, never opened.
        cage_row: as written; "" where there is none.
        cage_col: as `cage_row`.
        features: in the order of `TableProfile.features`; None where blank, else finite.
    """

    line: int
    key: str
    cage_row: str
    cage_col: str
    features: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says: no two rows have the same key, whatever its case."""

    name: str
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class TableMatch:
    """Which row is which cell's.

    Attributes:
        by_cell: row by id of a cell that has images.
        without_images: keys of the other rows, in the table's order.
        not_in_table: ids of cells that no row names, in the order of the cells.
    """

    by_cell: Mapping[str, TableRow]
    without_images: tuple[str, ...]
    not_in_table: tuple[str, ...]


def read_table(content: bytes, name: str, declared: TableProfile) -> Table:
    """Read a table as its profile declares it.

    Args:
        content: the file.
        name: of the file; its suffix tells XLSX from text, and it stands in every error.
        declared: how the table is written.

    Raises:
        DataError: the table is larger than 32 MiB, 100,000 rows or 256 columns, is spoilt, is written otherwise than
            declared, or has a row without a key, or two with the same. The message starts with `name`.
    """
    records = _records(content, name, declared)
    line, first = next(records, (1, ()))
    rows: list[TableRow] = []
    blank = 0
    try:
        header = ["" if isinstance(value, Unfit) else text_of(value, "header") for value in first]
        read_row = _row_reader(header, declared)
        for count, (line, values) in enumerate(records, 1):
            if not any(value != "" for value in values) and count <= MAX_ROWS:
                blank = blank or line
            else:
                _check_shape(count, blank, len(values), len(header))
                _check_numbers(count * len(declared.features))
                rows.append(read_row(line, values))
    except ValueError as error:
        raise DataError(f"{name}: line {line}: {error}") from None
    _check_keys(rows, name, declared)
    return Table(name, tuple(rows))


def _records(content: bytes, name: str, declared: TableProfile) -> Iterator[tuple[int, Sequence[Value]]]:
    if name.lower().endswith(".xlsx"):
        yield from read_workbook(content, name, declared.sheet)
    else:
        yield from read_delimited(content, name, declared.encoding, declared.delimiter)


def _check_shape(count: int, blank: int, found: int, width: int) -> None:
    if count > MAX_ROWS:
        raise ValueError(f"over {MAX_ROWS} rows, blank ones included; export the table of one run")
    if blank:
        raise ValueError(f"a row after the blank line {blank}; take the blank line out")
    if found != width:
        raise ValueError(f"{found} fields, expected {width} as in the header; mend that line")


def _check_numbers(count: int) -> None:
    if count > _MAX_NUMBERS:
        raise ValueError(f"over {_MAX_NUMBERS} numbers in the features; declare those that matter")


def _check_keys(rows: Sequence[TableRow], name: str, declared: TableProfile) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        line = lines.setdefault(_folded(row.key, declared), row.line)
        if line != row.line:
            raise DataError(f"{name}: line {row.line}: {quoted(row.key)} stands in line {line} too; leave one of them")


def _row_reader(header: list[str], declared: TableProfile) -> Callable[[int, Sequence[Value]], TableRow]:
    """Reads rows whose columns stand as in this header. Raises ValueError, as do the rows that it reads."""
    if len(header) > MAX_COLUMNS:
        raise ValueError(f"{len(header)} columns, expected at most {MAX_COLUMNS}; export those that matter")
    key_column = declared.cell_id or declared.image or ""
    cages = (declared.cage_row, declared.cage_col)
    key_at = place_of(key_column, header, declared.delimiter)
    row_at, col_at = (None if cage is None else place_of(cage, header, declared.delimiter) for cage in cages)
    features = [(place_of(column, header, declared.delimiter), column) for column in declared.features]

    def read_row(line: int, values: Sequence[Value]) -> TableRow:
        key = text_of(values[key_at], key_column, is_key=True)
        if not key:
            raise ValueError(f"column {quoted(key_column)} is blank, expected what tells the row's cell; fill it in")
        if declared.cell_id_digits and key.isascii() and key.isdigit():
            key = key.zfill(declared.cell_id_digits)
        cage_row = "" if row_at is None else text_of(values[row_at], header[row_at])
        cage_col = "" if col_at is None else text_of(values[col_at], header[col_at])
        numbers = [number_of(values[at], column, declared.decimal) for at, column in features]
        return TableRow(line, key, cage_row, cage_col, tuple(numbers))

    return read_row


def _folded(key: str, declared: TableProfile) -> str:
    """A key as it is compared: whatever its case, and the path of an image whatever its slashes."""
    return (key if declared.image is None else key.replace("\\", "/")).casefold()


def match_table(table: Table, declared: TableProfile, cells: Sequence[Cell]) -> TableMatch:
    """Tell which row is which cell's, by id or by the path or base name of one of its images.

    Raises:
        DataError: rows and cells, but not one row is a cell's; two rows are one cell's; a name that two cells share.
    """
    ids = _ids_by_image(cells) if declared.image else {cell.cell_id.casefold(): {cell.cell_id} for cell in cells}
    by_cell: dict[str, TableRow] = {}
    without_images: list[str] = []
    for row in table.rows:
        found = sorted(ids.get(_folded(row.key, declared), ()))
        if not found:
            without_images.append(row.key)
            continue
        if len(found) > 1:
            raise DataError(
                f"{table.name}: line {row.line}: an image {quoted(row.key)} is in several cells, "
                f"{quoted(found[0])} and {quoted(found[1])} among them; the table has to name them with their folders"
            )
        first = by_cell.setdefault(found[0], row)
        if first is not row:
            raise DataError(
                f"{table.name}: line {row.line}: cell {quoted(found[0])} stands in line {first.line} too, "
                f"as {quoted(first.key)}; leave one row for each cell"
            )
    if table.rows and cells and not by_cell:
        raise DataError(f"{table.name}: {_why_none(table, declared, cells)}")
    return TableMatch(by_cell, tuple(without_images), tuple(c.cell_id for c in cells if c.cell_id not in by_cell))


def _ids_by_image(cells: Sequence[Cell]) -> Mapping[str, set[str]]:
    """Ids by path of an image, which wins, and by its base name."""
    by_base: dict[str, set[str]] = defaultdict(set)
    by_path: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        for file in cell.files:
            path = file.name.casefold()
            by_path[path].add(cell.cell_id)
            by_base[path.rpartition("/")[2]].add(cell.cell_id)
    return {**by_base, **by_path}


def _why_none(table: Table, declared: TableProfile, cells: Sequence[Cell]) -> str:
    key = table.rows[0].key
    if declared.image:
        named = next((file.name for cell in cells for file in cell.files), "")
        return f"names no image of the run, {quoted(key)} first, while the run has {quoted(named)}; mend image"
    ids = {cell.cell_id for cell in cells}
    digits = {len(cell_id) for cell_id in ids if cell_id.isascii() and cell_id.isdigit()}
    keys = [row.key for row in table.rows if row.key.isascii() and row.key.isdigit()]
    fitting = {width: sum(key.zfill(width) in ids for key in keys) for width in sorted(digits)}
    best = max(fitting, key=fitting.__getitem__, default=0)
    advice = f"declare cell_id_digits = {best}" if fitting.get(best) else "mend cell_id, in [table] or in the profile"
    return f"has no id of the run's cells, {quoted(key)} first, while the run has {quoted(cells[0].cell_id)}; {advice}"
