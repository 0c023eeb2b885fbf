"""The counts of one checked TIFF page: numpy cuts uncompressed strips out, Pillow inflates the others."""

import io
import struct

import numpy as np
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.tiff import COMPRESSIONS, UNCOMPRESSED, TiffPage
from edge_ctc.preprocess import Counts


def decode_page(content: bytes, page: TiffPage) -> Counts:
    """The counts of one checked page.

    Args:
        content: the whole file.
        page: as `edge_ctc.images.tiff.read_header` gave it.

    Returns:
        uint8 or uint16 (H, W), exactly the counts stored; read-only where the file is uncompressed.

    Raises:
        ImageError: the compressed data are torn.
    """
    dtype = np.dtype(page.dtype)
    native = dtype.newbyteorder("=")
    if page.compression != UNCOMPRESSED:
        counts: Counts = _inflate(content, page).astype(native, copy=False)
        return counts
    if len(page.strips) == 1:
        flat = np.frombuffer(content, dtype, page.width * page.height, page.strips[0][0])
    else:
        flat = np.frombuffer(_joined(content, page), dtype)
    return flat.reshape(page.height, page.width).astype(native, copy=False)


def _joined(content: bytes, page: TiffPage) -> bytes:
    return b"".join(content[offset : offset + length] for offset, length in page.strips)


def _inflate(content: bytes, page: TiffPage) -> Counts:
    # Pillow reads the header again, and by itself turns images, takes other pages, and trips over odd tags. So it
    # is shown a TIFF of nothing but what was checked.
    try:
        with Image.open(io.BytesIO(_plain_tiff(content, page)), formats=("TIFF",)) as image:
            counts = np.array(image)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise ImageError(f"torn: {COMPRESSIONS[page.compression]} data do not decode ({error})") from error
    if counts.shape != (page.height, page.width) or counts.dtype.itemsize != np.dtype(page.dtype).itemsize:
        raise ImageError(f"decoded to {counts.dtype} {counts.shape}, the header says {page}")
    return counts


def _plain_tiff(content: bytes, page: TiffPage) -> bytes:
    """One page with the strips of `page` and the tags that they need, by TIFF 6.0, section 2."""
    order = ">" if page.dtype.startswith(">") else "<"
    count = len(page.strips)
    lengths = [length for _, length in page.strips]
    entries = 9
    arrays_at = 8 + 2 + 12 * entries + 4
    data_at = arrays_at + 8 * count
    offsets = [data_at + sum(lengths[:index]) for index in range(count)]
    tags = (
        (256, page.width),
        (257, page.height),
        (258, 8 * np.dtype(page.dtype).itemsize),
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
