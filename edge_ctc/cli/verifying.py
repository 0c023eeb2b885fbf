"""`edge-ctc verify-run`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode, exit_code
from edge_ctc.cli.options import checkpoint_folder, named_folder
from edge_ctc.console.verify import VerifyWatcher, print_certificate, print_json_certificate, print_json_failure
from edge_ctc.errors import EdgeCtcError
from edge_ctc.exports.profile import load_profile
from edge_ctc.plan import result_place
from edge_ctc.verify import Asked, Certificate, verify_run


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run that has been called.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that holds the calls of this run. Without it they are looked for beside the run's folder. "
            "Where a daemon's `results` has a folder for each patient or day, it is that one.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The checkpoint that called the run. Without it the folder where it lay then, or a shipped one.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="The profile that called the run: a built-in one, or its TOML file, each byte of it as it was then. "
            "Without it the built-in one that the manifest notes.",
        ),
    ] = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Compute every cell again, with ONNX Runtime on the CPU, and compare."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document instead of lines; progress goes to standard error."),
    ] = False,
) -> int:
    """Check, however much later, that a called run still is what was called.

    Hashes calls, images, table and checkpoint again, and holds rows, sums and the folder against the manifest. Ends
    with 0 only if all of it closes; with 65 where something is not as it was called; with 66 where something that a
    check needs is not there, or an option names another; with 75 where the disk fails or somebody writes meanwhile.
    Changes nothing.

    Example: edge-ctc verify-run /data/exports/P07 --recompute
    """
    if not run:
        raise typer.BadParameter("RUN is empty; name the folder of one called run")
    try:
        named = named_folder(checkpoint, "--checkpoint")
        asked = Asked(
            run=Path(run),
            place=result_place(Path(run), out),
            profile=None if profile is None else load_profile(profile),
            checkpoint=None if named is None else checkpoint_folder(named),
            recompute=recompute,
        )
        with VerifyWatcher() as watcher:
            certificate = verify_run(asked, watcher)
    except EdgeCtcError as error:
        if as_json:
            print_json_failure(error, exit_code(error))
        raise
    code = _code_of(certificate)
    if as_json:
        print_json_certificate(certificate, code)
    else:
        print_certificate(certificate)
    return code


def _code_of(certificate: Certificate) -> ExitCode:
    if certificate.count("fault"):
        return ExitCode.DATA
    return ExitCode.DONE if certificate.closes else ExitCode.INPUT_MISSING
