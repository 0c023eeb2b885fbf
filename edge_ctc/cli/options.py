"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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
