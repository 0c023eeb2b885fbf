"""A result file, read whole while somebody else may replace it."""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.errors import DataError, RunUnreadableError

GAP_S = 1.0
"""How long a writer may take between moving the old file aside and the new one, or its manifest, into its place."""

_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Taken:
    """A file as it was read.

    Attributes:
        path: where.
        content: all its bytes.
        stamp: device, inode, size, times of change in nanoseconds: another stamp is another file, or other bytes.
    """

    path: Path
    content: bytes
    stamp: tuple[int, ...]

    def is_still_there(self) -> bool:
        """Whether the same file stands in its place, untouched. Raises RunUnreadableError."""
        try:
            return _stamp(self.path.stat()) == self.stamp
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(self.path, error) from error


def take(path: Path) -> Taken | None:
    """The file at `path`; None where it is not there, nor appears within the gap that a writer leaves.

    Raises:
        DataError: something that is no regular file stands there.
        RunUnreadableError: the disk failed, or the file changed while it was read.
    """
    for look in range(_LOOKS):
        if look:
            time.sleep(GAP_S / _LOOKS)
        try:
            return _read(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
    return None


def _read(path: Path) -> Taken:
    # A pipe in the place of a result would keep a plain open waiting for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise DataError(f"{path}: no regular file, expected one that edge-ctc wrote; move it away")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read()
        after = os.fstat(handle)
    finally:
        os.close(handle)
    if _stamp(after) != _stamp(before) or len(content) != before.st_size:
        raise replaced(path)
    return Taken(path, content, _stamp(before))


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def replaced(path: Path) -> RunUnreadableError:
    """The error that says that somebody wrote at the same time."""
    return RunUnreadableError(
        f"{path}: was replaced or changed while it was verified; nothing can be certified now: verify again once "
        "whoever writes there is done"
    )


def _unreadable(path: Path, error: OSError) -> RunUnreadableError:
    return RunUnreadableError(f"{path}: cannot be read ({error.strerror}); mend the disk or share, then verify again")
