"""Read one image file safely, and decode it into counts. A torn image and a failing disk are never confused."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from edge_ctc.cells import ImageFile
from edge_ctc.errors import ImageError, RunUnreadableError
from edge_ctc.exports.strips import decode_page
from edge_ctc.exports.tiff import read_header
from edge_ctc.preprocess import Bits, Counts

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


def decode(content: bytes, name: str, pages: Sequence[int], page_count: int, bits: Bits) -> list[Counts]:
    """The wanted pages of a file.

    Args:
        content: the whole file.
        name: for errors.
        pages: indices of the wanted pages.
        page_count: pages that the file must have: one per channel of a multipage layout, else 1.
        bits: declared by the profile; a count above 2**bits - 1 is refused.

    Returns:
        uint8 or uint16 (H, W) each, exactly the counts stored.

    Raises:
        ImageError: torn, of another kind, or not as declared; the message begins with `name`.
    """
    try:
        found = read_header(content)
        _check_page_count(len(found), page_count)
        images = [decode_page(content, found[page]) for page in pages]
        for image in images:
            _check_bits(image, bits)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return images


def _check_page_count(found: int, expected: int) -> None:
    if found != expected:
        raise ImageError(f"expected {expected} page(s), got {found}")


def _check_bits(image: Counts, bits: Bits) -> None:
    if bits != "unknown" and (largest := int(image.max())) >> bits:
        raise ImageError(f"expected counts of {bits} bits as the profile says, got {largest}")
