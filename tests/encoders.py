"""PNG and BMP files byte for byte, for the tests of their readers."""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

Chunk = tuple[bytes, bytes]


def chunked(chunks: Sequence[Chunk]) -> bytes:
    """A PNG of (type, data) chunks, each with its checksum."""
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def ihdr(width: int, height: int, depth: int = 16, colour_type: int = GREY, interlace: int = 0) -> Chunk:
    """The chunk that a PNG begins with."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace)


def png_chunks(
    samples: NDArray[Any],
    colour_type: int = GREY,
    filters: Sequence[int] = (0,),
    interlace: int = 0,
    more: Sequence[Chunk] = (),
) -> list[Chunk]:
    """The chunks of samples (H, W) or (H, W, S); row by row the next of `filters`; `more` come before the pixels."""
    stream = zlib.compress(b"".join(_scanlines(samples, filters, interlace)))
    head = ihdr(samples.shape[1], samples.shape[0], 8 * samples.dtype.itemsize, colour_type, interlace)
    return [head, *more, (b"IDAT", stream), (b"IEND", b"")]


def png(samples: NDArray[Any], **options: Any) -> bytes:
    """The file of `png_chunks`."""
    return chunked(png_chunks(samples, **options))


def _scanlines(samples: NDArray[Any], filters: Sequence[int], interlace: int) -> Iterator[bytes]:
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    for column, row, across, down in passes:
        part = samples[row::down, column::across]
        if not part.size:
            continue
        rows = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"))).view(np.uint8).reshape(len(part), -1)
        step = rows.shape[1] // part.shape[1]
        before = np.zeros(rows.shape[1], np.uint8)
        for index, line in enumerate(rows):
            kind = filters[index % len(filters)]
            yield bytes([kind]) + _filtered(kind, line, before, step)
            before = line


def _filtered(kind: int, line: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> bytes:
    if not kind:
        return line.tobytes()
    left = [0] * step + line.tolist()
    corner = [0] * step + above.tolist()
    predict: Callable[[int, int, int], int] = _PREDICTORS[kind]
    return bytes(
        (int(byte) - predict(a, b, c)) % 256
        for byte, a, b, c in zip(line.tolist(), left, above.tolist(), corner, strict=False)
    )


def _paeth(a: int, b: int, c: int) -> int:
    return min((abs(a + b - c - a), 0, a), (abs(a + b - c - b), 1, b), (abs(a + b - c - c), 2, c))[2]


_PREDICTORS: tuple[Callable[[int, int, int], int], ...] = (
    lambda _a, _b, _c: 0,  # not asked
    lambda a, _b, _c: a,
    lambda _a, b, _c: b,
    lambda a, b, _c: (a + b) // 2,
    _paeth,
)


def grey_palette(entries: int = 256) -> NDArray[np.uint8]:
    """(entries, 3): colour i is the grey i."""
    return np.repeat(np.arange(entries, dtype=np.uint8)[:, None], 3, axis=1)


def bmp(
    pixels: NDArray[Any],
    palette: NDArray[np.uint8] | None = None,
    top_down: bool = False,
    header_bytes: int = 40,
    **fields: int,
) -> bytes:
    """A BMP of uint8 pixels (H, W) with a palette (N, 3), or (H, W, 3 or 4); `fields` replace those of the header."""
    height, width = pixels.shape[:2]
    palette = grey_palette() if palette is None else palette
    colours = b"".join(bytes([*entry[::-1], 0]) for entry in palette.tolist()) if pixels.ndim == 2 else b""
    values = {
        "offset": 14 + header_bytes + len(colours),
        "size": header_bytes,
        "width": width,
        "height": -height if top_down else height,
        "planes": 1,
        "bits": 8 if pixels.ndim == 2 else 8 * pixels.shape[2],
        "compression": 0,
        "used": len(colours) // 4,
    } | fields
    offset = values.pop("offset")
    *first, used = values.values()
    rows = [row.tobytes().ljust(-(-row.size // 4) * 4, b"\xee") for row in pixels]
    body = colours + b"".join(rows if top_down else rows[::-1])
    info = struct.pack("<IiiHHI12xI4x", *first, used).ljust(header_bytes, b"\0")
    return struct.pack("<2sI4xI", b"BM", 14 + len(info) + len(body), offset) + info + body
