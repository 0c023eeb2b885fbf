"""`edge-ctc watch`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc import __version__
from edge_ctc.console.building import BuildLines
from edge_ctc.console.journal import Journal
from edge_ctc.daemon.service import watch as watch_until_told


def watch(
    config: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The settings; `edge-ctc config check` proves them."),
    ],
) -> None:
    """Be the daemon: watch the export folder, call each new run, and its cells as they come.

    Writes RUN.ctc-calls.csv and RUN.ctc-run.json as classify-run does; partial ones while a run grows. Prints about one
    line of JSON a run; its status, locks and engines lie in $STATE_DIRECTORY, else in ~/.local/state/edge-ctc. Goes on
    until SIGTERM, and ends with 0 then; with another code where nothing may be called.

    Example: edge-ctc watch --config /etc/edge-ctc/edge-ctc.toml
    """
    journal = Journal()
    journal.starting(__version__)
    with BuildLines() as building:
        watch_until_told(config, building, journal)
