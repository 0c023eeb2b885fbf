"""What is done for one run folder: found out whether anything is owed, and called step by step."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edge_ctc.cell_reader import concerns_one_file
from edge_ctc.classify import Step, classify_seen, complete_calls, finished_before
from edge_ctc.config import CheckedSettings
from edge_ctc.daemon.export import Export
from edge_ctc.daemon.face import MOST_RECENT, Face
from edge_ctc.daemon.finished import Finished
from edge_ctc.daemon.growing import Growing
from edge_ctc.daemon.journal import RunJournal
from edge_ctc.daemon.last_work import LastWork
from edge_ctc.daemon.progress import Progress, Stopped
from edge_ctc.daemon.reasons import reason_of
from edge_ctc.daemon.run_folder import RunFolder
from edge_ctc.daemon.settling import Rules
from edge_ctc.daemon.sole_hold import SoleHold
from edge_ctc.daemon.status import RunSummary
from edge_ctc.errors import NotARunError, ResultsError, RunError, RunMissingError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.runs import is_sentinel, rests_on
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request, Seen
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.manifest import Manifest

_BELIEVED = 2
"""So often the word of a table or sentinel is believed again after something came behind it."""
_NOTHING = Step(None, "unchanged", is_done=False, pending=0)


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
        self._recent: dict[Path, RunSummary] = {}
        profile = checked.profile.profile
        self._rules = Rules(rests_on(profile), lambda name: is_sentinel(name, profile))

    def check(self, folder: RunFolder) -> None:
        """Find out of an unchecked folder whether anything is owed."""
        self._try(folder, "look", lambda: self._check(folder))

    def _check(self, folder: RunFolder) -> None:
        place = self._export.place_of(folder.path)
        self._hold.mend(place.folder)
        now = time.monotonic()
        if self._export.has_results(folder.path):
            listing = list_files(folder.path)
            try:
                manifest = finished_before(self._request(folder.path), listing, self._models)
            except NotARunError:
                # Its images went after it was called: files that vanish make no work.
                manifest = complete_calls(place)
            if manifest is not None:
                folder.state = Finished(listing, self._settings, now - self._settings.quiet_s)
                self._remember(folder, manifest)
                return
        self._let_grow(folder)

    def look(self, folder: RunFolder, now: float, *, is_hinted: bool, has_time: bool) -> None:
        """Look at what was checked before.

        Args:
            folder: that was checked.
            now: monotonic seconds.
            is_hinted: after an event from inside it.
            has_time: whether a finished run may be listed because it is due.
        """
        self._try(folder, "look", lambda: self._look(folder, now, is_hinted=is_hinted, has_time=has_time))

    def _look(self, folder: RunFolder, now: float, *, is_hinted: bool, has_time: bool) -> None:
        state = folder.state
        if isinstance(state, Growing):
            state.look(is_hinted=is_hinted)
            if state.is_stalled and folder.wait is None:
                self._journal.stalls(folder.name, state.pending, state.quiet_s)
            if state.is_quiet and not state.holds_something and state.listing is not None:
                folder.state = Finished(state.listing, self._settings, now - self._settings.quiet_s, is_called=False)
                folder.wait = None
        elif isinstance(state, Finished):
            has_results = self._export.has_results(folder.path)
            if state.owes_work(now, has_results=has_results, is_hinted=is_hinted, has_time=has_time):
                folder.reopened += state.is_called
                self._let_grow(folder)

    def _let_grow(self, folder: RunFolder) -> None:
        believes_end = folder.reopened < _BELIEVED
        folder.state = Growing(folder.path, self._settings, self._rules, believes_end=believes_end)
        folder.state.look(is_hinted=True)

    def step(self, folder: RunFolder) -> None:
        """Call what is ready of a growing run.

        Raises:
            EngineError: the engine failed or answers otherwise; nothing was written.
            Stopped: the daemon was told to end.
        """
        state = folder.state
        if isinstance(state, Growing):
            self._try(folder, "step", lambda: self._step(folder, state))

    def _step(self, folder: RunFolder, growing: Growing) -> None:
        began = time.monotonic()
        seen = growing.seen()
        place = self._export.place_of(folder.path)
        progress = Progress(self._face, self._stop, growing, lambda kept: self._journal.edited(folder.name, kept))
        try:
            with self._last.on(str(folder.path), (RunError, Stopped)), self._hold.writer(place.folder):
                step = classify_seen(self._request(folder.path), seen, self._models, progress)
        except NotARunError as error:
            step = self._without_cells(place, seen, error)
        finally:
            self._face.calling = None
        growing.stepped(seen, step, began, time.monotonic() - began)
        if step.unreadable and not concerns_one_file(step.unreadable):
            growing.begin_anew()
        if step.manifest is not None:
            folder.verdicts = step.manifest.verdicts
            if step.is_done:
                folder.state = Finished(seen.listing, self._settings, growing.changed_at)
                # Not only where this step called: one that failed after its commit told nobody.
                is_news = folder.remembered != step.manifest.finished_at_utc
                self._remember(folder, step.manifest)
                if is_news:
                    self._journal.called(_summary(step.manifest), None if step.trust is None else step.trust.light)
        if step.unreadable:
            self._wait(folder, "step", f"a file {reason_of(step.unreadable)}", time.monotonic() - began)
        else:
            self._clear(folder)

    def _without_cells(self, place: ResultPlace, seen: Seen, error: NotARunError) -> Step:
        """What is to be done for what is no run by the profile: nothing yet, nothing any more, or what a person does.

        Raises:
            NotARunError: `error`.
        """
        names = self._checked.profile.profile.name_patterns()
        if not any(names.read(file.name) for file in seen.listing.files):
            # Its images went after it was called: files that vanish make no work.
            manifest = complete_calls(place)
            if manifest is not None:
                return Step(manifest, "unchanged", is_done=True, pending=0)
        if seen.is_quiet:
            raise error
        return _NOTHING

    def _request(self, run: Path) -> Request:
        out = self._export.out_of(run)
        return Request(run, self._checked.profile, self._checked.checkpoint, out, self._settings.csv)

    def _remember(self, folder: RunFolder, manifest: Manifest) -> None:
        folder.verdicts, folder.remembered = manifest.verdicts, manifest.finished_at_utc
        self._recent[folder.path] = _summary(manifest)
        newest = sorted(self._recent.items(), key=lambda one: one[1].finished_at_utc)[-MOST_RECENT:]
        self._recent = dict(newest)
        self._face.recent = tuple(self._recent.values())

    def _try(self, folder: RunFolder, what: Literal["look", "step"], do: Callable[[], None]) -> None:
        """Do it; what concerns this run alone is remembered, told, and tried again."""
        began = time.monotonic()
        try:
            do()
        except RunMissingError:
            # It went since the export folder was listed, and then nothing is told of it any more.
            folder.let_wait(what, "not there", 0.0)
        except RunError as error:
            if isinstance(error, ResultsError):
                # What failed may have failed to tidy up too.
                self._hold.mend_again()
            self._wait(folder, what, reason_of(error), time.monotonic() - began)
        else:
            if folder.wait is not None and folder.wait.what == what == "look":
                self._clear(folder)
                if isinstance(folder.state, Growing):
                    folder.state.begin_anew()

    def _wait(self, folder: RunFolder, what: Literal["look", "step"], reason: str, took: float) -> None:
        if folder.let_wait(what, reason, took):
            self._face.failures[reason] += 1
        self._journal.waits(folder.name, reason)

    def _clear(self, folder: RunFolder) -> None:
        folder.wait = None
        self._journal.recovered(folder.name)


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
