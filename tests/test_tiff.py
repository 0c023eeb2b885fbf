import io
import random
import struct
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.kinds import MAX_SIDE_PX
from edge_ctc.images.strips import decode_page
from edge_ctc.images.tiff import MAX_PAGES, read_header
from edge_ctc.preprocess import Counts
from tests.images import (
    ASCII,
    BYTE,
    DEFLATE,
    LONG,
    LZW,
    PACKBITS,
    PILLOW_NAMES,
    SHORT,
    UNCOMPRESSED,
    Entry,
    packed_tiff,
    pillow_file,
    some_counts,
    tiff,
    tifffile_file,
)

COMPRESSED = (LZW, DEFLATE, PACKBITS)
ALL_COMPRESSIONS = (UNCOMPRESSED, *COMPRESSED)


def decoded(content: bytes) -> list[Counts]:
    """Every page, checked and decoded."""
    return [decode_page(content, page) for page in read_header(content).pages]


def assert_counts(found: Counts, expected: Counts) -> None:
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rows_per_strip", [None, 1, 2])
@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_the_counts_are_those_that_were_stored_and_that_others_read(
    bits: int, order: str, compression: int, rows_per_strip: int | None
) -> None:
    counts = some_counts(5, 7, bits)
    content = tiff(counts, order=order, compression=compression, rows_per_strip=rows_per_strip)
    (found,) = decoded(content)
    assert_counts(found, counts)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(found, np.array(image))
    if compression in (UNCOMPRESSED, DEFLATE):  # tifffile needs another package for the rest
        np.testing.assert_array_equal(found, tifffile.imread(io.BytesIO(content)))


@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_file_that_pillow_writes_gives_its_counts(bits: int, compression: int) -> None:
    pages = [some_counts(90, 70, bits, seed) for seed in range(3)]
    first, *others = map(Image.fromarray, pages)
    content = pillow_file(first, compression=PILLOW_NAMES[compression], save_all=True, append_images=others)
    for found, expected in zip(decoded(content), pages, strict=True):
        assert_counts(found, expected)


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_file_that_tifffile_writes_gives_its_counts(
    bits: int, order: str, compression: str | None, predictor: bool
) -> None:
    pages = np.stack([some_counts(20, 30, bits, seed) for seed in range(4)])
    content = tifffile_file(
        pages,
        byteorder=order,
        compression=compression,
        predictor=predictor and compression is not None,
        rowsperstrip=7,
        photometric="minisblack",
    )
    for found, expected in zip(decoded(content), pages, strict=True):
        assert_counts(found, expected)


@given(
    counts=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
    ),
    order=st.sampled_from("<>"),
    compression=st.sampled_from(ALL_COMPRESSIONS),
    rows_per_strip=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_whatever_was_stored_comes_back(counts: Counts, order: str, compression: int, rows_per_strip: int) -> None:
    assume(compression != UNCOMPRESSED or counts[-2:].any() or not counts[0].any())  # or it would count as unfinished
    (found,) = decoded(tiff(counts, order=order, compression=compression, rows_per_strip=rows_per_strip))
    assert_counts(found, counts)


@pytest.mark.parametrize("rows_per_strip", [None, 1, 3])
@pytest.mark.parametrize("width", [1, 2, 3, 8])
@pytest.mark.parametrize("order", ["<", ">"])
def test_packed_samples_of_12_bits_come_out_whole_whatever_the_width(
    order: str, width: int, rows_per_strip: int | None
) -> None:
    counts = some_counts(5, width, 12)
    counts[-1] = 4095
    (found,) = decoded(packed_tiff(counts, order, rows_per_strip))
    assert_counts(found, counts)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_packed_samples_of_12_bits_are_those_that_pillow_reads(width: int) -> None:
    content = packed_tiff(some_counts(5, width, 12))
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(decoded(content)[0], np.array(image))


