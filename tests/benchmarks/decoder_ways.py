"""The decoders that are compared, and the files that they read."""

import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.images.content import open_image
from tests.images import pillow_file, tifffile_file

SIDE_PX = 64

Decode = Callable[[bytes], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of file: its suffix, and an image of it."""

    suffix: str
    content: bytes
    counts: NDArray[Any]


def cell(seed: int) -> NDArray[np.uint16]:
    """(64, 64) of 12 bits: a soft body on a background, with the noise of a camera."""
    chance = np.random.default_rng(seed)
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX]
    body = 900 / (1 + np.exp(np.hypot(row - 31, column - 33) - chance.uniform(8, 16)))
    counts: NDArray[np.uint16] = chance.poisson(200 + body).astype(np.uint16)
    return counts


def kinds() -> dict[str, Kind]:
    """The files, each of one cell."""
    counts = cell(1)
    small = (counts >> 4).astype(np.uint8)
    deep, shallow = Image.fromarray(counts), Image.fromarray(small)
    return {
        "TIFF 16, uncompressed": Kind(".tif", tifffile_file(counts), counts),
        "TIFF 16, LZW": Kind(".tif", pillow_file(deep, compression="tiff_lzw"), counts),
        "TIFF 16, deflate": Kind(".tif", pillow_file(deep, compression="tiff_adobe_deflate"), counts),
        "TIFF 16, deflate, differences": Kind(
            ".tif", tifffile_file(counts, compression="zlib", predictor=True), counts
        ),
        "PNG 16": Kind(".png", pillow_file(deep, "PNG"), counts),
        "PNG 8": Kind(".png", pillow_file(shallow, "PNG"), small),
        "BMP 8": Kind(".bmp", pillow_file(shallow, "BMP"), small),
    }


def _pillow(content: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(content), formats=("TIFF", "PNG", "BMP")) as image:
        return np.array(image)


def _cv2() -> Decode:
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def decoders(suffix: str) -> dict[str, Decode]:
    """What reads files of this suffix, by the name of its package. None of these is safe by itself."""
    codecs: Any = importlib.import_module("imagecodecs")
    by_suffix: dict[str, dict[str, Decode]] = {
        ".tif": {"imagecodecs": codecs.tiff_decode, "tifffile": lambda content: tifffile.imread(io.BytesIO(content))},
        ".png": {"imagecodecs": codecs.png_decode},
        ".bmp": {"imagecodecs": codecs.bmp_decode},
    }
    return {"cv2": _cv2(), **by_suffix[suffix], "Pillow": _pillow}


def ours(name: str) -> Decode:
    """The product's way."""
    return lambda content: open_image(content, name).page(0)


def safe(decode: Decode, name: str) -> Decode:
    """Our header check, then another's decoder."""

    def checked(content: bytes) -> Any:
        open_image(content, name)
        return decode(content)

    return checked
