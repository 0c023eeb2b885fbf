"""The shipped checkpoints on simulated patients that no training saw: `make evaluate` prints the table."""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from sklearn.metrics import average_precision_score

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.classify import classify_run
from edge_ctc.models import OpenModels
from edge_ctc.plan import REFERENCE_NAMES, Request
from edge_ctc.results.calls import read_calls
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import compare_with_truth, read_truth
from tests.benchmarks.walk import Silent

SEEDS = range(30_000, 30_010)
"""Training patients have seeds from 100,000 on; tests, tuning and the demo use others than these."""


@dataclass(frozen=True)
class Setting:
    """What the runs of a line have in common.

    Attributes:
        cells: of each run.
        ctcs: among them.
        instruments: one per run.
        described: the instruments in words.
    """

    cells: int
    ctcs: int
    instruments: Sequence[int]
    described: str


DEFAULT = [0] * len(SEEDS)
UNSEEN = range(1001, 1001 + len(SEEDS))
"""Training saw the instruments 0 to 11."""
SETTINGS = (
    Setting(1000, 50, DEFAULT, "the default one"),
    Setting(1000, 50, UNSEEN, "one a run, none seen in training"),
    Setting(400, 80, DEFAULT, "the default one"),
)


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    f1: float
    average_precision: float
    in_review: int
    missed: int


def evaluate(run: Path, checkpoint: Path, out: Path, models: OpenModels) -> Figures:
    """Call a run through the product and compare with its truth."""
    outcome = classify_run(Request(run, checkpoint=checkpoint, out=out), models, Silent())
    truth = run.with_name(f"{run.name}.truth.csv")
    labels = read_truth(truth)
    calls = read_calls(outcome.place.calls)
    comparison = compare_with_truth(outcome.place, truth)
    precision = average_precision_score(
        [labels[call.cell_id] == "CTC" for call in calls], [call.score or 0.0 for call in calls]
    )
    missed = comparison.ctcs - comparison.found - comparison.in_review
    return Figures(comparison.f1 or 0.0, precision, outcome.manifest.verdicts["REVIEW"], missed)


def row(name: str, setting: Setting, figures: Sequence[Figures]) -> str:
    """A line of the table: means over runs, smallest and largest F1."""
    f1 = [one.f1 for one in figures]
    return (
        f"| {name} | {setting.cells:,} cells, {setting.ctcs} CTC | {setting.described} | "
        f"{statistics.mean(f1):.3f} ({min(f1):.3f} to {max(f1):.3f}) | "
        f"{statistics.mean(one.average_precision for one in figures):.3f} | "
        f"{statistics.mean(one.in_review for one in figures):.0f} | "
        f"{statistics.mean(one.missed for one in figures):.1f} |"
    )


def main() -> None:
    """Print the table."""
    typer.echo(f"{len(SEEDS)} runs a line, seeds {SEEDS.start} to {SEEDS.stop - 1}\n")
    typer.echo(
        "| checkpoint | run | instrument | F1 of verdict CTC (min to max) | average precision | in REVIEW "
        "| CTC below REVIEW |"
    )
    typer.echo("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="edge-ctc-evaluate-") as name, OpenModels() as models:
        folder = Path(name)
        for place, setting in enumerate(SETTINGS):
            runs = [folder / f"{place}-{seed}" for seed in SEEDS]
            for run, seed, instrument in zip(runs, SEEDS, setting.instruments, strict=True):
                write_run(run, setting.cells, setting.ctcs, seed, Layout.MULTIPAGE, instrument=instrument)
            for checkpoint in REFERENCE_NAMES:
                out = folder / checkpoint
                figures = [evaluate(run, shipped_checkpoints() / checkpoint, out, models) for run in runs]
                typer.echo(row(checkpoint, setting, figures))


if __name__ == "__main__":
    main()
