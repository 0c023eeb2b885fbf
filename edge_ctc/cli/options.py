"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.engine.places import default_engines_dir, is_engines_dir
from edge_ctc.errors import InputMissingError
from edge_ctc.exports.listing import absolute
from edge_ctc.plan import REFERENCE_NAMES

ProfileOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="How the export is laid out: flat, per-cell, multipage, montage, or a TOML file. Without it the one "
        "built-in profile that accounts for every file is taken.",
    ),
]
ENGINES_VARIABLE = "EDGE_CTC_ENGINES"
EnginesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="ENGINES_DIR",
        envvar=ENGINES_VARIABLE,
        help="Where built engines lie. Without it, `engines` in the state folder: $STATE_DIRECTORY, or "
        "~/.local/state/edge-ctc.",
    ),
]
StaleEngineOption = Annotated[
    Literal["rebuild", "refuse"],
    typer.Option(
        metavar="rebuild|refuse",
        help="What to do with an engine that fits GPU, driver, runtime or checkpoint no more.",
    ),
]

OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results. Without it they go beside the run's folder."),
]


def checkpoint_folder(named: Path) -> Path:
    """The folder that was named; `reference` and `reference-bf` alone stand for those that travel with the program."""
    shipped = shipped_checkpoints() / named
    return shipped if str(named) in REFERENCE_NAMES and not os.path.isdir(named) else named


def named_folder(named: Path | None, option: str) -> Path | None:
    """As named; an empty name, which would stand for the folder one happens to be in, is wrong usage."""
    if named is not None and not named.name:
        raise typer.BadParameter(f"{option} is empty; name a folder")
    return named


def engines_dir(named: Path | None) -> Path:
    """The folder that was named, or the default one, which alone may be absent: then no engine was built.

    Raises:
        InputMissingError: no engine was ever built into the folder that was named.
    """
    folder = named_folder(named, "--engines")
    if folder is None:
        return default_engines_dir()
    if not is_engines_dir(folder):
        raise InputMissingError(f"{folder}: no engine was ever built into it; look at the path, or mount it")
    return absolute(folder)
