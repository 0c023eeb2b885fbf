"""Files that are not what their names say."""

import gzip
import io
import zipfile
from collections.abc import Iterator

from PIL import Image

from tests.corpus.case import COUNTS, SHADES, Case, image
from tests.encoders import bmp, png
from tests.images import pillow_file, tiff, tifffile_file

KIND = "disguise"
EXPECTED = {"tif": "TIFF", "png": "PNG", "bmp": "BMP"}


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bad_BF.tif", tiff(COUNTS))
    return file.getvalue()


PICTURE = Image.fromarray(SHADES)
STRANGERS = {
    "jpeg": (pillow_file(PICTURE, "JPEG"), "a JPEG file"),
    "gif": (pillow_file(PICTURE, "GIF"), "a GIF file"),
    "webp": (pillow_file(PICTURE, "WEBP"), "bytes 52 49 46 46"),
    "html-page": (b"<!DOCTYPE html><title>404 Not Found</title>", "bytes 3c 21 44 4f"),
    "zip": (zipped(), "a ZIP file"),
    "gzip": (gzip.compress(tiff(COUNTS), mtime=0), "bytes 1f 8b 08"),
    "empty-file": (b"", r"an empty file \(0 bytes\)"),
    "file-of-one-byte": (b"I", "bytes 49"),
    "text": (b"cell 17, see the other folder\r\n", "bytes 63 65 6c 6c"),
    "utf-16-text": ("see the other folder".encode("utf-16"), "bytes ff fe 73 00"),
    "pdf": (b"%PDF-1.7\n", "bytes 25 50 44 46"),
    "old-office-file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "bytes d0 cf 11 e0"),
    "program": (b"MZ\x90\0", "bytes 4d 5a 90 00"),
    "shell-script": (b"#!/bin/sh\nrm -rf /\n", "bytes 23 21 2f 62"),
    "dicom": (b"\0" * 128 + b"DICM", "bytes 00 00 00 00"),
    "jpeg-2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "bytes 00 00 00 0c"),
    "netpbm": (b"P5 24 20 255\n" + SHADES.tobytes(), "bytes 50 35 20 32"),
    "icon": (b"\0\0\1\0\1\0", "bytes 00 00 01 00"),
}
OURS = {
    "tif": (tiff(COUNTS), "a TIFF file"),
    "png": (png(COUNTS), "a PNG file"),
    "bmp": (bmp(SHADES), "a BMP file"),
}


def disguised() -> Iterator[Case]:
    for suffix, expected in EXPECTED.items():
        for name, (content, got) in STRANGERS.items():
            yield image(f"{name}-named-{suffix}", KIND, content, f"expected a {expected}, got {got}", suffix=suffix)
        for other, (content, got) in OURS.items():
            if other != suffix:
                yield image(
                    f"{other}-named-{suffix}", KIND, content, f"expected a {expected}, got {got}", suffix=suffix
                )
    bigtiff = tifffile_file(COUNTS, bigtiff=True)
    yield image("bigtiff-named-png", KIND, bigtiff, "expected a PNG, got a BigTIFF file", suffix="png")


CASES: tuple[Case, ...] = tuple(disguised())
