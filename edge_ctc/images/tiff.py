"""Check a TIFF's header before any decoder sees it.

Decoders load decompression bombs and accept torn files; so magic, size, depth, samples, compression and the
place of every strip are checked here, on the bytes alone. Reference: TIFF Revision 6.0 (Adobe, 1992).
"""

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_ctc.errors import ImageError
from edge_ctc.images.inflate import DEFLATE_RATIO, check_ratio
from edge_ctc.images.kinds import MAX_SIDE_PX, check_kind, check_size

MAX_PAGES = 64
_HEADER_BYTES = 8
_MAX_ENTRIES = 512
_MAX_STRIPS = MAX_SIDE_PX
"""A strip has a row at least."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_DESCRIPTION, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PREDICTOR = 270, 273, 277, 278, 279, 317
_TILE_WIDTH, _SAMPLE_FORMAT = 322, 339
_ASCII = 2
_TYPE_FORMAT = {1: "B", 3: "H", 4: "I"}
_SHIFT = {("<", 1): 0, ("<", 3): 0, ("<", 4): 0, (">", 1): 24, (">", 3): 16, (">", 4): 0}
_MASK = {1: 0xFF, 3: 0xFFFF, 4: 0xFFFFFFFF}
"""A single value fills its field of four bytes from the left (section 2, "Value/Offset")."""
_SAMPLE_FORMATS = {1: "unsigned", 2: "signed", 3: "floating point"}
UNCOMPRESSED, LZW, PACKBITS = 1, 5, 32773
DEFLATES = frozenset({8, 32946})
COMPRESSIONS = {UNCOMPRESSED: "none", LZW: "LZW", 8: "deflate", 32946: "deflate", PACKBITS: "PackBits"}
# LZW: the 3,838 strings of its table of 12 bits grow by a byte each (section 13), and a code of 12 bits gives one.
# PackBits: 128 bytes for 2 (section 9).
_RATIOS = {LZW: 2560, 8: DEFLATE_RATIO, 32946: DEFLATE_RATIO, PACKBITS: 64}


@dataclass(frozen=True, slots=True)
class TiffPage:
    """One checked page: grey, unsigned, strips inside the file.

    Attributes:
        width: pixels.
        height: pixels.
        bits: of one sample as stored: 8, 12 (packed, two samples in three bytes; uncompressed only) or 16.
        dtype: of the counts, as stored: "u1", "<u2" or ">u2"; of packed samples "<u2".
        compression: a key of `COMPRESSIONS`.
        predictor: 1 none, 2 horizontal differences; of compressed pages.
        rows_per_strip: the last strip may have fewer.
        strips: (offset, bytes wanted) of each strip, in file order of rows.
    """

    width: int
    height: int
    bits: int
    dtype: str
    compression: int
    predictor: int
    rows_per_strip: int
    strips: tuple[tuple[int, int], ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row once inflated; rows begin at whole bytes (section 7, "Compression")."""
        return row_bytes(self.width, self.bits)


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The checked headers of a file.

    Attributes:
        pages: in file order.
        description: ImageDescription of the first page (tag 270, section 8) as it stands there; empty without one.
    """

    pages: tuple[TiffPage, ...]
    description: bytes


def row_bytes(width: int, bits: int) -> int:
    """Bytes of a row of `width` samples of `bits` each, filled up to a whole byte."""
    return (width * bits + 7) // 8


def read_header(content: bytes, max_pages: int = MAX_PAGES) -> TiffHeader:
    """All pages of a TIFF.

    Args:
        content: the whole file.
        max_pages: more are refused.

    Raises:
        ImageError: no TIFF, a torn one, or one of a kind that is not accepted. Says what was found and wanted.
    """
    check_kind(content, "TIFF")
    order = "<" if content[:2] == b"II" else ">"
    pages: list[TiffPage] = []
    seen: set[int] = set()
    description = b""
    (offset,) = _unpack(order + "I", content, 4)
    while offset:
        if offset in seen or len(pages) == max_pages:
            raise ImageError(f"expected at most {max_pages} page(s), got more or a loop of pages")
        seen.add(offset)
        tags, offset = _directory(content, offset, order)
        description = description if pages else tags.description()
        pages.append(_page(tags))
    if not pages:
        raise ImageError("a TIFF without a page; export it again")
    return TiffHeader(tuple(pages), description)


def _unpack(layout: str, content: bytes, offset: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(layout, content, offset)
    except struct.error as error:
        raise ImageError(f"torn: the header points to byte {offset}, the file has {len(content)}") from error


@dataclass(slots=True)
class _Tags:
    """The entries of one header: their type, number of values, and the value or its offset as four bytes.

    `place` is the header's own: offset and bytes.
    """

    content: bytes
    order: str
    entries: dict[int, tuple[int, int, int]]
    place: tuple[int, int]

    def one(self, tag: int, default: int) -> int:
        """The only value of an entry."""
        entry = self.entries.get(tag)
        if entry is None:
            return default
        kind, length, value = entry
        if length != 1 or kind not in _MASK:
            raise ImageError(f"tag {tag}: expected one whole number, got type {kind} times {length}")
        return value >> _SHIFT[self.order, kind] & _MASK[kind]

    def values(self, tag: int) -> tuple[int, ...]:
        """All values of an entry of whole numbers; none without it."""
        if tag not in self.entries:
            return ()
        kind, length, value = self.entries[tag]
        letter = _TYPE_FORMAT.get(kind)
        if letter is None or not 0 < length <= _MAX_STRIPS:
            raise ImageError(f"tag {tag}: expected 1 to {_MAX_STRIPS} whole numbers, got type {kind} times {length}")
        layout = f"{self.order}{length}{letter}"
        if struct.calcsize(layout) > 4:
            return _unpack(layout, self.content, value)
        return struct.unpack_from(layout, struct.pack(self.order + "I", value))

    def description(self) -> bytes:
        """ImageDescription. No decoder needs it, so one of another type or beyond the file is passed over."""
        kind, length, place = self.entries.get(_DESCRIPTION, (0, 0, 0))
        if kind != _ASCII or length <= 4:
            return b""
        return self.content[place : place + length].rstrip(b"\0")


def _directory(content: bytes, offset: int, order: str) -> tuple[_Tags, int]:
    (count,) = _unpack(order + "H", content, offset)
    if not 0 < count <= _MAX_ENTRIES:
        raise ImageError(f"expected 1 to {_MAX_ENTRIES} header entries, got {count}")
    end = offset + 2 + 12 * count
    (following,) = _unpack(order + "I", content, end)
    stored = struct.iter_unpack(order + "HHII", content[offset + 2 : end])
    entries = {tag: (kind, length, value) for tag, kind, length, value in stored}
    if len(entries) != count:
        raise ImageError(f"expected each header entry once, got {count - len(entries)} again; export it again")
    return _Tags(content, order, entries, (offset, end + 4 - offset)), following


def _page(tags: _Tags) -> TiffPage:
    width, height = (tags.one(tag, 0) for tag in (_WIDTH, _HEIGHT))
    bits = _check_samples(tags)
    check_size(width, height, 1 if bits == 8 else 2)
    compression, predictor = _check_compression(tags)
    if bits == 12 and compression != UNCOMPRESSED:
        raise ImageError(f"packed 12-bit samples under {COMPRESSIONS[compression]}; export 16 bits or no compression")
    rows = min(tags.one(_ROWS_PER_STRIP, height), height)
    stored = row_bytes(width, bits)
    strips = _strips(tags, height, rows, stored if compression == UNCOMPRESSED else 0)
    if compression != UNCOMPRESSED:
        packed = sum(length for _, length in strips)
        check_ratio(packed, stored * height, _RATIOS[compression], COMPRESSIONS[compression])
    dtype = {8: "u1", 12: "<u2", 16: tags.order + "u2"}[bits]
    return TiffPage(width, height, bits, dtype, compression, predictor, rows, strips)


def _check_samples(tags: _Tags) -> int:
    samples = max(tags.one(_SAMPLES, 1), len(tags.values(_BITS)))
    if samples != 1:
        raise ImageError(f"expected one grey sample per pixel, got {samples}; export one grey image per channel")
    bits, fmt = tags.one(_BITS, 1), tags.one(_SAMPLE_FORMAT, 1)
    if bits not in (8, 12, 16) or fmt != 1:
        raise ImageError(
            f"expected uint8 or uint16, got {bits} bits of sample format {fmt} "
            f"({_SAMPLE_FORMATS.get(fmt, 'unknown')}); export unsigned counts of 8, 12 or 16 bits"
        )
    photometric, fill_order = tags.one(_PHOTOMETRIC, 1), tags.one(_FILL_ORDER, 1)
    if photometric != 1 or fill_order != 1:
        raise ImageError(
            f"expected grey with 0 = black (photometric 1, fill order 1), got photometric {photometric}, "
            f"fill order {fill_order}; export it as grey, not inverted, without a palette"
        )
    return bits


def _check_compression(tags: _Tags) -> tuple[int, int]:
    compression, predictor = tags.one(_COMPRESSION, UNCOMPRESSED), tags.one(_PREDICTOR, 1)
    if compression not in COMPRESSIONS or predictor not in (1, 2) or _TILE_WIDTH in tags.entries:
        wanted = ", ".join(sorted(set(COMPRESSIONS.values())))
        tiles = "tiles of " if _TILE_WIDTH in tags.entries else ""
        raise ImageError(
            f"expected strips of compression {wanted}, got {tiles}compression {compression}, predictor {predictor}; "
            "export it uncompressed and without tiles"
        )
    return compression, predictor


def _strips(tags: _Tags, height: int, rows: int, stored: int) -> tuple[tuple[int, int], ...]:
    """(offset, bytes wanted) of each strip; `stored`, bytes of a row, is 0 where compression leaves the length open."""
    offsets, lengths = tags.values(_STRIP_OFFSETS), tags.values(_STRIP_BYTES)
    file_bytes = len(tags.content)
    expected = -(-height // rows) if rows else 0
    if not len(offsets) == len(lengths) == expected > 0:
        raise ImageError(f"expected {expected} strips, got {len(offsets)} offsets and {len(lengths)} lengths")
    strips = []
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        wanted = min(rows, height - index * rows) * stored or length
        if not 0 < wanted <= length:
            raise ImageError(f"strip {index}: expected {wanted} bytes, got {length}")
        if offset + wanted > file_bytes or offset < _HEADER_BYTES:
            raise ImageError(f"torn: strip {index} ends at byte {offset + wanted}, the file has {file_bytes}")
        strips.append((offset, wanted))
    _check_apart([*strips, tags.place])
    return tuple(strips)


def _check_apart(parts: Sequence[tuple[int, int]]) -> None:
    """Refuse (offset, bytes) of strips and header that share bytes: counts would be of another place of the image."""
    for (offset, length), (following, _) in itertools.pairwise(sorted(parts)):
        if offset + length > following:
            raise ImageError(f"torn: strips or header share the bytes from {following} to {offset + length}")
