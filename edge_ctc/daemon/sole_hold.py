"""The daemon's hold on the folder that results go to, kept as long as that folder is the same."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from edge_ctc.results.commit import sweep


class SoleHold:
    """Holds the results' root as its only writer, from the first look at which it is there; a share may come and go.

    What a crash left in a folder is closed before anything is written there.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is held yet."""
        self._root = root
        self._identity: tuple[int, int] | None = None
        self._held = contextlib.ExitStack()
        self._swept: set[Path] = set()

    def take(self) -> None:
        """Hold the root, anew where another folder, or another mount, stands in its place.

        Raises:
            ResultsHeldError: another process holds it; the message says which.
            ResultsError: it is not there, or cannot be opened or written.
        """
        try:
            stat = self._root.stat()
        except OSError as error:
            self.release()
            raise ResultsError(f"{self._root}: not there ({error.strerror}); mount it, or make it") from error
        if self._identity == (stat.st_dev, stat.st_ino):
            return
        self.release()
        self._held.enter_context(durable.sole_writer(self._root))
        self._identity = stat.st_dev, stat.st_ino

    def release(self) -> None:
        """Hold nothing any more."""
        self._held.close()
        self._identity = None
        self._swept.clear()

    @contextlib.contextmanager
    def writer(self, folder: Path) -> Iterator[None]:
        """Be the sole writer of `folder`, the root or one below, while the context lasts. Raises as `take`."""
        if folder == self._root:
            yield
            return
        try:
            # Below a root that is there: a folder for the results of a patient, for instance.
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsError(f"{folder}: cannot be made ({error.strerror}); mend the rights there") from error
        with durable.sole_writer(folder):
            yield

    def mend_again(self) -> None:
        """Let `mend` look at every folder once more."""
        self._swept.clear()

    def mend(self, folder: Path) -> None:
        """Close what a crash left in `folder`, once as long as the root is held. Raises as `take`."""
        if folder in self._swept or not os.path.isdir(folder):
            return
        with self.writer(folder):
            sweep(folder)
        self._swept.add(folder)
