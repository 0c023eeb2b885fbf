"""The loop: look at the export folder, find what is owed, do one step of it, look again.

It runs in a thread of its own, since a share that does not answer holds whoever touches it; `service` speaks for it.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edge_ctc.config import CheckedSettings
from edge_ctc.daemon.export import Export
from edge_ctc.daemon.face import Face, WaitFace
from edge_ctc.daemon.growing import Growing
from edge_ctc.daemon.journal import LoopJournal
from edge_ctc.daemon.last_work import LastWork
from edge_ctc.daemon.progress import Stopped
from edge_ctc.daemon.reasons import reason_of
from edge_ctc.daemon.run_folder import RunFolder, RunFolders
from edge_ctc.daemon.sole_hold import SoleHold
from edge_ctc.daemon.wakeups import Bell, WakeUps
from edge_ctc.daemon.work import Work
from edge_ctc.doctor.mounts import Mount
from edge_ctc.errors import ResultsHeldError, RunError
from edge_ctc.models import OpenModels
from edge_ctc.results.commit import utc_now

_MOST_BUSY = 64
"""Runs that grow and whose files are remembered at the same time; the others wait until one is over or waits."""
_CHECKING_S = 0.25
"""How long a turn goes on listing runs that were there before; new ones must not wait for an archive."""
_SHORTEST_PAUSE_S = 0.1
"""Between two turns, however many events come."""
_LONGEST_REST_S = 1.0
"""At once: a thread that rests for long looks like one that is stuck."""


class Watcher:
    """Looks and calls until it is told to end.

    Attributes:
        face: what it shows.
        last_work: which run is being called.
    """

    def __init__(self, checked: CheckedSettings, models: OpenModels, journal: LoopJournal, state: Path) -> None:
        """Nothing is opened yet; `state` is the daemon's own folder."""
        self._settings, self._checkpoint = checked.settings, checked.checkpoint
        self._models, self._journal, self._stop = models, journal, threading.Event()
        self._export = Export(checked.settings, checked.profile.profile, state)
        self._hold = SoleHold(self._export.results_root)
        self._bell = Bell()
        self._wake_ups = WakeUps(self._bell, deep=checked.profile.profile.layout != "per-cell")
        self._observed: Mount | None = None
        self._folders = RunFolders()
        self.last_work = LastWork(state)
        self._canary_at = 0.0
        self._has_held = False
        self.face = Face()
        self._work = Work(checked, models, self._export, self._hold, self.face, journal, self.last_work, self._stop)

    def open(self) -> None:
        """Open the engine, built first where it must be, and ask it the reference cells; touches no export folder.

        Raises:
            EngineError, UnavailableError, CheckpointError, ConfigError: nothing may be called on this machine now.
        """
        self._ask_reference_cells()
        self._journal.started(self.face.engine, self._settings.export_dir)

    def run(self) -> None:
        """Turn until told to end.

        Raises:
            EngineError: the engine failed, or answers otherwise than at the start.
            ResultsHeldError: another process writes results where this one would.
        """
        try:
            while not self._stop.is_set():
                self._rest_until(self._turn())
        except Stopped:
            pass
        finally:
            self._wake_ups.stop()
            self._hold.release()

    def end(self) -> None:
        """End between two batches; may be called from another thread."""
        self._stop.set()
        self._bell.wake("")

    def _ask_reference_cells(self) -> None:
        """The canary: raises EngineError where the running engine answers otherwise than its checkpoint says."""
        engine, _ = self._models.engine(self._models.checkpoint(self._checkpoint))
        self.face.engine = engine.description
        self._canary_at = time.monotonic() + 60 * self._settings.canary_every_min

    def _rest_until(self, wake_at: float) -> None:
        while (left := wake_at - time.monotonic()) > 0:
            if self._bell.wait(min(left, _LONGEST_REST_S)):
                # One write is several events, and one image seldom comes alone.
                self._stop.wait(_SHORTEST_PAUSE_S)
                return

    def _turn(self) -> float:
        """Look, and do the most urgent step; gives when the next turn is due, monotonic seconds."""
        now = self.face.looking_since = time.monotonic()
        heard = self._export.runs_of(self._bell.heard())
        try:
            present = self._look(now)
        except RunError as error:
            if isinstance(error, ResultsHeldError) and not self._has_held:
                raise
            self._away(error, now)
            self.face.looking_since = None
            return now + self._settings.look_every_s
        for folder in present:
            if folder.may_look(now):
                # All finished runs were listed at one time and are due at one time: not all of them in one turn.
                has_time = time.monotonic() - now < _CHECKING_S
                self._work.look(folder, now, is_hinted=folder.path in heard, has_time=has_time)
        self._check_some(present)
        due = self._most_urgent(present)
        self.face.looking_since = None
        self._folders.show(self.face)
        if due is not None:
            self._work.step(due)
            self._folders.show(self.face)
            return now  # more may be due, and what came meanwhile is looked at first
        if now >= self._canary_at:
            self._ask_reference_cells()
        return self._next_turn(present, now)

    def _look(self, now: float) -> list[RunFolder]:
        """The run folders that are there.

        Raises:
            RunError: that cannot be told, or results cannot be written.
        """
        paths = self._export.runs()
        self._observe()
        self._hold.take()
        self._has_held = True
        self._hold.mend(self._export.results_root)
        if self.face.away is not None:
            self._journal.share_back(now - self.face.away.since)
            self.face.away = None
            self._folders.begin_anew()
        self.face.last_look_at_utc = utc_now()
        self._tell_unlisted(now)
        return self._folders.present(paths, now)

    def _tell_unlisted(self, now: float) -> None:
        """A folder above runs that cannot be listed keeps its runs as they were, and none but them waiting."""
        error, before = self._export.unlisted, self.face.unlisted
        self.face.unlisted = None
        if error is None and before is not None:
            self._journal.recovered("")
        if error is not None:
            reason = f"a folder {reason_of(error)}"
            self.face.unlisted = WaitFace("", reason, before.since if before else now)
            self._journal.waits("", reason)

    def _observe(self) -> None:
        if self._observed == self._export.mount and self._wake_ups.are_wanted == (not self._export.is_share):
            return
        self._observed = self._export.mount
        if self._export.is_share:
            self._wake_ups.stop()
        else:
            self._wake_ups.observe(Path(self._settings.export_dir))

    def _away(self, error: RunError, now: float) -> None:
        reason, before = reason_of(error), self.face.away
        if before is None or before.reason != reason:
            self.face.failures[reason] += 1
        self.face.away = WaitFace("", reason, before.since if before else now)
        self._journal.share_away(reason)

    def _check_some(self, present: Sequence[RunFolder]) -> None:
        """Find out of folders whether anything is owed to them: of some, of one at least however slow a share is."""
        now = time.monotonic()
        unchecked = [folder for folder in present if folder.state == "unchecked" and folder.may_look(now)]
        # Those without results first: all of it is owed to them.
        unchecked.sort(key=lambda folder: self._export.may_have_results(folder.path))
        began = time.monotonic()
        for folder in unchecked:
            if self._folders.busy >= _MOST_BUSY or self._stop.is_set():
                return
            self._work.check(folder)
            if time.monotonic() - began > _CHECKING_S:
                return

    def _most_urgent(self, present: Sequence[RunFolder]) -> RunFolder | None:
        """Of the folders whose step is due, the one whose last file came first; those that ended a daemon come last."""
        now = time.monotonic()
        due = [
            (self.last_work.ends(str(folder.path)), folder.state.changed_at, folder)
            for folder in present
            if isinstance(folder.state, Growing)
            and folder.is_step_due(now)
            and self.last_work.may_begin(str(folder.path), now)
        ]
        return min(due, key=lambda one: one[:2])[2] if due else None

    def _next_turn(self, present: Sequence[RunFolder], now: float) -> float:
        has_room = self._folders.busy < _MOST_BUSY
        due = [
            folder.look_at(now)
            for folder in present
            if isinstance(folder.state, Growing) or (has_room and folder.state == "unchecked")
        ]
        return min([*due, now + self._settings.look_every_s])
