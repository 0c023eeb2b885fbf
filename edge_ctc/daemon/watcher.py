"""The loop: look at the export folder, find what is owed, do one step of it, look again.

It runs in a thread of its own, since a share that does not answer holds whoever touches it; `service` speaks for it.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc.classify import Step, classify_seen, finished_before
from edge_ctc.config import CheckedSettings
from edge_ctc.daemon.export import Export
from edge_ctc.daemon.face import Face, WaitFace
from edge_ctc.daemon.finished import Finished
from edge_ctc.daemon.growing import Growing
from edge_ctc.daemon.sole_hold import SoleHold
from edge_ctc.daemon.status import RunCounts, RunSummary
from edge_ctc.daemon.wakeups import Bell, WakeUps
from edge_ctc.errors import NotARunError, ResultsError, ResultsHeldError, RunError, RunMissingError, RunUnreadableError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.runs import rests_on
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request
from edge_ctc.results.commit import utc_now
from edge_ctc.results.manifest import Manifest

_MOST_GROWING = 64
"""Runs whose files are remembered at the same time; the others wait for their turn."""
_CHECKING_S = 0.25
"""How long a turn goes on checking runs that were there before; new ones must not wait for an archive."""
_SHORTEST_PAUSE_S = 0.1
"""Between two turns, however many events come."""
_LONGEST_WAIT_S = 5.0
"""Between two tries of what failed: space, rights or a share may be back at any moment."""
_FORGET_S = 3600.0
"""A folder that was not there for so long is forgotten."""


_NOTHING = Step(None, "unchanged", 0, frozenset(), "")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The daemon was told to end."""


class LoopJournal(Protocol):
    """Where the loop tells what happened, about one line a run."""

    def started(self, engine: str, export_dir: str) -> None:
        """The engine answered."""

    def called(self, summary: RunSummary) -> None:
        """The complete calls of a run are committed."""

    def stalls(self, run: str, pending: int, seconds: float) -> None:
        """A run is not complete and did not grow for so long."""

    def waits(self, run: str, reason: str) -> None:
        """Something is owed and cannot be done now."""

    def recovered(self, run: str) -> None:
        """Nothing stands in its way any more."""

    def share_away(self, reason: str) -> None:
        """The export folder, or that of the results, cannot be used."""

    def share_back(self, seconds: float) -> None:
        """It can again, after so long."""


@dataclass(slots=True)
class _Wait:
    """Why nothing can be done for a run, and when it is tried again; monotonic seconds."""

    reason: str
    since: float
    tries: int
    again_at: float


@dataclass(slots=True)
class _Folder:
    """One run folder: what is known of it, and what stands in the way of it."""

    path: Path
    state: Growing | Finished | Literal["unchecked"] = "unchecked"
    wait: _Wait | None = None
    absent_since: float | None = None
    verdicts: dict[str, int] | None = None


