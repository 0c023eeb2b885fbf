"""The figures of the walk, measured side by side: `make bench` writes docs/benchmarks.md.

Five rounds; in each, decoding alone, the engine alone and the whole walk are timed one after the other on the
same cells, so that a busy machine slows all three. The ratio is of figures of one round.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime
import typer

from edge_ctc.cell_reader import CellReader
from edge_ctc.classify import classify_run
from edge_ctc.cli import collect_rarely
from edge_ctc.exports.profile import load_profile
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request, make_plan
from edge_ctc.results.manifest import Manifest
from edge_ctc.simulate import Layout, write_run
from trainer.fit import Order, fit
from trainer.progress import ConsoleReporter
from trainer.recipe import Recipe

ROUNDS = 5
SAMPLE = 1_920
CHANNELS = ("BF", "DAPI")
ALL_CHANNELS = ("BF", "DAPI", "PE", "APC")
SIMULATED = 5_000

PROFILE = """schema_version = 1
name = "two-channels"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
ignore = ["cells.csv"]
channels = [{name = "BF"}, {name = "DAPI"}]
"""


@dataclass(frozen=True)
class Round:
    """One round; microseconds per cell, of both cores together for the first two, on the clock for the third."""

    decode_core_us: float
    engine_core_us: float
    walk_us: float

    @property
    def ratio(self) -> float:
        """The walk's rate over 1 / (t_decode + t_engine) on all cores."""
        cores = len(os.sched_getaffinity(0))
        return (self.decode_core_us + self.engine_core_us) / cores / self.walk_us


class Silent:
    """A reporter that reports nothing."""

    def planned(self, plan: Plan) -> None:
        """Nothing."""

    def called_before(self, former: Manifest) -> None:
        """Nothing."""

    def put_aside(self, edited: Path) -> None:
        """Nothing."""

    def drawing(self, cells: int) -> None:
        """Nothing."""

    def started(self, cells: int, reused: int) -> None:
        """Nothing."""

    def advanced(self, cells: int) -> None:
        """Nothing."""


def make_runs(folder: Path, sizes: Sequence[int]) -> dict[int, Path]:
    """Flat runs of two channels; beyond the simulated cells their files are linked under further ids."""
    write_run(folder / "source", SIMULATED, 50, 90_000, Layout.FLAT)
    return {size: link_run(folder, f"run{size}", size, CHANNELS) for size in sizes}


def link_run(folder: Path, name: str, size: int, channels: Sequence[str]) -> Path:
    """A flat run of links to the simulated images."""
    images = folder / name / "Images"
    images.mkdir(parents=True)
    for number in range(size):
        for channel in channels:
            image = folder / "source" / "Images" / f"{number % SIMULATED + 1:04d}_{channel}.tif"
            (images / f"{number + 1:05d}_{channel}.tif").hardlink_to(image)
    return images.parent


def make_checkpoint(folder: Path, recipe: Recipe) -> Path:
    """By a recipe of one epoch, since its answers are not what is measured; its folder has the recipe's name."""
    runs, labels = folder / "training", folder / "labels.csv"
    rows = ["run_id,cell_id,label,patient"]
    for patient in ("a", "b"):
        write_run(runs / patient, 40, 10, 91_000 + ord(patient), Layout.FLAT)
        truth = (runs / f"{patient}.truth.csv").read_text().splitlines()[1:]
        rows += [f"{patient},{row},{patient}" for row in truth]
        (runs / f"{patient}.truth.csv").unlink()
    labels.write_text("\n".join(rows) + "\n")
    out = folder / recipe.name
    with ConsoleReporter() as reporter:
        fit(Order(runs, labels, out, recipe), reporter)
    return out


