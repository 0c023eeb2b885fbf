"""`python -m trainer`: the commands of the trainer."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_ctc.cli import run_app
from edge_ctc.exports.profile import load_profile
from trainer.cells.dataset import check_runs
from trainer.cells.labels import read_labels
from trainer.progress import ConsoleReporter
from trainer.recipe import built_in_recipe, load_recipe

if TYPE_CHECKING:
    from trainer.fit import Order

# What a command does is imported inside it: torch takes seconds, and neither --help nor a mistyped path should wait.
# ruff: noqa: PLC0415

PROG = "python -m trainer"

Runs = Annotated[Path, typer.Option(help="Folder whose subfolders are the runs.")]
LabelsFile = Annotated[
    Path, typer.Option(help="CSV with the columns run_id,cell_id,label,patient, and reader,truth if you have them.")
]
ProfileName = Annotated[str | None, typer.Option(help="Built-in profile or TOML file; else found per run.")]
RecipeFile = Annotated[
    str, typer.Option(help="Recipe: a TOML file, or a built-in: fast, multi-channel, paper or sister.")
]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Labelled runs in, a checkpoint out."
)


@app.callback()
def main() -> None:
    """Labelled runs in, a checkpoint out.

    First `evaluate`: can a network tell your cells apart, on patients that it never saw? Then `fit`, for a checkpoint,
    and `card`, which tells the figures of the first in the card of the second.
    """


@app.command()
def fit(
    runs: Runs,
    labels: LabelsFile,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; absent or empty.")],
    profile: ProfileName = None,
    recipe: RecipeFile = "fast",
) -> None:
    """Train on labelled runs and write a checkpoint.

    A training that was killed goes on where it stood, if it is started again with the same arguments.

    Example: python -m trainer fit --runs exports --labels labels.csv --out checkpoints/ours
    """
    with _going_on() as reporter:
        from trainer.checkpoint.folder import refuse_existing

        refuse_existing(Path(os.path.abspath(out)))
        _check_inputs(runs, labels)
        order = _order(runs, labels, out, profile, recipe)
        from trainer.fit import fit as fit_order

        description = fit_order(order, reporter)
    figures = ", ".join(f"{name} {value}" for name, value in description.metrics.items())
    typer.echo(f"{out}: checkpoint {description.name}, {figures}")
    if description.promise is not None:
        typer.echo(description.promise.sentence)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    runs: Runs,
    labels: LabelsFile,
    out: Annotated[Path, typer.Option(help="Folder for report.md, figures and pictures; an interrupted one goes on.")],
    profile: ProfileName = None,
    recipe: RecipeFile = "fast",
    folds: Annotated[int, typer.Option(min=2, help="Parts of the patients, each held out once.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions with other draws.")] = 3,
) -> None:
    """Cross-validate a recipe by patient: figures of patients that no training and no choice saw.

    It trains folds x seeds networks, as many times as long as one fit. No checkpoint comes out of it.

    Example: python -m trainer evaluate --runs exports --labels labels.csv --out evaluations/ours
    """
    with _going_on() as reporter:
        _check_inputs(runs, labels)
        order = _order(runs, labels, out, profile, recipe)
        from trainer.cells.folds import Folds
        from trainer.evaluate import REPORT
        from trainer.evaluate import evaluate as evaluate_order

        found = evaluate_order(order, Folds(folds, seeds), reporter)
    f1, precision = (next(one for one in found.figures if one.name == name) for name in ("f1_ctc", "average_precision"))
    typer.echo(
        f"{out / REPORT}: F1 of CTC {f1.value:.3f} ({f1.low:.3f} to {f1.high:.3f}), "
        f"average precision {precision.value:.3f} ({precision.low:.3f} to {precision.high:.3f})"
    )


@app.command()
def ablate(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    table: Annotated[Path, typer.Option(help="TOML file with the arms.")],
    runs: Runs,
    labels: LabelsFile,
    out: Annotated[Path, typer.Option(help="Folder for the arms and table.md; an interrupted one goes on.")],
    profile: ProfileName = None,
    start: Annotated[Path | None, typer.Option(help='Weights for arms whose recipe says start = "given".')] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Arms side by side.")] = 1,
) -> None:
    """Train the arms of a table, and write what each is worth against the others on the same held-out cells.

    Example: python -m trainer ablate --table arms.toml --runs exports --labels labels.csv --out ablations/ours
    """
    with _going_on() as reporter:
        _check_inputs(runs, labels)
        from trainer.ablate import Order as AblationOrder
        from trainer.ablate import ablate as ablate_order
        from trainer.table import load_table

        order = AblationOrder(runs, labels, None if profile is None else load_profile(profile))
        ablate_order(order, load_table(table, start), Path(os.path.abspath(out)), jobs, reporter)
    typer.echo((out / "table.md").read_text(encoding="utf-8"))


@app.command()
def card(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint as fit wrote it.")],
    evaluation: Annotated[Path, typer.Option(help="Folder as evaluate wrote it, of the same recipe.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint with the new card; absent or empty.")],
) -> None:
    """Copy a checkpoint with a card that tells the out-of-fold figures of its recipe.

    The card is part of the checkpoint, so the copy is another one, with a sha256 of its own: make it before it is used.

    Example: python -m trainer card checkpoints/ours --evaluation evaluations/ours --out checkpoints/ours-1
    """
    from trainer.recard import recard

    description = recard(checkpoint, evaluation, Path(os.path.abspath(out)))
    typer.echo(f"{out}: checkpoint {description.name}")


def _check_inputs(runs: Path, labels: Path) -> None:
    """Look at the labels, and for their runs, before anything slow is loaded."""
    check_runs(runs, read_labels(labels).cells)


@contextlib.contextmanager
def _going_on() -> Iterator[ConsoleReporter]:
    """A reporter for a command that goes on where it stood, which an interrupt then says."""
    with ConsoleReporter() as reporter:
        try:
            yield reporter
        except KeyboardInterrupt:
            reporter.say("interrupted; the same command goes on where it stood")
            raise


def _order(runs: Path, labels: Path, out: Path, profile: str | None, recipe: str) -> "Order":
    path = Path(recipe)
    read = load_recipe(path) if path.suffix or os.sep in recipe else built_in_recipe(f"{recipe}.toml")
    loaded = None if profile is None else load_profile(profile)
    from trainer.fit import Order

    return Order(runs, labels, Path(os.path.abspath(out)), read, loaded)


if __name__ == "__main__":
    run_app(app, PROG)
