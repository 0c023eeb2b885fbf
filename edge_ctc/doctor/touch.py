"""Touches a folder, in a process of its own that `edge_ctc.doctor.folders` starts; imports nothing of edge_ctc.

A share whose server is gone holds whoever touches it for as long as it likes. Let that be this process.
"""

import contextlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_MOST_COUNTED = 100_000
_MOST_DATED = 200
"""Asking a distant server for the time of each of 10,000 entries would take longer than anybody waits."""


def main() -> None:
    """`touch.py look|write FOLDER`: prints one JSON object."""
    verb, folder = sys.argv[1:]
    found = look(Path(folder)) if verb == "look" else write(Path(folder))
    sys.stdout.write(json.dumps(found))


def look(folder: Path) -> dict[str, Any]:
    """What is there, and how much room; no name of what lies inside is told."""
    real = Path(os.path.realpath(folder))
    found: dict[str, Any] = {
        "real": str(real),
        "place": None,
        "free": None,
        "entries": None,
        "newest": None,
        "errno": None,
    }
    try:
        place = _existing(real)
        room = os.statvfs(place)
        found |= {"place": str(place), "free": room.f_bavail * room.f_frsize}
        with os.scandir(real) as entries:
            times = [real.stat().st_mtime]
            dated = list(itertools.islice(entries, _MOST_DATED))
            counted = len(dated) + sum(1 for _ in itertools.islice(entries, _MOST_COUNTED - len(dated)))
        for entry in dated:
            with contextlib.suppress(FileNotFoundError):
                times.append(entry.stat(follow_symlinks=False).st_mtime)
        return found | {"entries": counted, "newest": max(times)}
    except OSError as error:
        return found | {"errno": error.errno}


def write(folder: Path) -> dict[str, Any]:
    """Whether a file can be made and removed in `folder`; only trying tells.

    Rights as they are listed are no answer: the server of a share has its own, and root is above them.
    """
    try:
        _make_and_remove(folder / f".edge-ctc-doctor.tmp-{os.urandom(8).hex()}")
    except OSError as error:
        return {"errno": error.errno}
    return {"errno": None}


def _make_and_remove(path: Path) -> None:
    # Whoever waits for this process loses patience with SIGTERM: the file must go even then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(handle, b"edge-ctc doctor\n")
            # A full disk of a server shows at fsync or close at the earliest.
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        path.unlink()


def _existing(path: Path) -> Path:
    """The folder itself, or the one in which it would be made."""
    try:
        path.lstat()
    except FileNotFoundError:
        return _existing(path.parent)
    return path


if __name__ == "__main__":
    main()
