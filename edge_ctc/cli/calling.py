"""`edge-ctc classify-run` and `edge-ctc candidates`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_ctc.cells import CsvDialect
from edge_ctc.classify import Outcome, classify_run
from edge_ctc.cli.exits import ExitCode, exit_code
from edge_ctc.cli.options import (
    EnginesOption,
    OutOption,
    ProfileOption,
    StaleEngineOption,
    checkpoint_folder,
    engines_dir,
)
from edge_ctc.console.building import BuildLines
from edge_ctc.console.candidates import print_candidates, print_truth
from edge_ctc.console.runs import Ended, Failure, RunReporter, print_json_report
from edge_ctc.engine_choice import CPU, EngineChooser, EngineSetting
from edge_ctc.errors import EdgeCtcError, RunError, RunMissingError
from edge_ctc.exports.listing import absolute, find_runs
from edge_ctc.exports.profile import LoadedProfile, load_profile
from edge_ctc.gallery.candidates import top_candidates
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request, result_place
from edge_ctc.results.manifest import Manifest
from edge_ctc.truth import compare_with_truth


def classify_runs(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Folders, one exported run each.", show_default=False)
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead of RUN: every run under this folder, by the profile's glob `runs`. With --out, results go to "
            "the same relative paths there.",
        ),
    ] = None,
    profile: ProfileOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The trainer's checkpoint. Without it the shipped reference whose channels the profile declares: "
            "a demonstration, for no clinical use.",
        ),
    ] = None,
    out: OutOption = None,
    csv: Annotated[
        CsvDialect | None,
        typer.Option(help="How the calls are written. Without it as the profile says, which is rfc4180 by default."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|cpu",
            help="Folder of a built engine, whose checkpoint is taken too; or cpu: ONNX Runtime, which needs no "
            "building. Without it the engine that was built for the checkpoint is taken, and cpu where none was.",
        ),
    ] = None,
    engines: EnginesOption = None,
    stale_engine: StaleEngineOption = "rebuild",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document instead of lines; progress goes to standard error."),
    ] = False,
) -> int:
    """Call every cell of exported runs.

    Writes RUN.ctc-calls.csv, one ranked row per cell, and RUN.ctc-run.json, the manifest that commits it. A run that
    is unchanged since is left alone. Ends with 0; with 2 where a cell or run was not evaluable.

    Examples: edge-ctc classify-run /data/exports/2026-11-23_P07

    edge-ctc classify-run --export /data/exports --profile ours.toml
    """
    ended: list[Ended] = []
    named = [Path(run) for run in runs or []]
    try:
        loaded = None if profile is None else load_profile(profile)
        folder = None if checkpoint is None else checkpoint_folder(checkpoint)
        asked = [Request(run, loaded, folder, place, csv) for run, place in _folders(runs or [], export, loaded, out)]
        named = [request.run for request in asked]
        wanted = _wanted(engine)
        # Where an engine is named, no folder of engines is looked into, and it need not be there.
        setting = EngineSetting(wanted, engines_dir(engines if wanted is None else None), stale_engine)
        with (
            BuildLines() as building,
            OpenModels(EngineChooser(setting, building)) as models,
            RunReporter(quiet=as_json) as reporter,
        ):
            ended.extend(Ended(request.run, _ended(request, models, reporter)) for request in asked)
        code = _code_of([one.outcome for one in ended])
    except EdgeCtcError as error:
        if as_json:
            code = exit_code(error)
            stopped = [Ended(run, Failure(error, code)) for run in named[len(ended) :]]
            print_json_report([*ended, *stopped], code)
        raise
    if as_json:
        print_json_report(ended, code)
    return code


def _wanted(engine: str | None) -> Path | Literal["cpu"] | None:
    if engine == "":
        raise typer.BadParameter("--engine is empty; name the folder of a built engine, or cpu")
    return CPU if engine == CPU else None if engine is None else absolute(Path(engine))


def _ended(request: Request, models: OpenModels, reporter: RunReporter) -> Outcome | Failure:
    try:
        outcome = classify_run(request, models, reporter)
    except RunError as error:
        reporter.failed(error)
        return Failure(error, exit_code(error))
    reporter.finished(outcome)
    return outcome


def _folders(
    runs: list[str], export: Path | None, profile: LoadedProfile | None, out: Path | None
) -> list[tuple[Path, Path | None]]:
    """Each run's folder, and the folder for its results."""
    if bool(runs) == (export is not None):
        raise typer.BadParameter("name RUN, one or more folders, or --export with the folder that holds them; not both")
    if export is not None:
        found = [
            run
            for run in find_runs(export, "*" if profile is None else profile.profile.runs)
            if out is None or not absolute(out).is_relative_to(run)
        ]
        if not found:
            raise RunMissingError(
                f"{export}: holds no run folder by the profile's glob; name another folder or profile"
            )
        return [(run, None if out is None else out / run.relative_to(absolute(export)).parent) for run in found]
    if "" in runs:
        raise typer.BadParameter("RUN is empty; name the folder of one exported run")
    folders = [Path(run) for run in runs]
    places = [(place.folder, place.run_id.casefold()) for place in (result_place(run, out) for run in folders)]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise typer.BadParameter(f"{run}: another RUN would write to the same place in {place[0]}; call them apart")
    return [(folder, out) for folder in folders]


def _code_of(ended: list[Outcome | Failure]) -> ExitCode:
    done = [one for one in ended if isinstance(one, Outcome)]
    worst = [ExitCode(one.exit_code) for one in ended if isinstance(one, Failure)]
    again = [code for code in worst if code not in (ExitCode.DATA, ExitCode.INPUT_MISSING)]
    if again or (worst and not done):
        return (again or worst)[0]
    if worst or any(_has_problem(outcome.manifest) for outcome in done):
        return ExitCode.PARTLY_DONE
    return ExitCode.DONE


def _has_problem(manifest: Manifest) -> bool:
    return bool(manifest.cells.not_evaluable or (manifest.table and manifest.table.problem))


def candidates(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that has been called.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many candidates.")] = 10,
    profile: ProfileOption = None,
    out: OutOption = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of cell_id,label to compare the calls with.")
    ] = None,
) -> None:
    """List the top candidates of a called run; their pictures are in its gallery, which `edge-ctc report` draws."""
    place = result_place(run, out)
    loaded = None if profile is None else load_profile(profile)
    comparison = None if truth is None else compare_with_truth(place, truth)
    print_candidates(top_candidates(run, place, loaded, top))
    if comparison is not None:
        print_truth(comparison)
