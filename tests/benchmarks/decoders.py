"""Which decoder, by measurement: `python -m tests.benchmarks.decoders` writes docs/decoders.md.

It needs what the product does not: `pip install opencv-python-headless imagecodecs`.
In each round every decoder has its turn at every kind of file, so that a busy machine slows all of them.
"""

import importlib
import os
import platform
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tifffile
import typer

from edge_ctc.cells import ImageFile
from edge_ctc.images.content import open_image
from edge_ctc.images.files import read_file
from tests.benchmarks.decoder_traps import traps
from tests.benchmarks.decoder_ways import Decode, cell, decoders, kinds, ours, safe
from tests.images import listed, tifffile_file

ROUNDS = 61
REPEATS = 25
CELLS, CHANNELS = 10_000, ("BF", "PE")
WALK_ROUNDS = 7
BLOCK = 500
WANTED = 0.9

Spans = dict[str, list[float]]


def us_per_call(way: Decode, content: bytes) -> float:
    """Microseconds on the clock."""
    began = time.perf_counter()
    for _ in range(REPEATS):
        way(content)
    return (time.perf_counter() - began) / REPEATS * 1e6


def per_kind() -> dict[str, Spans]:
    """Microseconds a file, per kind and decoder, a figure a round."""
    files = kinds()
    entrants: dict[str, dict[str, Decode]] = {}
    for label, kind in files.items():
        name = "a" + kind.suffix
        entrants[label] = {"edge_ctc": ours(name)}
        for package, decode in decoders(kind.suffix).items():
            entrants[label][package] = safe(decode, name)
        for package, way in entrants[label].items():
            if not np.array_equal(way(kind.content), kind.counts):
                raise RuntimeError(f"{package} reads other counts from {label}")
        entrants[label]["header check alone"] = safe(len, name)
    spans: dict[str, Spans] = {label: {package: [] for package in ways} for label, ways in entrants.items()}
    for _ in range(ROUNDS):
        for label, ways in entrants.items():
            for package, way in ways.items():
                spans[label][package].append(us_per_call(way, files[label].content))
    return spans


def write_cells(folder: Path) -> list[ImageFile]:
    """A file per cell and channel, uncompressed TIFF of 16 bits."""
    contents = [tifffile_file(cell(seed)) for seed in range(64)]
    files = []
    for number in range(CELLS):
        for index, channel in enumerate(CHANNELS):
            name = f"{number:05d}_{channel}.tif"
            (folder / name).write_bytes(contents[(2 * number + index) % len(contents)])
            files.append(listed(folder, name))
    return files


