"""The daemon's main thread: starts the loop, beats for it, says how it is, and ends it.

Nothing here touches the export folder, so that a share that hangs is a status and not a missed beat.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

from edge_ctc.config import Settings, check_settings
from edge_ctc.daemon.answer import Answer
from edge_ctc.daemon.face import Face
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
from edge_ctc.errors import EdgeCtcError
from edge_ctc.models import OpenModels
from edge_ctc.results.commit import utc_now

_TICK_S = 1.0
_STATUS_EVERY_S = 3.0
"""Of a status that says the same as before; whoever asks wants to know that somebody still says it."""
_STARTING_S = 30.0
"""Asked of systemd again and again while the engine is opened, or built, as long as anything moves."""
_DEAD_S = 60.0
"""A loop that has not moved for so long while the export folder answers others is dead."""
_STOP_S = 8.0
"""For so long after SIGTERM the loop may finish what it is at; ten seconds are promised."""
_DONE, _HUNG, _AGAIN = 0, 70, 75


def watch(config: Path, building: Reporter, journal: Journal) -> None:
    """Be the daemon until SIGTERM or SIGINT.

    Args:
        config: file with the settings.
        building: told where an engine must be built.
        journal: told about once a run.

    Raises:
        ConfigError: a setting is wrong, or two do not fit.
        EngineError, UnavailableError, CheckpointError: nothing may be called on this machine now.
        ResultsHeldError: another daemon, or a `classify-run`, holds the state folder or the results' folder.
        ResultsError: the state folder cannot be written.
    """
    pulse = Pulse()
    with _Signals() as signals, sole_daemon(state_folder()), ExitStack() as opened:
        checked = check_settings(config)
        chooser = EngineChooser(_engine_setting(checked.settings), building)
        models = opened.enter_context(OpenModels(chooser, lambda engine: TimedEngine(engine, pulse)))
        watcher = Watcher(checked, models, journal, state_folder())
        speaker = _Speaker(checked.settings, watcher.face, pulse, journal)
        with _failures_told(journal):
            with speaker.starting():
                watcher.open()
            _turn(watcher, speaker, signals)
        speaker.say_ended()


def _turn(watcher: Watcher, speaker: "_Speaker", signals: "_Signals") -> None:
    """Let the loop turn in its own thread, and speak for it, until one of both ends. Raises what ended the loop."""
    signals.wait_from_now_on()
    loop = ThreadPoolExecutor(1, "loop").submit(watcher.run)
    speaker.begin_beating()
    is_told = False
    try:
        while not (loop.done() or is_told):
            speaker.tick()
            is_told = signals.came_within(speaker.tick_s)
    except BaseException:
        # Whatever ends this thread, the loop must not go on without it.
        watcher.end()
        if wait([loop], _STOP_S).not_done:
            os._exit(_HUNG)
        raise
    watcher.end()
    if not loop.done():
        speaker.say_ending()
        wait([loop], _STOP_S)
    if not loop.done():
        # A share holds it that does not answer; whatever it was at is mended at the next start.
        watcher.last_work.forget_now()
        speaker.say_ended()
        os._exit(_DONE)
    loop.result()


@contextmanager
def _failures_told(journal: Journal) -> Iterator[None]:
    try:
        yield
    except EdgeCtcError as error:
        journal.failed(str(error))
        raise


def _engine_setting(settings: Settings) -> EngineSetting:
    folder = default_engines_dir() if settings.engines_dir is None else Path(settings.engines_dir)
    return EngineSetting(None, folder, settings.stale_engine, Sort(settings.runtime, settings.precision))


class _Signals:
    """SIGTERM, SIGINT and SIGHUP: at the start they end the process with 0, even a compiler; later they are awaited."""

    def __init__(self) -> None:
        # Not an Event: a signal that arrives inside its wait() would wait for that wait's own lock, for ever.
        self._came: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_waited_for = self._was_told = False
        self._former: dict[int, Any] = {}

    def wait_from_now_on(self) -> None:
        """They interrupt nothing any more."""
        self._is_waited_for = True

    def came_within(self, seconds: float) -> bool:
        """Wait for one, for so long at most."""
        try:
            self._came.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _received(self, *_: object) -> None:
        if self._is_waited_for:
            self._came.put(None)
            return
        self._was_told = True
        sys.exit(_DONE)

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._former[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        if self._was_told:
            # A library that was being loaded makes an error of its own of the end that it was told.
            sys.exit(_DONE)


class _Speaker:
    """Says at each tick how the loop is: to systemd, to the status file, and, where it is dead, by ending."""

    def __init__(self, settings: Settings, face: Face, pulse: Pulse, journal: Journal) -> None:
        self._settings, self._face, self._pulse, self._journal = settings, face, pulse, journal
        self._heartbeat = Heartbeat()
        self._answer = Answer(Path(settings.export_dir))
        self._portrait = Portrait()
        self._path = state_folder() / STATUS
        self._is_ready = False
        self._said, self._write_at = "", 0.0
        self._silent_s: float | None = None
        self.tick_s = min(_TICK_S, self._heartbeat.every_s or _TICK_S)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Speak from another thread while this one opens the engine."""
        is_over = threading.Event()

        def speak() -> None:
            self._movement = Movement(threading.get_native_id())
            while not is_over.is_set():
                self.tick()
                is_over.wait(self.tick_s)

        with ThreadPoolExecutor(1, "speaker") as speaker:
            speaking = speaker.submit(speak)
            try:
                yield
            finally:
                is_over.set()
        speaking.result()

    def begin_beating(self) -> None:
        """From now on this thread speaks, and the loop turns."""
        self._movement = Movement(threading.get_native_id())
        self._is_ready = True
        self._heartbeat.ready("Watching.")

    def tick(self) -> None:
        """One beat, if it is due to the loop."""
        now = time.monotonic()
        computing_s = self._pulse.longest_s(now)
        if computing_s > self._settings.batch_within_s:
            self._end(_HUNG, f"the engine has not answered for {computing_s:.0f} s")
        still_s = 0.0 if computing_s else self._movement.seconds_still(now)
        if self._is_ready:
            self._judge(still_s, now)
            self._heartbeat.beat()
        elif still_s < _STARTING_S:
            self._heartbeat.extend(_STARTING_S)
        sentence = self._portrait.sentence(self._face, now, silent_s=self._silent_s, is_ready=self._is_ready)
        if sentence == self._said and now < self._write_at:
            return
        status = self._portrait.of(self._face, now, silent_s=self._silent_s, is_ready=self._is_ready)
        self._heartbeat.status(status.sentence)
        self._said, self._write_at = status.sentence, now + _STATUS_EVERY_S
        if reason := write_status(self._path, status):
            self._journal.state_not_kept(reason)

    def _judge(self, still_s: float, now: float) -> None:
        # A dying share may let the loop move for an instant, every ten seconds or so, from one call to the next.
        look_s = 0.0 if self._face.looking_since is None else now - self._face.looking_since
        silent_s = max(still_s, look_s)
        if silent_s < self._settings.answer_within_s:
            if self._silent_s is not None and self._face.away is None:
                self._journal.share_back(self._silent_s)
            self._silent_s = None
            self._answer.forget()
            return
        if self._silent_s is None:
            self._journal.share_away("no answer")
        self._silent_s = silent_s
        if still_s >= _DEAD_S and self._answer.came():
            self._end(_AGAIN, f"the loop has not moved for {still_s:.0f} s, and the export folder answers others")

    def say_ending(self) -> None:
        """It was told to end."""
        self._heartbeat.stopping()
        self._journal.ending("told to end")

    def say_ended(self) -> None:
        """The last word in the status file."""
        now = time.monotonic()
        status = self._portrait.of(self._face, now, silent_s=None, is_ready=True)
        last = {"state": "ended", "state_since_utc": utc_now(), "sentence": "Ended."}
        write_status(self._path, status.model_copy(update=last))

    def _end(self, code: int, reason: str) -> NoReturn:
        """End at once: the thread that hangs cannot be ended."""
        self._journal.failed(reason)
        os._exit(code)
