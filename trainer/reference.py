"""Make the two checkpoints that edge_ctc ships: `python -m trainer.reference --out engines`.

They learn from simulated patients alone. Seeds below 100000 belong to tests, demonstrations and users:
no training patient is ever among them. The patients are spread over twelve instruments, the default one among them.
"""

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli import run_app
from edge_ctc.durable import write_bytes
from edge_ctc.errors import ConfigError
from edge_ctc.plan import REFERENCE_NAMES
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from trainer.cells.folds import Folds
from trainer.cells.labels import COLUMNS
from trainer.checkpoint.folder import refuse_existing
from trainer.evaluate import evaluate
from trainer.fit import Order, fit
from trainer.progress import ConsoleReporter, Reporter
from trainer.recard import recard
from trainer.recipe import built_in_recipe

FIRST_SEED = 100_000
INSTRUMENTS = 12

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def reference(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints.")],
    only: Annotated[str | None, typer.Option(help="One of them: reference or reference-bf.")] = None,
    patients: Annotated[int, typer.Option(min=4, help="Simulated patients.")] = 60,
    cells: Annotated[int, typer.Option(min=20, help="Cells per patient, CTCs included.")] = 200,
    ctcs: Annotated[int, typer.Option(min=1, help="CTCs per patient.")] = 20,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation that the cards tell of.")] = 3,
) -> None:
    """Simulate patients, train on them, cross-validate the same recipe, and write checkpoints with cards of both."""
    names = [name for name in REFERENCE_NAMES if only in (None, name)]
    if not names:
        raise ConfigError(f"--only {only}: no such checkpoint; name one of {', '.join(REFERENCE_NAMES)}")
    places = {name: Path(os.path.abspath(out)) / name for name in names}
    for place in places.values():
        refuse_existing(place)
    with tempfile.TemporaryDirectory() as scratch, ConsoleReporter() as reporter:
        folder = Path(scratch)
        labels = simulate_patients(folder / "runs", range(FIRST_SEED, FIRST_SEED + patients), (cells, ctcs), reporter)
        for name, place in places.items():
            order = Order(folder / "runs", labels, folder / name, built_in_recipe(f"{name}.toml"))
            fit(order, reporter)
            evaluation = folder / f"{name}-evaluation"
            evaluate(replace(order, out=evaluation), Folds(folds, 1), reporter)
            typer.echo(f"{place}: {recard(folder / name, evaluation, place).metrics}")


def simulate_patients(runs: Path, seeds: Sequence[int], counts: tuple[int, int], reporter: Reporter) -> Path:
    """Write one run per seed, and the labels of all of them; a seed is a patient, one after another on each instrument.

    Args:
        runs: folder for the runs; made.
        seeds: of the simulator.
        counts: cells per run, and how many of them are CTCs.
        reporter: told of each run.

    Returns:
        The labels file, beside `runs`.

    Raises:
        ConfigError: counts that no run can have.
        ResultsError: the runs cannot be written.
    """
    cells, ctcs = counts
    rows: list[tuple[str, ...]] = []
    for done, seed in enumerate(seeds, 1):
        run = runs / f"simulated-{seed}"
        write_run(run, cells, ctcs, seed, Layout.MULTIPAGE, instrument=seed % INSTRUMENTS)
        truth = read_truth(run.with_name(f"{run.name}.truth.csv"))
        rows += [(run.name, cell_id, label, str(seed)) for cell_id, label in truth.items()]
        reporter.advanced("simulating patients", done, len(seeds))
    labels = runs.with_name("labels.csv")
    table = io.StringIO(newline="")
    csv.writer(table).writerows([COLUMNS, *rows])
    write_bytes(labels, table.getvalue().encode())
    return labels


if __name__ == "__main__":
    run_app(app, "python -m trainer.reference")
