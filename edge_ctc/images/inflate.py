"""zlib streams inflated to exactly the bytes that are wanted, never to more: no bomb gets memory."""

import zlib

from edge_ctc.errors import ImageError

DEFLATE_RATIO = 1032
"""Largest ratio that deflate reaches: 258 bytes for 2 bits (RFC 1951, section 3.2.5)."""


def check_ratio(packed: int, wanted: int, ratio: int, method: str) -> None:
    """Refuse a size that no `packed` bytes can inflate to, before anything is allocated for it.

    Args:
        packed: bytes of compressed data.
        wanted: bytes that they should give.
        ratio: the largest that `method` reaches.
        method: for the error.

    Raises:
        ImageError: wanted is more than packed times ratio.
    """
    if wanted > packed * ratio:
        raise ImageError(f"torn: {packed} bytes of {method} cannot hold the {wanted} that the header promises")


def inflate(packed: bytes, wanted: int, what: str) -> bytes:
    """The `wanted` bytes of a zlib stream (RFC 1950); bytes after its end are left alone.

    Args:
        packed: the stream.
        wanted: how many bytes it must give.
        what: for errors, as "strip 3".

    Raises:
        ImageError: it is spoilt, ends early, or gives more or fewer bytes.
    """
    check_ratio(len(packed), wanted, DEFLATE_RATIO, "deflate")
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(packed, wanted + 1)
    except zlib.error as error:
        raise ImageError(f"torn: deflate data do not decode, {what} ({error})") from error
    if len(inflated) != wanted or not stream.eof:
        got = f"more than {wanted}" if len(inflated) > wanted else f"{len(inflated)} without an end"
        if stream.eof:
            got = str(len(inflated))
        raise ImageError(f"torn: {what} must inflate to {wanted} bytes, got {got}")
    return inflated
