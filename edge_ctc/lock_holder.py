"""Who holds a `flock`, in words for people: it decides nothing, since not every system tells."""

import contextlib
import os
from pathlib import Path

LOCKS = Path("/proc/locks")
_MOST_BYTES = 4096
_MOST_SHOWN = 60


def holder_of(folder_or_file: Path) -> str:
    """`process 1234 (edge-ctc watch)`, or `another process` where it cannot be told; never raises."""
    pid = holder_pid(folder_or_file)
    if pid is None:
        return "another process"
    command = _command(pid)
    return f"process {pid} ({command})" if command else f"process {pid}"


def holder_pid(folder_or_file: Path) -> int | None:
    """The process that took the `flock` on that inode; None where none did, or where it cannot be told; never raises.

    A lock that was taken in another container is not listed in this one.
    """
    try:
        stat = folder_or_file.stat()
        lines = LOCKS.read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return None
    locks = [lock for lock in map(_flock, lines) if lock is not None and lock[2] == stat.st_ino]
    device = (os.major(stat.st_dev), os.minor(stat.st_dev))
    # btrfs and overlayfs tell another device in stat than in the list of locks; the inode alone must then be enough.
    pids = {pid for pid, where, _ in locks if where == device} or {pid for pid, _, _ in locks}
    return pids.pop() if len(pids) == 1 else None


def _flock(line: str) -> tuple[int, tuple[int, int], int] | None:
    """Process, device and inode of `1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`; None of any other line.

    One that waits for a lock has `->` in the second place.
    """
    with contextlib.suppress(ValueError):
        _, kind, _, _, pid, inode, _, _ = line.split()
        major, minor, number = inode.split(":")
        if kind == "FLOCK" and int(pid) > 0:
            return int(pid), (int(major, 16), int(minor, 16)), int(number)
    return None


def _command(pid: int) -> str:
    """The program's name, and of an edge-ctc its command, without options and paths; empty where it is hidden."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - a few bytes of what may be megabytes
            words = [os.fsdecode(word) for word in file.read(_MOST_BYTES).split(b"\0") if word]
    except OSError:
        return ""
    names = [os.path.basename(word) for word in words]  # noqa: PTH119 - a word that is no path, too
    ours = next((place for place, name in enumerate(names) if name in ("edge-ctc", "edge_ctc")), None)
    shown = names[:1] if ours is None else names[ours : ours + 1] + words[ours + 1 : ours + 2]
    return "".join(char for char in " ".join(shown) if char.isprintable())[:_MOST_SHOWN]
