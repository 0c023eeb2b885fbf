"""What a file is by its first bytes, and the limits that hold for every kind of image."""

from pathlib import PurePosixPath

from edge_ctc.errors import ImageError

MAX_SIDE_PX = 4096
MAX_SAMPLE_BYTES = 2 * MAX_SIDE_PX * MAX_SIDE_PX
"""Of one page once inflated: that of the largest grey page of 16 bits, 32 MiB. Colours are only accepted as grey."""

_SUFFIXES = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".bmp": "BMP"}
_MAGIC = {
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\x89PNG": "damaged PNG",
    b"BM": "BMP",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II+\x00": "BigTIFF",
    b"MM\x00+": "BigTIFF",
    b"PK\x03\x04": "ZIP",
}


def promised_kind(name: str) -> str:
    """The kind of image that the suffix of `name` promises, in upper or lower case: TIFF, PNG or BMP.

    Raises:
        ImageError: another suffix.
    """
    suffix = PurePosixPath(name).suffix
    kind = _SUFFIXES.get(suffix.lower())
    if kind is None:
        raise ImageError(f"expected a name that ends in {', '.join(_SUFFIXES)}, got {suffix!r}")
    return kind


def check_kind(content: bytes, expected: str) -> None:
    """Refuse content whose first bytes are not those of an `expected` file.

    Raises:
        ImageError: of another kind. Says what was found.
    """
    found = _kind(content)
    if found == expected:
        return
    if not content:
        raise ImageError(f"expected a {expected}, got an empty file (0 bytes); copy it again")
    got = f"a {found} file" if found else f"bytes {content[:4].hex(' ')}"
    raise ImageError(f"expected a {expected}, got {got}; export it as {expected}, or name it by what it is")


def _kind(content: bytes) -> str:
    for magic, kind in _MAGIC.items():
        if content.startswith(magic):
            return kind
    return ""


def check_size(width: int, height: int, pixel_bytes: int) -> None:
    """Refuse an image without pixels or larger than any cell, before anything is allocated for it.

    Args:
        width: pixels.
        height: pixels.
        pixel_bytes: of all samples of one pixel as stored, rounded up.

    Raises:
        ImageError: outside 1 to `MAX_SIDE_PX` a side, or more than `MAX_SAMPLE_BYTES` in all.
    """
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ImageError(f"expected 1 to {MAX_SIDE_PX} px a side, got {width} x {height}; export single cells")
    if width * height * pixel_bytes > MAX_SAMPLE_BYTES:
        raise ImageError(
            f"expected at most {MAX_SAMPLE_BYTES} bytes of samples, got {width} x {height} px of {pixel_bytes} bytes; "
            "export grey images of single cells"
        )