def cpu_us_per_cell(work: Callable[[], object], cells: int) -> float:
    """Processor time of all threads of this process."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / cells * 1e6


def measure(run: Path, checkpoint: Path, profile: Path, out: Path) -> Round:
    """One round in this process."""
    collect_rarely()
    request = Request(run, load_profile(str(profile)), checkpoint, out)
    with OpenModels() as models:
        plan = make_plan(request, models)
        engine, _ = models.engine(plan.checkpoint)
        reader = CellReader.of(plan.run.folder, plan.profile.profile, plan.checkpoint)
        place = engine.inputs[0][0]
        sample = plan.cells[:SAMPLE]
        decode = cpu_us_per_cell(lambda: [reader.read(cell, place) for cell in sample], SAMPLE)
        batches = SAMPLE // engine.max_batch
        infer = cpu_us_per_cell(lambda: [engine.infer(0, engine.max_batch) for _ in range(batches)], SAMPLE)
        began = time.perf_counter()
        classify_run(request, models, Silent())
        walk = (time.perf_counter() - began) / len(plan.cells) * 1e6
    return Round(decode, infer, walk)


def in_child(*arguments: object) -> str:
    """What a Python command of its own prints."""
    return subprocess.run([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True).stdout


@dataclass(frozen=True)
class Command:
    """How `edge-ctc` did as a command of its own."""

    seconds: float
    peak_mb: int


def edge_ctc(*arguments: object) -> Command:
    """Run it."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.peak", *map(str, arguments), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Command(time.perf_counter() - began, int(ended.stderr.splitlines()[-1]))


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median (smallest to largest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def throughput(folder: Path, run: Path, profile: Path) -> list[str]:
    """A table row per width."""
    lines = [
        "| network | t_decode | t_engine | walk, per cell | walk's rate x (t_decode + t_engine) / cores |",
        "|---|---|---|---|---|",
    ]
    for width in (32, 64):
        recipe = Recipe(schema_version=1, name=f"bench-{width}", channels=CHANNELS, layer4=False, width=width, epochs=1)
        checkpoint = make_checkpoint(folder / f"width{width}", recipe)
        rounds = []
        for number in range(ROUNDS):
            out = folder / f"out-{width}-{number}"
            text = in_child("-m", "tests.benchmarks.walk", "--round", run, checkpoint, profile, out)
            rounds.append(Round(**json.loads(text)))
        lines.append(
            f"| ResNet-18 without layer4, width {width} | {spread([one.decode_core_us for one in rounds])} us | "
            f"{spread([one.engine_core_us for one in rounds])} us | {spread([one.walk_us for one in rounds])} us | "
            f"**{spread([one.ratio for one in rounds], 2)}** |"
        )
    return lines


def commands(folder: Path, runs: dict[int, Path], profile: Path) -> list[str]:
    """Peak memory at two sizes, and a second call of 10,000 cells."""
    checkpoint = folder / "width32" / "bench-32"
    lines = ["| `edge-ctc classify-run` as a command of its own | seconds | peak resident memory |", "|---|---|---|"]
    for size in (5_000, 20_000, 10_000):
        arguments = ("classify-run", runs[size], "--checkpoint", checkpoint, "--profile", profile)
        command = edge_ctc(*arguments)
        lines.append(f"| {size:,} cells x 2 channels | {command.seconds:.1f} | **{command.peak_mb} MB** |")
    lines.append(second_call("the 10,000 again, unchanged", arguments))
    four = ("classify-run", link_run(folder, "four", 10_000, ALL_CHANNELS))
    edge_ctc(*four)
    lines.append(second_call("10,000 cells x 4 channels by the shipped reference, unchanged", four))
    return lines


def second_call(what: str, arguments: Sequence[object]) -> str:
    """A table row: a command that finds nothing to do."""
    again = [edge_ctc(*arguments) for _ in range(ROUNDS)]
    return f"| {what} | **{spread([one.seconds for one in again], 2)}** | {again[0].peak_mb} MB |"


def main() -> None:
    """Measure and write docs/benchmarks.md."""
    with tempfile.TemporaryDirectory(prefix="edge-ctc-bench-") as name:
        folder = Path(name)
        profile = folder / "profile.toml"
        profile.write_text(PROFILE)
        typer.echo("simulating the runs", err=True)
        runs = make_runs(folder, (5_000, 10_000, 20_000))
        typer.echo("timing", err=True)
        lines = [*throughput(folder, runs[5_000], profile), "", *commands(folder, runs, profile)]
    text = REPORT.format(
        date=datetime.now(UTC).date(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        rounds=ROUNDS,
        tables="\n".join(lines),
    )
    Path("docs/benchmarks.md").write_text(text)
    typer.echo(text)


REPORT = """# Benchmarks

Written by `make bench` on {date}: {cores} shared cores, no GPU, Python {python}, ONNX Runtime {onnxruntime}, fp32.
5,000 simulated cells x 2 channels of 64 x 64 px, 16 bit, uncompressed, page cache warm, sha256 of every file on.
Medians of {rounds} rounds (smallest to largest).

- **t_decode**: core-seconds to open, hash, check, decode and scale the images of one cell into the engine's input.
- **t_engine**: core-seconds of the engine per cell at batch 64.
- **walk**: `classify_run` from the listing to the committed manifest, engine open, per cell on the clock.
- The last column is 1 if the walk costs nothing but decoding and engine and keeps all cores busy. Wanted: 0.9 or more.

{tables}

Wanted: memory under 500 MB and the same at 5,000 and 20,000 cells; the unchanged run under 1 s.
"""

if __name__ == "__main__":
    if sys.argv[1:2] == ["--round"]:
        typer.echo(json.dumps(asdict(measure(*map(Path, sys.argv[2:6])))))
    else:
        main()
