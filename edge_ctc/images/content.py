"""Open one image file by the kind that its name promises, and decode its pages into counts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from edge_ctc.errors import ImageError
from edge_ctc.images import bmp, ome, png
from edge_ctc.images.kinds import promised_kind
from edge_ctc.images.strips import decode_page
from edge_ctc.images.tiff import read_header
from edge_ctc.preprocess import Bits, Counts

_Decoder = Callable[[], Counts]


@dataclass(frozen=True, slots=True)
class OpenImage:
    """One file whose header was checked; nothing is decoded yet.

    Attributes:
        name: for errors.
        channel_names: what the file itself calls its pages (OME-TIFF), in page order; empty where it says nothing.
        decoders: one per page.
    """

    name: str
    channel_names: tuple[str, ...]
    decoders: tuple[_Decoder, ...] = field(repr=False)

    @property
    def pages(self) -> int:
        """How many images the file holds; PNG and BMP: 1."""
        return len(self.decoders)

    def page(self, index: int) -> Counts:
        """One page, 0 for the first.

        Returns:
            uint8 or uint16 (H, W), exactly the counts stored; it may be read-only.

        Raises:
            ImageError: there is no such page, or it is torn; the message begins with `name`.
        """
        if not 0 <= index < self.pages:
            raise ImageError(f"{self.name}: expected a page {index + 1}, the file holds {self.pages}")
        try:
            return self.decoders[index]()
        except ImageError as error:
            raise ImageError(f"{self.name}: {error}") from error


def open_image(content: bytes, name: str) -> OpenImage:
    """Check the header of a TIFF, PNG or BMP; the suffix of `name` says which it must be.

    Args:
        content: the whole file.
        name: with its suffix, in upper or lower case.

    Raises:
        ImageError: torn, of another kind than its name says, or not accepted; the message begins with `name`.
    """
    try:
        decoders, channel_names = _OPENERS[promised_kind(name)](content, name)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return OpenImage(name, channel_names, decoders)


def check_bits(image: Counts, bits: Bits, name: str) -> None:
    """Refuse counts beyond the depth that the profile declares.

    Args:
        image: uint8 or uint16 (H, W).
        bits: declared; "unknown" accepts all.
        name: for errors.

    Raises:
        ImageError: a count above 2**bits - 1; the message begins with `name`.
    """
    if bits != "unknown" and (largest := int(image.max())) >> bits:
        raise ImageError(f"{name}: expected counts of {bits} bits as the profile says, got {largest}")


def _open_tiff(content: bytes, name: str) -> tuple[tuple[_Decoder, ...], tuple[str, ...]]:
    header = read_header(content)
    names = ome.channel_names(header.description, len(header.pages), name)
    return tuple(partial(decode_page, content, page) for page in header.pages), names


def _open_png(content: bytes, _name: str) -> tuple[tuple[_Decoder, ...], tuple[str, ...]]:
    return (partial(png.decode, png.read_header(content)),), ()


def _open_bmp(content: bytes, _name: str) -> tuple[tuple[_Decoder, ...], tuple[str, ...]]:
    return (partial(bmp.decode, content, bmp.read_header(content)),), ()


_OPENERS = {"TIFF": _open_tiff, "PNG": _open_png, "BMP": _open_bmp}
