"""`edge-ctc doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode
from edge_ctc.cli.options import EnginesOption, named_folder
from edge_ctc.console.doctor import print_findings, print_json_findings
from edge_ctc.doctor.examine import Question, examine
from edge_ctc.doctor.findings import is_faultless
from edge_ctc.engine.places import default_engines_dir


def _untouched(path: str) -> Path:
    """An absolute path: typer's own asks the disk for each, and a share that is gone never answers."""
    if not path:
        raise typer.BadParameter("it is empty; name a folder")
    return Path(path).absolute()


def doctor(
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=_untouched, help="The folder that the instrument exports runs into."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=_untouched,
            help="Where results go. Without it beside the runs, in the export folder.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=_untouched, help="The trainer's checkpoint. Without it the shipped references."
        ),
    ] = None,
    engines: EnginesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> int:
    """Look at this machine: what calling needs, what is broken, and what mends it.

    A line each for driver, GPU, runtimes, PyCUDA, engines, checkpoints, disk, export folder, rights to write the
    results, and clock: ok; warning, where cells can be called all the same; or fault, where something that was named
    or installed is broken. Ends with 0; with 2 where there is a fault.

    Changes nothing: one hidden file is made where results go, and removed at once. Names no run and no cell.

    Example: edge-ctc doctor --export /data/exports
    """
    named = named_folder(engines, "--engines")
    asked = Question(export, out, checkpoint, (named or default_engines_dir()).absolute(), named is not None)
    findings = examine(asked)
    (print_json_findings if as_json else print_findings)(findings)
    return ExitCode.DONE if is_faultless(findings) else ExitCode.PARTLY_DONE
