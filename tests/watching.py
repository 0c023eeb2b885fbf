"""A daemon's loop in a thread of the test, on real folders, with short times."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_ctc.config import CheckedSettings, Settings
from edge_ctc.daemon.status import RunSummary
from edge_ctc.daemon.watcher import Watcher
from edge_ctc.engine.seam import Engine
from edge_ctc.exports.profile import LoadedProfile, load_profile
from edge_ctc.models import OpenModels
from edge_ctc.trust import Light

SETTLE_S = 0.3
QUIET_S = 1.5


@dataclass
class Heard:
    """A journal that a test can read."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def started(self, engine: str, export_dir: str) -> None:
        self.lines.append(("started", engine, export_dir))

    def called(self, summary: RunSummary, trust: Light | None) -> None:  # noqa: ARG002 - the protocol gives it
        self.lines.append(("called", summary.run))

    def edited(self, run: str, kept: str) -> None:
        self.lines.append(("edited", run, kept))

    def stalls(self, run: str, pending: int, seconds: float) -> None:
        self.lines.append(("stalls", run, str(pending), str(seconds)))

    def waits(self, run: str, reason: str) -> None:
        self.lines.append(("waits", run, reason))

    def recovered(self, run: str) -> None:
        self.lines.append(("recovered", run))

    def share_away(self, reason: str) -> None:
        self.lines.append(("share-away", reason))

    def share_back(self, seconds: float) -> None:
        self.lines.append(("share-back", str(seconds)))

    def count(self, *line: str) -> int:
        """How often a line that begins so was told."""
        return sum(told[: len(line)] == line for told in self.lines)


@dataclass
class Watched:
    """A running loop.

    Attributes:
        watcher: the loop.
        heard: what it told.
        thread: it runs in.
        failure: what ended it.
    """

    watcher: Watcher
    heard: Heard
    thread: threading.Thread
    failure: list[BaseException]

    def until(self, is_so: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait until something is so; fails loudly where the loop ended or time is up."""
        end = time.monotonic() + within_s
        while not is_so():
            assert not self.failure, f"the loop ended: {self.failure}"
            assert time.monotonic() < end, f"not within {within_s} s; told: {self.heard.lines}; {self.watcher.face}"
            time.sleep(0.02)

    def until_called(self, *runs: str, within_s: float = 20.0) -> None:
        """Wait until the complete calls of the runs were told."""
        self.until(lambda: all(self.heard.count("called", run) for run in runs), within_s)


def settings_for(export: Path, checkpoint: Path, **others: object) -> Settings:
    """Short times, everything else as asked for."""
    short: dict[str, object] = {
        "export_dir": str(export),
        "profile": "flat",
        "checkpoint": str(checkpoint),
        "runtime": "onnxruntime",
        "look_every_s": 0.1,
        "settle_s": SETTLE_S,
        "quiet_s": QUIET_S,
        "stalled_after_s": 1.0,
        "partial_every_s": 0.2,
    }
    return Settings.model_validate(short | others)


@contextmanager
def watching(
    settings: Settings,
    state: Path,
    profile: LoadedProfile | None = None,
    observed: Callable[[Engine], Engine] = lambda engine: engine,
) -> Iterator[Watched]:
    """The loop of one daemon, ended when the context is left."""
    state.mkdir(exist_ok=True)
    checked = CheckedSettings(
        settings, profile or load_profile(settings.profile), Path(settings.checkpoint), Path(settings.checkpoint).name
    )
    heard, failure = Heard(), list[BaseException]()
    with OpenModels(None, observed) as models:
        watcher = Watcher(checked, models, heard, state)

        def run() -> None:
            try:
                watcher.open()
                watcher.run()
            except Exception as error:  # noqa: BLE001 - a test's thread has nobody else to tell
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Watched(watcher, heard, thread, failure)
        finally:
            watcher.end()
            thread.join(30)
            assert not thread.is_alive()
