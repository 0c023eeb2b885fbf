"""Read one file of a run safely: bounded, links not followed, unchanged since it was listed."""

import os
import stat
from pathlib import Path

from edge_ctc.cells import ImageFile
from edge_ctc.errors import ImageError, RunUnreadableError

MAX_FILE_BYTES = 64 << 20


def read_file(folder: Path, file: ImageFile) -> bytes:
    """The bytes of `file`, unchanged since it was listed.

    Raises:
        ImageError: it is larger than 64 MiB.
        RunUnreadableError: the disk failed, or the file is not the one that was listed. No row may come of it.
    """
    if file.size > MAX_FILE_BYTES:
        raise ImageError(f"{file.name}: {file.size} bytes, expected at most {MAX_FILE_BYTES}")
    try:
        handle = os.open(folder / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            content = _read_all(handle, file.size)
            after = os.fstat(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise RunUnreadableError(
            f"{folder / file.name}: cannot be read ({error.strerror}); mend the disk or share, then try again"
        ) from error
    if not stat.S_ISREG(after.st_mode) or (after.st_size, after.st_mtime_ns, len(content)) != (
        file.size,
        file.mtime_ns,
        file.size,
    ):
        raise RunUnreadableError(f"{folder / file.name}: changed while the run was read; try again when it is still")
    return content


def _read_all(handle: int, size: int) -> bytes:
    content = os.read(handle, size + 1)
    while len(content) < size:
        more = os.read(handle, size + 1 - len(content))
        if not more:
            break
        content += more
    return content
