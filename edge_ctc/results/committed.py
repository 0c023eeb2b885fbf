"""The calls of a run as a person asks for them."""

from edge_ctc.errors import NotARunError
from edge_ctc.results.calls import Call, read_calls
from edge_ctc.results.commit import ResultPlace, read_committed
from edge_ctc.results.manifest import Manifest


def committed_calls(place: ResultPlace) -> tuple[Manifest, list[Call]]:
    """The manifest and the calls that it commits, in file order: ranked.

    Raises:
        NotARunError: there are none, or they do not match.
        ResultsError: they cannot be read.
    """
    manifest = read_committed(place)
    if manifest is None:
        if place.manifest.exists() and place.calls.exists():
            raise NotARunError(
                f"{place.calls}: was changed after it was committed; `edge-ctc classify-run` keeps it as an "
                ".edited.csv beside and makes the calls anew"
            )
        raise NotARunError(f"{place.calls}: no committed calls; run `edge-ctc classify-run` first")
    return manifest, read_calls(place.calls)
