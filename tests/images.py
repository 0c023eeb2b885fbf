"""What the tests of the lower layers share: TIFF files byte for byte, rows, manifests, and a machine that dies."""

import errno
import io
import itertools
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from edge_ctc.cells import ImageFile, Verdict
from edge_ctc.preprocess import Counts
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.manifest import InputFile, Manifest

UNCOMPRESSED, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
PILLOW_NAMES = {UNCOMPRESSED: None, LZW: "tiff_lzw", DEFLATE: "tiff_adobe_deflate", PACKBITS: "packbits"}
BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4
_LETTERS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I"}

Entry = tuple[int, Sequence[int]]
"""(TIFF type, values) of one header entry."""


def some_counts(height: int = 5, width: int = 7, bits: int = 16, seed: int = 0) -> Counts:
    """(height, width) counts that use all of `bits`; uint8 up to 8 bits, uint16 above."""
    counts = np.random.default_rng(seed).integers(0, 2**bits, (height, width))
    counts.flat[0], counts.flat[-1] = 2**bits - 1, 0
    return counts.astype(np.uint8) if bits <= 8 else counts.astype(np.uint16)


def tiff(
    *images: Counts,
    order: str = "<",
    compression: int = UNCOMPRESSED,
    rows_per_strip: int | None = None,
    tags: Mapping[int, Entry | None] | None = None,
) -> bytes:
    """A TIFF with a page per image: strips, then their header; `tags` replace entries, None drops one."""
    content = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)
    pointer = 4
    for image in images:
        offsets, lengths = [], []
        for strip in _strips(image, order, rows_per_strip or len(image)):
            packed = _COMPRESS[compression](strip)
            offsets.append(len(content))
            lengths.append(len(packed))
            content += packed
        entries: dict[int, Entry | None] = {
            256: (SHORT, [image.shape[1]]),
            257: (SHORT, [image.shape[0]]),
            258: (SHORT, [image.dtype.itemsize * 8]),
            259: (SHORT, [compression]),
            262: (SHORT, [1]),
            273: (LONG, offsets),
            277: (SHORT, [1]),
            278: (LONG, [rows_per_strip or len(image)]),
            279: (LONG, lengths),
        }
        start = len(content)
        content = content[:pointer] + struct.pack(f"{order}I", start) + content[pointer + 4 :]
        directory, pointer = _directory(entries | dict(tags or {}), start, order)
        content += directory
    return content


def packed_tiff(
    counts: Counts, order: str = "<", rows_per_strip: int | None = None, compression: int = UNCOMPRESSED
) -> bytes:
    """A TIFF of one page whose samples have 12 bits, two in three bytes."""
    rows = []
    for row in counts.tolist():
        bits = "".join(f"{count:012b}" for count in row)
        bits += "0" * (-len(bits) % 8)
        rows.append([int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)])
    tags: dict[int, Entry | None] = {256: (SHORT, [counts.shape[1]]), 258: (SHORT, [12])}
    packed = np.array(rows, np.uint8)
    return tiff(packed, order=order, compression=compression, rows_per_strip=rows_per_strip, tags=tags)


def _strips(image: Counts, order: str, rows: int) -> Iterator[bytes]:
    ordered = image.astype(image.dtype.newbyteorder("<" if order == "<" else ">"))
    for first in range(0, len(image), rows):
        yield ordered[first : first + rows].tobytes()


def _directory(entries: Mapping[int, Entry | None], start: int, order: str) -> tuple[bytes, int]:
    """The header and the place of its pointer to the next one."""
    present = sorted((tag, entry) for tag, entry in entries.items() if entry is not None)
    pointer = start + 2 + 12 * len(present)
    directory, beyond = struct.pack(f"{order}H", len(present)), b""
    for tag, (kind, values) in present:
        packed = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", pointer + 4 + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    return directory + struct.pack(f"{order}I", 0) + beyond, pointer


def _packbits(strip: bytes) -> bytes:
    chunks = [strip[first : first + 128] for first in range(0, len(strip), 128)]
    return b"".join(bytes([len(chunk) - 1]) + chunk for chunk in chunks)


def _lzw(strip: bytes) -> bytes:
    # The table is cleared before a code of ten bits would be needed: every code has nine.
    codes = [256]
    for first in range(0, len(strip), 200):
        codes += [*strip[first : first + 200], 256]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


_COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    UNCOMPRESSED: bytes,
    LZW: _lzw,
    DEFLATE: zlib.compress,
    PACKBITS: _packbits,
}


