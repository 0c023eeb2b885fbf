"""BMP: every field of the header out of range, rows that lack, colours."""

import struct
from collections.abc import Iterator

import numpy as np

from tests.corpus.case import SHADES, Case, image
from tests.encoders import bmp, grey_palette

KIND = "BMP"
WHOLE = bmp(SHADES)
PIXELS = 14 + 40 + 1024


def bad(name: str, content: bytes, reason: str = "") -> Case:
    return image(f"bmp-{name}", KIND, content, reason, suffix="bmp", checkpoint="shades")


def torn() -> Iterator[Case]:
    for length, where in (
        (2, "after-the-mark"),
        (10, "inside-the-file-header"),
        (14, "after-the-file-header"),
        (40, "inside-the-header"),
    ):
        yield bad(f"cut-{where}", WHOLE[:length], f"torn: the header ends at byte 54, the file has {length}")
    for length, where in (
        (54, "before-the-palette"),
        (500, "inside-the-palette"),
        (PIXELS, "before-the-pixels"),
        (PIXELS + 100, "inside-the-rows"),
        (len(WHOLE) - 1, "by-one-byte"),
    ):
        yield bad(f"cut-{where}", WHOLE[:length], f"torn: the pixels end at byte {len(WHOLE)}, the file has {length}")
    yield bad("second-half-zeros", bmp(SHADES)[:-240] + b"\0" * 240, "torn: its last 10 rows hold nothing but zeros")
    yield bad("all-zeros", b"\0" * len(WHOLE), "expected a BMP, got bytes 00 00 00 00")
    yield bad("bytes-behind-the-end", WHOLE + b"\0" * 100)


def fields() -> Iterator[Case]:
    for size in (0, 12, 16, 39, 41, 52, 56, 64, 0xFFFFFFFF):
        yield bad(
            f"header-of-{size}-bytes",
            bmp(SHADES, size=size),
            f"expected a header of 40, 108, 124 bytes .* got {size} bytes",
        )
    for planes in (0, 2, 65535):
        yield bad(
            f"{planes}-planes",
            bmp(SHADES, planes=planes),
            f"expected a header .* and one plane, got 40 bytes and {planes} planes",
        )
    for bits in (0, 1, 2, 4, 16, 48, 64):
        yield bad(f"{bits}-bits", bmp(SHADES, bits=bits), f"expected 8, 24 or 32 bits, uncompressed, got {bits} bits")
    for number, name in (
        (1, "rle8"),
        (2, "rle4"),
        (3, "bit-fields"),
        (4, "jpeg"),
        (5, "png"),
        (11, "cmyk"),
        (0xFFFFFFFF, "nonsense"),
    ):
        yield bad(
            f"compression-{name}",
            bmp(SHADES, compression=number),
            f"expected .* uncompressed, got 8 bits of compression {number}",
        )
    for width in (0, -24, 4097, 2**31 - 1, -(2**31)):
        yield bad(f"width-of-{width}", bmp(SHADES, width=width), f"expected 1 to 4096 px a side, got {width} x 20")
    for height in (0, 4097, -4097, 2**31 - 1, -(2**31)):
        yield bad(
            f"height-of-{height}", bmp(SHADES, height=height), f"expected 1 to 4096 px a side, got 24 x {abs(height)}"
        )
    yield bad("top-down-by-a-negative-height", bmp(SHADES, top_down=True))
    yield bad("says-16-mib", bmp(SHADES, width=4096, height=4096), "torn: the pixels end at byte")
    yield bad("one-row-more-than-there-are", bmp(SHADES, height=21), "torn: the pixels end at byte")
    for offset in (0, 53, 54, PIXELS - 1):
        yield bad(
            f"pixels-from-byte-{offset}",
            bmp(SHADES, offset=offset),
            f"torn: expected pixels from byte {PIXELS} on, .* got {offset}",
        )
    for offset in (PIXELS + 1, 0xFFFFFFFF):
        yield bad(f"pixels-from-byte-{offset}", bmp(SHADES, offset=offset), "torn: the pixels end at byte")
    for used in (257, 0xFFFFFFFF):
        yield bad(f"palette-of-{used}", bmp(SHADES, used=used), f"torn: expected pixels .* behind {used} colours")
    yield bad(
        "palette-too-short-for-its-indices",
        bmp(SHADES, used=3),
        "torn: expected indices below 3, the length of the palette",
    )
    yield bad(
        "without-its-palette",
        bmp(SHADES, np.zeros((0, 3), np.uint8)),
        "torn: expected pixels from byte 1078 on, behind 256",
    )
    yield bad("mark-of-an-array", b"BA" + WHOLE[2:], "expected a BMP, got bytes 42 41")
    yield bad("size-of-the-file-wrong", WHOLE[:2] + struct.pack("<I", 7) + WHOLE[6:])


def colours() -> Iterator[Case]:
    grey = np.stack([SHADES] * 3, axis=2)
    coloured = grey.copy()
    coloured[3, 3, 1] ^= 1
    red = grey_palette()
    red[7] = (255, 0, 0)
    yield bad("rgb-of-which-one-pixel-is-coloured", bmp(coloured), "BMP whose red, green and blue differ")
    yield bad("rgb-that-is-grey", bmp(grey))
    yield bad("palette-in-colours", bmp(SHADES, red), "a palette whose red, green and blue differ")
    yield bad("palette-turned", bmp(SHADES, grey_palette()[::-1].copy()))
    yield bad("32-bits-with-nonsense-for-alpha", bmp(np.dstack([grey, SHADES])))


CASES: tuple[Case, ...] = (*torn(), *fields(), *colours())
