"""Windows bitmaps: the header checked, then the counts cut out.

Reference: BITMAPFILEHEADER, BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER of the Windows GDI documentation
(Microsoft). All numbers are little-endian. Bits per count are 8: the format holds no more.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ImageError
from edge_ctc.images.grey import grey_of, through_palette
from edge_ctc.images.kinds import check_kind, check_size
from edge_ctc.images.tail import check_tail

_FILE_HEADER = struct.Struct("<2sI4xI")
_INFO_HEADER = struct.Struct("<IiiHHI12xI4x")
_HEADER_SIZES = (40, 108, 124)
_UNCOMPRESSED = 0
_PALETTE_ENTRY = 4
_PALETTE_MAX = 256
_PLAIN_PALETTE = bytes(part for grey in range(_PALETTE_MAX) for part in (grey, grey, grey, 0))
"""That of nearly every grey BMP: index i is the count i."""


@dataclass(frozen=True, slots=True)
class BmpHeader:
    """A checked header: one uncompressed picture inside the file.

    Attributes:
        width: pixels.
        height: pixels.
        pixel_bytes: 1 index into the palette, 3 or 4 blue, green, red and one that says nothing.
        bottom_up: the last row is stored first.
        offset: of the first stored row in the file.
        palette: (offset, entries) of blue, green, red and one that says nothing; (0, 0) without.
    """

    width: int
    height: int
    pixel_bytes: int
    bottom_up: bool
    offset: int
    palette: tuple[int, int]

    @property
    def stride(self) -> int:
        """Bytes of a stored row: a multiple of four."""
        return -(-self.width * self.pixel_bytes // 4) * 4


def read_header(content: bytes) -> BmpHeader:
    """The checked header of a BMP.

    Args:
        content: the whole file.

    Raises:
        ImageError: no BMP, a torn one, or one of a kind that is not accepted. Says what was found and wanted.
    """
    check_kind(content, "BMP")
    start = _FILE_HEADER.size
    if len(content) < start + _INFO_HEADER.size:
        raise ImageError(f"torn: the header ends at byte {start + _INFO_HEADER.size}, the file has {len(content)}")
    _, _, offset = _FILE_HEADER.unpack_from(content)
    size, width, height, planes, bits, compression, used = _INFO_HEADER.unpack_from(content, start)
    if size not in _HEADER_SIZES or planes != 1:
        raise ImageError(
            f"expected a header of {', '.join(map(str, _HEADER_SIZES))} bytes and one plane, got {size} bytes and "
            f"{planes} planes; export a Windows bitmap, or better a TIFF"
        )
    if compression != _UNCOMPRESSED or bits not in (8, 24, 32):
        raise ImageError(
            f"expected 8, 24 or 32 bits, uncompressed, got {bits} bits of compression {compression}; "
            "export it uncompressed and of 8 bits, or better as TIFF"
        )
    check_size(width, abs(height), bits // 8)
    entries = (used or _PALETTE_MAX) if bits == 8 else 0
    pixels_from = start + size + _PALETTE_ENTRY * entries
    if entries > _PALETTE_MAX or offset < pixels_from:
        raise ImageError(f"torn: expected pixels from byte {pixels_from} on, behind {entries} colours, got {offset}")
    header = BmpHeader(width, abs(height), bits // 8, height > 0, offset, (start + size, entries))
    if (end := offset + header.stride * header.height) > len(content):
        raise ImageError(f"torn: the pixels end at byte {end}, the file has {len(content)}")
    return header


def decode(content: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    """The counts of a checked BMP.

    Args:
        content: the whole file.
        header: as `read_header` gave it.

    Returns:
        uint8 (H, W), the top row first; it may be read-only.

    Raises:
        ImageError: it has colours, an index points beyond the palette, or it ends in rows that were never written.
    """
    stored = np.frombuffer(content, np.uint8, header.stride * header.height, header.offset)
    stored = stored.reshape(header.height, header.stride)[:, : header.width * header.pixel_bytes]
    check_tail(stored)
    rows = stored[::-1] if header.bottom_up else stored
    if header.pixel_bytes > 1:
        return grey_of(rows.reshape(header.height, header.width, header.pixel_bytes)[:, :, :3], "BMP")
    start, entries = header.palette
    colours = content[start : start + _PALETTE_ENTRY * entries]
    if colours == _PLAIN_PALETTE:
        return rows
    return through_palette(rows, np.frombuffer(colours, np.uint8).reshape(entries, _PALETTE_ENTRY)[:, :3])
