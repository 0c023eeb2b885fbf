"""What an OME-TIFF calls its pages.

Reference: the OME Data Model, schema 2016-06 (Pixels, Channel, TiffData), and "The OME-TIFF format" of the Open
Microscopy Environment: the XML stands in the ImageDescription of the first page. It comes from outside, so it is
bounded, and one that declares a document type or entities is refused unread.
"""

import re
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from edge_ctc.errors import ImageError

MAX_XML_BYTES = 256 << 10
_HEAD_BYTES = 4096
_OME = re.compile(rb"<(\w+:)?OME[\s>]")
_ORDER = re.compile("XY[CZT]{3}")


def channel_names(description: bytes, pages: int, file_name: str) -> tuple[str, ...]:
    """The channels of the pages, in page order.

    Args:
        description: ImageDescription of the first page.
        pages: how many the file holds.
        file_name: to know a reference to this very file from one to another.

    Returns:
        One name per page; none where the description is no OME-XML or does not name every channel.

    Raises:
        ImageError: OME-XML that is spoilt, hostile, or describes another file, focal planes or time points.
    """
    head = description[:_HEAD_BYTES].lstrip()
    if not head.startswith((b"<", b"\xef\xbb\xbf<")) or not _OME.search(head):
        return ()
    root = _parsed(description)
    if _tag(root) != "OME":
        return ()
    pixels = _only(_only(root, "Image"), "Pixels")
    blocks = _children(pixels, "TiffData")
    for block in blocks:
        _check_own(block, root.get("UUID"), file_name)
    planes = {axis: _number(pixels, f"Size{axis}", 1) for axis in "ZCT"}
    if planes["Z"] != 1 or planes["T"] != 1:
        raise ImageError(
            f"OME-XML with {planes['Z']} focal planes and {planes['T']} time points: neither is read inside one file; "
            "export one plane of one time"
        )
    if planes["C"] != pages:
        raise ImageError(f"OME-XML with {planes['C']} channels, the file holds {pages} page(s); export it again")
    order = _page_order(pixels, blocks, pages)
    names = _names(pixels, pages)
    if not names and order != sorted(order):
        raise ImageError("OME-XML puts its pages in another order without naming the channels; export it with names")
    return tuple(names[channel] for channel in order) if names else ()


def _parsed(description: bytes) -> Element:
    if len(description) > MAX_XML_BYTES:
        raise ImageError(f"expected at most {MAX_XML_BYTES} bytes of OME-XML, got {len(description)}")
    try:
        root: Element = fromstring(description.decode("utf-8-sig"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ImageError(f"OME-XML that is spoilt or not accepted ({error}); export it again") from error
    return root


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(parent: Element, tag: str) -> list[Element]:
    return [child for child in parent if _tag(child) == tag]


def _only(parent: Element, tag: str) -> Element:
    found = _children(parent, tag)
    if len(found) != 1:
        raise ImageError(f"expected one {tag} in the OME-XML, got {len(found)}; export one image per file")
    return found[0]


def _number(element: Element, name: str, default: int) -> int:
    text = element.get(name, str(default)).strip()
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ImageError(f"{_tag(element)} {name} in the OME-XML: expected a whole number, got {text[:40]!r}")
    return int(text)


def _names(pixels: Element, pages: int) -> list[str]:
    channels = _children(pixels, "Channel")
    names = [channel.get("Name", "").strip() for channel in channels]
    if not channels or not all(names):
        return []
    if len(channels) != pages:
        raise ImageError(f"{len(channels)} names of channels in the OME-XML, the file holds {pages} page(s)")
    return names


def _page_order(pixels: Element, blocks: list[Element], pages: int) -> list[int]:
    """For each page its channel: as the TiffData say, else one after the other."""
    # With one focal plane and one time, every DimensionOrder puts the channels one after the other.
    if not _ORDER.fullmatch(pixels.get("DimensionOrder", "XYCZT")):
        raise ImageError(f"OME-XML: expected a DimensionOrder as XYCZT, got {pixels.get('DimensionOrder', '')[:40]!r}")
    order: dict[int, int] = {} if blocks else {page: page for page in range(pages)}
    for block in blocks:
        if _number(block, "FirstZ", 0) or _number(block, "FirstT", 0):
            raise ImageError("OME-XML: TiffData of another focal plane or time than the only one; export it again")
        first, channel = _number(block, "IFD", 0), _number(block, "FirstC", 0)
        # Without a count: the one page that is named, or all of the file where none is.
        count = _number(block, "PlaneCount", 1 if "IFD" in block.attrib else pages)
        if first + count > pages or channel + count > pages:
            raise ImageError(
                f"OME-XML: TiffData of {count} page(s) from page {first + 1} and channel {channel + 1} on, the file "
                f"holds {pages}; export it again"
            )
        for step in range(count):
            if first + step in order:
                raise ImageError(f"OME-XML claims page {first + step + 1} twice; export it again")
            order[first + step] = channel + step
    if sorted(order) != list(range(pages)) or len(set(order.values())) != pages:
        raise ImageError(f"OME-XML: expected TiffData of {pages} page(s) for as many channels, got {order}")
    return [order[page] for page in range(pages)]


def _check_own(block: Element, own_uuid: str | None, file_name: str) -> None:
    """Refuse planes that lie in another file: which one that is now, nobody knows."""
    for uuid in _children(block, "UUID"):
        elsewhere = uuid.get("FileName", "")
        same_name = elsewhere.lower() == PurePosixPath(file_name).name.lower()
        if (uuid.text or "").strip() != own_uuid if own_uuid else not same_name:
            raise ImageError(
                f"OME-XML: planes in another file ({elsewhere[:80]!r}); export all channels of a cell into one file"
            )
