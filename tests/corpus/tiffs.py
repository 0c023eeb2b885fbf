"""TIFF: torn, half written, lying headers, kinds that are not accepted, bombs."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.case import COUNTS, GOOD, SHADES, Case, Content, black, image
from tests.images import (
    ASCII,
    BYTE,
    DEFLATE,
    LONG,
    LZW,
    PACKBITS,
    SHORT,
    Entry,
    packed_tiff,
    pillow_file,
    some_counts,
    tiff,
    tifffile_file,
)

KIND = "TIFF"
HUGE = 0xFFFFFFFF
LARGEST = 4096
STRIPED = tiff(COUNTS, rows_per_strip=8)
"""Three strips from byte 8 on, the header behind them, and behind it the places and lengths of the strips."""
HEADER_FIRST = tifffile_file(COUNTS, rowsperstrip=8)
TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    259: "compression",
    262: "photometric",
    273: "strip-offsets",
    277: "samples",
    278: "rows-per-strip",
    279: "strip-lengths",
}
PACKED = {"deflate": DEFLATE, "lzw": LZW, "packbits": PACKBITS}
TWELVE_BITS = """
schema_version = 1
name = "twelve-bits"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
cell_id = "[a-z]+"
bits = 12
channels = [{name = "BF"}]
"""


def start_of(content: bytes) -> int:
    """Where the first header of a little-endian TIFF starts."""
    (start,) = struct.unpack_from("<I", content, 4)
    return int(start)


def tagged(tags: dict[int, Entry | None], rows_per_strip: int | None = 8) -> bytes:
    return tiff(COUNTS, rows_per_strip=rows_per_strip, tags=tags)


def overwritten(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def entry_at(tag: int) -> int:
    """Where the entry of a tag stands in `STRIPED`."""
    return start_of(STRIPED) + 2 + 12 * list(TAGS).index(tag)


def retyped(tag: int, kind: int, count: int = 1, value: int = 24) -> bytes:
    """`STRIPED` with one entry of another type or count."""
    return overwritten(STRIPED, entry_at(tag), struct.pack("<HHII", tag, kind, count, value))


def bad(name: str, content: Content, reason: str = "", **changes: Any) -> Case:
    return image(f"tiff-{name}", KIND, content, reason, **changes)


def torn() -> Iterator[Case]:
    start = start_of(STRIPED)
    for length in (1, 2, 3):
        yield bad(f"cut-after-{length}-bytes", STRIPED[:length], r"expected a TIFF, got bytes 49")
    for length in (4, 6):
        yield bad(f"cut-after-{length}-bytes", STRIPED[:length], rf"torn: the header points to byte 4, .* has {length}")
    for length, where in ((8, "the-first-strip"), (100, "the-first-strip-ends"), (start, "the-header")):
        yield bad(f"cut-before-{where}-{length}", STRIPED[:length], rf"torn: .* byte {start}, the file has {length}")
    yield bad("cut-inside-the-number-of-entries", STRIPED[: start + 1], "torn: the header points to byte")
    for tag, name in TAGS.items():
        place = entry_at(tag)
        yield bad(f"cut-before-{name}", STRIPED[:place], rf"torn: the header points to byte {entry_at(279) + 12}")
    end = entry_at(279) + 12
    yield bad("cut-before-the-next-page", STRIPED[:end], rf"torn: the header points to byte {end}")
    yield bad("cut-inside-the-next-page", STRIPED[: end + 3], rf"torn: the header points to byte {end}")
    yield bad("cut-before-the-offsets", STRIPED[: end + 4], rf"torn: the header points to byte {end + 4}")
    yield bad("cut-inside-the-offsets", STRIPED[: end + 9], rf"torn: the header points to byte {end + 4}")
    yield bad("cut-before-the-lengths", STRIPED[: end + 16], rf"torn: the header points to byte {end + 16}")
    yield bad("cut-by-one-byte", STRIPED[:-1], rf"torn: the header points to byte {end + 16}")
    first = len(HEADER_FIRST) - COUNTS.nbytes
    for strip in range(3):
        at = first + strip * 8 * 48
        yield bad(f"cut-before-strip-{strip}", HEADER_FIRST[:at], rf"torn: strip {strip} ends at byte")
        yield bad(f"cut-inside-strip-{strip}", HEADER_FIRST[: at + 100], rf"torn: strip {strip} ends at byte")
    yield bad("cut-by-the-last-count", HEADER_FIRST[:-2], "torn: strip 2 ends at byte")
    for name, compression in PACKED.items():
        written = tiff(COUNTS, compression=compression)
        yield bad(f"cut-inside-{name}", written[: start_of(written) // 2], "torn: the header points to byte")
    yield bad("cut-inside-tifffile-deflate", tifffile_file(COUNTS, compression="zlib")[:-20], "torn: strip 0 ends")
    yield bad("twice-in-one-file", STRIPED + STRIPED)
    yield bad("bytes-behind-the-end", STRIPED + b"\0" * 1000)
    yield bad("line-ends-mangled", STRIPED.replace(b"\x08", b"\r\n"), "torn|expected")
    yield bad("cut-at-the-front", STRIPED[4:], "expected a TIFF, got bytes")


def half_written() -> Iterator[Case]:
    zeros = b"\0" * (len(HEADER_FIRST) // 2)
    first = len(HEADER_FIRST) - COUNTS.nbytes
    yield bad("all-zeros", b"\0" * len(STRIPED), "expected a TIFF, got bytes 00 00 00 00")
    yield bad("first-half-zeros", b"\0" * (len(STRIPED) // 2) + STRIPED[len(STRIPED) // 2 :], "expected a TIFF, got")
    yield bad("second-half-zeros", HEADER_FIRST[: -len(zeros)] + zeros, r"torn: its last \d+ rows hold nothing but")
    yield bad("last-strip-zeros", HEADER_FIRST[:-192] + b"\0" * 192, "torn: its last 4 rows hold nothing but zeros")
    yield bad("header-behind-the-pixels-zeros", STRIPED[: start_of(STRIPED)] + b"\0" * 200, "expected 1 to 512 header")
    yield bad("zeros-in-the-middle-cannot-be-told", overwritten(HEADER_FIRST, first + 300, b"\0" * 300))
    yield bad("pixels-all-zeros-may-be-dark", tiff(np.zeros_like(COUNTS)))
    yield bad("one-single-count", tiff(np.full_like(COUNTS, 77)))
    for name, compression in (("zlib", DEFLATE), ("lzw", LZW), ("packbits", PACKBITS)):
        written = tiff(COUNTS, compression=compression)
        half = (start_of(written) - 8) // 2
        spoilt = overwritten(written, start_of(written) - half, b"\0" * half)
        yield bad(f"second-half-zeros-of-{name}", spoilt, "torn: (deflate|LZW|PackBits)")
    pages_at = overwritten(STRIPED, 4, b"\0\0\0\0")
    yield bad("pointer-to-the-first-page-zero", pages_at, "a TIFF without a page")


def strips() -> Iterator[Case]:
    lengths = [384, 384, 192]
    for name, place in (("behind-the-end", 5000), ("at-4-gib", HUGE), ("at-2-gib", 1 << 31), ("by-one-byte", 968)):
        offsets: Entry = (LONG, [8, 392, place])
        yield bad(f"strip-{name}", tagged({273: offsets}), "torn: strip 2 ends at byte")
    yield bad("strip-in-the-file-header", tagged({273: (LONG, [0, 392, 776])}), "torn: strip 0")
    yield bad(
        "strips-that-overlap",
        tagged({273: (LONG, [8, 8, 8])}),
        "torn: strips or header share the bytes from 8 to 200",
    )
    yield bad(
        "strip-over-the-header",
        tagged({273: (LONG, [8, 392, start_of(STRIPED) - 68])}),
        "torn: strips or header share",
    )
    yield bad("strips-that-overlap-beyond-the-file", tiff(some_counts(400, 400), rows_per_strip=1, tags={
        257: (SHORT, [4000]), 273: (LONG, [8] * 4000), 279: (LONG, [800] * 4000)
    }), "torn: strips or header share the bytes from 8")  # fmt: skip
    yield bad("strip-length-4-gib", tagged({279: (LONG, [384, 384, HUGE])}))
    yield bad("strip-length-too-short", tagged({279: (LONG, [384, 383, 192])}), "strip 1: expected 384 bytes, got 383")
    yield bad("strip-length-zero", tagged({279: (LONG, [384, 0, 192])}), "strip 1: expected 384 bytes, got 0")
    deflated = tiff(COUNTS, compression=DEFLATE, tags={279: (LONG, [HUGE])})
    yield bad("packed-strip-length-4-gib", deflated, "torn: strip 0 ends at byte")
    yield bad("packed-strip-length-zero", tiff(COUNTS, compression=LZW, tags={279: (LONG, [0])}), "strip 0: expected")
    for name, values in (("few", [8, 392]), ("many", [8, 392, 776, 968])):
        yield bad(f"too-{name}-strip-offsets", tagged({273: (LONG, values)}), "expected 3 strips, got . offsets and 3")
    for name, values in (("few", lengths[:2]), ("many", [*lengths, 1])):
        yield bad(f"too-{name}-strip-lengths", tagged({279: (LONG, values)}), "expected 3 strips, got 3 offsets and")
    yield bad("rows-per-strip-zero", tagged({278: (LONG, [0])}), "expected 0 strips, got 3 offsets")
    yield bad("rows-per-strip-4-gib", tagged({278: (LONG, [HUGE])}, None))
    yield bad("rows-per-strip-of-other-strips", tagged({278: (LONG, [7])}, None), "expected 3 strips, got 1 offsets")
    for count, named in ((0, "0"), (HUGE, str(HUGE)), (5000, "5000")):
        name = f"strip-offsets-{named}-times"
        yield bad(
            name, retyped(273, LONG, count), f"tag 273: expected 1 to 4096 whole numbers, got type 4 times {count}"
        )
    yield bad("strip-offsets-out-of-the-file", retyped(273, LONG, 3, HUGE), f"torn: the header points to byte {HUGE}")


def sizes() -> Iterator[Case]:
    for side, tag in (("width", 256), ("height", 257)):
        for size in (0, 4097, 60_000, 1 << 31, HUGE):
            yield bad(
                f"{side}-of-{size}-px", tagged({tag: (LONG, [size])}), f"expected 1 to 4096 px a side, got .*{size}"
            )
    yield bad("side-of-4096-px-without-the-bytes", tagged({256: (LONG, [LARGEST])}), "strip 0: expected 65536 bytes")
    yield bad("one-pixel", tiff(some_counts(1, 1)))
    yield bad("one-row", tiff(some_counts(1, 24)))


def bombs() -> Iterator[Case]:
    side: Entry = (LONG, [LARGEST])
    whole = {256: side, 257: side, 278: side}
    # The file's own pixels are some hundred bytes; what it says or unpacks to is not.
    few = some_counts(4, 4)
    for name, compression in PACKED.items():
        says = tiff(few, compression=compression, tags=dict(whole))
        yield bad(
            f"{name}-says-32-mib", says, r"torn: \d+ bytes of .* cannot hold the 33554432 that the header promises"
        )
    stream = zlib.compress(b"\0" * (100 << 20), 9)
    yield bad("deflate-inflates-to-100-mib", lambda: with_stream(stream, DEFLATE), "torn: strip 0 must inflate to 960")
    yield bad("lzw-unpacks-to-more", lambda: with_stream(packed_black("tiff_lzw"), LZW))
    yield bad("packbits-unpacks-to-more", lambda: with_stream(b"\x81\0" * 300_000, PACKBITS))
    yield bad("deflate-of-a-black-page-of-4096", lambda: tifffile_file(black(LARGEST), compression="zlib"))
    yield bad("lzw-of-a-black-page-of-4096", lambda: by_pillow("tiff_lzw"))
    yield bad("packbits-of-a-black-page-of-4096", lambda: by_pillow("packbits"))
    yield bad("deflate-of-4096-strips", lambda: tiff(black(LARGEST), compression=DEFLATE, rows_per_strip=1))
    yield bad("uncompressed-page-of-4096", lambda: tiff(some_counts(LARGEST, LARGEST)))
    shared = {257: side, 278: (LONG, [1]), 273: (LONG, [8] * LARGEST)}
    yield bad("lzw-of-4096-strips-that-are-one", tiff(few, compression=LZW, tags=dict(shared)), "expected 4096 strips")


def with_stream(stream: bytes, compression: int) -> bytes:
    """`COUNTS` by its header, with a stream that may hold anything."""
    tags: dict[int, Entry | None] = {
        256: (SHORT, [24]), 257: (SHORT, [20]), 258: (SHORT, [16]), 278: (LONG, [20]), 259: (SHORT, [compression])
    }  # fmt: skip
    return tiff(np.frombuffer(stream, np.uint8)[None, :], tags=tags)


def packed_black(compression: str) -> bytes:
    whole = by_pillow(compression, 512)
    return whole[8:]


def by_pillow(compression: str, side: int = LARGEST) -> bytes:
    return pillow_file(Image.fromarray(black(side)), compression=compression)


def samples() -> Iterator[Case]:
    for bits in (0, 1, 2, 4, 10, 14, 24, 32, 64):
        yield bad(f"{bits}-bits", tagged({258: (SHORT, [bits])}), f"expected uint8 or uint16, got {bits} bits")
    for fmt, name in ((2, "signed"), (3, "floating point"), (4, "unknown"), (6, "unknown"), (9, "unknown")):
        slug = f"sample-format-{fmt}"
        yield bad(slug, tagged({339: (SHORT, [fmt])}), rf"expected uint8 or uint16, got 16 bits .* {fmt} \({name}\)")
    yield bad(
        "float32-by-tifffile",
        tifffile_file(COUNTS.astype(np.float32)),
        "expected uint8 or uint16, got 32 bits of sample format 3",
    )
    yield bad(
        "int16-by-tifffile", tifffile_file((COUNTS // 2).astype(np.int16)), r"expected .*, got 16 bits .* 2 \(signed\)"
    )
    yield bad(
        "int8-by-tifffile", tifffile_file((SHADES // 2).astype(np.int8)), r"expected .*, got 8 bits .* 2 \(signed\)"
    )
    yield bad(
        "complex-by-tifffile",
        tifffile_file(COUNTS.astype(np.complex64)),
        "expected uint8 or uint16, got 64 bits of sample format 6",
    )
    colours = np.stack([SHADES] * 3, axis=2)
    for config in ("contig", "separate"):
        pixels = colours if config == "contig" else colours.transpose(2, 0, 1)
        written = tifffile_file(pixels, photometric="rgb", planarconfig=config)
        yield bad(f"rgb-{config}", written, "expected one grey sample per pixel, got 3")
    alpha = tifffile_file(np.stack([SHADES] * 4, axis=2), photometric="rgb", extrasamples=("unassalpha",))
    yield bad("rgba", alpha, "expected one grey sample per pixel, got 4")
    yield bad("two-samples", tagged({277: (SHORT, [2])}), "expected one grey sample per pixel, got 2")
    yield bad("no-samples-but-bits-for-one", tagged({277: (SHORT, [0])}))
    yield bad("65535-samples", tagged({277: (SHORT, [65535])}), "expected one grey sample per pixel, got 65535")
    for number, name in (
        (0, "white-is-zero"),
        (2, "rgb"),
        (3, "a-palette"),
        (5, "cmyk"),
        (6, "ycbcr"),
        (99, "unknown"),
    ):
        slug = f"photometric-{name}"
        yield bad(slug, tagged({262: (SHORT, [number])}), f"expected grey with 0 = black .* got photometric {number}")
    for order in (0, 2):
        yield bad(
            f"fill-order-{order}",
            tagged({266: (SHORT, [order])}),
            f"expected grey .*, got photometric 1, fill order {order}",
        )
    yield bad("tiles", tifffile_file(COUNTS, tile=(16, 16)), "expected strips of compression .*, got tiles of")
    names = {
        0: "zero",
        2: "ccitt",
        3: "fax3",
        4: "fax4",
        6: "old-jpeg",
        7: "jpeg",
        34712: "jpeg-2000",
        50000: "zstd",
        50001: "webp",
    }
    for number, name in names.items():
        slug = f"compression-{name}"
        yield bad(
            slug, tagged({259: (SHORT, [number])}), f"expected strips of compression .*, got compression {number},"
        )
    yield bad("predictor-3", tagged({317: (SHORT, [3])}), "expected strips of .*, got compression 1, predictor 3")
    yield bad("eight-bits-for-a-network-of-sixteen", tiff(SHADES), "BF: expected uint16")
    twelve = some_counts(20, 24, bits=12)
    yield bad("packed-12-bits", packed_tiff(twelve))
    yield bad(
        "packed-12-bits-under-deflate", packed_tiff(twelve, compression=DEFLATE), "packed 12-bit samples under deflate"
    )
    for name, count in (("one-above", 4096), ("full-scale", 65535)):
        counts = twelve.copy()
        counts[3, 3] = count
        reason = f"expected counts of 12 bits as the profile says, got {count}"
        yield Case(
            f"tiff-count-{name}-12-bits",
            KIND,
            bad("", tiff(counts), "x").build,
            profile=TWELVE_BITS,
            called=(),
            refused={"bad": rf"^Images/bad_BF\.tif: {reason}", "good": r"^Images/good_BF\.tif: expected counts of 12"},
        )


def headers() -> Iterator[Case]:
    for mark in (b"IM*\0", b"MI\0*", b"II\0*", b"MM*\0", b"II)\0", b"EP*\0", b"\xff\xfe*\0"):
        name = mark.hex()
        yield bad(f"byte-order-mark-{name}", mark + STRIPED[4:], "expected a TIFF, got bytes")
    swapped = b"MM\0*" + STRIPED[4:]
    yield bad("little-endian-said-to-be-big", swapped, "torn: the header points to byte")
    yield bad("bigtiff", tifffile_file(COUNTS, bigtiff=True), "expected a TIFF, got a BigTIFF file")
    yield bad(
        "big-endian-bigtiff", tifffile_file(COUNTS, bigtiff=True, byteorder=">"), "expected a TIFF, got a BigTIFF"
    )
    yield bad("big-endian", tiff(COUNTS, order=">"))
    for kind in (0, ASCII, 5, 11, 13, 16, 99, 65535):
        yield bad(
            f"width-of-type-{kind}", retyped(256, kind), f"tag 256: expected one whole number, got type {kind} times 1"
        )
    yield bad(
        "width-of-two-values", tagged({256: (SHORT, [24, 24])}), "tag 256: expected one whole number, got .* times 2"
    )
    yield bad("width-of-no-value", retyped(256, SHORT, 0), "tag 256: expected one whole number, got type 3 times 0")
    yield bad("width-as-one-byte", tagged({256: (BYTE, [24])}))
    yield bad("bits-of-type-ascii", retyped(258, ASCII), "tag 258: expected 1 to 4096 whole numbers, got type 2")
    yield bad(
        "strip-offsets-of-type-ascii", retyped(273, ASCII, 3), "tag 273: expected 1 to 4096 whole numbers, got type 2"
    )
    missing = {
        256: "expected 1 to 4096 px a side, got 0 x 20",
        257: "expected 1 to 4096 px a side, got 24 x 0",
        258: "expected uint8 or uint16, got 1 bits",
        259: "",
        262: "",
        273: "expected 3 strips, got 0 offsets",
        277: "",
        278: "expected 1 strips, got 3 offsets",
        279: "expected 3 strips, got 3 offsets and 0 lengths",
    }
    for tag, reason in missing.items():
        yield bad(f"without-{TAGS[tag]}", tagged({tag: None}), reason)
    for tag in (256, 273):
        double = overwritten(STRIPED, entry_at(tag) + 12, struct.pack("<HHII", tag, SHORT, 1, 1))
        yield bad(f"{TAGS[tag]}-twice", double, "expected each header entry once, got 1 again")
    for count in (0, 513, 65535):
        written = overwritten(STRIPED, start_of(STRIPED), struct.pack("<H", count)) + b"\0" * (1 << 20)
        yield bad(f"{count}-header-entries", written, f"expected 1 to 512 header entries, got {count}")
    unknown: dict[int, Entry | None] = {40_000 + number: (SHORT, [1]) for number in range(400)}
    yield bad("400-unknown-tags", tagged(unknown))
    yield bad("entries-out-of-order", reordered())
    yield bad("header-over-its-own-pointer", overwritten(STRIPED, 4, struct.pack("<I", 4)), "expected|torn")
    yield bad("header-at-4-gib", overwritten(STRIPED, 4, struct.pack("<I", HUGE)), f"torn: .* byte {HUGE}")


def reordered() -> bytes:
    start = start_of(STRIPED) + 2
    entries = [STRIPED[start + 12 * index : start + 12 * index + 12] for index in range(len(TAGS))]
    return overwritten(STRIPED, start, b"".join(reversed(entries)))


def page_chains() -> Iterator[Case]:
    twice = tiff(COUNTS, COUNTS)
    first = start_of(twice)
    pointer = first + 2 + 12 * len(TAGS)
    (second,) = struct.unpack_from("<I", twice, pointer)
    itself = overwritten(twice, pointer, struct.pack("<I", first))
    back = overwritten(twice, second + 2 + 12 * len(TAGS), struct.pack("<I", first))
    yield bad("page-that-follows-itself", itself, r"expected at most 64 page\(s\), got more or a loop of pages")
    yield bad("page-that-leads-back", back, r"expected at most 64 page\(s\), got more or a loop of pages")
    yield bad("two-pages-for-one-channel", twice, r"expected 1 page\(s\), got 2")
    yield bad("64-pages", tiff(*[COUNTS] * 64), r"expected 1 page\(s\), got 64")
    yield bad("65-pages", tiff(*[COUNTS] * 65), r"expected at most 64 page\(s\), got more")
    yield bad("10000-pages", many_pages, r"expected at most 64 page\(s\), got more")
    yield bad(
        "second-page-behind-the-end", overwritten(twice, pointer, struct.pack("<I", 10**6)), "torn: the header points"
    )
    yield bad("second-page-spoilt", twice[: second + 20], "torn: the header points to byte")
    yield bad("64-pages-of-one-bomb", pages_of_one_bomb, r"expected 1 page\(s\), got 64")


def many_pages() -> bytes:
    """10,000 headers that share one strip."""
    start = start_of(GOOD)
    header = GOOD[start : start + 2 + 12 * len(TAGS)]
    step = len(header) + 4
    chain = (header + struct.pack("<I", start + step * (index + 1)) for index in range(10_000))
    return GOOD[:start] + b"".join(itertools.islice(chain, 9_999)) + header + b"\0\0\0\0"


def pages_of_one_bomb() -> bytes:
    """64 headers that share one deflated page of 32 MiB."""
    whole = tiff(black(LARGEST), compression=DEFLATE)
    start = start_of(whole)
    header = whole[start : start + 2 + 12 * len(TAGS)]
    step = len(header) + 4
    chain = [header + struct.pack("<I", start + step * (index + 1)) for index in range(63)]
    return whole[:start] + b"".join(chain) + header + b"\0\0\0\0"


CASES: tuple[Case, ...] = (
    *torn(),
    *half_written(),
    *strips(),
    *sizes(),
    *bombs(),
    *samples(),
    *headers(),
    *page_chains(),
)
