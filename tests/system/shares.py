"""A share that can fail: a folder behind, a mount before, and between them a server that a test orders about."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_ctc.doctor.mounts import MOUNTINFO, read_mounts
from tests.system.faultfs import Rules

_FAULTFS = Path(__file__).with_name("faultfs.py")
_UMOUNT = ("umount", "-l")
_MOUNT_COUNTERS = ("mount", "-t", "fusectl", "fusectl")


class Share:
    """Mounted while the `with` lasts.

    Attributes:
        remote: the folder behind: what the other side writes, and what it sees.
        local: where it is mounted.
        read_only: whether it is mounted so at the next time.
        remembers_s: for how long names and sizes are remembered, as `actimeo` tells SMB and NFS; 0.0: every look asks.
    """

    def __init__(self, folder: Path, *, remembers_s: float = 0.0) -> None:
        self.remote = folder / "remote"
        self.local = folder / "share"
        self._counters = folder / "fuse"
        self._control = folder / "faults.json"
        self.read_only = False
        self.remembers_s = remembers_s
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
        if self._counters.is_mount():
            subprocess.run([*_UMOUNT, self._counters], check=True)

    def faults(self, rules: Rules) -> None:
        """Let calls fail or be late from now on, as `faultfs` describes."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps(rules))
        fresh.rename(self._control)

    def heal(self) -> None:
        """No faults any more."""
        self.faults({})

    def hang(self) -> None:
        """No call is answered any more.

        Stopped between two calls: who waits for a call that a FUSE server has begun cannot even be killed.
        """
        until = time.monotonic() + 20
        self._signal(signal.SIGSTOP)
        while self._under_way():
            assert time.monotonic() < until, "the share is never idle"
            self._signal(signal.SIGCONT)
            time.sleep(0.02)
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
            subprocess.run([*_UMOUNT, self.local], check=True)

    def back(self) -> None:
        """Mounted anew, by a new server."""
        self.gone()
        self.unmount()
        options = [str(self.remembers_s), *(["ro"] if self.read_only else [])]
        self._server = subprocess.Popen([sys.executable, _FAULTFS, self.remote, self.local, self._control, *options])
        until = time.monotonic() + 20
        while not self._is_mounted():
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    "no FUSE file system could be mounted: root, /dev/fuse, libfuse3 and mfusepy are needed"
                )
            time.sleep(0.01)

    def _under_way(self) -> int:
        """Calls that wait for an answer, as the kernel counts them."""
        lines = [line.split(" ") for line in MOUNTINFO.read_text().splitlines()]
        (device,) = [fields[2] for fields in lines if fields[4] == str(self.local)]
        self._counters.mkdir(exist_ok=True)
        if not any(self._counters.iterdir()):
            subprocess.run([*_MOUNT_COUNTERS, self._counters], check=True)
        return int((self._counters / device.partition(":")[2] / "waiting").read_text())

    def _is_mounted(self) -> bool:
        return any(mount.point == self.local for mount in read_mounts())

    def _signal(self, number: int) -> None:
        assert self._server is not None
        os.kill(self._server.pid, number)
