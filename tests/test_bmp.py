import io

import numpy as np
import pytest
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
from edge_ctc.images.kinds import MAX_SIDE_PX
from edge_ctc.preprocess import Counts
from tests.encoders import bmp, grey_palette
from tests.images import pillow_file, some_counts

WIDTHS = (1, 2, 3, 4, 5, 64)


def decoded(content: bytes) -> Counts:
    return open_image(content, "a.bmp").page(0)


def assert_counts(found: Counts, expected: Counts) -> None:
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def refused(content: bytes, telling: str) -> None:
    with pytest.raises(ImageError, match=rf"^a\.bmp: .*{telling}"):
        decoded(content)


def colours(counts: Counts, pixel_bytes: int) -> Counts:
    """(H, W, pixel_bytes): the same grey three times, and a byte that says nothing."""
    samples = np.full((*counts.shape, pixel_bytes), 77, np.uint8)
    samples[:, :, :3] = counts[:, :, None]
    return samples


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_file_that_pillow_writes_gives_its_counts(mode: str, width: int) -> None:
    counts = some_counts(6, width, 8)
    counts[-2:] |= 1
    image = Image.fromarray(counts)
    assert_counts(decoded(pillow_file(image if mode == "L" else image.convert(mode), "BMP")), counts)


@pytest.mark.parametrize("pixel_bytes", [1, 3, 4])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("header_bytes", [40, 108, 124])
@pytest.mark.parametrize("top_down", [False, True])
def test_every_header_and_both_directions_give_the_counts_that_pillow_reads(
    top_down: bool, header_bytes: int, width: int, pixel_bytes: int
) -> None:
    counts = some_counts(6, width, 8) | np.uint8(1)
    pixels = counts if pixel_bytes == 1 else colours(counts, pixel_bytes)
    content = bmp(pixels, top_down=top_down, header_bytes=header_bytes)
    found = decoded(content)
    assert_counts(found, counts)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(found, np.array(image.convert("RGB"))[:, :, 1])


def test_a_grey_palette_is_applied() -> None:
    counts = some_counts(6, 7, 8)
    assert_counts(decoded(bmp(255 - counts, grey_palette()[::-1])), counts)


def test_a_palette_without_a_length_has_256_colours() -> None:
    counts = some_counts(6, 7, 8)
    assert_counts(decoded(bmp(counts, used=0)), counts)


def test_pixels_may_lie_further_behind_the_header() -> None:
    counts = some_counts(6, 8, 8)
    content = bmp(counts, offset=14 + 40 + 1024 + 8)
    assert_counts(decoded(content[:1078] + bytes(8) + content[1078:]), counts)


def test_a_palette_with_one_colour_is_refused() -> None:
    palette = grey_palette()
    palette[3, 2] = 9
    refused(bmp(some_counts(6, 7, 8), palette), "a palette whose red, green and blue differ")


def test_an_index_beyond_the_palette_is_refused() -> None:
    indices = np.full((3, 3), 7, np.uint8)
    assert_counts(decoded(bmp(indices, grey_palette(8))), indices)
    refused(bmp(indices, grey_palette(7)), "indices below 7, .* got 7")


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("pixel_bytes", [3, 4])
def test_one_pixel_in_colours_is_enough_to_refuse_a_picture(pixel_bytes: int, channel: int) -> None:
    pixels = colours(some_counts(6, 7, 8), pixel_bytes)
    pixels[4, 3, channel] ^= 1
    refused(bmp(pixels), "a picture in colours holds no counts")


COUNTS = some_counts(6, 7, 8)
SPOILT: dict[str, tuple[bytes, str]] = {
    "nothing but the magic": (b"BM", "torn: the header ends at byte 54, the file has 2"),
    "an OS/2 header": (bmp(COUNTS, size=12), "got 12 bytes and 1 planes; export a Windows bitmap"),
    "a header of an unknown size": (bmp(COUNTS, size=2**32 - 1), "got 4294967295 bytes"),
    "three planes": (bmp(COUNTS, planes=3), "3 planes"),
    "one bit": (bmp(COUNTS, bits=1), "got 1 bits of compression 0"),
    "16 bits": (bmp(COUNTS, bits=16), "got 16 bits"),
    "runs": (bmp(COUNTS, compression=1), "got 8 bits of compression 1; export it uncompressed"),
    "bit fields": (bmp(colours(COUNTS, 4), compression=3), "got 32 bits of compression 3"),
    "a PNG inside": (bmp(COUNTS, compression=5), "compression 5"),
    "no width": (bmp(COUNTS, width=0), "got 0 x 6"),
    "a width below zero": (bmp(COUNTS, width=-7), "got -7 x 6"),
    "no height": (bmp(COUNTS, height=0), "got 7 x 0"),
    "a bomb by width": (bmp(COUNTS, width=2**31 - 1), "got 2147483647 x 6"),
    "a bomb by height": (bmp(COUNTS, height=-(2**31)), "got 7 x 2147483648"),
    "a size that is not there": (bmp(COUNTS, width=MAX_SIDE_PX, height=MAX_SIDE_PX), "torn: the pixels end at byte"),
    "one column too many": (bmp(COUNTS, width=9), "torn: the pixels end at byte"),
    "one row too many": (bmp(COUNTS, height=7), "torn: the pixels end at byte"),
    "a palette too long": (bmp(COUNTS, used=257), "torn: expected pixels from byte"),
    "pixels inside the palette": (bmp(COUNTS, offset=60), "expected pixels from byte 1078 on, .* got 60"),
    "pixels inside the header": (bmp(colours(COUNTS, 3), offset=50), "expected pixels from byte 54 on"),
    "pixels beyond the file": (bmp(COUNTS, offset=2**32 - 1), "torn: the pixels end at byte"),
    "colours too many for any cell": (bmp(COUNTS, bits=32, width=4096, height=4096), "at most 33554432 bytes"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_refused_with_what_was_found(kind: str) -> None:
    refused(*SPOILT[kind])


@pytest.mark.parametrize("pixel_bytes", [1, 3, 4])
def test_a_file_torn_at_any_byte_is_refused(pixel_bytes: int) -> None:
    content = bmp(COUNTS if pixel_bytes == 1 else colours(COUNTS, pixel_bytes))
    for length in range(len(content)):
        with pytest.raises(ImageError, match=r"torn|empty file|bytes 42"):
            decoded(content[:length])


@pytest.mark.parametrize("pixel_bytes", [1, 3])
@pytest.mark.parametrize("top_down", [False, True])
def test_a_file_whose_last_stored_rows_were_never_written_is_torn(top_down: bool, pixel_bytes: int) -> None:
    counts = some_counts(32, 7, 8) | np.uint8(1)
    if top_down:
        counts[-5:] = 0
    else:
        counts[:5] = 0
    pixels = counts if pixel_bytes == 1 else colours(counts, pixel_bytes)
    refused(bmp(pixels, top_down=top_down), "torn: its last 5 rows hold nothing but zeros")
    assert_counts(decoded(bmp(pixels, top_down=not top_down)), counts)


def test_an_image_of_nothing_but_zeros_is_an_image() -> None:
    counts = np.zeros((32, 7), np.uint8)
    assert_counts(decoded(bmp(counts)), counts)
