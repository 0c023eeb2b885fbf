"""PNG: torn in every chunk, wrong checksums, wrong order, colours, bombs."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tests.corpus.case import COUNTS, SHADES, Case, Content, black, image
from tests.encoders import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    Chunk,
    chunked,
    grey_palette,
    ihdr,
    png,
    png_chunks,
)
from tests.images import some_counts

KIND = "PNG"
LARGEST = 4096
COMMENT: Chunk = (b"tEXt", b"Comment\0a cell")
END: Chunk = (b"IEND", b"")
HEAD = ihdr(24, 20)
STREAM = png_chunks(COUNTS)[1][1]
FIRST, SECOND = STREAM[:500], STREAM[500:]
CHUNKS: Sequence[Chunk] = (HEAD, COMMENT, (b"IDAT", FIRST), (b"IDAT", SECOND), END)
NAMES = ("ihdr", "text", "first-idat", "second-idat", "iend")
WHOLE = chunked(CHUNKS)
STARTS = [8 + sum(12 + len(data) for _, data in CHUNKS[:place]) for place in range(len(CHUNKS))]


def bad(name: str, content: Content, reason: str = "", **changes: Any) -> Case:
    return image(f"png-{name}", KIND, content, reason, suffix="png", **changes)


def shades(name: str, content: Content, reason: str = "") -> Case:
    return bad(name, content, reason, checkpoint="shades")


def crc_spoilt(place: int) -> bytes:
    """`WHOLE` with a wrong checksum in one chunk."""
    content = bytearray(WHOLE)
    content[STARTS[place] + 8 + len(CHUNKS[place][1])] ^= 0xFF
    return bytes(content)


def torn() -> Iterator[Case]:
    yield bad("cut-inside-the-signature", WHOLE[:6], "expected a PNG, got a damaged PNG file")
    yield bad("cut-after-the-signature", WHOLE[:8], "torn: expected another chunk at byte 8, the file has 8 bytes")
    for place, name in enumerate(NAMES):
        start = STARTS[place]
        yield bad(
            f"cut-inside-the-length-of-{name}", WHOLE[: start + 2], f"torn: expected another chunk at byte {start}"
        )
        if CHUNKS[place][1]:
            cut = WHOLE[: start + 8 + len(CHUNKS[place][1]) // 2 + 5]
            yield bad(f"cut-inside-{name}", cut, "torn: (chunk .... ends at byte|expected another chunk)")
            end = start + 12 + len(CHUNKS[place][1])
            yield bad(f"cut-inside-the-checksum-of-{name}", WHOLE[: end - 1], f"torn: chunk .... ends at byte {end}")
    yield bad("cut-before-iend", WHOLE[: STARTS[4]], f"torn: expected another chunk at byte {STARTS[4]}")
    yield bad("cut-inside-iend", WHOLE[:-2], f"torn: expected another chunk at byte {STARTS[4]}")
    yield bad("without-iend", chunked(CHUNKS[:-1]), "torn: expected another chunk at byte")
    for place, name in enumerate(NAMES):
        if name == "text":
            yield bad("wrong-checksum-of-a-comment", crc_spoilt(place))
        else:
            yield bad(f"wrong-checksum-of-{name}", crc_spoilt(place), "torn: chunk .* has another checksum")
    half = len(WHOLE) // 2
    yield bad("second-half-zeros", WHOLE[:half] + b"\0" * half, "torn: chunk .* has another checksum")
    yield bad("all-zeros", b"\0" * len(WHOLE), "expected a PNG, got bytes 00 00 00 00")
    yield bad("line-ends-mangled", WHOLE.replace(b"\r\n", b"\n"), "expected a PNG, got a damaged PNG file")
    yield bad("zip-behind-the-end", WHOLE + b"PK\3\4", "torn: 4 bytes behind the end of the PNG")
    yield bad("twice-in-one-file", WHOLE + WHOLE, "torn: .* bytes behind the end of the PNG")
    yield bad("one-byte-behind-the-end", WHOLE + b"\n", "torn: 1 bytes behind the end of the PNG")


def order() -> Iterator[Case]:
    stream: Chunk = (b"IDAT", STREAM)
    palette: Chunk = (b"PLTE", grey_palette().tobytes())
    none_may_be = "torn: chunk {} of .* where none may be"
    yield bad(
        "without-ihdr", chunked([stream, END]), "torn: expected a PNG to begin with IHDR of 13 bytes, got chunk IDAT"
    )
    yield bad("only-an-end", chunked([END]), "torn: expected a PNG to begin with IHDR")
    yield bad("comment-before-ihdr", chunked([COMMENT, HEAD, stream, END]), "torn: expected a PNG to begin with IHDR")
    yield bad("two-ihdr", chunked([HEAD, HEAD, stream, END]), none_may_be.format("IHDR"))
    yield bad("ihdr-of-12-bytes", chunked([(b"IHDR", HEAD[1][:12]), stream, END]), "torn: expected .* IHDR of 13 bytes")
    yield bad(
        "ihdr-of-14-bytes", chunked([(b"IHDR", HEAD[1] + b"\0"), stream, END]), "torn: expected .* IHDR of 13 bytes"
    )
    yield bad("without-idat", chunked([HEAD, END]), none_may_be.format("IEND"))
    yield bad(
        "idat-apart", chunked([HEAD, (b"IDAT", FIRST), COMMENT, (b"IDAT", SECOND), END]), none_may_be.format("IDAT")
    )
    yield bad(
        "idat-in-another-order", chunked([HEAD, (b"IDAT", SECOND), (b"IDAT", FIRST), END]), "torn: deflate data do not"
    )
    yield bad("iend-with-data", chunked([HEAD, stream, (b"IEND", b"x")]))
    yield bad("unknown-critical-chunk", chunked([HEAD, (b"CgBI", b"\0" * 4), stream, END]), none_may_be.format("CgBI"))
    yield bad("unknown-harmless-chunk", chunked([HEAD, (b"abCd", b"\0" * 4), stream, END]))
    yield bad(
        "chunk-of-a-name-of-zeros", chunked([HEAD, (b"\0" * 4, b""), stream, END]), "torn: chunk .* where none may be"
    )
    yield bad(
        "animated", chunked([HEAD, (b"acTL", b"\0" * 8), stream, END]), "an animated PNG; export one image per file"
    )
    yield bad(
        "70000-chunks", lambda: chunked([HEAD, *[COMMENT] * 70_000, stream, END]), "expected at most 65536 chunks"
    )
    yield bad(
        "idat-of-single-bytes", chunked([HEAD, *((b"IDAT", STREAM[at : at + 1]) for at in range(len(STREAM))), END])
    )
    yield bad(
        "chunk-of-4-gib",
        SIGNATURE + struct.pack(">I4s", 0xFFFFFFFF, b"IHDR") + HEAD[1] + b"\0" * 8,
        "torn: chunk IHDR ends",
    )
    yield shades("palette-behind-the-pixels", indexed([], after=[palette]), none_may_be.format("PLTE"))
    yield shades("palette-twice", indexed([palette, palette]), none_may_be.format("PLTE"))
    yield shades("without-its-palette", indexed([]), "torn: a palette with a palette of 0 colours")
    yield shades(
        "palette-too-short-for-its-indices", indexed([(b"PLTE", palette[1][:30])]), "torn: expected indices below 10"
    )
    yield shades("palette-of-257", indexed([(b"PLTE", b"\0" * 771)]), none_may_be.format("PLTE"))
    yield shades("palette-of-a-third-of-a-colour", indexed([(b"PLTE", b"\0" * 31)]), none_may_be.format("PLTE"))
    yield shades("palette-of-nothing", indexed([(b"PLTE", b"")]), none_may_be.format("PLTE"))
    yield bad("grey-with-a-palette", png(COUNTS, more=[palette]), "torn: grey with a palette of 256 colours")


def indexed(before: Sequence[Chunk], after: Sequence[Chunk] = ()) -> bytes:
    *head, end = png_chunks(SHADES, PALETTE, more=before)
    return chunked([*head, *after, end])


def headers() -> Iterator[Case]:
    def head(name: str, fields: bytes, reason: str) -> Case:
        return bad(name, chunked([(b"IHDR", fields), (b"IDAT", STREAM), END]), reason)

    for colour, depth in (
        (0, 1),
        (0, 2),
        (0, 4),
        (0, 0),
        (0, 3),
        (0, 32),
        (1, 8),
        (2, 16),
        (3, 4),
        (4, 16),
        (5, 8),
        (6, 16),
        (7, 8),
        (255, 255),
    ):
        reason = f"expected grey of 8 or 16 bits, .* got colour type {colour} of {depth} bits"
        yield head(f"colour-type-{colour}-of-{depth}-bits", ihdr(24, 20, depth, colour)[1], reason)
    for name, methods in (("compression", (1, 0, 0)), ("filter", (0, 1, 0)), ("interlace", (0, 0, 2))):
        fields = struct.pack(">IIBBBBB", 24, 20, 16, GREY, *methods)
        yield head(f"unknown-{name}", fields, "expected compression 0, filter 0 and interlace 0 or 1")
    for width, height in (
        (0, 20),
        (24, 0),
        (4097, 1),
        (1, 4097),
        (1 << 31, 1),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (60_000, 60_000),
    ):
        slug = f"size-{width}-x-{height}"
        yield head(slug, ihdr(width, height)[1], f"expected 1 to 4096 px a side, got {width} x {height}")
    yield head(
        "says-32-mib", ihdr(LARGEST, LARGEST)[1], "torn: .* bytes of deflate cannot hold the 33558528 that the header"
    )
    yield head("says-more-rows", ihdr(24, 21)[1], "torn: the image must inflate to 1029 bytes, got 980")
    yield head("says-fewer-rows", ihdr(24, 19)[1], "torn: the image must inflate to 931 bytes, got more than 931")
    yield head("says-interlaced", ihdr(24, 20, interlace=1)[1], "torn: the image must inflate to")
    yield head("says-8-bits", ihdr(24, 20, 8)[1], "torn: the image must inflate to 500 bytes, got more than 500")


def streams() -> Iterator[Case]:
    def stream(name: str, content: bytes, reason: str) -> Case:
        return bad(name, chunked([HEAD, (b"IDAT", content), END]), reason)

    yield stream("zlib-garbage", b"\x99" * 900, "torn: deflate data do not decode")
    yield stream("zlib-without-a-byte", b"", "torn: 0 bytes of deflate cannot hold the 980")
    yield stream("zlib-cut", STREAM[:-100], "torn: the image must inflate to 980 bytes, got .* without an end")
    yield stream(
        "zlib-without-its-checksum", STREAM[:-4], "torn: the image must inflate to 980 bytes, got 980 without an end"
    )
    yield stream("zlib-of-another-checksum", STREAM[:-1] + bytes([STREAM[-1] ^ 1]), "torn: deflate data do not decode")
    yield stream("gzip-for-zlib", zlib.compress(b"\0" * 980, wbits=31), "torn: deflate data do not decode")
    yield stream("deflate-without-zlib", zlib.compress(b"\0" * 980, wbits=-15), "torn: deflate data do not decode")
    yield stream(
        "zlib-with-a-dictionary", b"\x78\xbb\0\0\0\1" + STREAM[2:], "torn: (deflate data do not decode|the image)"
    )
    wrong_filter = b"".join(b"\x09" + bytes(48) for _ in range(20))
    yield stream("filter-9", zlib.compress(wrong_filter), "torn: the image does not decode")
    yield bad(
        "inflates-to-100-mib",
        lambda: chunked([HEAD, (b"IDAT", zlib.compress(bytes(100 << 20), 9)), END]),
        "torn: the image must inflate to 980 bytes, got more than 980",
    )
    yield bad("black-of-4096", lambda: png(black(LARGEST)))
    yield bad("black-of-4096-interlaced", lambda: png(black(LARGEST), interlace=1))
    bomb = zlib.compress(bytes(100 << 20), 9)
    yield bad("profile-that-inflates-to-100-mib", lambda: png(COUNTS, more=[(b"iCCP", b"x\0\0" + bomb)]))
    yield bad("comment-that-inflates-to-100-mib", lambda: png(COUNTS, more=[(b"zTXt", b"x\0\0" + bomb)]))
    yield shades("rgba-of-2896", lambda: png(np.full((2896, 2896, 4), 255, np.uint8), colour_type=RGBA))
    yield shades(
        "rgba-of-4096",
        lambda: png(np.full((4096, 4096, 4), 255, np.uint8), colour_type=RGBA),
        "expected at most 33554432 bytes of samples, got 4096 x 4096 px of 4 bytes",
    )


def colours() -> Iterator[Case]:
    grey = np.stack([SHADES] * 3, axis=2)
    coloured = grey.copy()
    coloured[3, 3, 1] ^= 1
    opaque = np.full_like(SHADES, 255)
    see_through = opaque.copy()
    see_through[5, 5] = 128
    differ = "whose red, green and blue differ"
    alpha = "with see-through pixels: expected alpha 255 everywhere, got 128"
    red = grey_palette()
    red[7] = (255, 0, 0)
    yield shades("rgb-of-which-one-pixel-is-coloured", png(coloured, colour_type=RGB), f"RGB {differ}")
    yield shades("rgb-that-is-grey", png(grey, colour_type=RGB))
    yield shades("rgba-half-see-through", png(np.dstack([grey, see_through]), colour_type=RGBA), f"RGBA {alpha}")
    yield shades("rgba-coloured", png(np.dstack([coloured, opaque]), colour_type=RGBA), f"RGBA {differ}")
    yield shades("rgba-that-is-grey", png(np.dstack([grey, opaque]), colour_type=RGBA))
    yield shades(
        "grey-half-see-through",
        png(np.dstack([SHADES, see_through]), colour_type=GREY_ALPHA),
        f"grey with alpha {alpha}",
    )
    yield shades("palette-in-colours", indexed([(b"PLTE", red.tobytes())]), f"a palette {differ}")
    yield shades("palette-that-is-grey", indexed([(b"PLTE", grey_palette().tobytes())]))
    yield bad("interlaced", png(COUNTS, interlace=1))
    yield bad("one-pixel", png(some_counts(1, 1)))
    yield bad("says-12-significant-bits", png(COUNTS, more=[(b"sBIT", b"\x0c")]))
    yield bad("gamma-of-zero", png(COUNTS, more=[(b"gAMA", b"\0\0\0\0")]))


CASES: tuple[Case, ...] = (*torn(), *order(), *headers(), *streams(), *colours())
