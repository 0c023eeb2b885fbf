"""A simulated run on the disk, as an instrument would export it, and its truth beside it."""

import contextlib
import csv
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edge_ctc.errors import ConfigError, ResultsError
from edge_ctc.simulate.arrival import Disk
from edge_ctc.simulate.cells import SimulatedCell, simulate_cells
from edge_ctc.simulate.layouts import Layout, cell_files, cell_ids

__all__ = ["Layout", "cell_ids", "write_run"]

_CAGES_PER_ROW = 40


def write_run(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    out: Path,
    cells: int,
    ctcs: int,
    seed: int,
    layout: Layout,
    rate: float | None = None,
    advanced: Callable[[int], None] | None = None,
    instrument: int = 0,
) -> None:
    """Write one simulated run, `cells.csv` last, and its truth beside it, `<OUT>.truth.csv`.

    Args:
        out: The run's folder; absent or empty. The truth of an earlier run there is replaced.
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient; the layout changes nothing about the cells.
        layout: How the run lies on the disk.
        rate: Cells per second, as a scanner would export them: some files appear whole, others bit by bit. None is as
            fast as possible. The finished run is the same.
        advanced: Told how many cells more are written.
        instrument: The instrument; 0 is the default one.

    Raises:
        ConfigError: Counts that no run can have, a negative seed or instrument, or a rate that is not above 0.
        ResultsError: The folder holds something already, or cannot be written.
    """
    simulated = simulate_cells(cells, ctcs, seed, instrument)
    if rate is not None and not 0 < rate < math.inf:
        raise ConfigError(f"rate: found {rate}, expected above 0 cells a second, and finite; or leave it out")
    out = Path(os.path.abspath(out))
    try:
        _refuse_old(out)
        with _taken_away_if_broken_off(out):
            disk = Disk(rate, seed)
            truth = list(
                _write_cells(out, zip(simulated, cell_ids(cells, layout), strict=True), layout, disk, advanced)
            )
            disk.finish()
            _write_table(out.with_name(out.name + ".truth.csv"), ("cell_id", "label"), truth)
            _write_table(out / "cells.csv", ("cell_id", "cage_row", "cage_col"), _cages(truth))
    except OSError as error:
        raise ResultsError(
            f"{out}: found that it cannot be written ({error}), expected a writable place; free it or choose another"
        ) from error


@contextlib.contextmanager
def _taken_away_if_broken_off(out: Path) -> Iterator[None]:
    """Half a run would be taken for a run, and would stand in the way of the next try."""
    try:
        yield
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _refuse_old(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ResultsError(
            f"{out}: found something there already, expected no folder or an empty one; remove it or choose another"
        )


def _write_cells(
    out: Path,
    simulated: Iterable[tuple[SimulatedCell, str]],
    layout: Layout,
    disk: Disk,
    advanced: Callable[[int], None] | None,
) -> Iterator[tuple[str, ...]]:
    """Write every cell's files, and give the rows of the truth."""
    for cell, cell_id in simulated:
        files = [(out / name, content) for name, content in cell_files(out.name, cell_id, cell.images, layout)]
        disk.write_cell(files, lambda: advanced(1) if advanced else None)
        yield cell_id, cell.label


def _cages(truth: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for place, (name, _) in enumerate(truth):
        row, column = divmod(place, _CAGES_PER_ROW)
        yield name, str(row + 1), str(column + 1)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
