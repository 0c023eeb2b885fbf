"""`python -m trainer`: the commands of the trainer."""

import os
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli import run_app
from edge_ctc.exports.profile import load_profile
from trainer.fit import Order
from trainer.fit import fit as fit_order
from trainer.progress import ConsoleReporter
from trainer.recipe import built_in_recipe, load_recipe

PROG = "python -m trainer"

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Labelled runs in, a checkpoint out."
)


@app.callback()
def main() -> None:
    """Labelled runs in, a checkpoint out."""


@app.command()
def fit(
    runs: Annotated[Path, typer.Option(help="Folder whose subfolders are the runs.")],
    labels: Annotated[Path, typer.Option(help="CSV with the columns run_id,cell_id,label,patient.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; absent or empty.")],
    profile: Annotated[str | None, typer.Option(help="Built-in profile or TOML file; else found per run.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file; else the built-in fast recipe.")] = None,
) -> None:
    """Train on labelled runs and write a checkpoint.

    A training that was killed goes on where it stood, if it is started again with the same arguments.

    Example: python -m trainer fit --runs exports --labels labels.csv --out checkpoints/ours
    """
    order = Order(
        runs=runs,
        labels=labels,
        out=Path(os.path.abspath(out)),
        recipe=built_in_recipe() if recipe is None else load_recipe(recipe),
        profile=None if profile is None else load_profile(profile),
    )
    with ConsoleReporter() as reporter:
        description = fit_order(order, reporter)
    figures = ", ".join(f"{name} {value}" for name, value in description.metrics.items())
    typer.echo(f"{out}: checkpoint {description.name}, {figures}")


if __name__ == "__main__":
    run_app(app, PROG)
