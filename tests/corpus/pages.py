"""Several pages or files for one cell: wrong numbers of pages, channels that do not fit, OME-XML that lies."""

from collections.abc import Iterator
from typing import Any

from tests.corpus.case import CHANNELS, COUNTS, GOOD, SHADES, Case, Content, black, image, put
from tests.corpus.tiffs import LARGEST, pages_of_one_bomb
from tests.images import ASCII, DEFLATE, SHORT, some_counts, tiff

OME_KIND = "OME-XML"
PAGES_KIND = "TIFF of several pages"
CHANNELS_KIND = "channels of one cell"
FOUR = tiff(*[COUNTS] * 4)


def pages(name: str, content: Content, reason: str = "", **changes: Any) -> Case:
    """A bad file of the built-in profile multipage."""
    usual: dict[str, Any] = {
        "build": lambda folder: put(folder, {"thumbs/1_thumb.tif": FOUR, "thumbs/2_thumb.tif": content}),
        "kind": PAGES_KIND,
        "profile": "multipage",
        "checkpoint": "four",
        "code": 2 if reason else 0,
        "called": ("1",) if reason else ("1", "2"),
        "refused": {"2": rf"^thumbs/2_thumb\.tif: {reason}"} if reason else {},
    }
    return Case(name=name, **(usual | changes))


def several() -> Iterator[Case]:
    for count in (1, 3, 5, 8):
        yield pages(f"pages-{count}-of-4", tiff(*[COUNTS] * count), rf"expected 4 page\(s\), got {count}")
    yield pages("pages-64-of-one-bomb", pages_of_one_bomb, r"expected 4 page\(s\), got 64")
    yield pages("pages-4-of-32-mib", lambda: tiff(*[black(LARGEST)] * 4, compression=DEFLATE))
    other = tiff(COUNTS, COUNTS, some_counts(12, 24), COUNTS)
    yield pages("pages-of-other-size", other, "PE: .* expected one size")
    yield pages("pages-of-other-depth", tiff(COUNTS, COUNTS, SHADES, COUNTS), "PE: expected uint16")
    torn = FOUR[:-30]
    yield pages("pages-cut-in-the-last", torn, "torn: the header points to byte")


def cells() -> Iterator[Case]:
    """One channel of a flat cell is other than its cell."""

    def flat(name: str, content: bytes, reason: str, **changes: Any) -> Case:
        good = {f"Images/0001_{channel}.tif": GOOD for channel in CHANNELS}
        spoilt = {f"Images/0002_{channel}.tif": GOOD for channel in CHANNELS} | {"Images/0002_PE.tif": content}
        return Case(
            name=name,
            kind=CHANNELS_KIND,
            build=lambda folder: put(folder, good | spoilt),
            profile="flat",
            checkpoint="four",
            called=("0001",),
            refused={"0002": reason},
            **changes,
        )

    named = r"Images/0002_PE\.tif"
    yield flat("channel-of-other-size", tiff(some_counts(12, 24)), rf"{named}.*expected one size")
    yield flat("channel-turned", tiff(COUNTS.T.copy()), rf"{named}.*expected one size")
    yield flat("channel-of-other-depth", tiff(SHADES), rf"{named}.*expected uint16")
    yield flat("channel-empty", b"", rf"^{named}: expected a TIFF, got an empty file")
    yield flat("channel-torn", GOOD[:300], rf"^{named}: torn")


def ome(*channels: str, pixels: str = "", inside: str = "", before: str = "", behind: str = "") -> bytes:
    """OME-XML of channels by name; `pixels` are attributes and `inside` stands among the channels."""
    sizes = pixels or f'SizeC="{len(channels)}" SizeZ="1" SizeT="1" DimensionOrder="XYCZT"'
    named = "".join(f'<Channel Name="{name}"/>' for name in channels)
    xml = f'<OME xmlns="o"><Image ID="I"><Pixels {sizes}>{named}{inside}</Pixels></Image>{behind}</OME>'
    return (before + xml).encode() + b"\0"


def described(description: bytes, count: int = 1) -> bytes:
    return tiff(*[COUNTS] * count, tags={270: (ASCII, description)})


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + level)} "{f"&{chr(97 + level)};" * 10}">' for level in range(9))
    + "]>"
)


