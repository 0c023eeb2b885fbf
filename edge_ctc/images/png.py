"""PNG: every chunk checked, the stream inflated to exactly the size that the header states, then unfiltered.

Reference: Portable Network Graphics (PNG) Specification (Third Edition), W3C, 2025. No chunk but IHDR, PLTE and
IDAT has a say in the counts: gamma, significant bits and transparency of a colour (tRNS) change how a viewer shows
them, not what was stored. Interlaced files (Adam7) are decoded; animations are refused.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.grey import grey_of, through_palette
from edge_ctc.images.inflate import DEFLATE_RATIO, check_ratio, inflate
from edge_ctc.images.kinds import check_kind, check_size
from edge_ctc.preprocess import Counts

_SIGNATURE_BYTES = 8
_CHUNK = struct.Struct(">I4s")
_IHDR = struct.Struct(">IIBBBBB")
_MAX_CHUNKS = 65_536
_STORED_BLOCK = 65_535
_PALETTE_MAX = 256
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""(first column, first row, column step, row step) of each pass (section 8.1)."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the pixels of one colour type and depth are stored: name for errors, bytes, and what Pillow calls it."""

    name: str
    pixel_bytes: int
    mode: str
    rawmode: str


_LAYOUTS = {
    (0, 8): _Layout("grey", 1, "L", "L"),
    (0, 16): _Layout("grey", 2, "I;16", "I;16B"),
    (2, 8): _Layout("RGB", 3, "RGB", "RGB"),
    (3, 8): _Layout("a palette", 1, "L", "L"),
    (4, 8): _Layout("grey with alpha", 2, "LA", "LA"),
    (6, 8): _Layout("RGBA", 4, "RGBA", "RGBA"),
}
"""By (colour type, bit depth): section 11.2.1, table 11."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """A checked PNG.

    Attributes:
        width: pixels.
        height: pixels.
        layout: how its pixels are stored.
        interlaced: by Adam7.
        palette: red, green, blue of each index; empty unless the pixels are indices.
        packed: the zlib stream of all IDAT chunks.
    """

    width: int
    height: int
    layout: _Layout
    interlaced: bool
    palette: bytes
    packed: bytes

    @property
    def inflated_bytes(self) -> int:
        """What the stream must inflate to: rows of pixels, each behind the byte of its filter (sections 7.2, 9)."""
        if not self.interlaced:
            return self.height * (1 + self.width * self.layout.pixel_bytes)
        total = 0
        for column, row, across, down in _ADAM7:
            width, height = -((column - self.width) // across), -((row - self.height) // down)
            total += height * (1 + width * self.layout.pixel_bytes) if width > 0 else 0
        return total


def read_header(content: bytes) -> PngHeader:
    """The checked chunks of a PNG.

    Args:
        content: the whole file.

    Raises:
        ImageError: no PNG, a torn one, or one of a kind that is not accepted. Says what was found and wanted.
    """
    check_kind(content, "PNG")
    chunks = _chunks(content)
    kind, data = next(chunks)
    if kind != b"IHDR" or len(data) != _IHDR.size:
        raise ImageError(f"torn: expected a PNG to begin with IHDR of {_IHDR.size} bytes, got {_shown(kind)}")
    width, height, depth, colour_type, *methods = _IHDR.unpack(data)
    layout = _layout(colour_type, depth)
    if methods[:2] != [0, 0] or methods[2] not in (0, 1):
        raise ImageError(f"expected compression 0, filter 0 and interlace 0 or 1, got {methods}; export it again")
    check_size(width, height, layout.pixel_bytes)
    palette, packed = _body(chunks)
    if (colour_type == 3 and not palette) or (colour_type in (0, 4) and palette):
        raise ImageError(f"torn: {layout.name} with a palette of {len(palette) // 3} colours; export it again")
    # True colours may bring a palette as well, for screens that show no more: it says nothing of the counts.
    header = PngHeader(width, height, layout, methods[2] == 1, palette if colour_type == 3 else b"", packed)
    check_ratio(len(packed), header.inflated_bytes, DEFLATE_RATIO, "deflate")
    return header


def _layout(colour_type: int, depth: int) -> _Layout:
    layout = _LAYOUTS.get((colour_type, depth))
    if layout is None:
        raise ImageError(
            f"expected grey of 8 or 16 bits, or 8-bit colours that are grey, got colour type {colour_type} of "
            f"{depth} bits; export one grey image of 8 or 16 bits per channel"
        )
    return layout


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of each chunk; critical ones are whole (sections 5.3 to 5.5). IEND is the last."""
    place = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        if place + 12 > len(content):
            raise ImageError(f"torn: expected another chunk at byte {place}, the file has {len(content)} bytes")
        length, kind = _CHUNK.unpack_from(content, place)
        end = place + 12 + length
        if end > len(content):
            raise ImageError(f"torn: {_shown(kind)} ends at byte {end}, the file has {len(content)}")
        if not kind[0] & 32 and zlib.crc32(content[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise ImageError(f"torn: {_shown(kind)} at byte {place} has another checksum (CRC); copy it again")
        if kind == b"IEND" and end != len(content):
            raise ImageError(f"torn: {len(content) - end} bytes behind the end of the PNG; export it again")
        yield kind, content[place + 8 : end - 4]
        place = end
    raise ImageError(f"expected at most {_MAX_CHUNKS} chunks, got more; export it again")


def _body(chunks: Iterator[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The palette and the stream, in an order that section 5.6 allows."""
    palette = b""
    packed: list[bytes] = []
    before = b"IHDR"
    for kind, data in chunks:
        if kind == b"IDAT" and (not packed or before == b"IDAT"):
            packed.append(data)
        elif kind == b"PLTE" and not packed and not palette and 0 < len(data) <= 3 * _PALETTE_MAX and not len(data) % 3:
            palette = data
        elif kind == b"acTL":
            raise ImageError("an animated PNG; export one image per file")
        elif kind == b"IEND" and packed:
            return palette, b"".join(packed)
        elif not kind[0] & 32:
            raise ImageError(f"torn: {_shown(kind)} of {len(data)} bytes where none may be; export it again")
        before = kind
    raise AssertionError("_chunks ends with IEND or raises")


def _shown(kind: bytes) -> str:
    return f"chunk {kind.decode('ascii', 'backslashreplace')}"


def decode(header: PngHeader) -> Counts:
    """The counts of a checked PNG.

    Returns:
        uint8 or uint16 (H, W), exactly the counts stored; it may be read-only.

    Raises:
        ImageError: the stream is torn, or the picture has colours or see-through pixels.
    """
    layout, shape = header.layout, (header.height, header.width)
    samples = _unfiltered(header)
    if layout.mode == "I;16":
        return np.frombuffer(samples, "<u2").reshape(shape).astype(np.uint16, copy=False)
    pixels = np.frombuffer(samples, np.uint8)
    if header.palette:
        return through_palette(pixels.reshape(shape), np.frombuffer(header.palette, np.uint8).reshape(-1, 3))
    if layout.pixel_bytes == 1:
        return pixels.reshape(shape)
    return grey_of(pixels.reshape(*shape, layout.pixel_bytes), layout.name)


def _unfiltered(header: PngHeader) -> bytes:
    # Pillow's decoder takes a stream that ends early for an image with black rows, and one that goes on for a whole
    # one. So the stream is inflated here, where its size is checked, and Pillow gets it as stored blocks: it copies
    # them, and undoes the filters (section 9) in C.
    stored = _stored(inflate(header.packed, header.inflated_bytes, "the image"))
    layout = header.layout
    size = (header.width, header.height)
    try:
        image = Image.frombytes(layout.mode, size, stored, "zip", layout.rawmode, int(header.interlaced))
    except ValueError as error:
        raise ImageError(f"torn: the image does not decode ({error}); copy it again") from error
    return image.tobytes()


def _stored(data: bytes) -> bytes:
    """A zlib stream that holds `data` uncompressed (RFC 1950; RFC 1951, section 3.2.4)."""
    pieces = [b"\x78\x01"]
    for start in range(0, len(data), _STORED_BLOCK):
        size = min(_STORED_BLOCK, len(data) - start)
        pieces.append(struct.pack("<BHH", start + size == len(data), size, size ^ 0xFFFF))
        pieces.append(data[start : start + size])
    pieces.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(pieces)
