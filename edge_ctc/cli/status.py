"""`edge-ctc status`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode
from edge_ctc.cli.options import named_folder
from edge_ctc.console.status import print_json_sighting, print_sighting
from edge_ctc.daemon.state_folder import Sighting, look_for_daemon, state_folder_to_ask
from edge_ctc.daemon.trend import trends


def status(
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=Path,  # typer's own would call a folder without rights wrong usage
            help="The daemon's state folder. Without it $STATE_DIRECTORY, else the installed service's, "
            "/var/lib/edge-ctc, else ~/.local/state/edge-ctc.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> int:
    """Ask how the daemon is: whether it lives, what it does, what waits, and how the last runs compare with others.

    Reads two small files in the daemon's state folder and nothing else: it touches no share, and the daemon is not
    disturbed. The service's folder is open to root and to its group alone.

    Ends with 0 where a daemon lives and nothing is amiss; with 2 where it lives and a run waits or stalls, or the
    export folder is away; with 69 where none runs, or one does not answer for 15 seconds; with 66 where the folder may
    not be read. A trend that drifts changes no exit code: it is for a person to look at.

    Example: edge-ctc status --json
    """
    folder = (named_folder(state, "--state") or state_folder_to_ask()).absolute()
    sighting = look_for_daemon(folder)
    ended_with = _exit_code(sighting)
    compared = trends(sighting.status.recent) if sighting.status else ()
    if as_json:
        print_json_sighting(sighting, compared, ended_with)
    else:
        print_sighting(sighting, compared)
    return ended_with


def _exit_code(sighting: Sighting) -> ExitCode:
    if not sighting.answers:
        return ExitCode.UNAVAILABLE
    return ExitCode.DONE if sighting.is_well else ExitCode.PARTLY_DONE