def test_packed_samples_under_a_compression_are_refused() -> None:
    with pytest.raises(ImageError, match="packed 12-bit samples under deflate; export 16 bits"):
        decoded(packed_tiff(some_counts(5, 7, 12), compression=DEFLATE))


@pytest.mark.parametrize("rows_per_strip", [None, 1, 5])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_uncompressed_page_whose_last_rows_were_never_written_is_torn(bits: int, rows_per_strip: int | None) -> None:
    counts = some_counts(32, 9, bits)
    counts[-5:] = 0
    with pytest.raises(ImageError, match="torn: its last 5 rows hold nothing but zeros"):
        decoded(tiff(counts, rows_per_strip=rows_per_strip))


def test_a_packed_page_whose_last_rows_were_never_written_is_torn() -> None:
    counts = some_counts(32, 9, 12)
    counts[-4:] = 0
    with pytest.raises(ImageError, match="torn: its last 4 rows hold nothing but zeros"):
        decoded(packed_tiff(counts))


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_compressed_page_may_end_in_zeros(compression: int) -> None:
    counts = some_counts(32, 9)
    counts[-9:] = 0
    assert_counts(decoded(tiff(counts, compression=compression))[0], counts)


def test_zeros_at_the_end_are_counts_where_they_are_few_or_the_first_row_holds_zeros_as_well() -> None:
    few = some_counts(32, 9)
    few[-3:] = 0
    dark = some_counts(32, 9)
    dark[0] = dark[-20:] = 0
    black, row = np.zeros((32, 9), np.uint16), some_counts(1, 9)
    for counts in (few, dark, black, row):
        assert_counts(decoded(tiff(counts))[0], counts)


def test_only_the_page_that_was_never_finished_is_torn() -> None:
    whole, torn = some_counts(32, 9), some_counts(32, 9)
    torn[-8:] = 0
    content = tiff(whole, torn)
    first, second = read_header(content).pages
    assert_counts(decode_page(content, first), whole)
    with pytest.raises(ImageError, match="torn: its last 8 rows"):
        decode_page(content, second)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_an_orientation_tag_turns_no_image_whatever_its_compression(compression: int, orientation: int) -> None:
    # One lab's export must not be seen from another side than the next one's because it is compressed.
    counts = some_counts(6, 6)
    (found,) = decoded(tiff(counts, compression=compression, tags={274: (SHORT, [orientation])}))
    assert_counts(found, counts)


def test_pages_may_differ_in_size_and_depth() -> None:
    pages = (some_counts(3, 4, 8), some_counts(9, 2, 16), some_counts(1, 1, 12))
    for compression in ALL_COMPRESSIONS:
        for found, expected in zip(decoded(tiff(*pages, compression=compression)), pages, strict=True):
            assert_counts(found, expected)


@pytest.mark.parametrize("more", [[], [0], [9, 9]])
@pytest.mark.parametrize("kind", [BYTE, SHORT, LONG])
@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 277, 278])
def test_an_entry_of_another_whole_type_or_with_more_values_is_read_or_refused_whatever_the_compression(
    tag: int, kind: int, more: list[int]
) -> None:
    counts = some_counts()
    for compression in (UNCOMPRESSED, LZW, DEFLATE):
        value = {256: 7, 257: 5, 258: 16, 259: compression, 262: 1, 277: 1, 278: 5}[tag]
        content = tiff(counts, compression=compression, tags={tag: (kind, [value, *more])})
        try:
            (found,) = decoded(content)
        except ImageError:
            assert more or kind == BYTE
        else:
            assert_counts(found, counts)


def test_entries_that_nobody_needs_are_passed_over() -> None:
    counts = some_counts()
    text = (ASCII, b"a scanner\0")
    assert_counts(decoded(tiff(counts, tags={305: text, 60000: (LONG, range(99))}))[0], counts)


def test_entries_with_defaults_may_be_missing() -> None:
    counts = some_counts()
    assert_counts(decoded(tiff(counts, tags={259: None, 277: None, 278: None}))[0], counts)


