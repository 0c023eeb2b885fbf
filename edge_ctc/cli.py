"""The commands. Errors become exit codes here and nowhere else."""

import gc
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edge_ctc import __version__, console
from edge_ctc.classify import Outcome, classify_run
from edge_ctc.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EdgeCtcError,
    EngineError,
    InputMissingError,
    NotARunError,
    ResultsError,
    ResultsHeldError,
    RunError,
    RunMissingError,
    RunUnreadableError,
)
from edge_ctc.exports.profile import load_profile
from edge_ctc.gallery import draw_candidates
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request, result_place
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import compare_with_truth


class ExitCode(IntEnum):
    """0, 2, else BSD's sysexits."""

    DONE = 0
    NOT_ALL_EVALUABLE = 2
    USAGE = 64
    DATA = 65
    INPUT_MISSING = 66
    INTERNAL = 70
    CANNOT_WRITE = 73
    TEMPORARY = 75
    CONFIG = 78
    INTERRUPTED = 130


_EXIT_CODES: tuple[tuple[type[EdgeCtcError], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG),
    (CheckpointError, ExitCode.DATA),
    (InputMissingError, ExitCode.INPUT_MISSING),
    (DataError, ExitCode.DATA),
    (EngineError, ExitCode.INTERNAL),
    (RunMissingError, ExitCode.INPUT_MISSING),
    (NotARunError, ExitCode.DATA),
    (RunUnreadableError, ExitCode.TEMPORARY),
    (ResultsHeldError, ExitCode.TEMPORARY),
    (ResultsError, ExitCode.CANNOT_WRITE),
)

_RECORDS_PER_COLLECTION = 100_000

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Call circulating tumor cells in exported DEPArray runs. For research use only, not for diagnosis.",
)


def exit_code(error: EdgeCtcError) -> ExitCode:
    """The exit code that says how far `error` reaches."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), ExitCode.INTERNAL)


def main() -> None:
    """The `edge-ctc` command."""
    collect_rarely()
    run_app(app, "edge-ctc")


def collect_rarely() -> None:
    """Look for cycles of garbage less often than Python does by default.

    A run is 100,000 small records without a cycle among them: looking for cycles in them at the usual pace took a
    quarter of the time of a second call.
    """
    gc.freeze()
    gc.set_threshold(_RECORDS_PER_COLLECTION)


def run_app(commands: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a typer app on the process's arguments, or on `arguments`, and exit.

    Every failure ends in one plain line on standard error and its exit code.
    """
    try:
        result = commands(arguments, prog_name=name, standalone_mode=False)
    except EdgeCtcError as error:
        console.say_error(str(error))
        sys.exit(exit_code(error))
    except typer.TyperException as error:
        console.say_error(error.format_message(), hint=f"`{name} --help` shows how it is used")
        sys.exit(ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        result = ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001 - the outermost border: a fault of ours must still end with its own code
        traceback.print_exc()
        sys.exit(ExitCode.INTERNAL)
    # typer itself turns an interrupt into this code.
    if result == ExitCode.INTERRUPTED:
        console.say_error("interrupted; what stood in the place of the results still stands")
    sys.exit(result if isinstance(result, int) else ExitCode.DONE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-ctc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end."),
    ] = False,
) -> None:
    """Nothing but `--version` comes before a command."""


_Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="How the export is laid out: flat, multipage, or a TOML file. Without it the one built-in profile "
        "that accounts for every file is taken.",
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results. Without it they go beside the run's folder."),
]


