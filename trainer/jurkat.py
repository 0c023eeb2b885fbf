"""An experiment on real images: mitotic against interphase Jurkat cells from bright field alone.

`python -m trainer.jurkat --data FOLDER --out WORKDIR`, where FOLDER holds cells.npz of the imaging-flow-cytometry
cells of Blasi et al., Nature Communications 7:10256 (2016). Mitotic cells are the rare class and stand in
for CTCs. The cells have no donors: five stratified folds of cells stand in for patients, so the figures say
what the network can see in real images, and nothing of another patient, instrument or day.
"""

import csv
import json
import os
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tifffile
import typer
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import StratifiedKFold

from edge_ctc.cells import Verdict
from edge_ctc.classify import classify_run
from edge_ctc.cli import run_app
from edge_ctc.console.runs import RunReporter
from edge_ctc.errors import DataError, InputMissingError, ResultsError
from edge_ctc.exports.profile import LoadedProfile, load_profile
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.results.calls import read_calls
from trainer.checkpoint_folder import refuse_existing
from trainer.fit import Order, fit
from trainer.labels import CLASSES, COLUMNS
from trainer.progress import ConsoleReporter, Reporter
from trainer.recipe import Recipe, SplitRecipe, built_in_recipe

FOLDS = 5
CAVEAT = "no donors: folds of cells of one acquisition; says nothing of another patient, instrument or day"