def test_rows_per_strip_beyond_the_image_means_one_strip() -> None:
    counts = some_counts()
    assert_counts(decoded(tiff(counts, tags={278: (LONG, [2**32 - 1])}))[0], counts)


def _pillow(compression: str | None, counts: Counts) -> bytes:
    return pillow_file(Image.fromarray(counts), compression=compression)


WRITERS: dict[str, Callable[[Counts], bytes]] = {
    **{f"header last, {name}": partial(tiff, compression=number) for number, name in PILLOW_NAMES.items()},
    **{f"pillow, {name}": partial(_pillow, name) for name in PILLOW_NAMES.values()},
    "tifffile, big endian": partial(tifffile_file, byteorder=">", rowsperstrip=2),
    "strips, header last": partial(tiff, order=">", rows_per_strip=1),
    "two pages": lambda counts: tiff(counts, counts),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_torn_at_any_byte_is_refused_or_whole_never_other_counts(writer: str) -> None:
    counts = some_counts(4, 5)
    content = WRITERS[writer](counts)
    refused = 0
    for length in range(len(content)):
        try:
            pages = decoded(content[:length])
        except ImageError:
            refused += 1
        else:
            for page in pages:
                assert_counts(page, counts)
    assert refused > 40


@pytest.mark.parametrize("compression", COMPRESSED)
def test_compressed_data_cut_within_their_strip_are_torn(compression: int) -> None:
    counts = some_counts(30, 30)
    content = tiff(counts, compression=compression)
    (page,) = read_header(content).pages
    ((_, length),) = page.strips
    with pytest.raises(ImageError, match="torn"):
        decoded(tiff(counts, compression=compression, tags={279: (LONG, [length // 2])}))


def test_deflate_data_of_another_kind_are_torn() -> None:
    content = bytearray(tiff(some_counts(30, 30), compression=DEFLATE))
    content[8:40] = bytes(32)
    with pytest.raises(ImageError, match="torn: deflate data do not decode"):
        decoded(bytes(content))


RGB = Image.new("RGB", (4, 4))
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty file"),
    "text": (b"no image at all", "6e 6f 20 69"),
    "PNG": (pillow_file(RGB, "PNG"), "PNG"),
    "JPEG": (pillow_file(RGB, "JPEG"), "JPEG"),
    "BMP": (pillow_file(RGB, "BMP"), "BMP"),
    "GIF": (pillow_file(RGB, "GIF"), "GIF"),
    "ZIP": (b"PK\x03\x04" + bytes(30), "ZIP"),
    "BigTIFF": (tifffile_file(some_counts(), bigtiff=True), "BigTIFF"),
    "big-endian BigTIFF": (tifffile_file(some_counts(), bigtiff=True, byteorder=">"), "BigTIFF"),
    "RGB": (pillow_file(RGB), "one grey sample"),
    "RGBA": (pillow_file(Image.new("RGBA", (4, 4))), "one grey sample"),
    "grey and alpha": (pillow_file(Image.new("LA", (4, 4))), "one grey sample"),
    "float": (tifffile_file(np.zeros((4, 4), np.float32)), "32 bits of sample format 3"),
    "float16": (tifffile_file(np.zeros((4, 4), np.float16)), "sample format 3"),
    "signed": (tifffile_file(np.zeros((4, 4), np.int16)), "sample format 2"),
    "32 bit": (tifffile_file(np.zeros((4, 4), np.uint32)), "uint8 or uint16, got 32 bits"),
    "1 bit": (pillow_file(Image.new("1", (4, 4))), "got 1 bits"),
    "4 bit": (tiff(some_counts(), tags={258: (SHORT, [4])}), "got 4 bits"),
    "14 bit": (tiff(some_counts(), tags={258: (SHORT, [14])}), "got 14 bits"),
    "palette": (pillow_file(Image.new("P", (4, 4))), "photometric 3"),
    "white is zero": (tifffile_file(some_counts(), photometric="miniswhite"), "photometric 0"),
    "tiles": (tifffile_file(some_counts(32, 32), tile=(16, 16)), "tiles"),
    "JPEG inside": (pillow_file(Image.new("L", (16, 16)), compression="jpeg"), "compression 7"),
    "fax inside": (pillow_file(Image.new("1", (16, 16)), compression="group4"), "1 bits"),
    "mirrored bytes": (tiff(some_counts(bits=8), tags={266: (SHORT, [2])}), "grey"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_refused_by_name(kind: str) -> None:
    content, telling = FOREIGN[kind]
    with pytest.raises(ImageError, match=telling):
        read_header(content)


LIES: dict[str, tuple[dict[int, Entry | None], str]] = {
    "a bomb by width": ({256: (LONG, [100_000])}, "100000 x 5"),
    "a bomb by height": ({257: (LONG, [100_000])}, "7 x 100000"),
    "no width": ({256: None}, "0 x 5"),
    "zero height": ({257: (SHORT, [0])}, "7 x 0"),
    "no bits": ({258: None}, "1 bits"),
    "bits per channel": ({258: (SHORT, [8, 8, 8])}, "one grey sample"),
    "a width in words": ({256: (ASCII, b"seven\0")}, "tag 256"),
    "an empty entry": ({256: (SHORT, [])}, "tag 256"),
    "no strip": ({273: None}, "0 offsets"),
    "no strip length": ({279: None}, "0 lengths"),
    "no rows in a strip": ({278: (LONG, [0])}, "expected 0 strips"),
    "fewer strips than rows need": ({278: (LONG, [2])}, "expected 3 strips"),
    "a strip shorter than its rows": ({279: (LONG, [69])}, "expected 70 bytes, got 69"),
    "a strip at the end of the file": ({273: (LONG, [2**31])}, "torn: strip 0"),
    "strips that share their bytes": (
        {278: (LONG, [1]), 273: (LONG, [8] * 5), 279: (LONG, [70] * 5), 259: (SHORT, [DEFLATE])},
        "share the bytes from",
    ),
    "a strip at the end of the address space": ({273: (LONG, [2**32 - 1])}, "torn: strip 0"),
    "a strip within the file header": ({273: (LONG, [4])}, "torn: strip 0"),
    "an unheard-of compression": ({259: (SHORT, [50000])}, "compression 50000"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_with_what_was_found(lie: str) -> None:
    tags, telling = LIES[lie]
    with pytest.raises(ImageError, match=telling):
        decoded(tiff(some_counts(), tags=tags))


def test_an_entry_that_comes_twice_is_refused() -> None:
    content = bytearray(tiff(some_counts()))
    entry = content.index(struct.pack("<HHI", 277, SHORT, 1))
    content[entry : entry + 2] = struct.pack("<H", 257)
    with pytest.raises(ImageError, match="each header entry once, got 1 again"):
        read_header(bytes(content))


@pytest.mark.parametrize(("compression", "name"), [(DEFLATE, "deflate"), (LZW, "LZW"), (PACKBITS, "PackBits")])
def test_a_bomb_is_refused_before_anything_is_allocated(compression: int, name: str) -> None:
    side = (LONG, [MAX_SIDE_PX])
    content = tiff(some_counts(), compression=compression, tags={256: side, 257: side, 278: side})
    with pytest.raises(ImageError, match=f"torn: .* bytes of {name} cannot hold the 33554432"):
        read_header(content)


@pytest.mark.parametrize("rows", [4, 6])
def test_a_deflated_strip_with_more_or_fewer_rows_than_the_header_says_is_torn(rows: int) -> None:
    content = tiff(some_counts(rows, 7), compression=DEFLATE, tags={257: (SHORT, [5]), 278: (SHORT, [5])})
    with pytest.raises(ImageError, match="torn: strip 0 must inflate to 70 bytes"):
        decoded(content)


def test_an_empty_compressed_strip_is_refused() -> None:
    with pytest.raises(ImageError, match="strip 0: expected 0 bytes"):
        decoded(tiff(some_counts(), compression=DEFLATE, tags={279: (LONG, [0])}))


def test_more_values_than_the_file_holds_are_torn() -> None:
    content = bytearray(tiff(some_counts(5, 7), rows_per_strip=1))
    entry = content.index(struct.pack("<HHI", 273, LONG, 5))
    content[entry + 4 : entry + 8] = struct.pack("<I", 4096)
    with pytest.raises(ImageError, match="torn: the header points to byte"):
        read_header(bytes(content))


def test_more_values_than_any_image_needs_are_refused_before_they_are_read() -> None:
    content = bytearray(tiff(some_counts(5, 7), rows_per_strip=1))
    entry = content.index(struct.pack("<HHI", 273, LONG, 5))
    content[entry + 4 : entry + 8] = struct.pack("<I", 2**32 - 1)
    with pytest.raises(ImageError, match="tag 273"):
        read_header(bytes(content))


def test_the_largest_side_is_accepted_and_one_more_is_not() -> None:
    assert decoded(tiff(np.zeros((1, MAX_SIDE_PX), np.uint8)))[0].shape == (1, MAX_SIDE_PX)
    with pytest.raises(ImageError, match=f"1 to {MAX_SIDE_PX} px"):
        read_header(tiff(np.zeros((1, MAX_SIDE_PX + 1), np.uint8)))


def test_a_header_without_entries_is_refused() -> None:
    with pytest.raises(ImageError, match="header entries, got 0"):
        read_header(b"II*\0\x08\0\0\0" + bytes(6))


def test_a_header_with_too_many_entries_is_refused() -> None:
    with pytest.raises(ImageError, match="header entries, got 513"):
        read_header(b"II*\0\x08\0\0\0" + struct.pack("<H", 513) + bytes(513 * 12 + 4))


def test_a_tiff_without_a_page_is_refused() -> None:
    with pytest.raises(ImageError, match="without a page"):
        read_header(b"II*\0" + bytes(4))


def test_pages_that_loop_are_refused() -> None:
    content = bytearray(tiff(some_counts()))
    first = content[4:8]
    (start,) = struct.unpack("<I", first)
    (entries,) = struct.unpack_from("<H", content, start)
    content[start + 2 + 12 * entries : start + 6 + 12 * entries] = first
    with pytest.raises(ImageError, match="loop"):
        read_header(bytes(content))


def test_as_many_pages_as_allowed_and_no_more() -> None:
    page = some_counts(1, 1)
    assert len(read_header(tiff(*[page] * MAX_PAGES)).pages) == MAX_PAGES
    with pytest.raises(ImageError, match=f"at most {MAX_PAGES}"):
        read_header(tiff(*[page] * (MAX_PAGES + 1)))
    with pytest.raises(ImageError, match="at most 2"):
        read_header(tiff(page, page, page), max_pages=2)


@given(
    compression=st.sampled_from(ALL_COMPRESSIONS),
    order=st.sampled_from("<>"),
    seed=st.integers(0, 2**32),
    spoilt=st.integers(1, 6),
    header_only=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_a_spoilt_file_is_refused_or_has_the_shape_that_it_declares(
    compression: int, order: str, seed: int, spoilt: int, header_only: bool
) -> None:
    content = bytearray(tiff(some_counts(6, 5), some_counts(4, 4, 8), order=order, compression=compression))
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    (header,) = struct.unpack_from(f"{order}I", content, 4)
    for _ in range(spoilt):
        place = chance.randrange(header if header_only else 0, len(content))
        content[place] = chance.choice([0, 1, 2, 255, chance.randrange(256)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on entries that nobody needs
        try:
            pages = read_header(bytes(content)).pages
            images = [decode_page(bytes(content), page) for page in pages]
        except ImageError:
            return
    for page, image in zip(pages, images, strict=True):
        assert image.shape == (page.height, page.width)
        assert image.dtype == np.dtype(page.dtype).newbyteorder("=")
