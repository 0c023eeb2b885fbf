"""What the journal keeps of the daemon: one JSON object a line, about one a run; names of runs, and none of cells."""

import datetime as dt
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

from edge_ctc.console.lines import say
from edge_ctc.daemon.status import RunSummary
from edge_ctc.exports.listing import display_name
from edge_ctc.trust import Light

Level = Literal["INFO", "WARNING", "ERROR"]
Value = str | float | dict[str, int] | None

_PRIORITIES = {"INFO": "<6>", "WARNING": "<4>", "ERROR": "<3>"}
_FIRST_AGAIN_S = 60.0
_LAST_AGAIN_S = 3600.0
_MOST_REMEMBERED = 10_000


class Journal:
    """Writes events to standard output; where nobody reads any more, the daemon goes on without words.

    What lasts is said once, then again after a minute, two, four, and at last every hour, as long as it lasts. Several
    threads may speak.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds, and is not set while the daemon runs."""
        self._clock = clock
        self._with_priority = _is_journal()
        self._speaks = threading.Lock()
        self._lasting: dict[tuple[str, ...], tuple[float, float]] = {}

    def starting(self, software_version: str) -> None:
        """The first line: nothing is opened yet."""
        self._say("INFO", "starting", software_version=software_version)

    def started(self, engine: str, export_dir: str) -> None:
        """The engine answered; the export folder is watched."""
        self._say("INFO", "started", engine=engine, export_dir=export_dir)

    def called(self, summary: RunSummary, trust: Light | None) -> None:
        """The calls of a run are committed, and its gallery is drawn; `trust` None: it stood there already."""
        self._say(
            "INFO",
            "called",
            run=summary.run,
            run_state=summary.run_state,
            cells=summary.cells,
            cells_reused=summary.cells_reused,
            verdicts=summary.verdicts,
            flags=summary.flags,
            seconds=round(summary.seconds, 3),
            trust=trust,
        )

    def edited(self, run: str, kept: str) -> None:
        """Somebody changed a run's calls after they were committed: `kept` is their copy, the run is called again."""
        self._say("WARNING", "edited-calls-kept", run=run, kept=kept)

    def stalls(self, run: str, pending: int, seconds: float) -> None:
        """A run is not complete and does not grow: so many of its files wait, for so many seconds already."""
        self._say_rarely(("stalls", run), run=run, pending=pending, seconds=round(seconds))

    def waits(self, run: str, reason: str) -> None:
        """Something is owed to a run and cannot be done now; `reason` holds no path."""
        self._say_rarely(("waits", run, reason), run=run, reason=reason)

    def recovered(self, run: str) -> None:
        """Nothing stands in a run's way any more; said only of one that was said to wait or to stall."""
        if self._forget(lambda kept: kept[1:2] == (run,)):
            self._say("INFO", "recovered", run=run)

    def share_away(self, reason: str) -> None:
        """The export folder cannot be looked at; nothing is taken for deleted."""
        self._say_rarely(("share-away", "", reason), reason=reason)

    def share_back(self, seconds: float) -> None:
        """It can again, after so many seconds; said only where it was said to be away."""
        if self._forget(lambda kept: kept[0] == "share-away"):
            self._say("INFO", "share-back", seconds=round(seconds))

    def state_not_kept(self, reason: str) -> None:
        """The status file cannot be written: whoever asks for it sees an old one."""
        self._say_rarely(("state-not-kept", "", reason), reason=reason)

    def ending(self, reason: str) -> None:
        """The daemon was told to end."""
        self._say("INFO", "ending", reason=reason)

    def failed(self, reason: str) -> None:
        """The daemon ends by itself: it cannot vouch for what it would write."""
        self._say("ERROR", "failed", reason=reason)

    def _say_rarely(self, what: tuple[str, ...], **values: Value) -> None:
        if self._is_due(what):
            self._say("WARNING", what[0], **values)

    def _is_due(self, what: tuple[str, ...]) -> bool:
        now = self._clock()
        with self._speaks:
            due_at, gap = self._lasting.get(what, (now, _FIRST_AGAIN_S))
            if now < due_at:
                return False
            if len(self._lasting) >= _MOST_REMEMBERED:
                # Months of words that never repeat must not fill the memory; what is forgotten is said again.
                self._lasting.clear()
            self._lasting[what] = (now + gap, min(2 * gap, _LAST_AGAIN_S))
        return True

    def _forget(self, is_over: Callable[[tuple[str, ...]], bool]) -> bool:
        with self._speaks:
            over = [what for what in self._lasting if is_over(what)]
            for what in over:
                del self._lasting[what]
        return bool(over)

    def _say(self, level: Level, event: str, **values: Value) -> None:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        shown = {key: display_name(value) if isinstance(value, str) else value for key, value in values.items()}
        line = json.dumps({"at": at, "level": level, "event": event} | shown)
        with self._speaks:
            say((_PRIORITIES[level] if self._with_priority else "") + line)


def _is_journal() -> bool:
    """Whether standard output is the journal's own socket, which takes a priority from the line (sd-daemon(3)).

    A shell inside a service inherits the variable with another output: device and inode must be the same.
    """
    try:
        stat = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
