"""A simulated run on the disk, as an instrument would export it, and its truth beside it."""

import contextlib
import csv
import functools
import io
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ConfigError, ResultsError
from edge_ctc.simulate.cells import SimulatedCell, simulate_cells
from edge_ctc.simulate.field import CHANNELS, SIDE_PX

_CAGES_PER_ROW = 40


class Layout(StrEnum):
    """How a simulated run lies on the disk."""

    FLAT = "flat"
    MULTIPAGE = "multipage"


def write_run(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    out: Path,
    cells: int,
    ctcs: int,
    seed: int,
    layout: Layout,
    rate: float | None = None,
    advanced: Callable[[int], None] | None = None,
) -> None:
    """Write one simulated run, `cells.csv` last, and its truth beside it, `<OUT>.truth.csv`.

    Args:
        out: The run's folder; absent or empty. The truth of an earlier run there is replaced.
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient; the layout changes nothing about the cells.
        layout: How the run lies on the disk.
        rate: Cells per second, as a scanner would export them; None is as fast as possible.
        advanced: Told how many cells more are written.

    Raises:
        ConfigError: Counts that no run can have, a negative seed, or a rate that is not above 0.
        ResultsError: The folder holds something already, or cannot be written.
    """
    simulated = simulate_cells(cells, ctcs, seed)
    if rate is not None and not rate > 0:
        raise ConfigError(f"rate: found {rate}, expected above 0 cells a second; or leave it out")
    out = Path(os.path.abspath(out))
    try:
        _refuse_old(out)
        with _taken_away_if_broken_off(out):
            truth = _write_cells(out, _paced(simulated, rate), cell_ids(cells, layout), layout, advanced)
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


def cell_ids(cells: int, layout: Layout) -> list[str]:
    """The ids of cells 1 to `cells` as they stand in the file names: only the flat layout pads them."""
    digits = max(4, len(str(cells))) if layout is Layout.FLAT else 1
    return [f"{number:0{digits}d}" for number in range(1, cells + 1)]


def _paced(simulated: Iterator[SimulatedCell], rate: float | None) -> Iterator[SimulatedCell]:
    start = time.monotonic()
    for cell in simulated:
        if rate is not None:
            time.sleep(max(0.0, start + (cell.number - 1) / rate - time.monotonic()))
        yield cell


def _write_cells(
    out: Path,
    simulated: Iterable[SimulatedCell],
    names: list[str],
    layout: Layout,
    advanced: Callable[[int], None] | None,
) -> list[tuple[str, ...]]:
    """Write every cell's files, and give the rows of the truth."""
    folder = out / ("Images" if layout is Layout.FLAT else "thumbs")
    folder.mkdir(parents=True)
    truth: list[tuple[str, ...]] = []
    for cell, name in zip(simulated, names, strict=True):
        for file, pages in _files(name, cell.images, layout):
            (folder / file).write_bytes(_tiff(pages))
        truth.append((name, cell.label))
        if advanced is not None:
            advanced(1)
    return truth


def _files(name: str, images: NDArray[np.uint16], layout: Layout) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    match layout:
        case Layout.FLAT:
            for channel, image in zip(CHANNELS, images, strict=True):
                yield f"{name}_{channel}.tif", image[None]
        case Layout.MULTIPAGE:
            yield f"{name}_thumb.tif", images


def _tiff(pages: NDArray[np.uint16]) -> bytes:
    data = bytearray(_blank_tiff(len(pages)).data)
    for offset, page in zip(_blank_tiff(len(pages)).offsets, pages, strict=True):
        data[offset : offset + page.nbytes] = page.astype("<u2").tobytes()
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _BlankTiff:
    """An uncompressed TIFF of black pages, and where in it the pixels of each page start."""

    data: bytes
    offsets: tuple[int, ...]


# Pixels are copied into a ready file: four new ones would take tifffile a tenth of a cell's time.
@functools.cache
def _blank_tiff(pages: int) -> _BlankTiff:
    # Every command would wait for this import, and one alone writes TIFFs.
    import tifffile  # noqa: PLC0415

    stream = io.BytesIO()
    black = np.zeros((pages, SIDE_PX, SIDE_PX), np.uint16)
    tifffile.imwrite(stream, black, photometric="minisblack", byteorder="<", metadata=None, software=False)
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        return _BlankTiff(stream.getvalue(), tuple(page.dataoffsets[0] for page in tiff.pages))


def _cages(truth: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for place, (name, _) in enumerate(truth):
        row, column = divmod(place, _CAGES_PER_ROW)
        yield name, str(row + 1), str(column + 1)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