class Watcher:
    """Looks and calls until it is told to end.

    Attributes:
        face: what it shows.
        is_ready: set once the engine has answered its reference cells.
    """

    def __init__(self, checked: CheckedSettings, models: OpenModels, journal: LoopJournal) -> None:
        """Nothing is opened yet."""
        self._settings, self._profile = checked.settings, checked.profile
        self._checkpoint_folder = checked.checkpoint
        self._models, self._journal, self._stop = models, journal, threading.Event()
        self._matters = rests_on(self._profile.profile)
        self._export = Export(self._settings, self._profile.profile)
        self._hold = SoleHold(self._export.results_root)
        self._bell = Bell()
        self._wake_ups = WakeUps(self._bell, deep=self._profile.profile.layout != "per-cell")
        self._observed: object = None
        self._folders: dict[Path, _Folder] = {}
        self._canary_at = 0.0
        self._has_held = False
        self.face = Face()
        self.is_ready = threading.Event()

    def run(self) -> None:
        """Open the engine, then turn until told to end.

        Raises:
            EngineError, UnavailableError, CheckpointError, ConfigError: nothing may be called on this machine now.
            ResultsHeldError: another process writes results where this one would.
        """
        try:
            self._begin()
            while not self._stop.is_set():
                self._rest_until(self._turn())
        except Stopped:
            pass
        finally:
            self._wake_ups.stop()
            self._hold.release()

    def _begin(self) -> None:
        self._canary()
        self._journal.started(self.face.engine, self._settings.export_dir)
        # Before the export folder is touched: a share that hangs is told of, and keeps nobody from starting.
        self.is_ready.set()

    def _canary(self) -> None:
        """Send the reference cells through the running engine. Raises EngineError where it answers otherwise."""
        checkpoint = self._models.checkpoint(self._checkpoint_folder)
        engine, _ = self._models.engine(checkpoint)
        self.face.engine = engine.description
        self._canary_at = time.monotonic() + 60 * self._settings.canary_every_min

    def _rest_until(self, wake_at: float) -> None:
        wake_at = max(wake_at, time.monotonic() + _SHORTEST_PAUSE_S)
        rang = False
        # In short waits: a thread that waits for long looks like one that is stuck.
        while not rang and (left := wake_at - time.monotonic()) > 0:
            rang = self._bell.wait(min(left, 1.0))
        if rang:
            # One write is several events, and one image seldom comes alone.
            self._stop.wait(_SHORTEST_PAUSE_S)

    def end(self) -> None:
        """End between two batches; may be called from another thread."""
        self._stop.set()
        self._bell.wake("")

    # One turn

    def _turn(self) -> float:
        """Look, and do the most urgent step; gives when the next turn is due, monotonic seconds."""
        now = time.monotonic()
        heard = self._heard()
        try:
            present = self._look(now)
        except ResultsHeldError as error:
            if not self._has_held:
                raise
            self._away(error, now)
            return now + self._settings.look_every_s
        except RunError as error:
            self._away(error, now)
            self._show()
            return now + self._settings.look_every_s
        for folder in present:
            self._look_at(folder, now, is_hinted=folder.path in heard)
        self._check_some(present)
        self._show()
        if due := self._most_urgent(present):
            self._step(due)
            self._show()
            return now
        if now >= self._canary_at:
            self._canary()
        return self._next_turn(present, now)

    def _heard(self) -> frozenset[Path]:
        """The run folders from inside which events came."""
        export, depth = Path(self._settings.export_dir), len(self._profile.profile.runs.split("/"))
        below = (Path(path) for path in self._bell.heard())
        return frozenset(
            export.joinpath(*path.relative_to(export).parts[:depth]) for path in below if path.is_relative_to(export)
        )

    def _look(self, now: float) -> list[_Folder]:
        """The folders that are there; raises RunError where that cannot be told."""
        paths = self._export.runs()
        if self._observed != self._export.mount:
            self._observe()
        self._hold.take()
        self._has_held = True
        self._hold.mend(self._export.results_root)
        if self.face.away is not None:
            self._journal.share_back(now - self.face.away.since)
            self.face.away = None
            for folder in self._folders.values():
                folder.wait = None
        self.face.last_look_at_utc = utc_now()
        present = [self._folders.setdefault(path, _Folder(path)) for path in paths]
        self._forget_absent(present, now)
        return present

    def _observe(self) -> None:
        self._observed = self._export.mount
        self._wake_ups.stop()
        if not self._export.is_share:
            self._wake_ups.observe(Path(self._settings.export_dir))

    def _forget_absent(self, present: list[_Folder], now: float) -> None:
        there = {folder.path for folder in present}
        for path, folder in list(self._folders.items()):
            if path in there:
                folder.absent_since = None
            elif folder.absent_since is None:
                folder.absent_since = now
            elif now - folder.absent_since > _FORGET_S:
                del self._folders[path]

    def _away(self, error: RunError, now: float) -> None:
        reason = reason_of(error)
        since = self.face.away.since if self.face.away else now
        if self.face.away is None or self.face.away.reason != reason:
            self.face.failures[reason] += 1
        self.face.away = WaitFace("", reason, since)
        self._journal.share_away(reason)

    # One folder

    def _look_at(self, folder: _Folder, now: float, *, is_hinted: bool) -> None:
        try:
            if isinstance(folder.state, Growing):
                folder.state.look(now, is_hinted=is_hinted)
                self._tell_if_stalled(folder, folder.state, now)
            elif isinstance(folder.state, Finished):
                has_results = self._export.has_results(folder.path)
                if folder.state.owes_work(now, has_results=has_results, is_hinted=is_hinted):
                    self._watch_grow(folder, now)
        except RunMissingError:
            return
        except RunError as error:
            self._failed(folder, error)

    def _watch_grow(self, folder: _Folder, now: float) -> None:
        folder.state = Growing(folder.path, self._settings, self._matters, now)
        folder.state.look(now, is_hinted=True)

    def _tell_if_stalled(self, folder: _Folder, growing: Growing, now: float) -> None:
        if growing.is_stalled(now) and not folder.wait:
            self._journal.stalls(folder.path.name, growing.pending, now - growing.changed_at)

    def _check_some(self, present: Iterable[_Folder]) -> None:
        """Find out of folders that were there before whether anything is owed, for a while."""
        began = time.monotonic()
        unchecked = [folder for folder in present if folder.state == "unchecked" and self._may_try(folder, began)]
        growing = sum(isinstance(folder.state, Growing) for folder in self._folders.values())
        try:
            # Those without results first: they are owed all of it.
            unchecked.sort(key=lambda folder: self._export.has_results(folder.path))
        except RunError:
            return
        for folder in unchecked:
            now = time.monotonic()
            if now - began > _CHECKING_S or growing >= _MOST_GROWING or self._stop.is_set():
                return
            self._check(folder, now)
            growing += isinstance(folder.state, Growing)

    def _check(self, folder: _Folder, now: float) -> None:
        try:
            self._hold.mend(self._export.place_of(folder.path).folder)
            if self._export.has_results(folder.path):
                listing = list_files(folder.path)
                if manifest := finished_before(self._request(folder.path), listing, self._models):
                    folder.state = Finished(listing, self._settings, now - self._settings.quiet_s)
                    self._remember(folder, manifest)
                    return
            self._watch_grow(folder, now)
        except RunMissingError:
            return
        except NotARunError:
            self._watch_grow(folder, now)
        except RunError as error:
            self._failed(folder, error)

    def _request(self, run: Path) -> Request:
        return Request(run, self._profile, self._checkpoint_folder, self._export.out_of(run), self._settings.csv)

    @staticmethod
    def _may_try(folder: _Folder, now: float) -> bool:
        return folder.wait is None or now >= folder.wait.again_at

    def _most_urgent(self, present: Iterable[_Folder]) -> _Folder | None:
        """Of the folders whose step is due, the one that has waited longest since a file came."""
        now = time.monotonic()
        due = [
            (folder.state.changed_at, folder)
            for folder in present
            if isinstance(folder.state, Growing)
            and (now >= folder.wait.again_at if folder.wait else folder.state.is_step_due(now))
        ]
        return min(due, key=lambda one: one[0])[1] if due else None

    def _step(self, folder: _Folder) -> None:
        growing = folder.state
        if not isinstance(growing, Growing):
            raise TypeError(f"{folder.path}: {growing}")
        began = time.monotonic()
        try:
            seen = growing.seen(began)
            with self._hold.writer(self._export.place_of(folder.path).folder):
                step = classify_seen(self._request(folder.path), seen, self._models, _Progress(self.face, self._stop))
        except RunMissingError:
            return
        except NotARunError as error:
            if growing.is_quiet(began):
                self._failed(folder, error)
            else:
                growing.stepped(_NOTHING, began)
            return
        except RunError as error:
            self._failed(folder, error)
            return
        finally:
            self.face.calling = None
        growing.stepped(step, began)
        if step.unreadable:
            self._wait(folder, f"a file cannot be read: {step.unreadable}")
        else:
            self._clear(folder)
        if step.manifest is not None and step.manifest.run_state == "complete":
            folder.state = Finished(seen.listing, self._settings, growing.changed_at)
            if step.state == "called":
                self._journal.called(_summary(step.manifest))
            self._remember(folder, step.manifest)
        elif step.manifest is not None:
            folder.verdicts = step.manifest.verdicts

    def _remember(self, folder: _Folder, manifest: Manifest) -> None:
        folder.verdicts = manifest.verdicts
        summaries = [one for one in self.face.recent if one.run != manifest.run_id] + [_summary(manifest)]
        summaries.sort(key=lambda one: one.finished_at_utc)
        self.face.recent = type(self.face.recent)(summaries, self.face.recent.maxlen)

    # What stands in the way

    def _failed(self, folder: _Folder, error: RunError) -> None:
        self._wait(folder, reason_of(error))

    def _wait(self, folder: _Folder, reason: str) -> None:
        now = time.monotonic()
        before = folder.wait
        tries = before.tries + 1 if before else 1
        since = before.since if before else now
        if before is None or before.reason != reason:
            self.face.failures[reason] += 1
        folder.wait = _Wait(reason, since, tries, now + min(2.0 ** (tries - 1), _LONGEST_WAIT_S))
        self._journal.waits(folder.path.name, reason)

    def _clear(self, folder: _Folder) -> None:
        folder.wait = None
        self._journal.recovered(folder.path.name)

    # What is shown

    def _next_turn(self, present: Iterable[_Folder], now: float) -> float:
        due = [folder.state.look_at for folder in present if isinstance(folder.state, Growing)]
        if any(folder.state == "unchecked" and self._may_try(folder, now) for folder in present):
            return now
        return min([*due, now + self._settings.look_every_s])

    def _show(self) -> None:
        now = time.monotonic()
        folders = [folder for folder in self._folders.values() if folder.absent_since is None]
        growing = [folder.state for folder in folders if isinstance(folder.state, Growing)]
        with_files = [one for one in growing if one.holds_something]
        self.face.runs = RunCounts(
            growing=len(with_files),
            stalled=sum(one.is_stalled(now) for one in with_files),
            complete=sum(isinstance(folder.state, Finished) for folder in folders),
            unchecked=sum(folder.state == "unchecked" for folder in folders),
            no_runs=len(growing) - len(with_files),
        )
        self.face.oldest_since = min(
            (one.oldest_since for one in growing if one.oldest_since is not None), default=None
        )
        self.face.waits = tuple(
            WaitFace(folder.path.name, folder.wait.reason, folder.wait.since) for folder in folders if folder.wait
        )
        totals: dict[str, int] = {}
        for folder in folders:
            for verdict, count in (folder.verdicts or {}).items():
                totals[verdict] = totals.get(verdict, 0) + count
        self.face.verdicts = totals


