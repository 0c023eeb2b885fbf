import itertools
from typing import Any

import numpy as np
import pytest

from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
from edge_ctc.images.ome import MAX_XML_BYTES
from tests.images import ASCII, some_counts, tiff, tifffile_file

NAMES = ("BF", "DAPI", "PE", "APC")
OWN = "urn:uuid:11111111-2222-3333-4444-555555555555"
OTHER = "urn:uuid:99999999-2222-3333-4444-555555555555"


def pixels(
    channels: tuple[str, ...] = NAMES, blocks: str = "", more: str = "", order: str = "XYCZT", sizes: str = ""
) -> str:
    """A Pixels element; `sizes` stand in for those of one plane and time."""
    sizes = sizes or f'SizeC="{len(channels)}" SizeZ="1" SizeT="1"'
    named = "".join(f'<Channel ID="Channel:0:{index}" {name}/>' for index, name in enumerate(channels))
    return (
        f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" SizeX="7" SizeY="5" {sizes}>'
        f"{named}{blocks}{more}</Pixels>"
    )


def named(*names: str) -> tuple[str, ...]:
    return tuple(f'Name="{name}"' for name in names)


def ome(body: str, attributes: str = "", before: str = "") -> bytes:
    """The description as Bio-Formats writes it."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<!-- Warning: this comment is an OME-XML metadata block -->'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {attributes}>{body}</OME>'
    ).encode()


def ome_of(*args: Any, attributes: str = "", before: str = "", **options: Any) -> bytes:
    return ome(f'<Image ID="Image:0">{pixels(*args, **options)}</Image>', attributes, before)


def names_in(description: bytes, pages: int = 4, name: str = "thumbs/1_thumb.ome.tif") -> tuple[str, ...]:
    content = tiff(*[some_counts(seed=seed) for seed in range(pages)], tags={270: (ASCII, description + b"\0")})
    return open_image(content, name).channel_names


def refused(description: bytes, telling: str, pages: int = 4) -> None:
    with pytest.raises(ImageError, match=rf"^thumbs/1_thumb\.ome\.tif: .*{telling}"):
        names_in(description, pages)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_names_that_tifffile_writes_come_in_page_order(count: int, compression: str | None) -> None:
    counts = np.stack([some_counts(9, 9, seed=seed) for seed in range(count)])
    content = tifffile_file(
        counts, ome=True, compression=compression, metadata={"axes": "CYX", "Channel": {"Name": list(NAMES[:count])}}
    )
    image = open_image(content, "a.ome.tif")
    assert image.channel_names == NAMES[:count]
    assert image.pages == count
    for page in range(count):
        np.testing.assert_array_equal(image.page(page), counts[page])


def test_an_ome_file_that_names_no_channel_says_nothing() -> None:
    content = tifffile_file(np.stack([some_counts(), some_counts()]), ome=True, metadata={"axes": "CYX"})
    assert open_image(content, "a.tif").channel_names == ()


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_focal_planes_and_time_points_that_tifffile_writes_are_refused(axes: str) -> None:
    content = tifffile_file(np.stack([some_counts(), some_counts()]), ome=True, metadata={"axes": axes})
    with pytest.raises(ImageError, match="neither is read inside one file; export one plane of one time"):
        open_image(content, "a.tif")


@pytest.mark.parametrize("shuffled", list(itertools.permutations(range(4)))[::5])
def test_pages_in_another_order_get_the_names_of_their_channels(shuffled: tuple[int, ...]) -> None:
    blocks = "".join(
        f'<TiffData FirstC="{channel}" FirstT="0" FirstZ="0" IFD="{page}" PlaneCount="1">'
        f'<UUID FileName="1_thumb.ome.tif">{OWN}</UUID></TiffData>'
        for channel, page in enumerate(shuffled)
    )
    found = names_in(ome_of(named(*NAMES), blocks, attributes=f'UUID="{OWN}"'))
    assert [found[page] for page in shuffled] == list(NAMES)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("", "0123"),
        ("<TiffData/>", "0123"),
        ('<TiffData IFD="0" PlaneCount="4"/>', "0123"),
        ('<TiffData FirstC="2" PlaneCount="2"/><TiffData IFD="2" PlaneCount="2"/>', "2301"),
        ('<TiffData IFD="3"/>' + '<TiffData IFD="0" FirstC="1" PlaneCount="3"/>', "1230"),
        ("<MetadataOnly/>", "0123"),
    ],
)
def test_blocks_of_pages_are_read_as_the_schema_says(blocks: str, expected: str) -> None:
    assert names_in(ome_of(named(*NAMES), blocks)) == tuple(NAMES[int(digit)] for digit in expected)


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTZC", "XYZTC", "XYTCZ", "XYCTZ"])
def test_the_channels_follow_one_another_whatever_the_order_of_the_dimensions(order: str) -> None:
    assert names_in(ome_of(named(*NAMES), order=order)) == NAMES


@pytest.mark.parametrize(
    "channels", [(), ("", "", "", ""), (*named("BF", "DAPI", "PE"), ""), named("BF", " ", "a", "b")]
)
def test_a_file_that_does_not_name_every_channel_says_nothing(channels: tuple[str, ...]) -> None:
    assert names_in(ome_of(channels, sizes='SizeC="4" SizeZ="1" SizeT="1"')) == ()


def test_names_keep_their_letters() -> None:
    assert names_in(ome_of(named("Größe µm &lt;1&gt;", "DAPI")), 2) == ("Größe µm <1>", "DAPI")


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"ImageJ=1.53t\nimages=4\nchannels=4\n",
        b'{"shape": [4, 9, 9]}',
        b"<MetaData><PlaneInfo/></MetaData>",
        b"<OMEGA/>",
        b"<a><OME/></a>",
        b"not <OME> at all",
        b"<html><!-- ",
        b"\xff\xfe<\0O\0M\0E\0",
    ],
)
def test_a_description_that_is_no_ome_xml_is_nobodys_business(description: bytes) -> None:
    assert names_in(description) == ()


def test_a_description_of_another_type_or_beyond_the_file_is_nobodys_business() -> None:
    counts = some_counts()
    content = bytearray(tiff(counts, tags={270: (ASCII, ome_of(named("BF")) + b"\0")}))
    assert open_image(bytes(content), "a.tif").channel_names == ("BF",)
    entry = content.index(b"\x0e\x01\x02\x00")
    content[entry + 8 : entry + 12] = b"\xff\xff\xff\x7f"
    assert open_image(bytes(content), "a.tif").channel_names == ()
    content[entry + 2] = 7
    assert open_image(bytes(content), "a.tif").channel_names == ()


LAUGHS = '<!DOCTYPE OME [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
BLOCK = '<TiffData IFD="{}" FirstC="{}"/>'
IMAGE = f'<Image ID="Image:0">{pixels(named(*NAMES))}</Image>'
REFUSED: dict[str, tuple[bytes, str]] = {
    "torn": (ome_of(named(*NAMES))[:-9], "OME-XML that is spoilt or not accepted"),
    "no UTF-8": (ome_of(named("BF", "DAPI", "PE", "A")).replace(b"DAPI", b"DA\xffI"), "spoilt or not accepted"),
    "entities": (ome_of(named(*NAMES), before=LAUGHS), "not accepted"),
    "a document type": (ome_of(named(*NAMES), before='<!DOCTYPE OME SYSTEM "http://a/b.dtd">'), "not accepted"),
    "too long": (ome_of(named(*NAMES), more=" " * MAX_XML_BYTES), f"at most {MAX_XML_BYTES} bytes of OME-XML"),
    "two images": (ome(IMAGE + IMAGE), "expected one Image in the OME-XML, got 2"),
    "no image": (ome('<BinaryOnly MetadataFile="a.companion.ome"/>'), "expected one Image in the OME-XML, got 0"),
    "no pixels": (ome('<Image ID="Image:0"/>'), "expected one Pixels"),
    "focal planes": (ome_of(named(*NAMES), sizes='SizeC="1" SizeZ="4" SizeT="1"'), "4 focal planes and 1 time"),
    "time points": (ome_of(named(*NAMES), sizes='SizeC="2" SizeZ="1" SizeT="2"'), "1 focal planes and 2 time"),
    "more channels than pages": (ome_of(named(*NAMES, "FITC")), "5 channels, the file holds 4 page"),
    "fewer channels than pages": (ome_of(named("BF")), "1 channels, the file holds 4 page"),
    "more names than channels": (ome_of(named(*NAMES, "FITC"), sizes='SizeC="4"'), "5 names of channels"),
    "a size in words": (ome_of(named(*NAMES), sizes='SizeC="four"'), "SizeC in the OME-XML: expected a whole number"),
    "a size below zero": (ome_of(named(*NAMES), sizes='SizeC="-4"'), "expected a whole number, got '-4'"),
    "another order": (ome_of(named(*NAMES), order="CXYZT"), "expected a DimensionOrder"),
    "a page twice": (
        ome_of(named(*NAMES), "".join(BLOCK.format(*pair) for pair in ((0, 0), (1, 1), (1, 2), (3, 3)))),
        "claims page 2 twice",
    ),
    "a channel twice": (
        ome_of(named(*NAMES), "".join(BLOCK.format(*pair) for pair in ((0, 0), (1, 1), (2, 1), (3, 3)))),
        "as many channels",
    ),
    "a page unclaimed": (
        ome_of(named(*NAMES), "".join(BLOCK.format(*pair) for pair in ((0, 0), (1, 1), (2, 2)))),
        r"TiffData of 4 page\(s\)",
    ),
    "a page beyond the file": (ome_of(named(*NAMES), BLOCK.format(4, 0)), "from page 5 and channel 1 on"),
    "a channel beyond the last": (ome_of(named(*NAMES), BLOCK.format(0, 4)), "from page 1 and channel 5 on"),
    "pages without end": (ome_of(named(*NAMES), '<TiffData PlaneCount="999999999"/>'), "TiffData of 999999999"),
    "another plane": (ome_of(named(*NAMES), '<TiffData FirstZ="1"/>'), "another focal plane or time"),
    "another file by its UUID": (
        ome_of(named(*NAMES), f'<TiffData><UUID FileName="1_thumb.ome.tif">{OTHER}</UUID></TiffData>',
               attributes=f'UUID="{OWN}"'),
        "planes in another file",
    ),
    "another file by its name": (
        ome_of(named(*NAMES), f'<TiffData><UUID FileName="2_thumb.ome.tif">{OTHER}</UUID></TiffData>'),
        r"planes in another file \('2_thumb.ome.tif'\); export all channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_ome_xml_that_cannot_be_trusted_is_refused_with_what_was_found(kind: str) -> None:
    refused(*REFUSED[kind])


def test_a_file_that_was_renamed_is_known_by_its_uuid_and_one_without_by_its_name() -> None:
    blocks = f'<TiffData><UUID FileName="1_THUMB.ome.tif">{OWN}</UUID></TiffData>'
    with_uuid = ome_of(named(*NAMES), blocks, attributes=f'UUID="{OWN}"')
    assert names_in(with_uuid, name="renamed.tif") == NAMES
    without = ome_of(named(*NAMES), blocks)
    assert names_in(without) == NAMES
    with pytest.raises(ImageError, match="planes in another file"):
        names_in(without, name="renamed.tif")


@pytest.mark.parametrize("depth", [1_000, 30_000])
def test_deep_xml_is_read_or_refused_and_breaks_nothing(depth: int) -> None:
    assert names_in(ome_of(named(*NAMES), more="<a>" * depth + "</a>" * depth)) == NAMES
