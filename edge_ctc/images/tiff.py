"""Check a TIFF's header before any decoder sees it.

Decoders load decompression bombs and accept torn files; so magic, size, depth, samples, compression and the
place of every strip are checked here, on the bytes alone. Reference: TIFF Revision 6.0 (Adobe, 1992).
"""

import struct
from dataclasses import dataclass
from typing import Any

from edge_ctc.errors import ImageError

MAX_SIDE_PX = 4096
MAX_PAGES = 64
_HEADER_BYTES = 8
_MAX_ENTRIES = 512
_MAX_STRIPS = 65_536

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PREDICTOR = 273, 277, 278, 279, 317
_TILE_WIDTH, _SAMPLE_FORMAT = 322, 339
_WANTED = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER}
    | {_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PREDICTOR, _TILE_WIDTH, _SAMPLE_FORMAT}
)
_TYPE_FORMAT = {1: "B", 3: "H", 4: "I"}
UNCOMPRESSED = 1
COMPRESSIONS = {UNCOMPRESSED: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_OTHER_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II+\x00": "BigTIFF",
    b"MM\x00+": "BigTIFF",
    b"PK\x03\x04": "ZIP",
}


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One checked page: grey, unsigned, strips inside the file.

    Attributes:
        width: pixels.
        height: pixels.
        dtype: as stored: "u1", "<u2" or ">u2".
        compression: a key of `COMPRESSIONS`.
        predictor: 1 none, 2 horizontal differences; of compressed pages.
        rows_per_strip: the last strip may have fewer.
        strips: (offset, bytes wanted) of each strip, in file order of rows.
    """

    width: int
    height: int
    dtype: str
    compression: int
    predictor: int
    rows_per_strip: int
    strips: tuple[tuple[int, int], ...]


def read_header(content: bytes, max_pages: int = MAX_PAGES) -> list[TiffPage]:
    """All pages of a TIFF.

    Args:
        content: the whole file.
        max_pages: more are refused.

    Raises:
        ImageError: no TIFF, a torn one, or one of a kind that is not accepted. Says what was found and wanted.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(content[:4])
    if order is None:
        raise ImageError(f"expected a TIFF, got {_kind(content)}")
    pages: list[TiffPage] = []
    seen: set[int] = set()
    (offset,) = _unpack(order + "I", content, 4)
    while offset:
        if offset in seen or len(pages) == max_pages:
            raise ImageError(f"expected at most {max_pages} page(s), got more or a loop of pages")
        seen.add(offset)
        tags, offset = _directory(content, offset, order)
        pages.append(_page(tags, order, len(content)))
    if not pages:
        raise ImageError("a TIFF without a page")
    return pages


def _kind(content: bytes) -> str:
    if not content:
        return "an empty file (0 bytes)"
    for magic, kind in _OTHER_MAGIC.items():
        if content.startswith(magic):
            return f"a {kind} file"
    return f"bytes {content[:4].hex(' ')}"


def _unpack(layout: str, content: bytes, offset: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(layout, content, offset)
    except struct.error as error:
        raise ImageError(f"torn: the header points to byte {offset}, the file has {len(content)}") from error


def _directory(content: bytes, offset: int, order: str) -> tuple[dict[int, tuple[int, ...]], int]:
    (count,) = _unpack(order + "H", content, offset)
    if not 0 < count <= _MAX_ENTRIES:
        raise ImageError(f"expected 1 to {_MAX_ENTRIES} header entries, got {count}")
    end = offset + 2 + 12 * count
    (following,) = _unpack(order + "I", content, end)
    tags = {}
    for place in range(offset + 2, end, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", content, place)
        if tag in _WANTED:
            tags[tag] = _values(content, place + 8, order, tag, kind, length)
    return tags, following


def _values(content: bytes, place: int, order: str, tag: int, kind: int, length: int) -> tuple[int, ...]:
    letter = _TYPE_FORMAT.get(kind)
    if letter is None or not 0 < length <= _MAX_STRIPS:
        raise ImageError(f"tag {tag}: expected 1 to {_MAX_STRIPS} whole numbers, got type {kind} times {length}")
    layout = f"{order}{length}{letter}"
    if struct.calcsize(layout) > 4:
        (place,) = struct.unpack_from(order + "I", content, place)
    return _unpack(layout, content, place)


def _page(tags: dict[int, tuple[int, ...]], order: str, file_bytes: int) -> TiffPage:
    width, height = (_one(tags, tag, 0) for tag in (_WIDTH, _HEIGHT))
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ImageError(f"expected 1 to {MAX_SIDE_PX} px a side, got {width} x {height}")
    samples = max(_one(tags, _SAMPLES, 1), len(tags.get(_BITS, (1,))))
    if samples != 1:
        raise ImageError(f"expected one grey sample per pixel, got {samples}")
    bits, fmt = _one(tags, _BITS, 1), _one(tags, _SAMPLE_FORMAT, 1)
    if bits not in (8, 16) or fmt != 1:
        raise ImageError(f"expected uint8 or uint16, got {bits} bits of sample format {fmt}")
    photometric, fill_order = _one(tags, _PHOTOMETRIC, 1), _one(tags, _FILL_ORDER, 1)
    if photometric != 1 or fill_order != 1:
        raise ImageError(
            f"expected grey with 0 = black (photometric 1, fill order 1), got photometric {photometric}, "
            f"fill order {fill_order}"
        )
    compression, predictor = _one(tags, _COMPRESSION, UNCOMPRESSED), _one(tags, _PREDICTOR, 1)
    if compression not in COMPRESSIONS or predictor not in (1, 2) or _TILE_WIDTH in tags:
        wanted = ", ".join(sorted(set(COMPRESSIONS.values())))
        raise ImageError(
            f"expected strips of compression {wanted}, got compression {compression}, predictor {predictor} or tiles"
        )
    rows = min(_one(tags, _ROWS_PER_STRIP, height), height)
    strips = _strips(tags, height, rows, width * bits // 8 if compression == UNCOMPRESSED else 0, file_bytes)
    return TiffPage(width, height, "u1" if bits == 8 else order + "u2", compression, predictor, rows, strips)


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    values = tags.get(tag, (default,))
    if len(values) != 1:
        raise ImageError(f"tag {tag}: expected one value, got {len(values)}")
    return values[0]


def _strips(
    tags: dict[int, tuple[int, ...]], height: int, rows: int, row_bytes: int, file_bytes: int
) -> tuple[tuple[int, int], ...]:
    """(offset, bytes wanted) of each strip; `row_bytes` is 0 where compression leaves the length open."""
    offsets, lengths = tags.get(_STRIP_OFFSETS, ()), tags.get(_STRIP_BYTES, ())
    expected = -(-height // rows) if rows else 0
    if not len(offsets) == len(lengths) == expected > 0:
        raise ImageError(f"expected {expected} strips, got {len(offsets)} offsets and {len(lengths)} lengths")
    strips = []
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        wanted = min(rows, height - index * rows) * row_bytes or length
        if not 0 < wanted <= length:
            raise ImageError(f"strip {index}: expected {wanted} bytes, got {length}")
        if offset + wanted > file_bytes or offset < _HEADER_BYTES:
            raise ImageError(f"torn: strip {index} ends at byte {offset + wanted}, the file has {file_bytes}")
        strips.append((offset, wanted))
    return tuple(strips)
