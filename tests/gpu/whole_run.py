"""A whole run, from files to committed calls, alone and while every other core decodes too."""

import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cell_reader import CellReader
from edge_ctc.checkpoint import open_checkpoint
from edge_ctc.classify import classify_run
from edge_ctc.engine.seam import Engine
from edge_ctc.models import OpenModels
from edge_ctc.plan import Plan, Request, make_plan
from tests.benchmarks.walk import Silent
from tests.gpu.bench import CHECKOUT, Bench, Target, cores, python, spread
from tests.gpu.section import Findings, Group

GROUP = Group(
    "Whole run",
    ("cells", "decoding alone", "engine alone", "whole run", "of decoding", "of engine", "whole run, all cores busy"),
    "`classify_run` on a simulated run on the disk, four channels of 64 x 64 px, 16 bit, page cache warm, engine "
    "open, sha256 on, results committed. Cells per second, median (smallest to largest) of three rounds, each of "
    "which times decoding alone, the engine alone and the whole one after the other. Decoding alone is one "
    "thread, as the product decodes; the last column is the same whole run while a further process on each other "
    "core decodes the same files.",
)

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Opened:
    """All that a round needs."""

    bench: Bench
    models: OpenModels
    plan: Plan
    engine: Engine

    def decode(self) -> None:
        read_all(self.plan, self.engine)

    def infer(self) -> None:
        batch = self.engine.max_batch
        for first in range(0, len(self.plan.cells), batch):
            self.engine.infer(0, min(batch, len(self.plan.cells) - first))

    def call(self) -> None:
        out = self.bench.folder / "results"
        classify_run(Request(self.bench.run, checkpoint=self.bench.checkpoint.folder, out=out), self.models, Silent())
        shutil.rmtree(out)

    def rate(self, work: Callable[[], None]) -> float:
        """Cells per second."""
        began = time.perf_counter()
        work()
        return len(self.plan.cells) / (time.perf_counter() - began)


def whole_run(bench: Bench, target: Target) -> Findings:
    """Time it."""
    with bench.models(target) as models:
        request = Request(bench.run, checkpoint=bench.checkpoint.folder, out=bench.folder / "results")
        plan = make_plan(request, models)
        opened = _Opened(bench, models, plan, models.engine(plan.checkpoint)[0])
        works = (opened.decode, opened.infer, opened.call)
        opened.call()
        rounds = [tuple(opened.rate(work) for work in works) for _ in range(_ROUNDS)]
        with every_other_core_decoding(bench):
            busy = [opened.rate(opened.call) for _ in range(_ROUNDS)]
    decoding, engine, whole = (list(rates) for rates in zip(*rounds, strict=True))
    shares = [statistics.median(w / a for w, a in zip(whole, alone, strict=True)) for alone in (decoding, engine)]
    cells = (f"{len(plan.cells):,}", *(spread(rates) for rates in (decoding, engine, whole)))
    raw = {"decoding": decoding, "engine": engine, "whole": whole, "whole_all_cores_busy": busy}
    return Findings((*cells, *(f"{share:.0%}" for share in shares), spread(busy)), {"cells_per_second": raw})


@contextlib.contextmanager
def every_other_core_decoding(bench: Bench) -> Iterator[None]:
    """A process on each core but one decodes the run over and over."""
    command = python("-m", "tests.gpu.whole_run", bench.run, bench.checkpoint.folder)
    with contextlib.ExitStack() as stack:
        for _ in range(cores() - 1):
            process = stack.enter_context(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            if process.stdout is None or process.stdout.readline() != "decoding\n":
                raise RuntimeError("a process that is to decode ended")
        yield


def read_all(plan: Plan, engine: Engine) -> None:
    """Decode every cell of a run into the engine's first buffer."""
    reader = CellReader.of(plan.run.folder, plan.profile.profile, plan.checkpoint)
    for number, cell in enumerate(plan.cells):
        reader.read(cell, engine.inputs[0][number % engine.max_batch])


def main(run: Path, checkpoint: Path) -> None:
    """Decode until killed."""
    with OpenModels() as models:
        plan = make_plan(Request(run, checkpoint=checkpoint), models)
        engine, _ = models.engine(open_checkpoint(checkpoint))
        sys.stdout.write("decoding\n")
        sys.stdout.flush()
        while True:
            read_all(plan, engine)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
