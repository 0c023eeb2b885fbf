"""`edge-ctc report`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode
from edge_ctc.cli.options import OutOption, ProfileOption
from edge_ctc.console.lines import progress, say, say_error
from edge_ctc.errors import DataError, NotARunError
from edge_ctc.exports.listing import display_name
from edge_ctc.exports.profile import load_profile
from edge_ctc.gallery.called_run import open_called
from edge_ctc.gallery.writing import write_gallery
from edge_ctc.plan import result_place
from edge_ctc.results.committed import committed_calls
from edge_ctc.review.hold import sole_reviewer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that has been called.")],
    profile: ProfileOption = None,
    out: OutOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="CELL", help="Show this cell in all channels, too; may be given several times."),
    ] = None,
) -> int:
    """Draw the gallery of a called run: one page that opens in any browser, without internet.

    Writes RUN.ctc-gallery.html beside the calls, as `classify-run` and the daemon do when a run is complete. Candidates
    first, in their order, every channel at one display range for the run. Readings are made in the page by keyboard
    and leave it as a file for `edge-ctc review import`. Opened with #blind at the end of its address, the page shows
    no verdict to a second reader. Ends with 2 where cells lack a picture; where no image is there any more, the page
    that stands is left as it is.

    Examples: edge-ctc report /data/exports/2026-11-23_P07

    edge-ctc report /data/exports/2026-11-23_P07 --also 0160 --also 0226
    """
    place = result_place(run, out)
    loaded = None if profile is None else load_profile(profile)
    manifest, calls = committed_calls(place)
    if unknown := sorted(set(also or ()) - {call.cell_id for call in calls if call.score is not None}):
        raise DataError(f"--also {display_name(unknown[0])}: no evaluable cell of this run has this id")
    called = open_called(run, loaded, manifest)
    if manifest.cells.called and not called.cells:
        raise NotARunError(f"{run}: no image of its {manifest.cells.called} called cells is there; put them back first")
    with sole_reviewer(place), progress("drawing", manifest.cells.called) as advanced:
        drawn = write_gallery(called, place, {}, also or (), advanced)
    say(f"trust in the run: {drawn.trust.light}")
    if drawn.without_picture:
        say_error(
            f"{drawn.without_picture} of {manifest.cells.called} cells lack a picture: an image is gone, cannot be "
            "read, or is not the one that was called"
        )
    say(f"for a blind reading: {place.gallery.as_uri()}#blind")
    say(str(place.gallery))
    return ExitCode.PARTLY_DONE if drawn.without_picture else ExitCode.DONE
