"""Files that appear whole, by one protocol on every file system.

Temp in the same folder (exclusive, no link followed) → write → fsync → the old one moved aside → rename →
fsync of the folder. Renaming over an open file can destroy it on SMB, so nothing is ever renamed over: the
old one steps aside first, and the name may be absent for a moment. What a crash leaves in that gap, `mend`
closes at the next start.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_ctc.errors import ResultsError, ResultsHeldError
from edge_ctc.lock_holder import holder_of

_TEMP_MARK = ".tmp-"
_ASIDE_SUFFIX = ".tmp-old"
_LEFT = re.compile(r"\.(.+)\.tmp-(?:old|[0-9a-f]{8})", re.DOTALL)


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold `folder` as its only writer on this machine, by an advisory lock that leaves no file.

    Raises:
        ResultsHeldError: another process holds it.
        ResultsError: the folder cannot be opened or locked.
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
                f"{folder}: another edge-ctc writes here, {holder_of(folder)}; wait until it has ended"
            ) from error
        except OSError as error:
            # Some shares know no locks: without one, two writers could not be told apart.
            raise _cannot_write(folder, error) from error
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Staged:
    """Content that lies safely on the disk beside its place, under a temporary name.

    Attributes:
        temp: where it lies.
        path: where it belongs.
        sha256: of the content.
    """

    temp: Path
    path: Path
    sha256: str

    def publish(self) -> None:
        """Let it appear at `path`, in the place of what stood there.

        Raises:
            ResultsError: the place cannot be written; what stood there still stands.
        """
        try:
            _swap(self.temp, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise _cannot_write(self.path, error) from error


@contextlib.contextmanager
def staged(path: Path, write: Callable[[BinaryIO], None]) -> Iterator[Staged]:
    """Write content for `path` beside it; whoever is given it may publish it, else it goes again.

    A full disk shows here, before anything that stands is touched: stage all that belongs together, then publish.

    Args:
        path: the final name; its folder exists.
        write: writes the content into a binary file opened for writing.

    Raises:
        ResultsError: the disk is full, or the place cannot be written.
    """
    temp = path.with_name(f".{path.name}{_TEMP_MARK}{secrets.token_hex(4)}")
    try:
        try:
            sha256 = _write_synced(temp, write)
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield Staged(temp, path, sha256)
    finally:
        with contextlib.suppress(OSError):
            if os.path.lexists(temp):
                temp.unlink()


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> str:
    """Let `path` appear with all that `write` writes, in the place of what stood there.

    Args:
        path: the final name; its folder exists.
        write: writes the content into a binary file opened for writing.

    Returns:
        The sha256 of what was written.

    Raises:
        ResultsError: the disk is full, the place cannot be written, or the write failed. What stands at `path`
            then is whole: the old file, or, if only the last tidying failed, the new one.
    """
    with staged(path, write) as content:
        content.publish()
    return content.sha256


def write_bytes(path: Path, content: bytes) -> str:
    """Let `path` appear with `content`. Returns and raises as `write_whole`."""
    return write_whole(path, writing(content))


def writing(content: bytes) -> Callable[[BinaryIO], None]:
    """What `staged` and `write_whole` take, of content that is at hand."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


def copy_whole(source: Path, path: Path) -> None:
    """Let `path` appear as a copy of the file `source`. Raises as `write_whole`."""
    try:
        with source.open("rb") as file:
            write_whole(path, lambda copy: shutil.copyfileobj(file, copy))
    except OSError as error:
        raise _cannot_write(path, error) from error


def mend(path: Path) -> None:
    """Close the gap that a crash may have left at `path`: bring the old file back, remove temps.

    Call it as the folder's sole writer, before `path` is read.

    Raises:
        ResultsError: the folder cannot be read or written.
    """
    prefix = f".{path.name}{_TEMP_MARK}"
    aside = _aside(path)
    try:
        if _is_there(aside) and not _is_there(path):
            aside.rename(path)
        with os.scandir(path.parent) as entries:
            left = [path.with_name(entry.name) for entry in entries if entry.name.startswith(prefix)]
        for temp in left:
            temp.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def cut_short(folder: Path) -> list[Path]:
    """The places in `folder` at which something was being written when a process ended, for `mend`.

    Raises:
        ResultsError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = {left[1] for entry in entries if (left := _LEFT.fullmatch(entry.name))}
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return [folder / name for name in sorted(found)]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` safe against a loss of power. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_synced(temp: Path, write: Callable[[BinaryIO], None]) -> str:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # A full disk of a server shows at fsync or close at the earliest: both are inside the try of the caller.
    with os.fdopen(os.open(temp, flags, 0o644), "w+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _swap(temp: Path, path: Path) -> None:
    aside = _aside(path)
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    moved = False
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        moved = True
    try:
        temp.rename(path)
    except BaseException:
        if moved:
            aside.rename(path)
        raise
    aside.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    # Not exists(): a path that cannot be asked for is not an absent one. Raises OSError.
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_ASIDE_SUFFIX}")


def _cannot_write(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"{path}: cannot be written ({error.strerror}); free space or rights there, or name another place"
    )
