"""One writer of reviews per folder of results."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from edge_ctc.results.commit import ResultPlace

_NAME = ".ctc-review"


@contextlib.contextmanager
def sole_reviewer(place: ResultPlace) -> Iterator[None]:
    """Be the only one who writes readings and recovery lists in the place's folder.

    The daemon holds the folder itself for as long as it runs, and a physician cannot wait for its end: an empty hidden
    folder of the reviews' own is held instead. It stays, since one that was removed could be held by two.

    Raises:
        ResultsHeldError: another process holds it.
        ResultsError: the place cannot be written, or knows no locks.
    """
    folder = place.folder / _NAME
    _make(folder)
    with durable.sole_writer(folder):
        yield


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"{folder.parent}: cannot be written ({error.strerror}); free space or rights there"
        ) from error
