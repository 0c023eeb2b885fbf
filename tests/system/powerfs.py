"""A file system of one file, `disk`, that forgets on SIGUSR1 what was not flushed: all, the end of it, or any part.

`python -m tests.system.powerfs MOUNT BASE_IMAGE CRASH_IMAGE SEED` serves it; the crash image is what a cut leaves.
"""

# ruff: noqa: ARG002 - the signatures are the library's

import errno
import random
import signal
import stat
import sys
from pathlib import Path

import mfusepy

_SECTOR = 512
"""Bytes that a disk writes wholly or not at all."""


class PowerFs(mfusepy.Operations):  # type: ignore[misc]  # it carries no types
    """Holds the disk in memory: as it is, and as it would be found after a power cut."""

    use_ns = True

    def __init__(self, base: Path, crash: Path, seed: int) -> None:
        self._durable = bytearray(base.read_bytes())
        self._current = bytearray(self._durable)
        self._pending: list[tuple[int, bytes]] = []
        self._crash = crash
        self._random = random.Random(seed)  # noqa: S311 - drawn again by the same seed
        self._is_dead = False

    def cut(self, *_: object) -> None:
        """Everything fails from now on. The order of writes between two flushes is the disk's own affair."""
        self._is_dead = True
        sectors = [
            (offset + start, data[start : start + _SECTOR])
            for offset, data in self._pending
            for start in range(0, len(data), _SECTOR)
        ]
        match self._random.choice(("none", "prefix", "random")):
            case "none":
                sectors = []
            case "prefix":
                sectors = sectors[: self._random.randint(0, len(sectors))]
            case _:
                sectors = [sector for sector in sectors if self._random.random() < 0.5]
        for offset, data in sectors:
            self._durable[offset : offset + len(data)] = data
        temporary = self._crash.with_suffix(".new")
        temporary.write_bytes(self._durable)
        temporary.rename(self._crash)

    def _power(self) -> None:
        if self._is_dead:
            raise mfusepy.FuseOSError(errno.EIO)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/disk":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(self._current)}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", "disk"]

    def open(self, path: str, flags: int) -> int:
        return 1

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._power()
        return bytes(self._current[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._power()
        self._current[offset : offset + len(data)] = data
        self._pending.append((offset, bytes(data)))
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._power()
        for offset, data in self._pending:
            self._durable[offset : offset + len(data)] = data
        self._pending.clear()
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0


if __name__ == "__main__":
    disk = PowerFs(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    signal.signal(signal.SIGUSR1, disk.cut)
    mfusepy.FUSE(disk, sys.argv[1], foreground=True, nothreads=True, allow_other=True)
