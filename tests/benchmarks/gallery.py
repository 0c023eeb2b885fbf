"""What the gallery costs beside the calling of its run: `python -m tests.benchmarks.gallery` prints the table."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.classify import classify_run
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request
from edge_ctc.simulate import Layout, write_run
from tests.benchmarks.walk import Silent


class Watch(Silent):
    """Notes when the cells began and when the drawing did."""

    began = drew = 0.0

    def planned(self, plan: Plan) -> None:  # noqa: ARG002 - the protocol gives it
        """The calling begins."""
        self.began = time.perf_counter()

    def drawing(self, cells: int) -> None:  # noqa: ARG002 - the protocol gives it
        """The calls are committed."""
        self.drew = time.perf_counter()


def main(
    cells: Annotated[list[int] | None, typer.Option(help="Of each run.")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Of each run.")] = 5,
) -> None:
    """Call and draw, several times in turn."""
    typer.echo(
        "| cells | channels | calling, s | gallery, s | gallery of calling | page, MB |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as scratch, OpenModels() as models:
        for count in cells or [1000, 10_000]:
            run = Path(scratch) / f"run-{count}"
            write_run(run, count, max(1, count // 100), 905, Layout.FLAT)
            for name, channels in (("reference", 4), ("reference-bf", 1)):
                measured = [timed(run, Path(scratch) / f"{name}-{one}", name, models) for one in range(rounds)]
                size = (Path(scratch) / f"{name}-0" / f"{run.name}.ctc-gallery.html").stat().st_size / 1e6
                calling, drawing = zip(*measured, strict=True)
                shares = [drew / called for called, drew in measured]
                typer.echo(
                    f"| {count} | {channels} | {spread(calling)} | {spread(drawing)} | {spread(shares)} | {size:.1f} |"
                )


def timed(run: Path, out: Path, name: str, models: OpenModels) -> tuple[float, float]:
    """Seconds of calling and of drawing."""
    watch = Watch()
    classify_run(Request(run, checkpoint=shipped_checkpoints() / name, out=out), models, watch)
    return watch.drew - watch.began, time.perf_counter() - watch.drew


def spread(values: Sequence[float]) -> str:
    """The median, and the smallest and largest in brackets."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    typer.run(main)
