"""How long `edge-ctc probe` takes on 100,000 files: `python -m tests.benchmarks.probe` writes a page of docs."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.images import tiff

FILES = 100_000
TOKENS = ("Ch1", "Ch2", "Ch3", "Ch4")
ROUNDS = 5
WANTED_S = 5.0


def make_run(folder: Path, files: int) -> Path:
    """A flat run of `files` images of 64 x 64 px, 16 bit; each a link to one of four."""
    rng = np.random.default_rng(0)
    images = folder / "run" / "Bilder"
    images.mkdir(parents=True)
    for token in TOKENS:
        (folder / token).write_bytes(tiff(rng.integers(0, 4096, (64, 64)).astype(np.uint16)))
    for number in range(files // len(TOKENS)):
        for token in TOKENS:
            (images / f"Zelle_{number + 1:05d}_{token}.tif").hardlink_to(folder / token)
    rows = [f"{number + 1:05d};{number // 40};{number % 40};{number},5" for number in range(files // len(TOKENS))]
    (folder / "run" / "Zellen.csv").write_text("\r\n".join(["Zelle;Zeile;Spalte;Fläche", *rows]) + "\r\n", "cp1252")
    return folder / "run"


def probe_s(run: Path, out: Path) -> tuple[float, float, int]:
    """(seconds, seconds of a core, peak resident MB) of one `edge-ctc probe` as a command of its own."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tests.benchmarks.peak", "probe", str(run), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, int(done.stderr.splitlines()[-1])


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = make_run(folder, FILES)
        figures = [probe_s(run, folder / f"out{number}") for number in range(ROUNDS)]
    seconds, cpu = ([one[place] for one in figures] for place in (0, 1))
    spread, cpu_spread = (f"**{statistics.median(of):.1f} ({min(of):.1f} to {max(of):.1f})**" for of in (seconds, cpu))
    text = f"""# Benchmark of the probe

Written by `python -m tests.benchmarks.probe` on {datetime.now(UTC).date()}: {len(os.sched_getaffinity(0))} cores shared
with other work (load {os.getloadavg()[0]:.1f}), Python {platform.python_version()}. A flat run of {FILES:,} images of
64 x 64 px, 16 bit (four channels, {FILES // 4:,} cells) and a table of as many rows; local disk, page cache warm. The
whole command: start, listing, names, four built-in profiles, 96 images decoded, the table read and joined, four sheets
and a proposal written. Medians of {ROUNDS} rounds (smallest to largest).

| `edge-ctc probe` | seconds on the clock | seconds of a core | peak resident memory |
|---|---|---|---|
| {FILES:,} files | {spread} | {cpu_spread} | {max(one[2] for one in figures)} MB |

Wanted: under {WANTED_S:.0f} s.
"""
    Path("docs/benchmarks-probe.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
