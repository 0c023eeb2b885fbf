"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_ctc.engine.places import default_engines_dir
from edge_ctc.errors import InputMissingError
from edge_ctc.exports.listing import absolute

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


def engines_dir(named: Path | None) -> Path:
    """The folder that was named, or the default one, which alone may be absent: then no engine was built.

    Raises:
        InputMissingError: the folder that was named is not there.
    """
    if named is not None and not named.is_dir():
        raise InputMissingError(f"{named}: no such folder of engines; look at the path, or mount it")
    return absolute(named or default_engines_dir())
