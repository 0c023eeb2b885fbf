"""An experiment: what a new instrument costs, and what norm and augmentation buy back.

`python -m trainer.trials.shift --start WEIGHTS --out DIR` simulates patients on instrument A, and others on A and on
instruments that no training saw. Networks that differ in their norm and in their augmentation alone learn from A. All
start from the same weights, which a frozen norm needs. The figure is average precision over all patients of an
instrument: it needs no cut, which each instrument might want elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from sklearn.metrics import average_precision_score

from edge_ctc.cli import run_app
from edge_ctc.durable import write_bytes
from edge_ctc.errors import ResultsError
from edge_ctc.exports.profile import load_profile
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from trainer.cells.dataset import Dataset, LabelledCell, Wanted, read_dataset
from trainer.cells.labels import Label
from trainer.learning.start import Start, read_start
from trainer.learning.training import Parts, scores, train_network
from trainer.learning.work_folder import WorkFolder
from trainer.out_folder import make_folder
from trainer.progress import ConsoleReporter, Reporter
from trainer.recipe import Augmentation, Recipe, built_in_recipe

HOME = 0
"""Instrument A."""
ELSEWHERE = (201, 202, 203, 204)
"""Instruments B; no other experiment, no training and no tuning uses them."""
NORMS: tuple[Literal["batch", "group", "frozen"], ...] = ("batch", "group", "frozen")

_FIRST_SEED = 300_000
_NONE = Augmentation(rotation="none", flips=False, shift_px=0, gain_sigma=0, offset_sigma=0)
_PLACES = (HOME, *ELSEWHERE)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is simulated and trained.

    Attributes:
        train: patients on A to learn from.
        test: patients on each instrument to be scored.
        cells: per patient, CTCs included.
        ctcs: per patient.
        epochs: of each training.
        seeds: trainings per arm.
    """

    train: int
    test: int
    cells: int
    ctcs: int
    epochs: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train, with one seed."""

    norm: Literal["batch", "group", "frozen"]
    is_augmented: bool
    seed: int

    @property
    def name(self) -> str:
        """Of its row."""
        return f"{self.norm}, {'augmented' if self.is_augmented else 'as they are'}"

    def recipe(self, start: Path, epochs: int) -> Recipe:
        """The multi-channel recipe but for what the arm says."""
        base = built_in_recipe("multi-channel.toml")
        changes: dict[str, Any] = {"norm": self.norm, "start": str(start), "epochs": epochs, "seed": self.seed}
        if not self.is_augmented:
            changes["augmentation"] = _NONE
        return Recipe.model_validate({**base.model_dump(), "layer4": False, "width": 64, **changes})


@app.command()
def shift(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    start: Annotated[Path, typer.Option(help="State dict of a ResNet-18 of torchvision's width.")],
    out: Annotated[Path, typer.Option(help="Folder for runs, parts and the table; an interrupted one goes on.")],
    train: Annotated[int, typer.Option(min=2, help="Patients on A to learn from.")] = 12,
    test: Annotated[int, typer.Option(min=1, help="Patients on each instrument to be scored.")] = 6,
    cells: Annotated[int, typer.Option(min=20, help="Cells per patient.")] = 100,
    ctcs: Annotated[int, typer.Option(min=1, help="CTCs per patient.")] = 10,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 2,
) -> None:
    """Train on instrument A, score on A and on instruments B, and write table.md."""
    sizes = Sizes(train, test, cells, ctcs, epochs, seeds)
    out, start = Path(os.path.abspath(out)), Path(os.path.abspath(start))
    _refuse_other_patients(out, sizes)
    arms = [Arm(norm, is_augmented, seed) for seed in range(seeds) for norm in NORMS for is_augmented in (False, True)]
    with ConsoleReporter() as reporter:
        _simulate(out, sizes, reporter)
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            waiting = [pool.submit(precisions, arm, start, sizes, out) for arm in arms]
            found: dict[str, list[list[float]]] = {}
            for number, (arm, one) in enumerate(zip(arms, waiting, strict=True), 1):
                found.setdefault(arm.name, []).append(one.result())
                reporter.advanced("trainings", number, len(arms), arm.name)
    table = markdown(found)
    write_bytes(out / "table.md", table.encode())
    typer.echo(table)


def _refuse_other_patients(out: Path, sizes: Sizes) -> None:
    """The numbers decide every patient's seed: runs of other numbers would put one patient on both sides."""
    kept, patients = out / "patients.json", [sizes.train, sizes.test, sizes.cells, sizes.ctcs]
    if not kept.exists():
        make_folder(out / "parts")
        write_bytes(kept, json.dumps(patients).encode())
    elif json.loads(kept.read_bytes()) != patients:
        raise ResultsError(f"{out}: begun with other numbers of patients or cells; name another --out")


