"""`edge-ctc report`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.options import OutOption, ProfileOption
from edge_ctc.console.lines import progress, say
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
) -> None:
    """Draw the gallery of a called run: one page that opens in any browser, without internet.

    Writes RUN.ctc-gallery.html beside the calls, as `classify-run` and the daemon do when a run is complete. Candidates
    first, in their order, every channel at one display range for the run. Readings are made in the page by keyboard
    and leave it as a file for `edge-ctc review import`. Opened with #blind at the end of its address, the page shows
    no verdict to a second reader.

    Example: edge-ctc report /data/exports/2026-11-23_P07
    """
    place = result_place(run, out)
    loaded = None if profile is None else load_profile(profile)
    manifest, _ = committed_calls(place)
    called = open_called(run, loaded, manifest)
    with sole_reviewer(place), progress("drawing", manifest.cells.called) as advanced:
        trust = write_gallery(called, place, {}, advanced)
    say(f"trust in the run: {trust.light}")
    say(f"for a blind reading: {place.gallery.as_uri()}#blind")
    say(str(place.gallery))