_ARCHIVE = "cells.npz"
_EXPERIMENT = "Experiment_1"
_CHANNEL = "Ch3_brightfield"
_MITOTIC = ("Prophase", "Metaphase", "Anaphase", "Telophase")
_INTERPHASE = ("G1", "S_phase", "G2")
_FOLD_SEED = 0

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of the experiment.

    Attributes:
        images: uint16 (N, 40, 40), bright-field counts.
        is_rare: bool (N,), mitotic.
        fold: int (N,), 1 to 5, stratified by class.
    """

    images: NDArray[np.uint16]
    is_rare: NDArray[np.bool_]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """What the product called in one held-out fold.

    Attributes:
        fold: 1 to 5.
        mitotic: how many such cells it holds.
        interphase: how many such cells it holds.
        f1: of the verdict CTC; REVIEW counts as not rare.
        average_precision: of the score.
    """

    fold: int
    mitotic: int
    interphase: int
    f1: float
    average_precision: float


@app.command()
def experiment(
    data: Annotated[Path, typer.Option(help="Folder with cells.npz.")],
    out: Annotated[Path, typer.Option(help="Folder for runs, checkpoints, calls and figures.")],
) -> None:
    """Train and classify five folds, and print the figures of the cells held out."""
    cells = read_cells(data / _ARCHIVE)
    out = Path(os.path.abspath(out))
    refuse_existing(out)
    profile = load_profile(str(resources.files("trainer") / "recipes" / "jurkat-bf-profile.toml"))
    write_runs(cells, out / "runs")
    with ConsoleReporter() as reporter:
        figures = [
            _figures(cells, fold, _call_fold(cells, fold, out, profile, reporter)) for fold in range(1, FOLDS + 1)
        ]
    _write_text(out / "figures.json", json.dumps({"note": CAVEAT, "folds": [asdict(one) for one in figures]}, indent=1))
    table = markdown(figures)
    _write_text(out / "figures.md", table)
    typer.echo(table)


def read_cells(archive: Path) -> Cells:
    """The mitotic and interphase cells of the first experiment, parted into folds.

    Raises:
        InputMissingError: there is no such file.
        DataError: it is not the archive that the module's docstring names.
    """
    try:
        with np.load(archive, allow_pickle=False) as arrays:
            images, phase = arrays["images"], arrays["phase"]
            ours = (arrays["experiment"] == _EXPERIMENT) & np.isin(phase, _MITOTIC + _INTERPHASE)
            channel = list(arrays["channels"]).index(_CHANNEL)
    except FileNotFoundError as error:
        raise InputMissingError(
            f"{archive}: no such file; name the folder that holds {_ARCHIVE} with --data"
        ) from error
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{archive}: not the Jurkat cells ({error}); expected images, phase and experiment") from error
    is_rare = np.isin(phase[ours], _MITOTIC)
    fold = np.zeros(len(is_rare), np.int64)
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=_FOLD_SEED).split(is_rare, is_rare)
    for number, (_, held_out) in enumerate(parts, 1):
        fold[held_out] = number
    return Cells(images[ours, channel], is_rare, fold)


def write_runs(cells: Cells, runs: Path) -> None:
    """Write each fold as a run of its own, one file per cell.

    Raises:
        ResultsError: they cannot be written.
    """
    try:
        for fold in range(1, FOLDS + 1):
            folder = runs / _name(fold) / "Images"
            folder.mkdir(parents=True)
            for index in np.flatnonzero(cells.fold == fold):
                path = folder / f"{_cell_id(index)}_BF.tif"
                tifffile.imwrite(path, cells.images[index], photometric="minisblack", metadata=None)
    except OSError as error:
        raise ResultsError(f"{runs}: cannot be written ({error}); name another --out") from error


def _call_fold(cells: Cells, fold: int, out: Path, profile: LoadedProfile, reporter: Reporter) -> Path:
    """Train on the other folds, the next one validating, and call this one. Returns the calls file."""
    recipe = fold_recipe(built_in_recipe("jurkat-bf.toml"), fold)
    folder = out / f"without-{_name(fold)}"
    checkpoint = folder / "checkpoint"
    reporter.say(f"fold {fold} of {FOLDS} held out; {CAVEAT}")
    folder.mkdir()
    labels = folder / "labels.csv"
    write_labels(cells, fold, labels)
    fit(Order(out / "runs", labels, checkpoint, recipe, profile), reporter)
    request = Request(run=out / "runs" / _name(fold), profile=profile, checkpoint=checkpoint, out=folder)
    with OpenModels() as models, RunReporter(quiet=True) as silent:
        return classify_run(request, models, silent).place.calls


def fold_recipe(recipe: Recipe, held_out: int) -> Recipe:
    """The recipe with the fold after the held-out one as its validation patient."""
    following = held_out % FOLDS + 1
    return recipe.model_copy(update={"split": SplitRecipe(validation=(_name(following),))})


def write_labels(cells: Cells, held_out: int, path: Path) -> None:
    """The labels of all folds but the held-out one; a fold stands where a patient would."""
    rows = [
        (_name(fold), _cell_id(index), CLASSES[int(rare)], _name(fold))
        for index, (fold, rare) in enumerate(zip(cells.fold, cells.is_rare, strict=True))
        if fold != held_out
    ]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror}); name another --out") from error


def _figures(cells: Cells, fold: int, calls: Path) -> FoldFigures:
    rare = {_cell_id(index): bool(cells.is_rare[index]) for index in np.flatnonzero(cells.fold == fold)}
    called = [call for call in read_calls(calls) if call.score is not None]
    if len(called) != len(rare):
        raise DataError(f"{calls}: {len(called)} cells with a score, expected {len(rare)}; remove --out and begin anew")
    truth = [rare[call.cell_id] for call in called]
    return FoldFigures(
        fold=fold,
        mitotic=sum(truth),
        interphase=len(truth) - sum(truth),
        f1=float(f1_score(truth, [call.verdict == Verdict.CTC for call in called])),
        average_precision=float(average_precision_score(truth, [call.score for call in called])),
    )


def markdown(figures: list[FoldFigures]) -> str:
    """The figures as a table, with mean and sample standard deviation over the folds."""
    lines = ["| fold | mitotic | interphase | F1 | average precision |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.fold} | {one.mitotic} | {one.interphase} | {one.f1:.3f} | {one.average_precision:.3f} |"
        for one in figures
    ]
    f1, precision = ([getattr(one, name) for one in figures] for name in ("f1", "average_precision"))
    lines.append(f"| mean ± sd | | | {_mean_sd(f1)} | {_mean_sd(precision)} |")
    return "\n".join([*lines, "", f"({CAVEAT})", ""])


def _mean_sd(values: list[Any]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _name(fold: int) -> str:
    return f"fold{fold}"


def _cell_id(index: int | np.int64) -> str:
    return f"{index:04d}"


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror}); name another --out") from error


if __name__ == "__main__":
    run_app(app, "python -m trainer.jurkat")
