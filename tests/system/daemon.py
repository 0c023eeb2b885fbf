"""A daemon under test: the real `edge-ctc watch`, started anew, or forked from a process that has imported it."""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system.processes import AT_ONCE, Forked, How, Process, Started

QUICK = {"look_every_s": 0.1, "settle_s": 0.2, "quiet_s": 60.0, "stalled_after_s": 30.0, "partial_every_s": 0.0}
"""Settings with which a daemon is as quick as its settings allow, and only the table completes a run."""


@dataclass(frozen=True)
class Site:
    """The folders and settings of one daemon.

    Attributes:
        folder: takes the settings and the journal, and is never made to fail.
        exports: the export folder.
        state: the state folder.
    """

    folder: Path
    exports: Path
    state: Path

    @property
    def config(self) -> Path:
        return self.folder / "edge-ctc.toml"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def fork(self, how: How = AT_ONCE) -> "Daemon":
        """The daemon, forked: READY within a tenth of a second."""
        return Daemon(self, lambda env: Forked(["watch", "--config", str(self.config)], self.journal, env, how))

    def start(self, *before: str, env: Mapping[str, str] | None = None) -> "Daemon":
        """The daemon as a command line of its own, after what stands `before` it."""
        command = [*before, sys.executable, "-m", "edge_ctc", "watch", "--config", str(self.config)]
        return Daemon(self, lambda needed: Started(command, self.journal, {**needed, **(env or {})}))

    def lines(self) -> list[dict[str, Any]]:
        """What the daemons said in the journal so far, as JSON."""
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in self.journal.read_text("utf-8").splitlines() if line.startswith("{")]
        return []

    def status(self) -> dict[str, Any]:
        """status.json as it stands; empty where there is none."""
        with contextlib.suppress(FileNotFoundError):
            status: dict[str, Any] = json.loads((self.state / "status.json").read_bytes())
            return status
        return {}


def make_site(
    folder: Path, checkpoint: Path, *, exports: Path | None = None, state: Path | None = None, **settings: object
) -> Site:
    """Make the folders and write the settings; those that are not named are `QUICK`."""
    site = Site(folder, exports or folder / "exports", state or folder / "state")
    for one in (folder, site.exports, site.state):
        one.mkdir(parents=True, exist_ok=True)
    named = {
        "export_dir": str(site.exports),
        "profile": "flat",
        "checkpoint": str(checkpoint),
        "runtime": "onnxruntime",
    }
    # Strings and numbers are written alike in JSON and TOML.
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in (named | QUICK | settings).items())
    site.config.write_text("".join(lines), encoding="utf-8")
    return site


class Daemon:
    """A running daemon, and what it tells systemd; killed when the `with` ends, if it has not ended before."""

    def __init__(self, site: Site, start: Callable[[Mapping[str, str]], Process]) -> None:
        self.site = site
        self.notified: list[str] = []
        self._said_before = site.journal.stat().st_size if site.journal.exists() else 0
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        Path(self._folder.name).chmod(0o755)
        address = Path(self._folder.name, "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(address))
        address.chmod(0o777)
        self._process = start(
            {
                "NOTIFY_SOCKET": str(address),
                "STATE_DIRECTORY": str(site.state),
                "XDG_STATE_HOME": str(site.folder / "home"),
            }
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ended(0) is None:
            self.kill()
        self._socket.close()
        self._folder.cleanup()

    def hear(self, within_s: float = 0.0) -> list[str]:
        """All that it told systemd so far."""
        select.select([self._socket], [], [], within_s)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.notified += self._socket.recv(4096).decode().splitlines()
        return self.notified

    @property
    def is_ready(self) -> bool:
        return "READY=1" in self.hear()

    @property
    def has_started(self) -> bool:
        """Whether its journal says that the engine answered: a moment before READY."""
        with contextlib.suppress(FileNotFoundError), self.site.journal.open("rb") as file:
            file.seek(self._said_before)
            return b'"event": "started"' in file.read()
        return False

    def wait_ready(self, within_s: float = 30.0) -> None:
        """Until READY. Raises AssertionError where it does not come, or the daemon ends first."""
        self.wait_for(lambda: self.is_ready, "READY", within_s)

    def wait_for(self, is_so: Callable[[], object], what: str, within_s: float = 60.0) -> float:
        """How long it took until `is_so`. Raises AssertionError where the daemon ends first, or the time does."""
        begin = time.monotonic()
        while not is_so():
            code = self.ended(0)
            assert code is None, f"ended with {code} before {what}:\n{self.tail()}"
            passed = time.monotonic() - begin
            assert passed < within_s, f"no {what} within {within_s:g} s; {self.site.status()}\n{self.tail()}"
            self.hear(0.02)
        return time.monotonic() - begin

    def ended(self, within_s: float) -> int | None:
        """Its exit code, negative for a signal; None: it still runs."""
        return self._process.wait(within_s)

    def send(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signum)

    def kill(self) -> int:
        """kill -9. Its code, which is another where it had ended by itself."""
        self.send(signal.SIGKILL)
        code = self.ended(30)
        assert code is not None, "a killed process does not end"
        return code

    def stop(self) -> None:
        """SIGTERM once it is READY, which must end it with 0 within 10 s."""
        self.wait_ready()
        self.send(signal.SIGTERM)
        code = self.ended(10)
        assert code == 0, f"SIGTERM: {code}, expected 0 within 10 s\n{self.tail()}"

    def tail(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.site.journal.read_text("utf-8", "replace")[-3000:]
        return "(no journal)"
