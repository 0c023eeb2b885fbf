"""`<run>.ctc-gallery.html` beside the calls that it shows."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from edge_ctc.gallery.called_run import CalledRun
from edge_ctc.gallery.collect import collect
from edge_ctc.gallery.page import render
from edge_ctc.gallery.thumbnails import Miniature
from edge_ctc.results.commit import ResultPlace, are_its_calls
from edge_ctc.results.committed import committed_calls
from edge_ctc.results.manifest import Manifest
from edge_ctc.trust import Trust

_HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn.

    Attributes:
        trust: whether the run is to be trusted, as the page says.
        without_picture: cells that lack a picture: an image is gone, cannot be read, or is not the one that was called.
    """

    trust: Trust
    without_picture: int


def write_gallery(
    called: CalledRun,
    place: ResultPlace,
    miniatures: Mapping[str, Miniature],
    also: Collection[str],
    advanced: Callable[[int], None],
) -> Drawn:
    """Draw the committed calls.

    Args:
        called: the images.
        place: of the calls.
        miniatures: by cell id, of the images that were called; of a cell that is not among them, the images are read.
        also: ids of leukocytes that are shown in all channels, too.
        advanced: told how many cells more are done.

    Raises:
        NotARunError: there are no committed calls.
        ResultsError: they cannot be read, or the page cannot be written; an earlier one then still stands.
        RunUnreadableError: the images cannot be read now.
    """
    durable.mend(place.gallery)
    manifest, calls = committed_calls(place)
    page = collect(called, manifest, calls, miniatures, also, advanced)
    content = render(page).encode()
    if not are_its_calls(place, manifest):
        raise ResultsError(f"{place.gallery}: the run was called again while its page was drawn; draw it once more")
    durable.write_bytes(place.gallery, content)
    return Drawn(page.trust, page.without_picture)


def shows(place: ResultPlace, manifest: Manifest) -> bool:
    """Whether the page that stands there shows the calls of `manifest`, which its head names.

    Raises:
        ResultsError: it cannot be read.
    """
    try:
        with place.gallery.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ResultsError(
            f"{place.gallery}: cannot be read ({error.strerror}); take away what stands there, or free the rights"
        ) from error
    return manifest.calls.sha256.encode() in head
