"""The export of docs/profiles.md: `python -m tests.pictures.probe_example OUT` writes it below OUT.

A simulated run of 40 cells under the names that an Italian lab might give it. Channels are numbered in another order
than ours, so that numbers tell nothing about what a channel shows.
"""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tifffile
import typer

from edge_ctc.simulate import CHANNELS, PIXEL_SIZE_UM, Layout, write_run

FOLDER = "Paziente 07 (prova)"
TABLE = "elenco cellule.csv"
CELLS, CTCS, SEED = 40, 4, 7
# The lab counts the fluorescences first and bright field last.
TOKENS = {"PE": "Ch1", "APC": "Ch2", "DAPI": "Ch3", "BF": "Ch4"}
COLUMNS = ("Identità", "Riga", "Colonna", "Area µm²")


def write_example(out: Path) -> Path:
    """Write the export below `out`.

    Args:
        out: A folder that does not hold `FOLDER` yet; made if absent.

    Returns:
        The folder of the run.
    """
    run = out / FOLDER
    images = run / "Immagini"
    images.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        ours = Path(scratch) / "run"
        write_run(ours, CELLS, CTCS, SEED, Layout.FLAT)
        with (ours / "cells.csv").open(encoding="utf-8", newline="") as file:
            cells = list(csv.DictReader(file))
        rows = []
        for number, cell in enumerate(cells, start=1):
            for channel in CHANNELS:
                (source,) = (ours / "Images").glob(f"{cell['cell_id']}_{channel}.*")
                (images / f"{number:04d}_{TOKENS[channel]}{source.suffix}").write_bytes(source.read_bytes())
            nucleus = next((ours / "Images").glob(f"{cell['cell_id']}_DAPI.*"))
            rows.append((str(number), cell["cage_row"], cell["cage_col"], area_text(nucleus)))
    write_table(run / TABLE, rows)
    (run / "DONE.txt").write_text("OK\r\n", encoding="ascii", newline="")
    (run / "Thumbs.db").write_bytes(bytes(4096))
    return run


def area_text(nucleus: Path) -> str:
    """How much of the picture lies above half of its range, in square micrometres with a decimal comma."""
    counts = tifffile.imread(nucleus).astype(float)
    above = int((counts > (counts.min() + counts.max()) / 2).sum())
    return f"{above * PIXEL_SIZE_UM**2:.1f}".replace(".", ",")


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write the table as Excel in Italian on Windows does: cp1252, semicolons."""
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def main(out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that the run is written into.")]) -> None:
    """Write the export of docs/profiles.md."""
    typer.echo(write_example(out))


if __name__ == "__main__":
    typer.run(main)
