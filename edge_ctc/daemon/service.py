"""The daemon's main thread: starts the loop, beats for it, says how it is, and ends it.

Nothing here touches the export folder, so that a share that hangs is a status and not a missed beat.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from edge_ctc.config import CheckedSettings, Settings
from edge_ctc.daemon.answer import Answer
from edge_ctc.daemon.heartbeat import Heartbeat
from edge_ctc.daemon.journal import Journal
from edge_ctc.daemon.movement import Movement
from edge_ctc.daemon.portrait import Portrait
from edge_ctc.daemon.pulse import Pulse, TimedEngine
from edge_ctc.daemon.state_folder import sole_daemon, state_folder
from edge_ctc.daemon.status import STATUS, write_status
from edge_ctc.daemon.watcher import Watcher
from edge_ctc.engine.places import default_engines_dir
from edge_ctc.engine_choice import EngineChooser, EngineSetting, Reporter, Sort
from edge_ctc.models import OpenModels

_TICK_S = 1.0
_STARTING_S = 30.0
"""Asked of systemd again and again while the engine is opened, or built, as long as anything moves."""
_DEAD_S = 60.0
"""A loop that has not moved for so long while the export folder answers others is dead."""
_STOP_S = 8.0
"""For so long after SIGTERM the loop may finish what it is at; ten seconds are promised."""
_DONE, _HUNG, _AGAIN = 0, 70, 75


def watch(checked: CheckedSettings, building: Reporter, journal: Journal) -> None:
    """Be the daemon until SIGTERM or SIGINT.

    Args:
        checked: the settings, proved.
        building: told where an engine must be built.
        journal: told about once a run.

    Raises:
        EngineError, UnavailableError, CheckpointError, ConfigError: nothing may be called on this machine now.
        ResultsHeldError: another daemon, or a `classify-run`, holds the state folder or the results' folder.
        ResultsError: the state folder cannot be written.
    """
    with _told_to_end() as end, sole_daemon(state_folder()):
        pulse = Pulse()
        models = OpenModels(
            EngineChooser(_engine_setting(checked.settings), building), lambda engine: TimedEngine(engine, pulse)
        )
        watcher = Watcher(checked, models, journal, state_folder())
        loop = ThreadPoolExecutor(1, "loop").submit(watcher.run)
        speaker = _Speaker(checked.settings, watcher, pulse, journal)
        while not (loop.done() or end.is_set()):
            speaker.tick()
            speaker.rest(end)
        if not loop.done():
            speaker.say_ending()
            watcher.end()
            wait([loop], _STOP_S)
        if loop.done():
            _raise_failure(loop, journal)
            models.__exit__(None, None, None)
        speaker.say_ended()
        if not loop.done():
            # A share holds it that does not answer; whatever it was at is mended at the next start.
            os._exit(_DONE)


def _raise_failure(loop: "Future[None]", journal: Journal) -> None:
    if error := loop.exception():
        journal.failed(type(error).__name__)
        raise error


def _engine_setting(settings: Settings) -> EngineSetting:
    folder = default_engines_dir() if settings.engines_dir is None else Path(settings.engines_dir)
    return EngineSetting(None, folder, settings.stale_engine, Sort(settings.runtime, settings.precision))


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    end = threading.Event()
    former = {number: signal.signal(number, lambda *_: end.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield end
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Speaker:
    """Says at each tick how the loop is: to systemd, to the status file, and, where it is dead, by ending."""

    def __init__(self, settings: Settings, watcher: Watcher, pulse: Pulse, journal: Journal) -> None:
        self._settings, self._watcher, self._pulse, self._journal = settings, watcher, pulse, journal
        self._heartbeat = Heartbeat()
        self._movement = Movement(threading.get_native_id())
        self._answer = Answer(Path(settings.export_dir))
        self._portrait = Portrait()
        self._path = state_folder() / STATUS
        self._was_ready = False
        self._silent_s: float | None = None

    def rest(self, end: threading.Event) -> None:
        """Wait for the next tick, or until the loop is ready, or until told to end."""
        what = end if self._was_ready else self._watcher.is_ready
        what.wait(min(_TICK_S, self._heartbeat.every_s or _TICK_S))

    def tick(self) -> None:
        """One beat, if it is due to the loop."""
        now = time.monotonic()
        computing_s = self._pulse.longest_s(now)
        if computing_s > self._settings.batch_within_s:
            self._end(_HUNG, f"the engine has not answered for {computing_s:.0f} s")
        still_s = 0.0 if computing_s else self._movement.seconds_still(now)
        self._judge(still_s)
        is_ready = self._watcher.is_ready.is_set()
        status = self._portrait.of(self._watcher.face, now, silent_s=self._silent_s, is_ready=is_ready)
        if is_ready and not self._was_ready:
            self._heartbeat.ready(status.sentence)
            self._was_ready = True
        if is_ready:
            self._heartbeat.beat()
        elif still_s < _STARTING_S:
            self._heartbeat.extend(_STARTING_S)
        self._heartbeat.status(status.sentence)
        if reason := write_status(self._path, status):
            self._journal.state_not_kept(reason)

    def _judge(self, still_s: float) -> None:
        if still_s < self._settings.answer_within_s:
            if self._silent_s is not None and self._watcher.face.away is None:
                self._journal.share_back(self._silent_s)
            self._silent_s = None
            self._answer.forget()
            return
        if self._silent_s is None:
            self._journal.share_away("no answer")
        self._silent_s = still_s
        if still_s >= _DEAD_S and self._answer.came():
            self._end(_AGAIN, f"the loop has not moved for {still_s:.0f} s, and the export folder answers others")

    def say_ending(self) -> None:
        """It was told to end."""
        self._heartbeat.stopping()
        self._journal.ending("told to end")

    def say_ended(self) -> None:
        """The last word in the status file."""
        now = time.monotonic()
        status = self._portrait.of(self._watcher.face, now, silent_s=None, is_ready=True)
        write_status(self._path, status.model_copy(update={"state": "ended", "sentence": "Ended."}))

    def _end(self, code: int, reason: str) -> NoReturn:
        """End at once: the thread that hangs cannot be ended."""
        self._journal.failed(reason)
        os._exit(code)