def _run(instrument: int, part: str, index: int) -> str:
    return f"instrument-{instrument}-{part}-{index}"


def _runs(sizes: Sizes) -> list[tuple[int, str, int]]:
    """Instrument, part and number of every run; every patient is another."""
    parts = [(HOME, "train", index) for index in range(sizes.train)]
    return parts + [(place, "test", index) for place in _PLACES for index in range(sizes.test)]


def _simulate(out: Path, sizes: Sizes, reporter: Reporter) -> None:
    runs = _runs(sizes)
    for number, (instrument, part, index) in enumerate(runs):
        folder = out / "runs" / _run(instrument, part, index)
        if not (folder / "cells.csv").exists():
            write_run(folder, sizes.cells, sizes.ctcs, _FIRST_SEED + number, Layout.MULTIPAGE, instrument=instrument)
        reporter.advanced("simulating patients", number + 1, len(runs))


def precisions(arm: Arm, start: Path, sizes: Sizes, out: Path) -> list[float]:
    """Average precision on each instrument, A first; what was found before is not trained again.

    Raises:
        ConfigError: `start` is no such weights.
        ResultsError: `out` cannot be written.
    """
    torch.set_num_threads(1)
    recipe = arm.recipe(start, sizes.epochs)
    kept = out / "parts" / f"{arm.norm}-{int(arm.is_augmented)}-{arm.seed}.json"
    weights = read_start(recipe)
    facts = [recipe.model_dump(mode="json"), weights.sha256, sizes.train, sizes.test, sizes.cells, sizes.ctcs]
    fingerprint = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    if kept.exists():
        found = json.loads(kept.read_bytes())
        if found["fingerprint"] != fingerprint:
            raise ResultsError(f"{kept}: of another experiment; name another --out")
        return list(found["precisions"])
    with ConsoleReporter() as reporter:
        dataset = _dataset(out, sizes, recipe, reporter)
        work = WorkFolder(kept.with_suffix(".work"), fingerprint)
        with work.held():
            result = _trained_and_scored(recipe, weights, dataset, work, reporter)
            write_bytes(kept, json.dumps({"fingerprint": fingerprint, "precisions": result}).encode())
    work.remove()
    return result


def _trained_and_scored(
    recipe: Recipe, start: Start, dataset: Dataset, work: WorkFolder, reporter: Reporter
) -> list[float]:
    by_part: dict[tuple[int, str], list[LabelledCell]] = {}
    for cell in dataset.cells:
        _, instrument, part, _ = cell.label.run_id.split("-")
        by_part.setdefault((int(instrument), part), []).append(cell)
    trained = train_network(Parts(by_part[HOME, "train"]), dataset, recipe, start, work, reporter)
    return [
        float(average_precision_score([cell.label.is_ctc for cell in cells], scores(trained, cells)))
        for cells in (by_part[place, "test"] for place in _PLACES)
    ]


def _dataset(out: Path, sizes: Sizes, recipe: Recipe, reporter: Reporter) -> Dataset:
    labels: list[Label] = []
    for place in _runs(sizes):
        run = _run(*place)
        truth = read_truth(out / "runs" / f"{run}.truth.csv")
        labels += [Label(run, cell_id, label == "CTC", run) for cell_id, label in truth.items()]
    wanted = Wanted(recipe.channels)
    return read_dataset(out / "runs", labels, load_profile("multipage"), wanted, reporter)


def markdown(found: dict[str, list[list[float]]]) -> str:
    """A row per arm: mean (min to max) over seeds on A, and over seeds and instruments on B, and what B costs."""
    lines = ["| norm, training images | on A | on B | B less A |", "|---|---|---|---|"]
    for name, seeds in found.items():
        figures = np.array(seeds)
        home, elsewhere = figures[:, :1], figures[:, 1:]
        lines.append(f"| {name} | {_spread(home)} | {_spread(elsewhere)} | {float((elsewhere - home).mean()):+.3f} |")
    return "\n".join([*lines, ""])


def _spread(figures: Sequence[Sequence[float]] | Any) -> str:
    return f"{np.mean(figures):.3f} ({np.min(figures):.3f} to {np.max(figures):.3f})"


if __name__ == "__main__":
    run_app(app, "python -m trainer.trials.shift")