def pillow_file(image: Image.Image, kind: str = "TIFF", **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tifffile_file(counts: Any, **options: Any) -> bytes:
    """The file that tifffile writes."""
    file = io.BytesIO()
    tifffile.imwrite(file, counts, **options)
    return file.getvalue()


def listed(folder: Path, name: str) -> ImageFile:
    """The file as a listing would see it now."""
    stat = (folder / name).lstat()
    return ImageFile(name, stat.st_size, stat.st_mtime_ns)


CALL = Call(
    schema_version=1,
    run_id="run 1",
    cell_id="0017",
    cage_row="",
    cage_col="",
    verdict=Verdict.CTC,
    p_ctc=0.75,
    score=1.5,
    threshold_ctc=0.0,
    threshold_review=-0.5,
    ood_score=None,
    flags=("saturated",),
    reason="score reaches threshold_ctc",
    channels_used=("BF", "PE"),
    channels_missing=(),
    image_files=("Images/0017_BF.tif", "Images/0017_PE.tif"),
    image_sha256=("a" * 64, "b" * 64),
    pixel_size_um=0.5,
    checkpoint_name="means",
    checkpoint_sha256="c" * 64,
    profile_name="flat",
    profile_sha256="d" * 64,
    engine="onnxruntime 1 cpu fp32",
    software_version="0",
    classified_at_utc="2026-01-02T03:04:05.000006Z",
    run_state="complete",
    intended_use="RUO",
)
"""A plain row to change."""


def not_evaluable(cell_id: str) -> Call:
    """The row of a cell without a score."""
    return replace(CALL, cell_id=cell_id, verdict=Verdict.NOT_EVALUABLE, p_ctc=None, score=None, reason="torn")


def manifest_of(calls: Sequence[Call], **changes: Any) -> Manifest:
    """A manifest for `calls`, as `commit` takes it."""
    called = sum(call.score is not None for call in calls)
    identity = {"name": "flat", "sha256": "d" * 64}
    fields: dict[str, Any] = {
        "schema_version": 1,
        "run_id": "run 1",
        "run_folder": "run 1",
        "run_state": "complete",
        "intended_use": "RUO",
        "software_version": "0",
        "engine": CALL.engine,
        "checkpoint": {
            "name": "means",
            "sha256": "c" * 64,
            "input": {
                "channels": ({"name": "BF", "range": (0.0, 4095.0)},),
                "side_px": 8,
                "dtype": "uint16",
            },
            "thresholds": {"ctc": 0.0, "review": -0.5},
            "calibration": None,
        },
        "profile": identity,
        "started_at_utc": "2026-01-02T03:04:05.000006Z",
        "finished_at_utc": "2026-01-02T03:04:05.000006Z",
        "seconds": 1.0,
        "files": {"on_disk": 3, "used": 2, "ignored": 1, "failed": 0, "pending": 0},
        "cells": {"total": len(calls), "called": called, "not_evaluable": len(calls) - called, "pending": 0},
        "verdicts": {},
        "flags": {},
        "cells_reused": 0,
        "first_problem": None,
        "replay": None,
        "unaccounted_files": 0,
        "unaccounted": (),
        "cells_without_images": (),
        "links_not_followed": 0,
        "superseded": None,
        "calls": {"name": "run 1.ctc-calls.csv", "sha256": "0" * 64, "rows": 0, "csv": "rfc4180"},
        "table": None,
        "tables": (),
        "inputs": (InputFile("Images/0017_BF.tif", 1, 2, None, "failed"),),
    }
    return Manifest.model_validate(fields | changes)


def result_place(folder: Path) -> ResultPlace:
    """Where the results of the run of `manifest_of` belong."""
    return ResultPlace(folder, "run 1")


class PowerCut(BaseException):
    """The machine is off: no clean-up of the program runs, either."""


_STATE_CHANGES = ("open", "fsync", "rename", "unlink")


@contextmanager
def _counted(on_step: Callable[[int], None]) -> Iterator[None]:
    steps = itertools.count(1)

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            on_step(next(steps))
            return real(*args, **kwargs)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in _STATE_CHANGES:
            patch.setattr(os, name, wrapped(getattr(os, name)))
        yield


def power_cut_at(last: int, action: Callable[[], object]) -> bool:
    """Run `action` until its step `last` that would change the disk, and nothing after; whether that step came."""

    def cut(step: int) -> None:
        if step >= last:
            raise PowerCut

    with _counted(cut):
        try:
            action()
        except PowerCut:
            return True
    return False


def full_disk_at(last: int, action: Callable[[], object]) -> bool:
    """Run `action` with one failure at its step `last`; whether that step came. What `action` raises is raised."""
    came = False

    def fail(step: int) -> None:
        nonlocal came
        if step == last:
            came = True
            raise OSError(errno.ENOSPC, "No space left on device")

    with _counted(fail):
        action()
    return came
