"""Files that appear whole, by one protocol on every file system.

Temp in the same folder (exclusive, no link followed) → write → fsync → the old one moved aside → rename →
fsync of the folder. Renaming over an open file can destroy it on SMB, so nothing is ever renamed over: the
old one steps aside first, and the name may be absent for a moment. What a crash leaves in that gap, `mend`
closes at the next start.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edge_ctc.errors import ResultsError, ResultsHeldError

_TEMP_MARK = ".tmp-"
_ASIDE_SUFFIX = ".tmp-old"


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold `folder` as its only writer on this machine, by an advisory lock that leaves no file.

    Raises:
        ResultsHeldError: another process holds it.
        ResultsError: the folder cannot be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResultsHeldError(
                f"{folder}: another edge-ctc writes results here; wait until it has ended"
            ) from error
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, write: Callable[[BinaryIO], None], keep_old_as: Path | None = None) -> str:
    """Let `path` appear with all that `write` writes, or leave it as it was.

    Args:
        path: the final name; its folder exists.
        write: writes the content into a binary file opened for writing.
        keep_old_as: a name in the same folder that the file now at `path` keeps; None: it is removed.

    Returns:
        The sha256 of what was written.

    Raises:
        ResultsError: the disk is full, the place cannot be written, or the write failed. Nothing new
            stands at `path` then.
    """
    temp = path.with_name(f".{path.name}{_TEMP_MARK}{secrets.token_hex(4)}")
    aside = keep_old_as or path.with_name(f".{path.name}{_ASIDE_SUFFIX}")
    try:
        try:
            sha256 = _write_synced(temp, write)
            _swap(temp, path, aside)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        if keep_old_as is None:
            aside.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return sha256


def mend(path: Path) -> None:
    """Close the gap that a crash may have left at `path`: bring the old file back, remove temps.

    Call it as the folder's sole writer, before `path` is read.

    Raises:
        ResultsError: the folder cannot be read or written.
    """
    prefix = f".{path.name}{_TEMP_MARK}"
    aside = path.with_name(f".{path.name}{_ASIDE_SUFFIX}")
    try:
        if aside.exists() and not path.exists():
            aside.rename(path)
        with os.scandir(path.parent) as entries:
            left = [path.with_name(entry.name) for entry in entries if entry.name.startswith(prefix)]
        for temp in left:
            temp.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _write_synced(temp: Path, write: Callable[[BinaryIO], None]) -> str:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # A full disk of a server shows at fsync or close at the earliest: both are inside the try of the caller.
    with os.fdopen(os.open(temp, flags, 0o644), "w+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _swap(temp: Path, path: Path, aside: Path) -> None:
    moved = False
    try:
        path.rename(aside)
        moved = True
    except FileNotFoundError:
        pass
    try:
        temp.rename(path)
    except OSError:
        if moved:
            aside.rename(path)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"{path}: cannot be written ({error.strerror}); free space or rights there, or name another place"
    )
