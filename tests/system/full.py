"""A small disk in memory, and what fills it."""

import contextlib
import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(mount: Path, *options: str) -> Iterator[Path]:
    """A tmpfs at `mount`, with options as size=1m or nr_inodes=50."""
    mount.mkdir(parents=True, exist_ok=True)
    named = ",".join(("mode=755", *options))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", named, "tmpfs", str(mount)], check=False, capture_output=True)
    assert done.returncode == 0, f"no tmpfs at {mount}: {done.stderr.decode()}"
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def fill(folder: Path) -> Path:
    """Take all the space that is left, and give the file that holds it."""
    ballast = folder / "ballast"
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(handle, bytes(size))
    finally:
        os.close(handle)
    return ballast


def take_all_inodes(folder: Path) -> Path:
    """Make files until there can be no more, and give the folder that holds them."""
    crowd = folder / "crowd"
    crowd.mkdir()
    for number in itertools.count():
        try:
            (crowd / str(number)).touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return crowd
    raise AssertionError("unreachable")
