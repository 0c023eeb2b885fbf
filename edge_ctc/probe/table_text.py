"""The part of a proposal about the table: what the reader of runs has proven, and questions where more fits."""

import glob
from collections.abc import Iterator, Sequence

from edge_ctc.probe.found_table import FoundTable, Key
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.toml_text import comment, question, quoted, strings

_SURE_SHARE = 0.9


def table_part(found: Survey) -> Iterator[str]:
    """`[table]`, where there is one."""
    table = found.table
    if table is None:
        return
    yield ""
    yield "[table]"
    yield from comment(f"{table.file.name}: {table.rows} rows, columns {strings(table.header)}")
    yield f"file = {quoted(_file(table, found.run_name))}"
    yield 'presence = "optional"  # "required": a run without it is refused'
    if table.delimiters:
        yield f"encoding = {quoted(table.encoding)}"
        yield from _choice("delimiter", "What separates the fields?", table.delimiters)
        yield from _choice(
            "decimal", "Do numbers have a point or a comma? No number of this table tells.", table.decimals
        )
    yield from _key(table)
    yield from _cages(table)
    yield f"features = {strings(table.features)}  # columns of numbers"
    yield from _rows(table)


def _file(table: FoundTable, run_name: str) -> str:
    folder, slash, last = table.file.name.rpartition("/")
    rest = last[len(run_name) :]
    if run_name and last.casefold().startswith(run_name.casefold()) and rest.count("."):
        return f"{glob.escape(folder)}{slash}*{glob.escape(rest)}"
    return glob.escape(table.file.name)


def _choice(key: str, asked: str, fitting: Sequence[str]) -> Iterator[str]:
    if len(fitting) == 1:
        yield f"{key} = {quoted(fitting[0])}"
    elif fitting:
        yield from question(asked, f"these fit: {strings(fitting)[1:-1]}")
        yield f'{key} = "?"'


def _key(table: FoundTable) -> Iterator[str]:
    best = table.best_keys
    lines = [_key_lines(key) for key in best]
    # A column that meets few ids may meet them by chance.
    is_sure = len(best) == 1 and best[0].matched >= _SURE_SHARE * table.rows
    if is_sure and not table.refused:
        yield f"{lines[0]}  # {best[0].matched} of {table.rows} rows are cells with images"
        return
    asked = "Is this the table?" if is_sure else "Which column tells the cell of a row? Take the # away before it."
    notes = [f"ids of cells in {best[0].matched} of {table.rows} rows"] if best and not is_sure else []
    yield from question(asked, *notes, *([f"the reader refuses it: {table.refused}"] if table.refused else []))
    for line in lines:
        yield from (f"# {part}" for part in line.split("\n"))


def _key_lines(key: Key) -> str:
    name = "image" if key.how == "image" else "cell_id"
    digits = f"\ncell_id_digits = {key.digits}" if key.digits else ""
    return f"{name} = {quoted(key.column)}{digits}"


def _cages(table: FoundTable) -> Iterator[str]:
    if not table.cages:
        yield from comment("cage_row and cage_col: no column's name speaks of them; add them if there are any")
        return
    yield from question(
        "Which columns hold row and column of the cage? Take a line out where there is none.",
        f"by their names: {strings(table.cages)[1:-1]}",
    )
    yield 'cage_row = "?"'
    yield 'cage_col = "?"'


def _rows(table: FoundTable) -> Iterator[str]:
    without = len(table.match.without_images) if table.match else 0
    missing = len(table.match.not_in_table) if table.match else 0
    yield from question(
        "Must every row have images?",
        '"cells-with-images": a row without images is a cell that is missing, and is said',
        '"any-cells": the table also lists cells that were never imaged',
        f"here {without} rows have no images, and {missing} cells with images have no row",
    )
    yield 'rows = "?"'
