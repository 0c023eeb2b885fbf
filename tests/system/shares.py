"""A share that can fail: a folder behind, a mount before, and a server between that a test may stop, kill and order about."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_ctc.doctor.mounts import read_mounts
from tests.system.faultfs import Rules

_FAULTFS = Path(__file__).with_name("faultfs.py")


class Share:
    """Mounted while the `with` lasts.

    Attributes:
        remote: the folder behind: what the other side writes, and what it sees.
        local: where it is mounted.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.remote = folder / "remote"
        self.local = folder / "share"
        self._control = folder / "faults.json"
        self._read_only = read_only
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for folder in (self.remote, self.local):
            folder.mkdir(exist_ok=True)
        self.heal()
        self.back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gone()
        self.unmount()

    def faults(self, rules: Rules) -> None:
        """Let calls fail or be late from now on, as `faultfs` describes."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps(rules))
        fresh.rename(self._control)

    def heal(self) -> None:
        """No faults any more."""
        self.faults({})

    def hang(self) -> None:
        """No call is answered any more."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The calls that hang are answered, and all others."""
        self._signal(signal.SIGCONT)

    def gone(self) -> None:
        """The server dies; the mount stands, every call fails."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def unmount(self) -> None:
        """The mount goes; the empty folder under it shows."""
        while self._is_mounted():
            subprocess.run(["umount", "-l", self.local], check=True)

    def back(self) -> None:
        """Mounted anew, by a new server."""
        self.gone()
        self.unmount()
        options = ["ro"] if self._read_only else []
        self._server = subprocess.Popen([sys.executable, _FAULTFS, self.remote, self.local, self._control, *options])
        until = time.monotonic() + 20
        while not self._is_mounted():
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    "no FUSE file system could be mounted: root, /dev/fuse, libfuse3 and mfusepy are needed"
                )
            time.sleep(0.01)

    def _is_mounted(self) -> bool:
        return any(mount.point == self.local for mount in read_mounts())

    def _signal(self, number: int) -> None:
        assert self._server is not None
        os.kill(self._server.pid, number)
