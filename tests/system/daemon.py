"""A daemon under test: the real `edge-ctc watch`, started anew, or forked from a process that has imported it."""

import contextlib
import ctypes
import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

QUICK = {"look_every_s": 0.1, "settle_s": 0.2, "quiet_s": 60.0, "stalled_after_s": 30.0, "partial_every_s": 0.0}
"""Settings with which a daemon is as quick as its settings allow, and only the table completes a run."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["edge_ctc.cli", "edge_ctc.engine.onnx_cpu", "onnxruntime", "pytest", "tests.system.kills"]
)
_ONE_BY_ONE = threading.Lock()
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Process(Protocol):
    """What a forked and a started process have in common."""

    pid: int

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, negative for a signal; None: it still runs."""


@dataclass(frozen=True)
class How:
    """How a process is forked.

    Attributes:
        stopped: it waits for SIGCONT before its first step, so that a tracer can take hold of it.
    """

    stopped: bool = False


AT_ONCE = How()


class _Forked:
    def __init__(self, arguments: Sequence[str], log: Path, env: Mapping[str, str], how: "How") -> None:
        self._process = _FORKS.Process(target=_become, args=(list(arguments), log, dict(env), how))
        with _ONE_BY_ONE:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        end = time.monotonic() + timeout_s
        while True:
            # To start a process asks all others how they are, and two threads may not ask one at a time.
            with _ONE_BY_ONE:
                self._process.join(0)
                code = self._process.exitcode
            if code is not None or time.monotonic() >= end:
                return code
            time.sleep(0.002)


class _Started:
    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | env)
        self.pid = self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None


def _become(arguments: list[str], log: Path, env: Mapping[str, str], how: How) -> None:
    """Be `edge-ctc` with `arguments`, in a session of its own that ends with the tests."""
    from edge_ctc.cli import main  # noqa: PLC0415 - the tests themselves need not import it

    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    os.environ.pop("EDGE_CTC_ENGINES", None)
    os.environ.update(env)
    if how.stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    sys.argv = ["edge-ctc", *arguments]
    main()


def forked(arguments: Sequence[object], log: Path, how: How = AT_ONCE) -> Process:
    """`edge-ctc` with `arguments`, within milliseconds."""
    return _Forked([str(one) for one in arguments], log, {}, how)


def wait_stopped(pid: int) -> None:
    """Until a process that was forked `stopped` waits for SIGCONT."""
    deadline = time.monotonic() + 30
    while not said_of(pid, "State").startswith("T"):
        assert time.monotonic() < deadline, f"{pid} does not stop"
        time.sleep(0.002)


def said_of(pid: int, field: str) -> str:
    """What the kernel says of a process, of a field of its status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{field}:"))


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
        return Daemon(self, lambda env: _Forked(["watch", "--config", str(self.config)], self.journal, env, how))

    def start(self, *before: str, env: Mapping[str, str] | None = None) -> "Daemon":
        """The daemon as a command line of its own, after what stands `before` it."""
        command = [*before, sys.executable, "-m", "edge_ctc", "watch", "--config", str(self.config)]
        return Daemon(self, lambda needed: _Started(command, self.journal, {**needed, **(env or {})}))

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
