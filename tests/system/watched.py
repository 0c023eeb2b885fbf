"""A daemon that watches a folder into which another side writes, and what must hold whatever happens to the folder."""

import contextlib
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system.daemon import Daemon, Site, make_site
from tests.system.promises import broken, calls_of, is_complete, litter, manifest_path, state_of, verdicts_of
from tests.system.scans import Scan
from tests.system.shares import Share

_PARTLY = 19
"""Of twenty cells, where one cannot be read."""


class Beats:
    """Hears what a daemon tells systemd, and when, in a thread of its own that no test keeps waiting."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = folder / "notify"
        self._socket.bind(str(self.address))
        self._socket.settimeout(0.2)
        self._heard: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()
        self.address.unlink()

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                word = self._socket.recv(4096).decode()
                self._heard.append((time.monotonic(), word))

    @property
    def is_ready(self) -> bool:
        return any("READY=1" in word for _, word in self._heard)

    def longest_gap_s(self) -> float:
        """Between two beats, and since the last."""
        beats = [at for at, word in self._heard if "WATCHDOG=1" in word]
        assert beats, "no beat at all"
        return max(after - before for before, after in zip(beats, [*beats[1:], time.monotonic()], strict=True))


class Watched:
    """A daemon on a folder, and the runs that were written there from the other side.

    Attributes:
        beats: what it tells systemd.
        daemon: as it runs.
        remote: where runs are written, and their calls looked for.
        exports: the same folder, as the daemon sees it.
    """

    def __init__(self, site: Site, remote: Path, *before: str) -> None:
        self.site = site
        self.remote = remote
        self.exports = site.exports
        self._written: dict[str, Scan] = {}
        self._taken_away: Counter[str] = Counter()
        self._stack = contextlib.ExitStack()
        self._before = before

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.beats = stack.enter_context(Beats(self.site.folder))
            env = {"NOTIFY_SOCKET": str(self.beats.address), "WATCHDOG_USEC": "15000000"}
            self.daemon: Daemon = stack.enter_context(self.site.start(*self._before, env=env))
            self.daemon.wait_for(lambda: self.beats.is_ready, "READY")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, name: str, scan: Scan, *, table: bool = True) -> Path:
        """A whole run, or one that misses its table, at once."""
        return scan.copy(self.expect(name, scan), table=table)

    def expect(self, name: str, scan: Scan) -> Path:
        """Where a run is to be written that must be called as `scan`."""
        self._written[name] = scan
        return self.remote / name

    def forget(self, name: str) -> None:
        """It was called, and its folder was taken away."""
        del self._written[name]
        self._taken_away[name] = 1

    def write_table(self, name: str) -> None:
        """What the run still missed."""
        shutil.copy(self._written[name].run / "cells.csv", self.remote / name)

    def wait_called(self, name: str, within_s: float = 30.0) -> float:
        """Until the run is complete and its gallery drawn; how long it took."""
        gallery = self.remote / f"{name}.ctc-gallery.html"
        return self.daemon.wait_for(
            lambda: is_complete(self.remote / name) and gallery.exists(), f"calls and gallery of {name}", within_s
        )

    def wait_partly_called(self, name: str) -> None:
        """Until all that can be called of a run that is not complete is called, and the manifest, written last, too."""

        def called() -> bool:
            return len(self.rows(name)) >= _PARTLY and state_of(self.remote / name) == "partial"

        self.daemon.wait_for(called, f"partial calls of {name}")

    def rows(self, name: str) -> set[str]:
        """The cells that have a row."""
        with contextlib.suppress(FileNotFoundError):
            return set(verdicts_of(self.remote / name))
        return set()

    def wait_state(self, *states: str, within_s: float = 15.0) -> float:
        """Until the status is one of these; how long it took."""
        return self.daemon.wait_for(lambda: self.site.status().get("state") in states, " or ".join(states), within_s)

    def wait_reason(self, words: str, within_s: float = 15.0) -> None:
        """Until the status says that a run waits, and why."""

        def told() -> bool:
            return any(words in wait["reason"] for wait in self.site.status().get("waits", []))

        self.daemon.wait_for(told, f"wait for: {words}", within_s)

    def results(self, name: str) -> list[tuple[bytes, int]]:
        """Content and time of what a run's calls and manifest are now."""
        run = self.remote / name
        return [(path.read_bytes(), path.stat().st_mtime_ns) for path in (calls_of(run), manifest_path(run))]

    def times_called(self) -> Counter[str]:
        """How often the journal says of which run that its complete calls were made."""
        return Counter(line["run"] for line in self.site.lines() if line["event"] == "called")

    def finish(self) -> None:
        """What holds at the end: each run called once and whole, nothing left over, no beat missed, an end in order."""
        for name in self._written:
            self.wait_called(name)
        once = Counter(dict.fromkeys(self._written, 1)) + self._taken_away
        self.daemon.wait_for(lambda: self.times_called() >= once, "word of every run")
        found = [fault for name, scan in self._written.items() for fault in broken(self.exports / name, scan.expected)]
        found += litter(self.exports)
        found += [f"called {count} times: {name}" for name, count in (self.times_called() - once).items()]
        assert not found, "\n".join(found)
        gap_s = self.beats.longest_gap_s()
        assert gap_s < 5, f"no beat for {gap_s:.1f} s"
        self.end()

    def end(self) -> None:
        """SIGTERM, which must end it with 0 within 10 s, whatever the share does."""
        self.daemon.send(signal.SIGTERM)
        assert self.daemon.ended(10) == 0, f"SIGTERM: expected 0 within 10 s\n{self.daemon.tail()}"


def watch_share(share: Share, folder: Path, checkpoint: Path, **settings: Any) -> Watched:
    """A daemon on the share; its state lies elsewhere."""
    return Watched(make_site(folder, checkpoint, exports=share.local, **settings), share.remote)
