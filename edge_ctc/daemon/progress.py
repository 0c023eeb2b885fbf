"""Between two batches of a run: it is shown, what arrives is looked at, and the daemon may be told to end."""

import threading
from collections.abc import Callable
from pathlib import Path

from edge_ctc.daemon.face import Face
from edge_ctc.daemon.growing import Growing
from edge_ctc.errors import RunError
from edge_ctc.plan import Plan
from edge_ctc.results.manifest import Manifest


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The daemon was told to end."""


class Progress:
    """A `classify.Reporter` that shows the work, and leaves it between two batches when the daemon is told to end."""

    def __init__(self, face: Face, stop: threading.Event, growing: Growing, edited: Callable[[str], None]) -> None:
        """Nothing is done yet.

        Args:
            face: on which the work is shown.
            stop: set when the daemon is told to end.
            growing: the run that is worked on.
            edited: told the name of the copy of calls that somebody edited.
        """
        self._face, self._stop, self._growing, self._edited = face, stop, growing, edited
        self._run = ""

    def planned(self, plan: Plan) -> None:
        """Its name is what is shown."""
        self._run = plan.place.run_id

    def put_aside(self, edited: Path) -> None:
        """Told by the name of the copy."""
        self._edited(edited.name)

    def called_before(self, former: Manifest) -> None:
        """The calls that are kept say it."""

    def started(self, cells: int, reused: int) -> None:
        """Rows that are kept count as done."""
        self._face.calling = self._run, reused, reused + cells
        self._end_if_told()

    def drawing(self, cells: int) -> None:
        """Shown like the calling of as many cells."""
        self.started(cells, 0)

    def advanced(self, cells: int) -> None:
        """The one place where a run's work is left in the middle."""
        if self._face.calling:
            run, done, owed = self._face.calling
            self._face.calling = run, done + cells, owed
        self._end_if_told()
        # What arrives meanwhile begins to settle. Where it cannot be looked at, the next look says so.
        try:
            self._growing.look(is_hinted=False)
        except RunError:
            self._growing.begin_anew()

    def _end_if_told(self) -> None:
        if self._stop.is_set():
            raise Stopped