def names() -> Iterator[Case]:
    def one(name: str, description: Content, reason: str = "") -> Case:
        content = (lambda: described(description())) if callable(description) else described(description)
        return image(f"ome-{name}", OME_KIND, content, reason)

    spoilt = "OME-XML that is spoilt or not accepted"
    yield one("billion-laughs", ome("BF", before=LAUGHS, inside="&j;"), spoilt)
    yield one("entity-of-a-file", ome("BF", before='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), spoilt)
    yield one("doctype", ome("BF", before="<!DOCTYPE OME>"), spoilt)
    yield one("of-10-mb", lambda: ome("BF", inside="<a/>" * 2_500_000), "expected at most 262144 bytes of OME-XML")
    yield one("nested-18000-deep", lambda: ome("BF", inside="<a>" * 18_000 + "</a>" * 18_000))
    yield one("of-60000-tags", lambda: ome("BF", inside="<a/>" * 60_000))
    yield one("not-closed", ome("BF")[:-12], spoilt)
    yield one("not-utf-8", ome("BF").replace(b"BF", b"\xe8"), spoilt)
    yield one("a-nul-inside", ome("BF").replace(b"BF", b"B\0F"), spoilt)
    yield one("says-utf-16-and-is-utf-8", ome("BF", before='<?xml version="1.0" encoding="utf-16"?>'))
    yield one("without-names", ome("BF").replace(b' Name="BF"', b""))
    yield one("with-an-empty-name", ome(""))
    yield one("with-a-stranger", ome("Brightfield 40x"))
    yield one("without-an-image", b"<OME></OME>\0", "expected one Image in the OME-XML, got 0")
    yield one("two-images", ome("BF", behind="<Image/>"), "expected one Image in the OME-XML, got 2")
    yield one("without-pixels", b"<OME><Image/></OME>\0", "expected one Pixels in the OME-XML, got 0")
    sizes = 'SizeC="1" DimensionOrder="XYCZT" '
    yield one("several-focal-planes", ome("BF", pixels=f'{sizes} SizeZ="7"'), "OME-XML with 7 focal planes and 1 time")
    yield one("several-times", ome("BF", pixels=f'{sizes} SizeT="3"'), "OME-XML with 1 focal planes and 3 time points")
    yield one("more-channels-than-pages", ome("BF", "PE"), r"OME-XML with 2 channels, the file holds 1 page")
    for size in ("-1", "1.5", "x", "9" * 40):
        slug = f"size-{size[:4]}".replace(".", "-")
        yield one(slug, ome("BF", pixels=f'SizeC="1" SizeZ="{size}"'), "Pixels SizeZ in the OME-XML: expected a whole")
    yield one(
        "no-such-order",
        ome("BF", pixels='SizeC="1" DimensionOrder="CZT"'),
        "OME-XML: expected a DimensionOrder as XYCZT",
    )
    for attributes, reason in (
        ('IFD="9"', "TiffData of 1 page.* from page 10"),
        ('IFD="0" PlaneCount="999999999"', "TiffData of 999999999 page"),
        ('FirstZ="1"', "TiffData of another focal plane"),
        ('FirstC="1"', "TiffData of 1 page.*channel 2 on"),
        ('PlaneCount="0"', "expected TiffData of 1 page"),
    ):
        slug = "tiffdata-" + "-".join(attributes.replace('"', "").replace("=", "-").lower().split())
        yield one(slug, ome("BF", inside=f"<TiffData {attributes}/>"), f"OME-XML: {reason}")
    twice = ome("BF", inside='<TiffData IFD="0"/><TiffData IFD="0"/>')
    yield one("page-claimed-twice", twice, "OME-XML claims page 1 twice")
    elsewhere = '<TiffData IFD="0"><UUID FileName="other.tif">urn:uuid:1</UUID></TiffData>'
    yield one("planes-in-another-file", ome("BF", inside=elsewhere), r"OME-XML: planes in another file \('other.tif'\)")
    yield image("imagej-description", OME_KIND, described(b"ImageJ=1.54f\nimages=7\nslices=7\n\0"))
    beyond = tiff(COUNTS, tags={270: (SHORT, [1, 2, 3])})
    yield image("description-of-another-type", OME_KIND, beyond)
    yield pages(
        "ome-names-of-another-panel", described(ome("BF", "FITC", "PE", "APC"), 4), "its OME-XML calls", kind=OME_KIND
    )
    yield pages(
        "ome-name-twice", described(ome("BF", "PE", "PE", "APC"), 4), "its OME-XML calls the pages", kind=OME_KIND
    )
    yield pages("ome-names-in-another-order", described(ome(*CHANNELS[::-1]), 4), kind=OME_KIND)
    yield pages(
        "ome-three-names-for-four-pages", described(ome(*CHANNELS[:3]), 4), "OME-XML with 3 channels", kind=OME_KIND
    )
    contradicting = {
        f"Images/0002_{channel}.tif": described(ome("DAPI" if channel == "PE" else channel)) for channel in CHANNELS
    }
    yield Case(
        name="ome-name-of-another-channel",
        kind=OME_KIND,
        build=lambda folder: put(folder, contradicting | {f"Images/0001_{channel}.tif": GOOD for channel in CHANNELS}),
        profile="flat",
        checkpoint="four",
        called=("0001",),
        refused={"0002": r"^Images/0002_PE\.tif: named as PE, but its OME-XML says DAPI"},
    )


CASES: tuple[Case, ...] = (*several(), *cells(), *names())