class _Progress:
    """A `classify.Reporter` that shows the loop's work, and ends it between two batches when it is told to."""

    def __init__(self, face: Face, stop: threading.Event) -> None:
        self._face, self._stop = face, stop
        self._run = ""

    def planned(self, plan: Plan) -> None:
        """Its name is what is shown."""
        self._run = plan.place.run_id

    def put_aside(self, edited: Path) -> None:
        """The journal is no place for it: the file beside the calls says it."""

    def called_before(self, former: Manifest) -> None:
        """As `put_aside`."""

    def started(self, cells: int, reused: int) -> None:
        """Rows that are kept count as done."""
        self._face.calling = self._run, reused, reused + cells
        self._end_if_told()

    def advanced(self, cells: int) -> None:
        """The one place where a run's work is left in the middle."""
        if self._face.calling:
            run, done, owed = self._face.calling
            self._face.calling = run, done + cells, owed
        self._end_if_told()

    def _end_if_told(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _summary(manifest: Manifest) -> RunSummary:
    return RunSummary(
        run=manifest.run_id,
        finished_at_utc=manifest.finished_at_utc,
        run_state=manifest.run_state,
        cells=manifest.cells.total,
        verdicts=manifest.verdicts,
        flags=manifest.flags,
        seconds=manifest.seconds,
        cells_reused=manifest.cells_reused,
    )


_REASONS: tuple[tuple[type[RunError], str], ...] = (
    (RunMissingError, "not there"),
    (NotARunError, "no run by its profile"),
    (RunUnreadableError, "cannot be read"),
    (ResultsHeldError, "its results are held by another process"),
    (ResultsError, "results cannot be written"),
)


def reason_of(error: RunError) -> str:
    """Why, in words that hold no path: the kind of failure and what the system said."""
    kind = next(words for kind, words in _REASONS if isinstance(error, kind))
    cause = error.__cause__
    return f"{kind}: {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else kind
