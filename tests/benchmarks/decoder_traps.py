"""What decoders do by themselves with files that say what is not so."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.decoder_ways import SIDE_PX, cell, decoders
from tests.encoders import chunked, ihdr
from tests.images import LONG, tiff

BOMB_SIDE = 16_384


def write_traps(folder: Path) -> dict[str, Path]:
    """Files that a decoder by itself should refuse."""
    counts = cell(2)
    half = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in counts[:32]))
    side = (LONG, [BOMB_SIDE])
    contents = {
        "bomb.png": chunked(
            [ihdr(BOMB_SIDE, BOMB_SIDE, 8), (b"IDAT", _zeros(BOMB_SIDE * (BOMB_SIDE + 1))), (b"IEND", b"")]
        ),
        "bomb.tif": _with_strip(_zeros(BOMB_SIDE * BOMB_SIDE), {256: side, 257: side, 278: side}),
        "half.png": chunked([ihdr(SIDE_PX, SIDE_PX), (b"IDAT", half), (b"IEND", b"")]),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    step = 1 << 20
    packed = [packer.compress(bytes(min(step, count - place))) for place in range(0, count, step)]
    return b"".join(packed) + packer.flush()


def _with_strip(strip: bytes, tags: Mapping[int, Any]) -> bytes:
    """A TIFF of these tags with a deflated strip at the end of the file."""
    whole = tiff(np.zeros((1, 1), np.uint8), compression=8, tags={**tags, 279: (LONG, [len(strip)])})
    place = len(whole)
    entry = whole.index(struct.pack("<HHI", 273, 4, 1))
    return whole[: entry + 8] + struct.pack("<I", place) + whole[entry + 12 :] + strip


PROBE = """
import sys, warnings
from pathlib import Path
from tests.benchmarks.decoder_ways import decoders, ours
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
path = Path(sys.argv[1])
decode = {"edge_ctc": ours(path.name), **decoders(path.suffix)}[sys.argv[2]]
content, before = path.read_bytes(), peak()
try:
    image = decode(content)
except Exception as error:
    print(f"refuses it ({type(error).__name__})")
else:
    if image is None:
        print("refuses it")
    elif image.shape == (64, 64):
        print("loads it, " + ("counts missing, without a word" if not image[32:].any() else "whole"))
    else:
        print(f"loads it: {peak() - before} MB")
"""


def traps(folder: Path) -> list[str]:
    """A table row per package: what it does, by itself, with files that say what is not so."""
    paths = write_traps(folder)
    sizes = {name: path.stat().st_size // 1000 for name, path in paths.items()}
    lines = [
        f"| package by itself | PNG of {sizes['bomb.png']} kB that inflates to 268 MB "
        f"| the same as TIFF ({sizes['bomb.tif']} kB) | PNG whose stream ends after half of the rows |",
        "|---|---|---|---|",
    ]
    for package in ("edge_ctc", *decoders(".tif")):
        found = [probe(path, package) for path in paths.values()]
        lines.append(f"| {package} | {' | '.join(found)} |")
    return lines


def probe(path: Path, package: str) -> str:
    """What one package does with one file, in a process of its own."""
    if package not in ("edge_ctc", *decoders(path.suffix)):
        return ""
    command = [sys.executable, "-W", "ignore", "-c", PROBE, str(path), package]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or f"dies ({ended.returncode})"
