"""Runs by the thousand: every image is a link to one of a few, and finished runs are copies of one that was called."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from edge_ctc.classify import classify_run
from edge_ctc.exports.profile import load_profile
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.results.manifest import seal_of, sealing
from tests.benchmarks.walk import Silent
from tests.images import tiff

CHANNELS = ("BF", "DAPI", "PE", "APC")
_PATTERNS = 64
"""Cells that differ; a file bears no more than 65,000 links on ext4."""


class Scanner:
    """Lays runs of tiny images (16 x 16 px, 16 bit) down as fast as links are made."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the images, and must lie on the file system of the runs."""
        self._folder = folder
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(_PATTERNS):
            for channel in CHANNELS:
                counts = rng.integers(0, 4096, (16, 16)).astype(np.uint16)
                (folder / f"{number}_{channel}.tif").write_bytes(tiff(counts))

    def lay(self, run: Path, cells: int, first: int = 1) -> None:
        """The images of `cells` cells from number `first` on."""
        images = run / "Images"
        images.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + cells):
            for channel in CHANNELS:
                source = self._folder / f"{number % _PATTERNS}_{channel}.tif"
                (images / f"{number:05d}_{channel}.tif").hardlink_to(source)

    def end(self, run: Path, cells: int) -> None:
        """The table of `cells` cells, which completes the run."""
        rows = [f"{number:05d},{number // 40},{number % 40}" for number in range(1, cells + 1)]
        (run / "cells.csv").write_text("\n".join(["cell_id,cage_row,cage_col", *rows]) + "\n")

    def whole(self, run: Path, cells: int) -> Path:
        """A whole run."""
        self.lay(run, cells)
        self.end(run, cells)
        return run


def lay_archive(scanner: Scanner, checkpoint: Path, exports: Path, runs: int, cells: int) -> None:
    """`runs` finished runs with valid results beside them: the first is called, the others are told alike of."""
    exports.mkdir(exist_ok=True)
    first = scanner.whole(exports / _name(0), cells)
    with OpenModels() as models:
        classify_run(Request(first, load_profile("flat"), checkpoint), models, Silent())
    for number in range(1, runs):
        run = exports / _name(number)
        scanner.lay(run, cells)
        shutil.copy2(first / "cells.csv", run)  # with its time, which the manifest holds
        _tell_alike(first, run)


def _name(number: int) -> str:
    return f"archive-{number:03d}"


def _tell_alike(first: Path, run: Path) -> None:
    """The results of `first`, told of `run`, whose files have the same sizes and times."""
    names = first.name.encode(), run.name.encode()
    calls = _beside(first, "ctc-calls.csv").read_bytes().replace(*names)
    manifest = _beside(first, "ctc-run.json").read_bytes()
    was = json.loads(manifest)
    sums = was["calls"]["sha256"].encode(), hashlib.sha256(calls).hexdigest().encode()
    manifest = manifest.replace(*names).replace(*sums)
    # A run without its page would be owed one, and drawn.
    page = _beside(first, "ctc-gallery.html").read_bytes().replace(*sums)
    _beside(run, "ctc-gallery.html").write_bytes(page)
    unsealed = manifest.replace(sealing(was["seal"]), sealing(""), 1)
    _beside(run, "ctc-calls.csv").write_bytes(calls)
    _beside(run, "ctc-run.json").write_bytes(unsealed.replace(sealing(""), sealing(seal_of(unsealed)), 1))


def _beside(run: Path, ending: str) -> Path:
    return run.with_name(f"{run.name}.{ending}")
