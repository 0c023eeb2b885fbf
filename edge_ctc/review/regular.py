"""A file of limited size, read whole."""

import os
import stat
from pathlib import Path

from edge_ctc.errors import DataError


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The bytes of the regular file at `path`, or at the end of a link.

    Raises:
        DataError: something else stands there, or it is larger than `most_bytes`.
        OSError: it is not there, or cannot be read.
    """
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DataError(f"{path}: no regular file; name a file that edge-ctc or its gallery wrote")
        content: bytes = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise DataError(f"{path}: larger than {most_bytes} bytes; expected a file that edge-ctc or its gallery wrote")
    return content


def _at_once(path: str, flags: int) -> int:
    # A pipe in the place of a file would keep a plain open waiting for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
