"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ProfileOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="How the export is laid out: flat, per-cell, multipage, montage, or a TOML file. Without it the one "
        "built-in profile that accounts for every file is taken.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results. Without it they go beside the run's folder."),
]
