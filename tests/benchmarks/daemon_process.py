"""A daemon that is measured: the real command in a process of its own, its beats timed as systemd would hear them."""

import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system.daemon import Daemon, Site, make_site

DEFAULTS = {"look_every_s": 1.0, "settle_s": 2.0, "quiet_s": 120.0, "stalled_after_s": 30.0, "partial_every_s": 10.0}
"""What `systemd/edge-ctc.toml` documents; a site of the tests is quicker unless told."""
WATCHDOG_S = 15.0
_AS_A_SERVICE = {"WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)), "MALLOC_ARENA_MAX": "2"}
"""What `systemd/edge-ctc.service` gives it."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_COMPLETE = b'"run_state":"complete"'


def site_for(folder: Path, checkpoint: Path | str, exports: Path | None = None, **settings: Any) -> Site:
    """A site whose settings are the defaults, but for those that are named."""
    named: dict[str, Any] = DEFAULTS | settings
    return make_site(folder, Path(checkpoint), exports=exports, **named)


@dataclass(frozen=True)
class Use:
    """What a process has used so far, or uses now.

    Attributes:
        at: seconds of the monotonic clock.
        cpu_s: processor time of all threads, in the kernel too.
        rss_mb: resident memory now.
        peak_mb: the most that it ever was.
    """

    at: float
    cpu_s: float
    rss_mb: float
    peak_mb: float

    def share_since(self, before: "Use") -> float:
        """Of one core, in percent."""
        return 100 * (self.cpu_s - before.cpu_s) / (self.at - before.at)


class Measured:
    """A running daemon; everything that is asked of it is read from the kernel, the journal and the notify socket."""

    def __init__(self, site: Site) -> None:
        """Start it and hear its beats in a thread."""
        self.site = site
        self.started_at = time.monotonic()
        self.beats: list[float] = []
        self.ready_at: float | None = None
        self._daemon: Daemon = site.start(env=_AS_A_SERVICE)
        self.pid = self._daemon.pid
        self._over = threading.Event()
        self._ear = threading.Thread(target=self._hear)
        self._ear.start()

    def _hear(self) -> None:
        read = 0
        while not self._over.is_set():
            told = self._daemon.hear(0.02)
            for line in told[read:]:
                if line == "READY=1":
                    self.ready_at = time.monotonic()
                elif line == "WATCHDOG=1":
                    self.beats.append(time.monotonic())
            read = len(told)

    def __enter__(self) -> Self:
        self.until(lambda: self.ready_at is not None, "READY", 60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ear.join()
        if error is None:
            self._daemon.stop()
        self._daemon.__exit__(kind, error, trace)

    def until(self, is_so: Callable[[], object], what: str, within_s: float = 120.0) -> float:
        """Seconds until `is_so`. Raises AssertionError where the daemon ends first, or the time does."""
        begin = time.monotonic()
        while not is_so():
            assert self._daemon.ended(0) is None, f"ended before {what}:\n{self._daemon.tail()}"
            passed = time.monotonic() - begin
            assert passed < within_s, f"no {what} within {within_s:g} s; {self.site.status()}\n{self._daemon.tail()}"
            time.sleep(0.005)
        return time.monotonic() - begin

    def until_called(self, *runs: Path, within_s: float = 120.0) -> float:
        """Seconds until the manifests of the runs say complete."""
        owed = list(runs)

        def is_done() -> bool:
            owed[:] = [run for run in owed if not is_complete(run)]
            return not owed

        return self.until(is_done, f"calls of {len(runs)} runs", within_s)

    def use(self) -> Use:
        """Now."""
        fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        status = Path(f"/proc/{self.pid}/status").read_text()
        at = time.monotonic()
        return Use(at, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S, _mb("VmRSS", status), _mb("VmHWM", status))

    def use_over(self, seconds: float) -> tuple[Use, Use]:
        """Before and after so many seconds."""
        before = self.use()
        time.sleep(seconds)
        return before, self.use()

    def until_rests(self, below_percent: float = 3.0, within_s: float = 90.0) -> None:
        """Until it has looked at all files once more, as it does after it has looked into every run."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            before, after = self.use_over(2.0)
            if after.share_since(before) < below_percent:
                return

    def longest_gap_s(self, since: float = 0.0) -> float:
        """Between two beats, the one that is due now among them."""
        beats = [at for at in [*self.beats, time.monotonic()] if at >= since]
        return max((after - before for before, after in itertools.pairwise(beats)), default=0.0)

    def counted(self, state: str) -> int:
        """How many folders the status says are `state`."""
        runs: dict[str, int] = self.site.status().get("runs", {})
        return runs.get(state, -1)

    def listening(self) -> list[str]:
        """Every socket of the process that waits for somebody, as a line of /proc/net."""
        sockets = {str(path.readlink()) for path in Path(f"/proc/{self.pid}/fd").iterdir() if path.is_symlink()}
        inodes = {match[1] for name in sockets if (match := re.fullmatch(r"socket:\[([0-9]+)\]", name))}
        return [
            f"{table}: {line}"
            for table, inode_at in (("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("unix", 6))
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
            if line.split()[inode_at] in inodes and _waits(table, line.split())
        ]


def _waits(table: str, fields: list[str]) -> bool:
    """Whether it listens (TCP), is bound (UDP), or takes connections (UNIX: the flag of `listen`)."""
    if table == "unix":
        return int(fields[3], 16) & 0x10000 != 0
    return table.startswith("udp") or fields[3] == "0A"


def _mb(field: str, status: str) -> float:
    found = re.search(rf"{field}:\s+([0-9]+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def is_complete(run: Path) -> bool:
    """Whether the manifest beside it commits complete calls."""
    try:
        with run.with_name(f"{run.name}.ctc-run.json").open("rb") as file:
            return _COMPLETE in file.read(1000)
    except FileNotFoundError:
        return False


def computing_s(run: Path) -> float:
    """What the manifest says the last call took."""
    seconds: float = json.loads(run.with_name(f"{run.name}.ctc-run.json").read_bytes())["seconds"]
    return seconds
