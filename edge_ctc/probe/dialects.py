"""Tables beside the cells that nobody has described: every declared way of writing is tried, by the reader of runs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import DataError, ImageError
from edge_ctc.exports.delimited import Delimiter, Encoding, read_delimited
from edge_ctc.exports.table_fields import number_of, text_of
from edge_ctc.exports.tables import match_table, read_table
from edge_ctc.exports.workbook import read_workbook
from edge_ctc.exports.xml_tags import Value
from edge_ctc.images.files import read_file
from edge_ctc.probe.found_table import FoundTable, Key

TABLE_SUFFIXES = (".csv", ".txt", ".tsv", ".xlsx")
ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "cp1252")
"""cp1252 last, since nearly any bytes can be read so."""
DELIMITERS: tuple[Delimiter, ...] = (";", "\t", ",")
_CAGE = re.compile(r"cage|row|col|k.?.?fig|gabbia|riga|zeile|reihe|spalte", re.IGNORECASE)
_MOST_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class _Records:
    """The table read in one way."""

    encoding: Encoding
    delimiter: Delimiter | None
    header: tuple[str, ...]
    rows: Sequence[Sequence[Value]]
    keys: tuple[Key, ...]


def find_tables(folder: Path, files: Sequence[ImageFile], cells: Sequence[Cell]) -> tuple[FoundTable, ...]:
    """What each of `files` is as a table of these cells, the one with most matching rows first.

    Raises:
        RunUnreadableError: the disk failed or a file changed.
    """
    found = [_found(folder, file, cells) for file in files]
    return tuple(sorted(found, key=lambda one: (-max((key.matched for key in one.keys), default=0), one.file.name)))


def _found(folder: Path, file: ImageFile, cells: Sequence[Cell]) -> FoundTable:
    try:
        content = read_file(folder, file)
        ways = list(_ways(content, file.name, cells))
    except (DataError, ImageError) as error:
        return FoundTable(file, str(error).removeprefix(f"{file.name}: "))
    if not ways:
        return FoundTable(file, "no rows of equal length, with any of the separators ; TAB ,")
    most = max(_matched(way) for way in ways)
    fitting = [way for way in ways if _matched(way) == most]
    # Where no column tells a cell, the way that makes most columns shows most to a person.
    best = max(fitting, key=lambda way: len(way.header))
    if not most:
        fitting = [best]
    table = _table(file, best, tuple(way.delimiter for way in fitting if way.delimiter))
    return _proven(table, content, cells) if table.keys else table


def _matched(way: _Records) -> int:
    return max((key.matched for key in way.keys), default=0)


def _ways(content: bytes, name: str, cells: Sequence[Cell]) -> Iterator[_Records]:
    """The table in every way in which all rows are as long as the header.

    Raises:
        DataError: no XLSX that can be read, or text of none of the encodings.
    """
    if name.lower().endswith(".xlsx"):
        records = [list(values) for _, values in read_workbook(content, name, None)]
        if way := _way("utf-8", None, records, cells):
            yield way
        return
    encoding = _encoding(content, name)
    for delimiter in DELIMITERS:
        try:
            records = [list(fields) for _, fields in read_delimited(content, name, encoding, delimiter)]
        except DataError:
            continue
        if way := _way(encoding, delimiter, records, cells):
            yield way


def _encoding(content: bytes, name: str) -> Encoding:
    for encoding in ENCODINGS:
        try:
            next(read_delimited(content, name, encoding, ";"), None)
        except DataError as error:
            reason = error
        else:
            return encoding
    raise reason


def _way(
    encoding: Encoding, delimiter: Delimiter | None, records: list[list[Value]], cells: Sequence[Cell]
) -> _Records | None:
    while records and not any(value != "" for value in records[-1]):
        records.pop()
    if not 1 < len(records) <= _MOST_ROWS or len({len(record) for record in records}) != 1:
        return None
    header = tuple(value if isinstance(value, str) else "" for value in records[0])
    rows = records[1:]
    return _Records(encoding, delimiter, header, rows, tuple(_keys(header, rows, cells)))


def _keys(header: Sequence[str], rows: Sequence[Sequence[Value]], cells: Sequence[Cell]) -> list[Key]:
    ids = {cell.cell_id.casefold() for cell in cells}
    widths = {len(cell_id) for cell_id in ids}
    digits = min(widths) if len(widths) == 1 and all(cell_id.isdigit() for cell_id in ids) else None
    images = {file.name.casefold() for cell in cells for file in cell.files}
    images |= {name.rpartition("/")[2] for name in images}
    found = []
    for place, column in enumerate(header):
        if not column or header.count(column) > 1:
            continue
        try:
            values = [text_of(row[place], column, is_key=True).casefold() for row in rows]
        except ValueError:
            continue
        if len(set(values)) < len(values) or "" in values:
            continue
        exact = Key(column, "id", None, len(ids.intersection(values)))
        filled = Key(column, "id", digits, len(ids.intersection(v.zfill(digits) for v in values)) if digits else 0)
        named = Key(column, "image", None, sum(value.replace("\\", "/") in images for value in values))
        found.append(max(exact, filled, named, key=lambda key: key.matched))
    return sorted((key for key in found if key.matched), key=lambda key: -key.matched)


def _table(file: ImageFile, way: _Records, delimiters: tuple[Delimiter, ...]) -> FoundTable:
    taken = {key.column for key in way.keys if key.matched == way.keys[0].matched}
    # Cells that are numbered along a row of cages make a cage's column look like an id: then it may be both.
    sure = taken if len(taken) == 1 else set()
    cages = tuple(column for column in way.header if _CAGE.search(column) and column not in sure)
    by_decimal = {decimal: _numbers(way, decimal, {*taken, *cages}) for decimal in (".", ",")}
    features = max(by_decimal.values(), key=len)
    decimals = tuple(decimal for decimal, columns in by_decimal.items() if columns and len(columns) == len(features))
    is_text = way.delimiter is not None
    return FoundTable(
        file,
        "",
        way.encoding,
        delimiters,
        decimals if is_text else (),
        way.header,
        len(way.rows),
        way.keys,
        cages,
        features,
    )


def _numbers(way: _Records, decimal: str, without: set[str]) -> tuple[str, ...]:
    """The columns in which every value is a number or blank, and not all are blank."""
    found = []
    for place, column in enumerate(way.header):
        if not column or column in without or way.header.count(column) > 1:
            continue
        try:
            values = [number_of(row[place], column, decimal) for row in way.rows]
        except ValueError:
            continue
        if any(value is not None for value in values):
            found.append(column)
    return tuple(found)


def _proven(table: FoundTable, content: bytes, cells: Sequence[Cell]) -> FoundTable:
    """The table with what the reader of runs makes of it."""
    decimal = table.decimals[0] if table.decimals else "."
    declared = table.declared(table.keys[0], decimal, table.features)
    try:
        match = match_table(read_table(content, table.file.name, declared), declared, cells)
    except DataError as error:
        return replace(table, refused=str(error))
    return replace(table, match=match)
