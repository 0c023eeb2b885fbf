"""What is done for one run folder: found out whether anything is owed, and called step by step."""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge_ctc.classify import Step, classify_seen, finished_before
from edge_ctc.config import CheckedSettings
from edge_ctc.daemon.export import Export
from edge_ctc.daemon.face import Face
from edge_ctc.daemon.finished import Finished
from edge_ctc.daemon.growing import Growing
from edge_ctc.daemon.journal import RunJournal
from edge_ctc.daemon.last_work import LastWork
from edge_ctc.daemon.reasons import reason_of
from edge_ctc.daemon.run_folder import RunFolder
from edge_ctc.daemon.settling import Rules
from edge_ctc.daemon.sole_hold import SoleHold
from edge_ctc.daemon.status import RunSummary
from edge_ctc.errors import NotARunError, ResultsError, RunError, RunMissingError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.runs import is_sentinel, rests_on
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request
from edge_ctc.results.manifest import Manifest

_NOTHING = Step(None, "unchanged", is_done=False, pending=0)


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The daemon was told to end."""


class Work:
    """Works for one daemon, on one run at a time."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a daemon consists of
        self,
        checked: CheckedSettings,
        models: OpenModels,
        export: Export,
        hold: SoleHold,
        face: Face,
        journal: RunJournal,
        last: LastWork,
        stop: threading.Event,
    ) -> None:
        """Nothing is done yet; `stop` ends the work between two batches."""
        self._checked, self._settings = checked, checked.settings
        self._models, self._export, self._hold = models, export, hold
        self._face, self._journal, self._last, self._stop = face, journal, last, stop
        profile = checked.profile.profile
        self._rules = Rules(rests_on(profile), lambda name: is_sentinel(name, profile))

    def check(self, folder: RunFolder) -> None:
        """Find out of an unchecked folder whether anything is owed."""
        with_results = self._export.has_results
        self._try(folder, lambda: self._check(folder, has_results=with_results(folder.path)))

    def _check(self, folder: RunFolder, *, has_results: bool) -> None:
        self._hold.mend(self._export.place_of(folder.path).folder)
        now = time.monotonic()
        if has_results:
            listing = list_files(folder.path)
            try:
                manifest = finished_before(self._request(folder.path), listing, self._models)
            except NotARunError:
                manifest = None
            if manifest is not None:
                folder.state = Finished(listing, self._settings, now - self._settings.quiet_s)
                self._remember(folder, manifest)
                return
        self._let_grow(folder, now)

    def look(self, folder: RunFolder, now: float, *, is_hinted: bool) -> None:
        """Look at what was checked before; `is_hinted` after an event from inside it."""
        self._try(folder, lambda: self._look(folder, now, is_hinted=is_hinted))

    def _look(self, folder: RunFolder, now: float, *, is_hinted: bool) -> None:
        state = folder.state
        if isinstance(state, Growing):
            state.look(now, is_hinted=is_hinted)
            if state.is_stalled and folder.wait is None:
                self._journal.stalls(folder.name, state.pending, state.quiet_s)
            if state.is_quiet and not state.holds_something and state.listing is not None:
                folder.state = Finished(state.listing, self._settings, now - self._settings.quiet_s, is_called=False)
        elif isinstance(state, Finished):
            has_results = self._export.has_results(folder.path)
            if state.owes_work(now, has_results=has_results, is_hinted=is_hinted):
                self._let_grow(folder, now)

    def _let_grow(self, folder: RunFolder, now: float) -> None:
        folder.state = Growing(folder.path, self._settings, self._rules, now)
        folder.state.look(now, is_hinted=True)

    def step(self, folder: RunFolder) -> None:
        """Call what is ready of a growing run.

        Raises:
            EngineError: the engine failed or answers otherwise; nothing was written.
            Stopped: the daemon was told to end.
        """
        state = folder.state
        if isinstance(state, Growing):
            self._try(folder, lambda: self._step(folder, state))

    def _step(self, folder: RunFolder, growing: Growing) -> None:
        began = time.monotonic()
        seen = growing.seen(began)
        progress = _Progress(self._face, self._stop)
        try:
            with (
                self._last.on(folder.name, (RunError, Stopped)),
                self._hold.writer(self._export.place_of(folder.path).folder),
            ):
                step = classify_seen(self._request(folder.path), seen, self._models, progress)
        except NotARunError:
            if seen.is_quiet:
                raise
            step = _NOTHING
        finally:
            self._face.calling = None
        growing.stepped(step, began, time.monotonic() - began)
        if step.manifest is not None:
            folder.verdicts = step.manifest.verdicts
            if step.is_done:
                folder.state = Finished(seen.listing, self._settings, growing.changed_at)
                self._remember(folder, step.manifest)
                if step.state == "called":
                    self._journal.called(_summary(step.manifest))
        if step.unreadable:
            self._wait(folder, f"a file {reason_of(step.unreadable)}")
        else:
            folder.wait = None
            self._journal.recovered(folder.name)

    def _request(self, run: Path) -> Request:
        out = self._export.out_of(run)
        return Request(run, self._checked.profile, self._checked.checkpoint, out, self._settings.csv)

    def _remember(self, folder: RunFolder, manifest: Manifest) -> None:
        folder.verdicts = manifest.verdicts
        others = [one for one in self._face.recent if one.run != manifest.run_id]
        in_order = sorted([*others, _summary(manifest)], key=lambda one: one.finished_at_utc)
        self._face.recent = deque(in_order, self._face.recent.maxlen)

    def _try(self, folder: RunFolder, do: Callable[[], None]) -> None:
        """Do it; what concerns this run alone is remembered, told, and tried again."""
        try:
            do()
        except RunMissingError:
            # It went since the export folder was listed; the next look tells.
            return
        except RunError as error:
            if isinstance(error, ResultsError):
                # What failed may have failed to tidy up too.
                self._hold.mend_again()
            self._wait(folder, reason_of(error))

    def _wait(self, folder: RunFolder, reason: str) -> None:
        if folder.let_wait(reason):
            self._face.failures[reason] += 1
        self._journal.waits(folder.name, reason)


class _Progress:
    """A `classify.Reporter` that shows the work, and leaves it between two batches when the daemon is told to end."""

    def __init__(self, face: Face, stop: threading.Event) -> None:
        self._face, self._stop = face, stop
        self._run = ""

    def planned(self, plan: Plan) -> None:
        """Its name is what is shown."""
        self._run = plan.place.run_id

    def put_aside(self, edited: Path) -> None:
        """The file beside the calls says it."""

    def called_before(self, former: Manifest) -> None:
        """The calls that are kept say it."""

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
