"""Processes under test: forked from one that has imported the program already, or started anew."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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


class Forked:
    """`edge-ctc` with arguments, within milliseconds: a copy of a process that has imported it."""

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


class Started:
    """A command line of its own."""

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
    return Forked([str(one) for one in arguments], log, {}, how)


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