def whole_run(folder: Path) -> Spans:
    """Microseconds a cell of both channels, file to counts, a figure a round; the ways take turns every 500 files."""
    files = write_cells(folder)
    decode = decoders(".tif")
    unsafe = decode["cv2"]

    def way_of(package: str) -> Callable[[ImageFile], object]:
        return lambda file: safe(decode[package], file.name)(read_file(folder, file))

    ways: dict[str, Callable[[ImageFile], object]] = {
        "edge_ctc": lambda file: open_image(read_file(folder, file), file.name).page(0),
        **{package: way_of(package) for package in ("cv2", "imagecodecs")},
        "cv2 without any check": lambda file: unsafe((folder / file.name).read_bytes()),
        "read_file alone": lambda file: read_file(folder, file),
    }
    spans: Spans = {package: [] for package in ways}
    for number in range(WALK_ROUNDS + 1):
        seconds = dict.fromkeys(ways, 0.0)
        for first in range(0, len(files), BLOCK):
            for package, way in ways.items():
                began = time.perf_counter()
                for file in files[first : first + BLOCK]:
                    way(file)
                seconds[package] += time.perf_counter() - began
        if number:  # the first round warms the page cache
            for package, taken in seconds.items():
                spans[package].append(taken / CELLS * 1e6)
    return spans


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median (smallest to largest), or (lower to upper quartile) of many."""
    low, high = min(values), max(values)
    if len(values) > WALK_ROUNDS:
        low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio(spans: Spans, others: Sequence[str]) -> tuple[str, str, float]:
    """The fastest of the others, our rate over its rate with spread, and the median of that."""
    fastest = min(others, key=lambda package: statistics.median(spans[package]))
    ratios = [other / own for other, own in zip(spans[fastest], spans["edge_ctc"], strict=True)]
    return fastest, spread(ratios, 2), statistics.median(ratios)


def kind_lines(spans: Mapping[str, Spans]) -> list[str]:
    """A table row per kind and decoder."""
    columns = ("header check alone", "edge_ctc", "cv2", "imagecodecs", "Pillow", "tifffile")
    lines = [f"| file | {' | '.join(columns)} | our rate / fastest other |", "|---" * (len(columns) + 2) + "|"]
    for label, of_kind in spans.items():
        others = [column for column in columns[2:] if column in of_kind]
        fastest, ratios, _ = ratio(of_kind, others)
        figures = [spread(of_kind[column]) if column in of_kind else "" for column in columns]
        lines.append(f"| {label} | {' | '.join(figures)} | **{ratios}** of {fastest}'s |")
    lines.append("")
    for label in ("PNG 16", "PNG 8"):
        _, ratios, median = ratio(spans[label], ("cv2",))
        held = "0.9 or more" if median >= WANTED else "**below 0.9**"
        lines.append(f"- {label}: our rate is {ratios} of that of cv2 behind the same check: {held}.")
    return lines


def run_lines(spans: Spans) -> list[str]:
    """A table row per way through a whole run, and the figure that is asked for."""
    lines = ["| way | us per cell (two files) | cells per second |", "|---|---|---|"]
    for package, values in spans.items():
        shown = package if package in ("edge_ctc", "cv2 without any check", "read_file alone") else f"check + {package}"
        lines.append(f"| {shown} | {spread(values)} | {1e6 / statistics.median(values):,.0f} |")
    fastest, ratios, median = ratio(spans, ("cv2", "imagecodecs"))
    held = "held" if median >= WANTED else "**not held**"
    lines += [
        "",
        f"Our rate over that of the fastest other safe way ({fastest}): **{ratios}**. Wanted 0.9 or more: {held}.",
    ]
    _, unchecked, _ = ratio(spans, ("cv2 without any check",))
    return [*lines, f"Over cv2 that reads and decodes without any check: {unchecked}; the rest is what safety costs."]


def main() -> None:
    """Measure and write docs/decoders.md."""
    with tempfile.TemporaryDirectory(prefix="edge-ctc-decoders-") as name:
        folder = Path(name)
        typer.echo("traps", err=True)
        trap_lines = traps(folder)
        typer.echo("kinds", err=True)
        table = kind_lines(per_kind())
        typer.echo("the whole run", err=True)
        whole = run_lines(whole_run(folder))
    versions = [
        f"{package} {importlib.import_module(package).__version__}" for package in ("cv2", "imagecodecs", "PIL")
    ]
    text = REPORT.format(
        date=datetime.now(UTC).date(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        versions=", ".join([*versions, f"tifffile {tifffile.__version__}", f"zlib {zlib.ZLIB_RUNTIME_VERSION}"]),
        rounds=ROUNDS,
        walk_rounds=WALK_ROUNDS,
        kinds="\n".join(table),
        run="\n".join(whole),
        traps="\n".join(trap_lines),
    )
    Path("docs/decoders.md").write_text(text)
    typer.echo(text)


REPORT = """# Decoders

Written by `python -m tests.benchmarks.decoders` on {date}: {cores} shared cores, Python {python},
{versions}.
Every figure is a median of rounds in which all ways take turns; images of 64 x 64 px.

## What decodes what

| file | decoder | why |
|---|---|---|
| TIFF uncompressed, 8, 16, packed 12 bits | numpy, from the checked strips | nothing is faster |
| TIFF deflate | zlib with a byte limit, differences by numpy | faster than any other, and exact |
| TIFF LZW, PackBits | Pillow, on a TIFF of nothing but what was checked | bounded by the header; slower than cv2 |
| PNG | zlib with a byte limit, filters by Pillow's decoder | exact to the byte; slower than cv2 |
| BMP | numpy | a view of the file |

cv2 and imagecodecs are no dependencies. What one of them would win on LZW and PNG is in the table; what they do, by
themselves, with a file that says what is not so is below.

## One file, in memory, us

Each decoder stands behind our header check (`open_image`), which alone makes it safe; {rounds} rounds (quartiles).

{kinds}

## 10,000 cells x 2 channels, from files

Uncompressed TIFF of 16 bits, page cache warm, one thread, {walk_rounds} rounds (smallest to largest). "check +" is the
same `read_file` and the same header check, then that package's decoder.

{run}

## Why the check comes first

{traps}

MB that a package takes by itself; edge_ctc refuses by the header, before anything is allocated.
"""

if __name__ == "__main__":
    main()
