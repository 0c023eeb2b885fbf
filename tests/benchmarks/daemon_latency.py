"""From the last byte of a run to its calls, beside what the same cells take alone, in the same minute."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cell_reader import CellReader
from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.exports.profile import load_profile
from edge_ctc.models import OpenModels
from edge_ctc.pipeline import evaluate
from edge_ctc.plan import Request, make_plan
from edge_ctc.simulate import Layout, write_run
from tests.benchmarks.daemon_process import DEFAULTS, Measured, computing_s, site_for

CELLS = 1_000
SLOWLY = 100.0
"""Cells per second of a run that arrives while it is called in parts."""


@dataclass(frozen=True)
class Arrival:
    """One run; seconds.

    Attributes:
        wall: from the close of the last byte to the manifest that says complete.
        alone: reading, decoding and inference of all its cells by a process that does nothing else.
        computing: the last call, as its manifest says.
    """

    wall: float
    alone: float
    computing: float

    @property
    def beyond(self) -> float:
        """Settle time and inference taken off."""
        return self.wall - DEFAULTS["settle_s"] - self.alone


def latencies(folder: Path, rounds: int) -> dict[str, list[Arrival]]:
    """Runs of 1,000 cells x 4 channels by the shipped reference, in turn at once and slowly."""
    checkpoint = shipped_checkpoints() / "reference"
    source = folder / "source"
    write_run(source, CELLS, 20, 77, Layout.FLAT)
    site = site_for(folder / "site", checkpoint)
    found: dict[str, list[Arrival]] = {"at once": [], "slowly": []}
    with Measured(site) as daemon, OpenModels() as models:
        _alone(models, source, checkpoint, folder)  # the engine is opened
        for number in range(rounds):
            for how, rate in (("at once", 0.0), ("slowly", SLOWLY)):
                run = site.exports / f"{how.replace(' ', '-')}-{number}"
                last_byte = _copy(source, run, rate)
                daemon.until_called(run)
                wall = time.monotonic() - last_byte
                found[how].append(Arrival(wall, _alone(models, run, checkpoint, folder), computing_s(run)))
    return found


def _copy(source: Path, run: Path, rate: float) -> float:
    """Every image, the table last; when the last file was closed, monotonic seconds."""
    (run / "Images").mkdir(parents=True)
    began = time.monotonic()
    for number, image in enumerate(sorted((source / "Images").iterdir())):
        if rate:
            time.sleep(max(0.0, began + number / 4 / rate - time.monotonic()))
        shutil.copyfile(image, run / "Images" / image.name)
    shutil.copyfile(source / "cells.csv", run / "cells.csv")
    return time.monotonic()


def _alone(models: OpenModels, run: Path, checkpoint: Path, folder: Path) -> float:
    plan = make_plan(Request(run, load_profile("flat"), checkpoint, folder / "nowhere"), models)
    engine, _ = models.engine(plan.checkpoint)
    reader = CellReader.of(plan.run.folder, plan.profile.profile, plan.checkpoint)
    began = time.perf_counter()
    cells = sum(len(batch) for batch in evaluate(plan.cells, reader, engine))
    assert cells == CELLS
    return time.perf_counter() - began


if __name__ == "__main__":
    for how, found in latencies(Path(sys.argv[1]), 5).items():
        beyond = sorted(one.wall - one.computing - 2.0 for one in found)
        alone = sorted(one.beyond for one in found)
        sys.stdout.write(
            f"{how}: beyond settle time and the last call {beyond[2]:.2f} s ({beyond[0]:.2f} to {beyond[-1]:.2f}), "
            f"beyond settle time and inference alone {alone[2]:.2f} s ({alone[0]:.2f} to {alone[-1]:.2f})\n"
        )
