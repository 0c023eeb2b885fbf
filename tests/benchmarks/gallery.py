"""What the gallery costs beside the calling of its run: `python -m tests.benchmarks.gallery` prints the table."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from edge_ctc.checkpoint import open_checkpoint, shipped_checkpoints
from edge_ctc.classify import classify_run
from edge_ctc.description import Thresholds
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request
from edge_ctc.results.committed import committed_calls
from edge_ctc.simulate import CHANNELS, Layout, write_run
from tests.benchmarks.walk import Silent, make_checkpoint
from trainer.checkpoint.folder import publish
from trainer.recipe import Recipe


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
        "| cells | checkpoint | calling, s | gallery, s | gallery of calling | page, MB |\n|---|---|---|---|---|---|"
    )
    shipped = [shipped_checkpoints() / name for name in ("reference", "reference-bf")]
    with tempfile.TemporaryDirectory() as scratch, OpenModels() as models:
        # The network of the paper's recipe; the shipped ones are half as wide, half as deep and lack its last stage.
        recipe = Recipe(schema_version=1, name="resnet34", architecture="resnet34", channels=CHANNELS, epochs=1)
        deep = make_checkpoint(Path(scratch), recipe)
        for count in cells or [1000, 10_000]:
            run = Path(scratch) / f"run-{count}"
            write_run(run, count, max(1, count // 100), 905, Layout.FLAT)
            for checkpoint in (*shipped, with_usual_cuts(deep, run, models)):
                outs = [Path(scratch) / f"{count}-{checkpoint.name}-{one}" for one in range(rounds)]
                measured = [timed(run, out, checkpoint, models) for out in outs]
                size = (outs[0] / f"{run.name}.ctc-gallery.html").stat().st_size / 1e6
                calling, drawing = zip(*measured, strict=True)
                shares = [drew / called for called, drew in measured]
                figures = " | ".join(spread(values) for values in (calling, drawing, shares))
                typer.echo(f"| {count} | {checkpoint.name} | {figures} | {size:.1f} |")


def with_usual_cuts(checkpoint: Path, run: Path, models: OpenModels) -> Path:
    """The checkpoint with cuts that make 1 % of the run CTC and 2 % REVIEW: its own, of one epoch, are anywhere."""
    described = open_checkpoint(checkpoint)
    request = Request(run, checkpoint=checkpoint, out=checkpoint.parent / f"{run.name}-all")
    place = classify_run(request, models, Silent()).place
    scores = np.array([call.score for call in committed_calls(place)[1]])
    ctc, review = np.quantile(scores, (0.99, 0.97))
    cuts = Thresholds(ctc=float(ctc), review=float(review))
    out = checkpoint.parent / f"{run.name}-cuts" / checkpoint.name
    out.parent.mkdir()
    contents = {name: (checkpoint / name).read_bytes() for name in described.description.files}
    publish(out, described.description.model_copy(update={"thresholds": cuts}), contents)
    return out


def timed(run: Path, out: Path, checkpoint: Path, models: OpenModels) -> tuple[float, float]:
    """Seconds of calling and of drawing."""
    watch = Watch()
    classify_run(Request(run, checkpoint=checkpoint, out=out), models, watch)
    return watch.drew - watch.began, time.perf_counter() - watch.drew


def spread(values: Sequence[float]) -> str:
    """The median, and the smallest and largest in brackets."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    typer.run(main)
