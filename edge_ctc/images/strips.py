"""The counts of one checked TIFF page: numpy cuts uncompressed strips out, zlib or Pillow inflates the others."""

import io
import struct
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.inflate import inflate
from edge_ctc.images.tail import check_tail
from edge_ctc.images.tiff import COMPRESSIONS, DEFLATES, UNCOMPRESSED, TiffPage
from edge_ctc.preprocess import Counts

_HORIZONTAL = 2


def decode_page(content: bytes, page: TiffPage) -> Counts:
    """The counts of one checked page.

    Args:
        content: the whole file.
        page: as `edge_ctc.images.tiff.read_header` gave it.

    Returns:
        uint8 or uint16 (H, W), exactly the counts stored; read-only where the file is uncompressed.

    Raises:
        ImageError: the compressed data are torn, or an uncompressed page ends in rows that were never written.
    """
    if page.compression in DEFLATES:
        return _inflate(content, page)
    if page.compression != UNCOMPRESSED:
        return _by_pillow(content, page)
    counts = _unpacked(content, page) if page.bits == 12 else _shaped(_stored(content, page), page)
    check_tail(counts)
    return counts


def _stored(content: bytes, page: TiffPage) -> NDArray[np.uint8]:
    if len(page.strips) == 1:
        offset, length = page.strips[0]
        return np.frombuffer(content, np.uint8, length, offset)
    return np.frombuffer(_joined(content, page), np.uint8)


def _joined(content: bytes, page: TiffPage) -> bytes:
    return b"".join(content[offset : offset + length] for offset, length in page.strips)


def _shaped(stored: NDArray[np.uint8], page: TiffPage) -> Counts:
    dtype = np.dtype(page.dtype)
    counts: Counts = stored.view(dtype).reshape(page.height, page.width).astype(dtype.newbyteorder("="), copy=False)
    return counts


def _unpacked(content: bytes, page: TiffPage) -> NDArray[np.uint16]:
    """Samples of 12 bits: the high bits come first, whatever the byte order (TIFF 6.0, section 8, FillOrder)."""
    rows = _stored(content, page).reshape(page.height, page.row_bytes)
    counts = np.empty((page.height, page.width), np.uint16)
    counts[:, 0::2] = rows[:, 0::3]
    counts[:, 0::2] <<= 4
    counts[:, 0::2] |= rows[:, 1::3] >> 4
    counts[:, 1::2] = rows[:, 1::3][:, : page.width // 2] & 15
    counts[:, 1::2] <<= 8
    counts[:, 1::2] |= rows[:, 2::3]
    return counts


def _inflate(content: bytes, page: TiffPage) -> Counts:
    """Deflate, and horizontal differences of samples in the file's byte order (TIFF 6.0, section 14)."""
    pieces = []
    for index, (offset, length) in enumerate(page.strips):
        rows = min(page.rows_per_strip, page.height - index * page.rows_per_strip)
        pieces.append(inflate(content[offset : offset + length], rows * page.row_bytes, f"strip {index}"))
    counts = _shaped(np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), np.uint8), page)
    if page.predictor == _HORIZONTAL:
        summed: Counts = np.add.accumulate(counts, axis=1, dtype=counts.dtype)
        return summed
    return counts


def _by_pillow(content: bytes, page: TiffPage) -> Counts:
    # Pillow reads the header again, and by itself turns images, takes other pages, and trips over odd tags. So it
    # is shown a TIFF of nothing but what was checked.
    try:
        with Image.open(io.BytesIO(_plain_tiff(content, page)), formats=("TIFF",)) as image:
            counts = np.array(image)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise ImageError(f"torn: {COMPRESSIONS[page.compression]} data do not decode ({error})") from error
    dtype = np.dtype(page.dtype)
    if counts.shape != (page.height, page.width) or counts.dtype.itemsize != dtype.itemsize:
        raise ImageError(f"decoded to {counts.dtype} {counts.shape}, the header says {page}")
    native: Counts = counts.astype(dtype.newbyteorder("="), copy=False)
    return native


def _plain_tiff(content: bytes, page: TiffPage) -> bytes:
    """One page with the strips of `page` and the tags that they need, by TIFF 6.0, section 2."""
    order = ">" if page.dtype.startswith(">") else "<"
    count = len(page.strips)
    lengths = [length for _, length in page.strips]
    entries = 9
    arrays_at = 8 + 2 + 12 * entries + 4
    data_at = arrays_at + 8 * count
    offsets = list(accumulate(lengths[:-1], initial=data_at))
    tags = (
        (256, page.width),
        (257, page.height),
        (258, page.bits),
        (259, page.compression),
        (262, 1),
        (273, offsets[0] if count == 1 else arrays_at),
        (278, page.rows_per_strip),
        (279, lengths[0] if count == 1 else arrays_at + 4 * count),
        (317, page.predictor),
    )
    header = struct.pack(order + "2sHIH", b"MM" if order == ">" else b"II", 42, 8, entries)
    directory = b"".join(
        struct.pack(order + "HHII", tag, 4, count if tag in (273, 279) else 1, value) for tag, value in tags
    )
    arrays = struct.pack(f"{order}I{2 * count}I", 0, *offsets, *lengths)
    return header + directory + arrays + _joined(content, page)
