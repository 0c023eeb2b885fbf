"""Events of the local file system, which only wake: they may be lost, or never come, and nothing is missed."""

import logging
import threading
import warnings
from pathlib import Path
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

# What watchdog complains of (folders that come while it looks, a queue that overflows) loses events, no more, and its
# words name paths that the journal is not to hold.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
logging.getLogger("watchdog").addHandler(logging.NullHandler())
logging.getLogger("watchdog").propagate = False

_WANTED: list[type[FileSystemEvent]] = [DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileMovedEvent]


class WakeUp(Protocol):
    """Whatever can be woken."""

    def wake(self, path: str) -> None:
        """Something happened at `path`."""


class _Waking(FileSystemEventHandler):
    def __init__(self, wake_up: WakeUp) -> None:
        self._wake_up = wake_up

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._wake_up.wake(str(event.dest_path or event.src_path))


class WakeUps:
    """watchdog's inotify observer on one folder; off where the kernel or its limits do not allow it."""

    def __init__(self, wake_up: WakeUp, *, deep: bool) -> None:
        """Nothing is observed yet.

        Args:
            wake_up: is told, from another thread.
            deep: whether folders below are observed too; each costs a watch of the kernel.
        """
        self._waking = _Waking(wake_up)
        self._deep = deep
        self._observer: InotifyObserver | None = None
        self._are_wanted = False

    @property
    def are_wanted(self) -> bool:
        """Whether a folder is to be observed, had it or not."""
        return self._are_wanted

    def observe(self, folder: Path) -> bool:
        """Observe `folder` from now on, anew where it was observed before; tells whether that could be had."""
        self.stop()
        self._are_wanted = True
        try:
            observer = InotifyObserver()
            observer.schedule(self._waking, str(folder), recursive=self._deep, event_filter=_WANTED)
            observer.start()
        except (OSError, RuntimeError):
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """Observe nothing any more."""
        self._are_wanted = False
        if self._observer is not None:
            self._observer.stop()
            self._observer = None


class Bell:
    """Wakes whoever waits, and remembers where it rang."""

    def __init__(self) -> None:
        """It is silent."""
        self._rang = threading.Event()
        self._paths: set[str] = set()

    def wake(self, path: str) -> None:
        """As `WakeUp.wake`."""
        if len(self._paths) < _MOST_PATHS:
            self._paths.add(path)
        self._rang.set()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; tells whether it rang."""
        return self._rang.wait(seconds)

    def heard(self) -> frozenset[str]:
        """Where it rang since it was last asked, some of the places at least."""
        self._rang.clear()
        paths, self._paths = self._paths, set()
        return frozenset(paths)


_MOST_PATHS = 1000
