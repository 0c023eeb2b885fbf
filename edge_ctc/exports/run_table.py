"""The table of a run, read and joined with its cells: cage positions, features, and which cells are expected."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import DataError, ImageError, NotARunError
from edge_ctc.exports.listing import display_name
from edge_ctc.exports.names import CELL_ID
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.runs import Run
from edge_ctc.exports.tables import TableRow, match_table, read_table
from edge_ctc.images.files import read_file


@dataclass(frozen=True, slots=True)
class RunTable:
    """What the table of a run says; all is empty where there is none, or where it has a problem.

    Attributes:
        sha256: of its bytes; None where it was not read.
        rows: its row by the id of the cell, for cells with images and for those without.
        without_images: cells that it expects and that have no image, by id.
        problem: why it could not be read or joined.
    """

    sha256: str | None = None
    rows: Mapping[str, TableRow] = field(default_factory=dict)
    without_images: Mapping[str, Cell] = field(default_factory=dict)
    problem: str = ""


def read_run_table(run: Run, profile: Profile) -> RunTable:
    """Read the run's table, if its profile declares one and it is there.

    Raises:
        NotARunError: the profile requires a table, and it is absent or has a problem.
        RunUnreadableError: the disk failed, or the table changed since it was listed.
    """
    declared = profile.table
    if declared is None:
        return RunTable()
    table = RunTable()
    if len(run.tables) > 1:
        names = ", ".join(display_name(file.name) for file in run.tables)
        table = RunTable(problem=f"{names}: each may be the table {declared.file}, expected one")
    elif run.tables:
        table = _read(run, run.tables[0], profile)
    elif declared.presence == "required":
        raise NotARunError(f"{run.folder}: no table {declared.file}, which profile {profile.name} requires")
    if table.problem and declared.presence == "required":
        raise NotARunError(f"{run.folder}: {table.problem}; profile {profile.name} requires the table")
    return table


def _read(run: Run, file: ImageFile, profile: Profile) -> RunTable:
    if profile.table is None:
        raise ValueError(f"profile {profile.name} declares no table")
    sha256 = None
    try:
        content = read_file(run.folder, file)
        sha256 = hashlib.sha256(content).hexdigest()
        table = read_table(content, file.name, profile.table)
        match = match_table(table, profile.table, run.cells)
        listed = {row.key: row for row in table.rows}
        named = _named([listed[key] for key in match.without_images], file.name, profile)
        ids = {cell.cell_id.casefold(): cell.cell_id for cell in run.cells}
        rows = _joined(match.by_cell, named, ids, file.name)
    except (DataError, ImageError) as error:
        return RunTable(sha256, problem=str(error))
    return RunTable(
        sha256=sha256,
        rows=rows,
        without_images={cell_id: Cell(cell_id, (), ()) for cell_id in named if cell_id.casefold() not in ids},
    )


def _joined(
    by_cell: Mapping[str, TableRow], named: Mapping[str, TableRow], ids: Mapping[str, str], name: str
) -> dict[str, TableRow]:
    """All rows by the ids of their cells; `ids` are those of cells with images, by case-folded id.

    Raises:
        DataError: two rows name one cell.
    """
    rows = dict(by_cell)
    for cell_id, row in named.items():
        # The row may name an image that is gone, or a focal plane that is not read, of a cell that has others.
        present = ids.get(cell_id.casefold(), cell_id)
        if rows.setdefault(present, row) is not row:
            raise DataError(f"{name}: line {row.line}: cell {present} stands in line {rows[present].line} too")
    return rows


def _named(rows: Sequence[TableRow], name: str, profile: Profile) -> dict[str, TableRow]:
    """Rows that met no image, by the ids of their cells; none where a table may list what was never imaged.

    Raises:
        DataError: a row names no cell, or two name one.
    """
    declared = profile.table
    if declared is None or declared.rows == "any-cells":
        return {}
    named: dict[str, TableRow] = {}
    for row in rows:
        cell_id = _cell_of_image(row.key, profile) if declared.image else _cell_of_id(row.key, profile)
        if cell_id is None:
            what = "image" if declared.image else "id"
            raise DataError(
                f"{name}: line {row.line}: '{display_name(row.key)}' is no {what} of a cell by the profile "
                f"(cell_id {profile.cell_id}); take that row out, or mend the profile"
            )
        if named.setdefault(cell_id, row) is not row:
            raise DataError(f"{name}: line {row.line}: cell {cell_id} stands in line {named[cell_id].line} too")
    return named


def _cell_of_id(key: str, profile: Profile) -> str | None:
    return key if re.fullmatch(profile.cell_id, key, re.IGNORECASE) and key.isprintable() else None


def _cell_of_image(key: str, profile: Profile) -> str | None:
    """The id in an image's path, or in its name alone where the name holds it."""
    path = key.replace("\\", "/")
    names = [name for image in profile.images if CELL_ID in (name := PurePosixPath(image).name)]
    patterns = [profile.name_patterns()]
    if "/" not in path and names:
        patterns.append(profile.model_copy(update={"images": tuple(names)}).name_patterns())
    return next((reading.cell_id for one in patterns if (reading := one.read(path))), None)
