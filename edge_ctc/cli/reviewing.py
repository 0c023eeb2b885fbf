"""`edge-ctc review import | agreement | labels | recovery`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode, exit_code
from edge_ctc.cli.options import ProfileOption, named_folder
from edge_ctc.console.reviewing import (
    print_agreement,
    print_imported,
    print_json_agreement,
    print_json_failure,
    print_json_imported,
    print_json_labels,
    print_json_recovery,
    print_labels,
    print_recovery,
)
from edge_ctc.errors import EdgeCtcError
from edge_ctc.exports.listing import absolute
from edge_ctc.exports.profile import load_profile
from edge_ctc.plan import result_place
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.agreement import agreement as agreement_of
from edge_ctc.review.importing import Changed, Imported, import_review
from edge_ctc.review.labelling import make_labels, read_patients, write_labels
from edge_ctc.review.recovery import DEFINITE, Wanted, write_recovery
from edge_ctc.review.reviewed import CTC_FROM
from edge_ctc.review.sizes import MeasuredSizes

review_commands = typer.Typer(
    no_args_is_help=True,
    help="What physicians say of a called run's cells: taken in, compared, as labels, as the list of cells to recover.",
)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run that has been called.")]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder that holds the calls of this run. Without it they are looked for beside the run's folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]


@review_commands.command("import")
def import_reviews(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Review files that the gallery's page saved.")],
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Folder of the run that was read. Without it the results are looked for beside FILE."
        ),
    ] = None,
    out: ResultsOption = None,
    leave_out_changed: Annotated[
        bool, typer.Option("--leave-out-changed", help="Leave out cells whose images changed since they were read.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Add what a physician said in the gallery to RUN.ctc-review.csv beside the calls.

    A file is taken whole or not at all: each cell must be in the calls that stand there now, with the images that were
    read; with --leave-out-changed the other cells are taken, and it ends with 2. Calls and manifest are never touched,
    and no reading that is there is changed: of two by one reader the later counts. A file that was imported before adds
    nothing. With several files the first that is refused ends the command; those before it are in.

    Examples: edge-ctc review import P07.Rossi.ctc-review.json

    edge-ctc review import ~/Downloads/P07.Rossi.ctc-review.json --run /data/exports/P07
    """
    imported: list[Imported] = []
    changed: Changed = "leave out" if leave_out_changed else "refuse"
    try:
        for file in files:
            path = _file(file)
            imported.append(import_review(path, _named(path, run, out), changed))
            if not as_json:
                print_imported(imported[-1])
    except EdgeCtcError as error:
        if as_json:
            print_json_imported(imported, exit_code(error), str(error))
        raise
    code = ExitCode.PARTLY_DONE if any(one.left_out for one in imported) else ExitCode.DONE
    if as_json:
        print_json_imported(imported, code)
    return code


def _file(named: str) -> Path:
    if not named:
        raise typer.BadParameter("FILE is empty; name a file that the gallery's page saved")
    return Path(named)


def _named(file: Path, run: str | None, out: Path | None) -> ResultPlace | Path:
    """The results of the run that was named, or the folder in which those of the run in the file are looked for."""
    return absolute(named_folder(out, "--out") or file.parent) if run is None else _place(run, out)


def _place(run: str, out: Path | None) -> ResultPlace:
    if not run:
        raise typer.BadParameter("RUN is empty; name the folder of one called run")
    return result_place(Path(run), named_folder(out, "--out"))


@contextmanager
def _told_as_json(as_json: bool) -> Iterator[None]:
    try:
        yield
    except EdgeCtcError as error:
        if as_json:
            print_json_failure(error, exit_code(error))
        raise


@review_commands.command()
def agreement(run: RunArgument, out: ResultsOption = None, as_json: JsonOption = False) -> None:
    """Show how far the readers of a run agree with each other and with the machine.

    Of each reader the last reading of each cell counts; grades 3 and 4 are CTC, 1 and 2 are not. Percent, Cohen's kappa
    with its 95 % interval, blind readings apart, what readers made of REVIEW cells, and each cell on which not all
    agree. Changes nothing.

    Example: edge-ctc review agreement /data/exports/P07
    """
    with _told_as_json(as_json):
        found = agreement_of(_place(run, out))
    if as_json:
        print_json_agreement(found)
    else:
        print_agreement(found)


@review_commands.command()
def labels(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Folders of runs that have been reviewed.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the labels; nothing may stand there.")],
    patient: Annotated[str | None, typer.Option(metavar="NAME", help="Whose the run is; with one RUN.")] = None,
    patients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of run_id,patient: whose each run is.")
    ] = None,
    definite: Annotated[
        bool, typer.Option("--definite", help="Only cells that all their readers grade 1 or 4.")
    ] = False,
    out: ResultsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the graded cells of runs as the labels.csv that the trainer reads.

    A row for each reader and cell: CTC from grade 3 on, LEUKOCYTE below. Cells marked debris are left out. Patients are
    not known here and must be named: a trainer that does not know whose a cell is trains and tests on the same patient.

    Examples: edge-ctc review labels /data/exports/P07 --patient P07 --to labels.csv

    edge-ctc review labels /data/exports/P07 /data/exports/P08 --patients patients.csv --to labels.csv
    """
    with _told_as_json(as_json):
        places = [_place(run, out) for run in runs]
        if len({(place.folder, place.run_id) for place in places}) != len(places):
            raise typer.BadParameter("a RUN is named twice; name each once")
        made = make_labels(places, _patients(places, patient, patients), 2 if definite else 1)
        write_labels(absolute(to), made.rows)
    if as_json:
        print_json_labels(to, made)
    else:
        print_labels(to, made)


def _patients(places: list[ResultPlace], patient: str | None, patients: Path | None) -> dict[str, str]:
    if (patient is None) == (patients is None):
        raise typer.BadParameter("say whose the runs are: --patient NAME, or --patients FILE with run_id,patient")
    if patients is not None:
        return read_patients(patients)
    if len(places) > 1:
        raise typer.BadParameter("--patient is for one RUN; for several, --patients FILE with run_id,patient")
    return {places[0].run_id: patient or ""}


@review_commands.command()
def recovery(
    run: RunArgument,
    controls: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="So many leukocytes as controls: called LEUKOCYTE, graded 1 by all, of a confirmed cell's size.",
        ),
    ] = 0,
    definite: Annotated[
        bool, typer.Option("--definite", help="Only cells that all their readers grade 4, definitely a CTC.")
    ] = False,
    profile: ProfileOption = None,
    out: ResultsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write RUN.recovery.csv beside the calls: the cells that people confirmed, by id and cage.

    Confirmed is a cell that somebody graded, all its readers 3 or 4, and none of them marks as debris or doubt. No
    cell is on the list by the machine's verdict alone. Ids and cages stand there exactly as the instrument wrote
    them. Controls are matched in size, for which the run's images must be there. Ends with 2 where cells were left
    out, since they were read on other images than were called.

    Examples: edge-ctc review recovery /data/exports/P07

    edge-ctc review recovery /data/exports/P07 --definite --controls 10
    """
    with _told_as_json(as_json):
        wanted = Wanted(DEFINITE if definite else CTC_FROM, controls)
        place = _place(run, out)
        sizes = MeasuredSizes(Path(run), place, None if profile is None else load_profile(profile))
        made = write_recovery(place, wanted, sizes.diameter_px)
    code = ExitCode.PARTLY_DONE if made.stale else ExitCode.DONE
    if as_json:
        print_json_recovery(made, code)
    else:
        print_recovery(made, controls)
    return code
