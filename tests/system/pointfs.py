"""A file system that counts each request to change it, and fails, or kills the daemon, at exactly the n-th.

Requests come in one order, whatever thread or process they come from, and only those below the mount: what strace
cannot do for a program of several threads. `python -m tests.system.pointfs BEHIND MOUNT CONTROL LOG` serves it.
"""

# ruff: noqa: ARG002, PTH102, PTH104, PTH106, PTH108, PTH123, PTH101 - the signatures are the library's, and it deals in paths as texts

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mfusepy


class PointFs(mfusepy.Operations):  # type: ignore[misc]  # it carries no types
    """Passes everything on to the folder `behind`."""

    use_ns = True

    def __init__(self, behind: str, control: str, log: str) -> None:
        self._behind = os.path.realpath(behind)
        self._control = f"{control}/"
        self._log = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 - as long as the process
        self._counts: Counter[str] = Counter()

    def _real(self, path: str) -> str:
        return self._behind + path

    def _point(self, call: str, path: str) -> None:
        """A request to change something comes. Its area is the first two folders of the path: `/trial-3/exports`."""
        area = "/".join(path.split("/")[:3])
        self._counts[area] += 1
        self._log.write(f"{area}\t{self._counts[area]}\t{call} {path}\n")
        with contextlib.suppress(FileNotFoundError, ValueError):
            rule = json.loads(Path(self._control + _slug(area)).read_text(encoding="utf-8"))
            if rule["nth"] == self._counts[area]:
                self._log.write(f"{area}\t{self._counts[area]}\tHIT\n")
                if rule["fault"] == "SIGKILL":
                    os.kill(rule["pid"], signal.SIGKILL)
                    raise mfusepy.FuseOSError(errno.EINTR)
                raise mfusepy.FuseOSError(getattr(errno, rule["fault"]))

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        stat = os.lstat(self._real(path))
        same = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size")
        times = {"st_atime": stat.st_atime_ns, "st_mtime": stat.st_mtime_ns, "st_ctime": stat.st_ctime_ns}
        return {name: getattr(stat, name) for name in same} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def statfs(self, path: str) -> dict[str, Any]:
        found = os.statvfs(self._real(path))
        names = (
            "f_bavail",
            "f_bfree",
            "f_blocks",
            "f_bsize",
            "f_favail",
            "f_ffree",
            "f_files",
            "f_frsize",
            "f_namemax",
        )
        return {name: getattr(found, name) for name in names}

    def open(self, path: str, flags: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self._point("open", path)
        return os.open(self._real(path), flags)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._point("create", path)
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._point("write", path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._point("truncate", path)
        os.truncate(self._real(path), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._point("fsync", path)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._point("fsyncdir", path)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        self._point("rename", new)
        os.rename(self._real(old), self._real(new))
        return 0

    def link(self, target: str, source: str) -> int:
        self._point("link", target)
        os.link(self._real(source), self._real(target))
        return 0

    def unlink(self, path: str) -> int:
        self._point("unlink", path)
        os.unlink(self._real(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._point("mkdir", path)
        os.mkdir(self._real(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._point("rmdir", path)
        os.rmdir(self._real(path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._point("chmod", path)
        os.chmod(self._real(path), mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._point("utimens", path)
        if times is None:
            os.utime(self._real(path))
        else:
            os.utime(self._real(path), ns=times)
        return 0


def _slug(area: str) -> str:
    return area.strip("/").replace("/", "-")


@dataclass(frozen=True)
class Change:
    """One request: the n-th of its area, and what it was."""

    nth: int
    what: str


class Mounted:
    """The file system, served while the `with` lasts.

    Attributes:
        behind: the folder that it shows.
        mount: where.
    """

    def __init__(self, folder: Path) -> None:
        self.behind, self.mount = folder / "behind", folder / "mount"
        self._control, self._log = folder / "control", folder / "changes"

    def __enter__(self) -> Self:
        for one in (self.behind, self.mount, self._control):
            one.mkdir(parents=True)
        names = [str(one) for one in (self.behind, self.mount, self._control, self._log)]
        self._server = subprocess.Popen([sys.executable, "-m", "tests.system.pointfs", *names])
        deadline = time.monotonic() + 30
        while not os.path.ismount(self.mount):
            assert self._server.poll() is None, "the file system cannot be mounted: it needs root and /dev/fuse"
            assert time.monotonic() < deadline, "the file system is not mounted after 30 s"
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.mount)], check=False)
        self._server.kill()
        self._server.wait(30)

    def order(self, area: str, nth: int, fault: str, pid: int) -> None:
        """Let the `nth` request of `area` fail with an error of that name, or kill process `pid` instead."""
        rule = {"nth": nth, "fault": fault, "pid": pid}
        (self._control / _slug(area)).write_text(json.dumps(rule), encoding="utf-8")

    def changes(self, area: str) -> list[Change]:
        """All requests in `area` so far, the HITs among them."""
        lines = [line.split("\t") for line in self._log.read_text(encoding="utf-8").splitlines()]
        return [Change(int(line[1]), line[2]) for line in lines if line[0] == area]


if __name__ == "__main__":
    mfusepy.FUSE(
        PointFs(sys.argv[1], *sys.argv[3:]),
        sys.argv[2],
        foreground=True,
        nothreads=True,
        allow_other=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )
