import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
from edge_ctc.images.kinds import MAX_SIDE_PX
from edge_ctc.preprocess import Counts
from tests.encoders import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    chunked,
    grey_palette,
    ihdr,
    png,
    png_chunks,
)
from tests.images import pillow_file, some_counts

ALL_FILTERS = (0, 1, 2, 3, 4)


def decoded(content: bytes) -> Counts:
    return open_image(content, "a.png").page(0)


def assert_counts(found: Counts, expected: Counts) -> None:
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def refused(content: bytes, telling: str) -> None:
    with pytest.raises(ImageError, match=rf"^a\.png: .*{telling}"):
        decoded(content)


def channels(grey: Counts, number: int, alpha: int | None = None) -> NDArray[np.uint8]:
    """(H, W, number) of the same grey, and alpha behind it."""
    planes = [grey.astype(np.uint8)] * number
    if alpha is not None:
        planes.append(np.full(grey.shape, alpha, np.uint8))
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 64), (1, 300), (300, 1)])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_file_that_pillow_writes_gives_its_counts(bits: int, size: tuple[int, int]) -> None:
    counts = some_counts(*size, bits)
    assert_counts(decoded(pillow_file(Image.fromarray(counts), "PNG")), counts)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), ALL_FILTERS])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_filter_and_interlacing_gives_the_counts_that_others_read(
    bits: int, filters: tuple[int, ...], interlace: int
) -> None:
    counts = some_counts(19, 21, bits)
    content = png(counts, filters=filters, interlace=interlace)
    found = decoded(content)
    assert_counts(found, counts)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(found, np.array(image))


@pytest.mark.parametrize("height", range(1, 10))
@pytest.mark.parametrize("width", range(1, 10))
def test_an_interlaced_file_of_any_small_size_gives_its_counts(width: int, height: int) -> None:
    for bits in (8, 16):
        counts = some_counts(height, width, bits)
        assert_counts(decoded(png(counts, filters=(4, 1), interlace=1)), counts)


def test_an_image_larger_than_one_stored_block_comes_out_whole() -> None:
    counts = some_counts(400, 300)
    assert_counts(decoded(png(counts)), counts)


def test_the_stream_may_lie_in_many_chunks_even_empty_ones() -> None:
    counts = some_counts(9, 9)
    head, (_, stream), end = png_chunks(counts)
    pieces = [(b"IDAT", stream[place : place + 3]) for place in range(0, len(stream), 3)]
    assert_counts(decoded(chunked([head, (b"IDAT", b""), *pieces, (b"IDAT", b""), end])), counts)


@pytest.mark.parametrize(
    "more",
    [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"tRNS", struct.pack(">H", 0)),
        (b"sBIT", b"\x0c"),
        (b"bKGD", struct.pack(">H", 9)),
        (b"pHYs", struct.pack(">IIB", 1, 2, 1)),
        (b"sRGB", b"\0"),
        (b"tEXt", b"Comment\0a scanner"),
        (b"prVt", b"whatever"),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_no_chunk_about_looks_changes_a_count(more: tuple[bytes, bytes]) -> None:
    counts = some_counts(9, 9)
    assert_counts(decoded(png(counts, more=[more])), counts)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("colour_type", "number", "alpha"), [(RGB, 3, None), (RGBA, 3, 255), (GREY_ALPHA, 1, 255)])
def test_a_picture_in_colours_that_is_grey_and_opaque_everywhere_gives_its_counts(
    colour_type: int, number: int, alpha: int | None, interlace: int
) -> None:
    counts = some_counts(11, 13, 8)
    samples = channels(counts, number, alpha)
    content = png(samples, colour_type=colour_type, filters=ALL_FILTERS, interlace=interlace)
    assert_counts(decoded(content), counts)
    if not interlace:
        assert_counts(decoded(pillow_file(Image.fromarray(samples), "PNG")), counts)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize(("colour_type", "alpha"), [(RGB, None), (RGBA, 255)])
def test_one_pixel_in_colours_is_enough_to_refuse_a_picture(colour_type: int, alpha: int | None, channel: int) -> None:
    samples = channels(some_counts(11, 13, 8), 3, alpha)
    samples[7, 5, channel] ^= 1
    refused(png(samples, colour_type=colour_type), "a picture in colours holds no counts")


@pytest.mark.parametrize(("colour_type", "number"), [(RGBA, 3), (GREY_ALPHA, 1)])
def test_one_pixel_that_is_not_opaque_is_enough_to_refuse_a_picture(colour_type: int, number: int) -> None:
    samples = channels(some_counts(11, 13, 8), number, 255)
    samples[7, 5, -1] = 254
    refused(png(samples, colour_type=colour_type), "expected alpha 255 everywhere, got 254")


def with_palette(indices: NDArray[Any], palette: NDArray[np.uint8]) -> bytes:
    return png(indices, colour_type=PALETTE, more=[(b"PLTE", palette.tobytes())])


def test_a_grey_palette_is_applied() -> None:
    counts = some_counts(11, 13, 8)
    assert_counts(decoded(with_palette(255 - counts, grey_palette()[::-1])), counts)
    image = Image.fromarray(255 - counts)
    image.putpalette(grey_palette()[::-1].tobytes())
    content = pillow_file(image, "PNG")
    assert content[25] == PALETTE
    assert_counts(decoded(content), counts)


def test_a_palette_with_one_colour_is_refused() -> None:
    palette = grey_palette()
    palette[200, 1] = 0
    refused(with_palette(some_counts(11, 13, 8), palette), "a palette whose red, green and blue differ")


def test_an_index_beyond_the_palette_is_refused() -> None:
    indices = np.full((3, 3), 7, np.uint8)
    assert_counts(decoded(with_palette(indices, grey_palette(8))), indices)
    refused(with_palette(indices, grey_palette(7)), "indices below 7, .* got 7")


def test_true_colours_may_bring_a_palette_that_says_nothing() -> None:
    counts = some_counts(11, 13, 8)
    palette = np.array([[1, 2, 3]], np.uint8).tobytes()
    assert_counts(decoded(png(channels(counts, 3), colour_type=RGB, more=[(b"PLTE", palette)])), counts)


HEAD, IDAT, IEND = png_chunks(some_counts(5, 7))
STREAM = IDAT[1]
SPOILT: dict[str, tuple[bytes, str]] = {
    "nothing but the signature": (SIGNATURE, "torn: expected another chunk at byte 8"),
    "a damaged signature": (b"\x89PNG\n\x1a\n" + bytes(40), "damaged PNG"),
    "no IHDR": (chunked([IDAT, IEND]), "begin with IHDR of 13 bytes, got chunk IDAT"),
    "a short IHDR": (chunked([(b"IHDR", HEAD[1][:12]), IDAT, IEND]), "begin with IHDR"),
    "IHDR twice": (chunked([HEAD, HEAD, IDAT, IEND]), "chunk IHDR of 13 bytes where none may be"),
    "no pixels": (chunked([HEAD, IEND]), "chunk IEND of 0 bytes where none may be"),
    "pixels apart": (chunked([HEAD, IDAT, (b"tEXt", b"a\0b"), IDAT, IEND]), "chunk IDAT .* where none may be"),
    "no end": (chunked([HEAD, IDAT]), "torn: expected another chunk"),
    "bytes behind the end": (chunked([HEAD, IDAT, IEND]) + b"\0", "torn: 1 bytes behind the end"),
    "an unknown critical chunk": (chunked([HEAD, (b"CgBI", b""), IDAT, IEND]), "chunk CgBI of 0 bytes where none"),
    "a chunk without letters": (chunked([HEAD, (b"\0\xff\0\0", b""), IDAT, IEND]), "where none may be"),
    "a palette for grey": (chunked([HEAD, (b"PLTE", b"abc"), IDAT, IEND]), "grey with a palette of 1 colours"),
    "a palette behind the pixels": (chunked([HEAD, IDAT, (b"PLTE", b"abc"), IEND]), "chunk PLTE"),
    "indices without a palette": (png(some_counts(bits=8), colour_type=PALETTE), "palette of 0 colours"),
    "a palette of a byte too much": (
        png(some_counts(bits=8), colour_type=PALETTE, more=[(b"PLTE", b"abcd")]),
        "chunk PLTE of 4 bytes",
    ),
    "an animation": (chunked([HEAD, (b"acTL", bytes(8)), IDAT, IEND]), "an animated PNG; export one image"),
    "too many chunks": (chunked([HEAD, *[(b"tEXt", b"")] * 65_536, IDAT, IEND]), "at most 65536 chunks"),
    "no width": (chunked([ihdr(0, 5), IDAT, IEND]), "got 0 x 5"),
    "a bomb by width": (chunked([ihdr(100_000, 5), IDAT, IEND]), "got 100000 x 5"),
    "a bomb by height": (chunked([ihdr(7, 2**32 - 1), IDAT, IEND]), "got 7 x 4294967295"),
    "a bomb by colours": (chunked([ihdr(4096, 4096, 8, RGBA), IDAT, IEND]), "at most 33554432 bytes of samples"),
    "a size that no stream holds": (chunked([ihdr(4096, 4096), IDAT, IEND]), "cannot hold the 33558528"),
    "an unknown interlace": (chunked([ihdr(7, 5, interlace=2), IDAT, IEND]), "interlace 0 or 1"),
    "more rows than the stream has": (chunked([ihdr(7, 6), IDAT, IEND]), "must inflate to 90 bytes, got 75"),
    "fewer rows than the stream has": (chunked([ihdr(7, 4), IDAT, IEND]), "inflate to 60 bytes, got more than 60"),
    "part of a row more": (chunked([ihdr(8, 5), IDAT, IEND]), "must inflate to 85 bytes, got 75"),
    "half a stream": (chunked([HEAD, (b"IDAT", STREAM[:40]), IEND]), "without an end"),
    "a stream without its checksum": (chunked([HEAD, (b"IDAT", STREAM[:-4]), IEND]), "got 75 without an end"),
    "a stream with another checksum": (chunked([HEAD, (b"IDAT", STREAM[:-4] + bytes(4)), IEND]), "do not decode"),
    "no stream at all": (chunked([HEAD, (b"IDAT", b"no zlib stream"), IEND]), "do not decode"),
    "a filter that there is not": (
        chunked([HEAD, (b"IDAT", zlib.compress((b"\5" + bytes(14)) * 5)), IEND]),
        "torn: the image does not decode",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_refused_with_what_was_found(kind: str) -> None:
    refused(*SPOILT[kind])


@pytest.mark.parametrize(
    ("depth", "colour_type"), [(1, GREY), (2, GREY), (4, GREY), (4, PALETTE), (16, RGB), (16, RGBA), (16, GREY_ALPHA)]
)
def test_other_depths_and_colours_are_refused_by_what_they_are(depth: int, colour_type: int) -> None:
    content = chunked([ihdr(7, 5, depth, colour_type), IDAT, IEND])
    refused(content, f"got colour type {colour_type} of {depth} bits; export one grey image")


def test_a_bilevel_file_that_pillow_writes_is_refused() -> None:
    refused(pillow_file(Image.new("1", (4, 4)), "PNG"), "of 1 bits")


def test_an_animation_that_pillow_writes_is_refused() -> None:
    frames = [Image.fromarray(some_counts(9, 9, 8, seed)) for seed in range(3)]
    refused(pillow_file(frames[0], "PNG", save_all=True, append_images=frames[1:]), "animated")


def test_a_png_without_its_end_is_torn() -> None:
    content = png(some_counts())
    refused(content[:-12], "torn: expected another chunk")


@pytest.mark.parametrize("counts", [some_counts(4, 5), some_counts(4, 5, 8)], ids=["16", "8"])
def test_a_file_torn_at_any_byte_is_refused(counts: Counts) -> None:
    content = pillow_file(Image.fromarray(counts), "PNG", pnginfo=_comment())
    for length in range(len(content)):
        with pytest.raises(ImageError, match=r"torn|empty file|bytes 89|damaged"):
            decoded(content[:length])


def _comment() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a scanner")
    return info


def test_any_flipped_bit_of_a_critical_chunk_is_seen() -> None:
    content = png(some_counts(4, 5))
    for place in range(8, len(content)):
        for bit in range(8):
            spoilt = bytearray(content)
            spoilt[place] ^= 1 << bit
            if spoilt[place] ^ content[place] == 32 and (place - 12) in _chunk_starts(content):
                continue  # the bit that makes a chunk's type ancillary: its checksum is then nobody's business
            with pytest.raises(ImageError):
                decoded(bytes(spoilt))


def _chunk_starts(content: bytes) -> list[int]:
    starts, place = [], 8
    while place < len(content):
        starts.append(place - 8)
        place += 12 + int.from_bytes(content[place : place + 4])
    return starts


@pytest.mark.parametrize("bits", [8, 16])
def test_the_largest_image_is_accepted_and_one_pixel_more_is_not(bits: int) -> None:
    counts = np.zeros((2, MAX_SIDE_PX), np.uint8 if bits == 8 else np.uint16)
    counts[1, -1] = 2**bits - 1
    assert_counts(decoded(pillow_file(Image.fromarray(counts), "PNG")), counts)
    refused(pillow_file(Image.new("L", (MAX_SIDE_PX + 1, 1)), "PNG"), f"1 to {MAX_SIDE_PX} px")
