"""Whatever the bytes: a file is refused with ImageError, or it has the shape that its header states."""

import random
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
from edge_ctc.images.kinds import MAX_SIDE_PX
from edge_ctc.preprocess import Counts
from tests.encoders import GREY_ALPHA, PALETTE, RGB, RGBA, Chunk, bmp, chunked, grey_palette, png, png_chunks
from tests.images import (
    ASCII,
    DEFLATE,
    LONG,
    LZW,
    PACKBITS,
    UNCOMPRESSED,
    packed_tiff,
    pillow_file,
    some_counts,
    tiff,
    tifffile_file,
)

GREY8, GREY16, GREY12 = some_counts(6, 5, 8), some_counts(6, 5), some_counts(6, 5, 12)
OME = (
    b'<OME xmlns="a"><Image ID="I"><Pixels DimensionOrder="XYCZT" SizeC="2" SizeZ="1" SizeT="1"><Channel Name="BF"/>'
    b'<Channel Name="PE"/><TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>\0'
)
ORDERS = {UNCOMPRESSED: "plain", LZW: "LZW", DEFLATE: "deflate", PACKBITS: "PackBits"}
TIFFS = {
    **{f"{name} {bits}": tiff(some_counts(6, 5, bits), compression=number, rows_per_strip=rows)
       for number, name in ORDERS.items() for bits, rows in ((8, None), (16, 2))},
    "big-endian": tiff(GREY16, GREY8, order=">"),
    "packed": packed_tiff(GREY12),
    "OME": tiff(GREY8, GREY8, tags={270: (ASCII, OME)}),
    "differences": tifffile_file(GREY16, compression="zlib", predictor=True),
}  # fmt: skip
PNGS: dict[str, list[Chunk]] = {
    "grey 8": png_chunks(GREY8, filters=(4, 3, 2, 1, 0)),
    "grey 16": png_chunks(GREY16, filters=(4, 3, 2, 1, 0)),
    "interlaced": png_chunks(GREY16, filters=(4,), interlace=1),
    "RGB": png_chunks(np.stack([GREY8] * 3, axis=2), RGB),
    "RGBA": png_chunks(np.stack([GREY8 | 255] * 4, axis=2), RGBA),
    "grey with alpha": png_chunks(np.stack([GREY8, GREY8 | 255], axis=2), GREY_ALPHA),
    "palette": png_chunks(GREY8, PALETTE, more=[(b"PLTE", grey_palette().tobytes()), (b"tRNS", b"\0")]),
}
BMPS = {
    "8": bmp(GREY8),
    "24": bmp(np.stack([GREY8] * 3, axis=2), top_down=True),
    "32": bmp(np.stack([GREY8] * 4, axis=2), header_bytes=124),
}
FILES = (
    {f"{kind}.tif": content for kind, content in TIFFS.items()}
    | {f"{kind}.png": chunked(chunks) for kind, chunks in PNGS.items()}
    | {f"{kind}.bmp": content for kind, content in BMPS.items()}
)
EXTREMES = (0, 1, 2, 3, 7, 12, 255, 256, 4095, 4096, 4097, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def stated_shape(content: bytes, name: str) -> tuple[int, int] | None:
    """(H, W) by the header of a PNG or BMP."""
    if name.endswith("png"):
        width, height = struct.unpack_from(">II", content, 16)
        return height, width
    if name.endswith("bmp"):
        width, height = struct.unpack_from("<ii", content, 18)
        return abs(height), width
    return None


def outcome(content: bytes, name: str) -> list[Counts]:
    """The pages, each as it must be; none where the file is refused. Another error than ImageError is not caught."""
    refusal = ""
    pages: list[Counts] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on what it reads
        try:
            image = open_image(content, name)
            pages = [image.page(index) for index in range(image.pages)]
        except ImageError as error:
            refusal = str(error)
    if refusal:
        assert refusal.startswith(f"{name}: ")
        return []
    shape = stated_shape(content, name)
    for page in pages:
        assert page.ndim == 2
        assert max(page.shape) <= MAX_SIDE_PX
        assert page.dtype in (np.uint8, np.uint16)
        assert page.dtype.isnative
        assert shape is None or page.shape == shape
    assert len(image.channel_names) in (0, image.pages)
    return pages


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_spoilt_below_are_whole(name: str) -> None:
    assert outcome(FILES[name], name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_torn_at_any_byte_is_refused_or_gives_what_was_stored(name: str) -> None:
    whole = outcome(FILES[name], name)
    for length in range(len(FILES[name])):
        for found, expected in zip(outcome(FILES[name][:length], name), whole, strict=False):
            np.testing.assert_array_equal(found, expected)


@given(name=st.sampled_from(list(FILES)), seed=st.integers(0, 2**32), spoilt=st.integers(1, 6))
@settings(max_examples=1500, deadline=None)
def test_flipped_bytes_are_refused_or_give_an_image_of_the_stated_shape(name: str, seed: int, spoilt: int) -> None:
    content = bytearray(FILES[name])
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    for _ in range(spoilt):
        content[chance.randrange(len(content))] = chance.choice([0, 1, 2, 255, chance.randrange(256)])
    outcome(bytes(content), name)


@given(
    name=st.sampled_from([name for name in FILES if not name.endswith("png")]),
    place=st.integers(0, 2**16),
    value=st.sampled_from(EXTREMES),
    layout=st.sampled_from(("<I", ">I", "<H", ">H")),
)
@settings(max_examples=1500, deadline=None)
def test_extremes_in_any_field_are_refused_or_give_an_image_of_the_stated_shape(
    name: str, place: int, value: int, layout: str
) -> None:
    content = bytearray(FILES[name])
    value %= 256 ** struct.calcsize(layout)
    # Strips come first in our TIFFs: fields are looked for from the end, where the headers are. BMP's are at the start.
    place %= 54 if name.endswith("bmp") else min(len(content), 400)
    place = place if name.endswith("bmp") else len(content) - place
    struct.pack_into(layout, content, min(place, len(content) - 4), value)
    outcome(bytes(content), name)


@given(kind=st.sampled_from(list(PNGS)), seed=st.integers(0, 2**32), spoilt=st.integers(1, 3))
@settings(max_examples=1500, deadline=None)
def test_chunks_spoilt_with_right_checksums_are_refused_or_give_an_image_of_the_stated_shape(
    kind: str, seed: int, spoilt: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    chunks = list(PNGS[kind])
    for _ in range(spoilt):
        place = chance.randrange(len(chunks))
        name, data = chunks[place]
        changed = bytearray(data or b"\0")
        changed[chance.randrange(len(changed))] = chance.choice([0, 1, 3, 8, 16, 255, chance.randrange(256)])
        chunks[place] = chance.choice([(name, bytes(changed)), (name, bytes(changed[:-1])), (b"tEXt", data)])
    outcome(chunked(chunks), "a.png")


@given(seed=st.integers(0, 2**32), spoilt=st.integers(1, 12))
@settings(max_examples=500, deadline=None)
def test_spoilt_ome_xml_is_refused_or_names_every_page_or_none(seed: int, spoilt: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    description = bytearray(OME)
    for _ in range(spoilt):
        description[chance.randrange(len(description))] = chance.choice(b'"<>/&=0189 CZT\xff\0')
    outcome(tiff(GREY8, GREY8, tags={270: (ASCII, bytes(description))}), "a.tif")


def _bombs() -> dict[str, bytes]:
    """Files of less than 1 MB that hold the largest pages, or say so."""
    black = np.zeros((MAX_SIDE_PX, MAX_SIDE_PX), np.uint16)
    few = some_counts(4, 4)
    side = (LONG, [MAX_SIDE_PX])
    colours = np.full((2896, 2896, 4), 255, np.uint8)
    return {
        "whole.tif": tifffile_file(black, compression="zlib", predictor=True),
        "LZW.tif": pillow_file(Image.fromarray(black), compression="tiff_lzw"),
        "PackBits.tif": pillow_file(Image.fromarray(black), compression="packbits"),
        "strips.tif": tiff(black, compression=DEFLATE, rows_per_strip=1),
        "says.tif": tiff(few, compression=LZW, tags={256: side, 257: side, 278: side}),
        "shared.tif": tiff(few, compression=LZW, tags={257: side, 278: (LONG, [1]), 273: (LONG, [8] * MAX_SIDE_PX)}),
        "black.png": png(black),
        "interlaced.png": png(black, interlace=1),
        "colours.png": png(colours, colour_type=RGBA),
        "says.png": png(few)[:16] + struct.pack(">II", MAX_SIDE_PX, MAX_SIDE_PX) + png(few)[24:],
        "says.bmp": bmp(GREY8, width=MAX_SIDE_PX, height=MAX_SIDE_PX),
        "laughs.tif": tiff(GREY8, tags={270: (ASCII, OME[:15] + b"<a/>" * 60_000 + OME[15:])}),
    }


MEASURE = """
import sys
from pathlib import Path
from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
def kilobytes(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])
open_image(Path(sys.argv[1]).read_bytes(), sys.argv[1])
for name in sys.argv[2:]:
    content = Path(name).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    try:
        image = open_image(content, name)
        [image.page(index) for index in range(image.pages)]
    except ImageError:
        pass
    image = None
    print((kilobytes("VmHWM") - before) // 1024, Path(name).name)
"""


def test_no_file_below_a_megabyte_makes_us_take_150_megabytes(tmp_path: Path) -> None:
    (tmp_path / "small.tif").write_bytes(FILES["plain 8.tif"])
    names = []
    for name, content in _bombs().items():
        assert len(content) < 1_000_000, name
        (tmp_path / name).write_bytes(content)
        names.append(str(tmp_path / name))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "small.tif"), *names]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken = {line.split()[1]: int(line.split()[0]) for line in output.splitlines()}
    assert list(taken) == [Path(name).name for name in names]
    assert max(taken.values()) < 150, taken
    assert max(taken.values()) > 30, taken
