"""`edge-ctc probe` and `edge-ctc profile check`: from an export that nobody knows to a proven profile."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode
from edge_ctc.console.lines import say, say_error
from edge_ctc.console.probe import ProbeWatcher, print_survey, print_written
from edge_ctc.console.profile_check import CheckWatcher, print_findings
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import load_profile
from edge_ctc.probe.check import check_profile
from edge_ctc.probe.findings import is_faultless
from edge_ctc.probe.groups import groups_of
from edge_ctc.probe.proposal import propose
from edge_ctc.probe.survey import survey
from edge_ctc.probe.writing import probe_folder, write_probe

profile_commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Profiles: how an export is laid out.")


def probe(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="One exported run that no profile describes yet.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for profile and pictures. Without it FOLDER.ctc-probe.")
    ] = None,
) -> int:
    """Look at an export and propose a profile.

    Writes profile.toml, whose questions a person answers, and one sheet of sample pictures for each channel. Never
    writes inside FOLDER.

    Example: edge-ctc probe /data/exports/2026-11-23_P07
    """
    place = probe_folder(folder, out)
    say(f"looking at {folder}", to_error=True)
    with ProbeWatcher() as watcher:
        found = survey(folder, watcher)
    groups = groups_of(found)
    print_survey(found, groups)
    if found.layout is None:
        say_error(
            f"{found.listing.folder}: no image found whose name tells a cell; name the folder of one exported run"
        )
        return ExitCode.DATA
    proposal = propose(found, groups)
    print_written(write_probe(place, found, proposal), proposal, found.listing.folder)
    return ExitCode.DONE


@profile_commands.callback()
def _profile() -> None:
    """Without it, typer would take the one command below for the group itself."""


@profile_commands.command("check")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The profile's TOML file, or a built-in profile's name.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of one exported run.")],
) -> int:
    """Prove a profile on a run.

    Reads every name, decodes every image and reads the table; writes nothing. Ends with 0 where every file is accounted
    for and every cell can be read; with 2 where files or cells are affected.

    Example: edge-ctc profile check ours.toml /data/exports/2026-11-23_P07
    """
    loaded = load_profile(file)
    say(f"looking at {run}", to_error=True)
    with CheckWatcher() as watcher:
        findings = check_profile(list_files(run), loaded.profile, watcher.decoding)
    print_findings(findings, loaded.profile.name, file, run)
    return ExitCode.DONE if is_faultless(findings) else ExitCode.PARTLY_DONE