@app.command("classify-run")
def classify_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Folders, one exported run each.")],
    profile: _Profile = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The trainer's checkpoint. Without it the shipped reference whose channels the profile declares: "
            "a demonstration, for no clinical use.",
        ),
    ] = None,
    out: _Out = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document instead of lines; progress goes to standard error."),
    ] = False,
) -> int:
    """Call every cell of exported runs.

    Writes RUN.ctc-calls.csv, one ranked row per cell, and RUN.ctc-run.json, the manifest that commits it. A run that
    is unchanged since is left alone. Ends with 0; with 2 where a cell or run was not evaluable.

    Example: edge-ctc classify-run /data/exports/2026-11-23_P07
    """
    folders = _folders(runs, out)
    ended: list[console.Ended] = []
    try:
        loaded = None if profile is None else load_profile(profile)
        with OpenModels() as models, console.RunReporter(quiet=as_json) as reporter:
            for run in folders:
                outcome = _ended(Request(run, loaded, checkpoint, out), models, reporter)
                ended.append(console.Ended(run, outcome))
        code = _code_of([one.outcome for one in ended])
    except EdgeCtcError as error:
        if as_json:
            code = exit_code(error)
            stopped = [console.Ended(run, console.Failure(error, code)) for run in folders[len(ended) :]]
            console.print_json_report([*ended, *stopped], code)
        raise
    if as_json:
        console.print_json_report(ended, code)
    return code


def _ended(request: Request, models: OpenModels, reporter: console.RunReporter) -> Outcome | console.Failure:
    try:
        outcome = classify_run(request, models, reporter)
    except RunError as error:
        reporter.failed(error)
        return console.Failure(error, exit_code(error))
    reporter.finished(outcome)
    return outcome


def _folders(runs: list[str], out: Path | None) -> list[Path]:
    if "" in runs:
        raise typer.BadParameter("RUN is empty; name the folder of one exported run")
    folders = [Path(run) for run in runs]
    places = [(place.folder, place.run_id.casefold()) for place in (result_place(run, out) for run in folders)]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise typer.BadParameter(f"{run}: another RUN would write to the same place in {place[0]}; call them apart")
    return folders


def _code_of(ended: list[Outcome | console.Failure]) -> ExitCode:
    done = [one for one in ended if isinstance(one, Outcome)]
    worst = [ExitCode(one.exit_code) for one in ended if isinstance(one, console.Failure)]
    again = [code for code in worst if code not in (ExitCode.DATA, ExitCode.INPUT_MISSING)]
    if again or (worst and not done):
        return (again or worst)[0]
    if worst or any(outcome.manifest.cells.not_evaluable for outcome in done):
        return ExitCode.NOT_ALL_EVALUABLE
    return ExitCode.DONE


@app.command()
def candidates(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that has been called.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many candidates.")] = 10,
    profile: _Profile = None,
    out: _Out = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of cell_id,label to compare the calls with.")
    ] = None,
) -> None:
    """Show the top candidates of a called run.

    Prints a table, and draws every channel of each candidate into RUN.ctc-gallery beside the calls, at one display
    range for the run.
    """
    place = result_place(run, out)
    loaded = None if profile is None else load_profile(profile)
    comparison = None if truth is None else compare_with_truth(place, truth)
    with console.progress("drawing", top) as advanced:
        gallery = draw_candidates(run, place, loaded, top, lambda: advanced(1))
    console.print_gallery(gallery)
    if comparison is not None:
        console.print_truth(comparison)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The run's folder, which does not exist yet.")],
    cells: Annotated[int, typer.Option(min=1, help="All cells of the run.")] = 1000,
    ctcs: Annotated[int | None, typer.Option(min=0, help="How many of them are CTCs; ten, or all of fewer.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="One seed is one patient; the same seed gives the same cells.")] = 0,
    layout: Annotated[Layout, typer.Option(help="How the run lies on the disk.")] = Layout.FLAT,
    rate: Annotated[
        float | None, typer.Option(metavar="CELLS_PER_SECOND", help="Write as slowly as an instrument does.")
    ] = None,
) -> None:
    """Write a simulated run with known truth.

    Writes the run into OUT, and the truth beside it into OUT.truth.csv.

    Example: edge-ctc simulate demo/run --cells 300 --ctcs 12 --seed 7
    """
    ctcs = min(10, cells) if ctcs is None else ctcs
    with console.progress("simulating", cells) as advanced:
        write_run(out, cells, ctcs, seed, layout, rate, advanced)
    console.say(f"{out}: {cells} cells, {ctcs} of them CTC; truth in {out}.truth.csv")
