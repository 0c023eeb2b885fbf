"""Decode one image file into counts."""

from collections.abc import Sequence

from edge_ctc.errors import ImageError
from edge_ctc.images.strips import decode_page
from edge_ctc.images.tiff import read_header
from edge_ctc.preprocess import Bits, Counts


def decode(content: bytes, name: str, pages: Sequence[int], page_count: int, bits: Bits) -> list[Counts]:
    """The wanted pages of a file.

    Args:
        content: the whole file.
        name: for errors.
        pages: indices of the wanted pages.
        page_count: pages that the file must have: one per channel of a multipage layout, else 1.
        bits: declared by the profile; a count above 2**bits - 1 is refused.

    Returns:
        uint8 or uint16 (H, W) each, exactly the counts stored.

    Raises:
        ImageError: torn, of another kind, or not as declared; the message begins with `name`.
    """
    try:
        found = read_header(content)
        _check_page_count(len(found), page_count)
        images = [decode_page(content, found[page]) for page in pages]
        for image in images:
            _check_bits(image, bits)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return images


def _check_page_count(found: int, expected: int) -> None:
    if found != expected:
        raise ImageError(f"expected {expected} page(s), got {found}")


def _check_bits(image: Counts, bits: Bits) -> None:
    if bits != "unknown" and (largest := int(image.max())) >> bits:
        raise ImageError(f"expected counts of {bits} bits as the profile says, got {largest}")
