"""An experiment on real images: mitotic against interphase Jurkat cells from bright field alone.

`python -m trainer.trials.jurkat --data FOLDER --out DIR`, where FOLDER holds cells.npz of the imaging-flow-cytometry
cells of Blasi et al., Nature Communications 7:10256 (2016), writes them as a run with labels for `python -m trainer
evaluate` and `ablate`. Mitotic cells are the rare class and stand in for CTCs, interphase cells for leukocytes. There
are no donors: each cell is a patient of its own, so the figures say what a network can see in real images, and nothing
of another patient, instrument or day.

One fifth of the cells are for development: recipes are chosen on them, and no figure comes from them.
"""

import csv
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tifffile
import typer
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from edge_ctc.cli import run_app
from edge_ctc.errors import DataError, InputMissingError, ResultsError
from trainer.cells.labels import CLASSES
from trainer.checkpoint.folder import refuse_existing

CAVEAT = "no donors: folds of cells of one acquisition; says nothing of another patient, instrument or day"
RUN = "jurkat"
DEVELOP = "develop"
CHANNELS = {"BF": "Ch3_brightfield", "PI": "Ch4_PI_fluorescence"}
"""By the name in our files; the profile is trainer/recipes/jurkat-profile.toml."""

_ARCHIVE = "cells.npz"
_EXPERIMENT = "Experiment_1"
_MITOTIC = ("Prophase", "Metaphase", "Anaphase", "Telophase")
_INTERPHASE = ("G1", "S_phase", "G2")
_FIFTHS, _FOLD_SEED = 5, 0
_COLUMNS = ("run_id", "cell_id", "label", "patient")

_README = f"""\
Jurkat cells, mitotic (CTC) against interphase (LEUKOCYTE): stand-ins, no tumour cells and no patients.
{CAVEAT}

labels.csv          all cells; those for development are one patient, `{DEVELOP}`: trained on, never held out
labels-few.csv      without the cells for development: to learn from a few cells, none of which chose the recipe
labels-develop.csv  the cells for development alone: to choose recipes
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of the experiment, in the order of the archive.

    Attributes:
        images: uint16 (N, 2, 40, 40), counts of `CHANNELS`.
        is_mitotic: bool (N,).
        is_develop: bool (N,), for development; one fifth of each class.
    """

    images: NDArray[np.uint16]
    is_mitotic: NDArray[np.bool_]
    is_develop: NDArray[np.bool_]


@app.command()
def experiment(
    data: Annotated[Path, typer.Option(help="Folder with cells.npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the run and its labels; absent or empty.")],
) -> None:
    """Write the cells as a run, with labels for all, for a few and for development."""
    cells = read_cells(data / _ARCHIVE)
    write(cells, Path(os.path.abspath(out)))
    mitotic, count = int(cells.is_mitotic.sum()), len(cells.is_mitotic)
    typer.echo(f"{out}: {mitotic} mitotic and {count - mitotic} interphase cells; {CAVEAT}")


def read_cells(archive: Path) -> Cells:
    """The mitotic and interphase cells of the first acquisition.

    Raises:
        InputMissingError: there is no such file.
        DataError: it is not the archive that the module's docstring names.
    """
    try:
        with np.load(archive, allow_pickle=False) as arrays:
            phase = arrays["phase"]
            ours = (arrays["experiment"] == _EXPERIMENT) & np.isin(phase, _MITOTIC + _INTERPHASE)
            places = [list(arrays["channels"]).index(name) for name in CHANNELS.values()]
            images = arrays["images"][ours][:, places]
    except FileNotFoundError as error:
        raise InputMissingError(
            f"{archive}: no such file; name the folder that holds {_ARCHIVE} with --data"
        ) from error
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{archive}: not the Jurkat cells ({error}); expected images, phase and experiment") from error
    is_mitotic = np.isin(phase[ours], _MITOTIC)
    return Cells(images, is_mitotic, _for_development(is_mitotic))


def _for_development(is_mitotic: NDArray[np.bool_]) -> NDArray[np.bool_]:
    fifths = StratifiedKFold(_FIFTHS, shuffle=True, random_state=_FOLD_SEED).split(is_mitotic, is_mitotic)
    _, chosen = next(iter(fifths))
    develop = np.zeros(len(is_mitotic), np.bool_)
    develop[chosen] = True
    return develop


def write(cells: Cells, out: Path) -> None:
    """Let `out` appear, with `runs/jurkat`, three tables of labels and a README.

    Raises:
        ResultsError: `out` holds something already, or cannot be written.
    """
    refuse_existing(out)
    temp = out.with_name(f".{out.name}.tmp")
    try:
        shutil.rmtree(temp, ignore_errors=True)
        _write_run(cells, temp / "runs" / RUN)
        for name, rows in _tables(cells).items():
            _write_table(temp / name, rows)
        (temp / "README").write_text(_README, encoding="utf-8")
        if out.exists():
            out.rmdir()
        temp.rename(out)
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written ({error.strerror}); name another --out") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _write_run(cells: Cells, run: Path) -> None:
    folder = run / "Images"
    folder.mkdir(parents=True)
    for index, images in enumerate(cells.images):
        for channel, image in zip(CHANNELS, images, strict=True):
            path = folder / f"{_cell_id(index)}_{channel}.tif"
            tifffile.imwrite(path, image, photometric="minisblack", metadata=None)


def _tables(cells: Cells) -> dict[str, list[tuple[str, ...]]]:
    """The rows of each table of labels, by file name."""
    develop = np.flatnonzero(cells.is_develop).tolist()
    others = np.flatnonzero(~cells.is_develop).tolist()
    own = {index: _row(cells, index, f"cell {_cell_id(index)}") for index in (*develop, *others)}
    as_one = [_row(cells, index, DEVELOP) for index in develop]
    rest = [own[index] for index in others]
    return {
        "labels.csv": sorted(as_one + rest),
        "labels-few.csv": rest,
        "labels-develop.csv": [own[index] for index in develop],
    }


def _row(cells: Cells, index: int, patient: str) -> tuple[str, ...]:
    return (RUN, _cell_id(index), CLASSES[int(cells.is_mitotic[index])], patient)


def _write_table(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])


def _cell_id(index: int) -> str:
    return f"{index:04d}"


if __name__ == "__main__":
    run_app(app, "python -m trainer.trials.jurkat")
