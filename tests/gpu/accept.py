"""The acceptance on a machine with a GPU: `python -m tests.gpu.accept --out DIR` writes one report, as page and JSON.

What a machine lacks is reported as not run, never as passed. Ends with 0 where all parts ran and passed, those on the
GPU too; with 2 where none failed but some did not run; with 1 where one failed. On a machine without a GPU the parts
that measure ONNX Runtime on the CPU, the yardstick, run all the same.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli import run_app
from tests.gpu.bench import CELLS, CPU_TARGETS, GPU_TARGETS, SOAK_SECONDS, Bench, Scale, Target
from tests.gpu.cuda_loop import GROUP as PYCUDA
from tests.gpu.cuda_loop import pycuda_alone
from tests.gpu.engines import BUILD, LATENCY, PARITY, START, build, latency, parity, start_to_ready
from tests.gpu.kill import BUILDING, CALLING, killed_while_building, killed_while_calling
from tests.gpu.parts import GROUP as PARTS
from tests.gpu.parts import gpu_name, parts_present
from tests.gpu.rates import SideBySide
from tests.gpu.report import Head, write_report
from tests.gpu.section import Findings, Group, Planned, exit_code, not_reached, run_section
from tests.gpu.soak import GROUP as SOAK
from tests.gpu.soak import soak
from tests.gpu.whole_run import GROUP as WHOLE_RUN
from tests.gpu.whole_run import whole_run

OfTarget = Callable[[Bench, Target], Findings]

_EACH: tuple[tuple[Group, OfTarget], ...] = (
    (BUILD, build),
    (PARITY, parity),
    (START, start_to_ready),
    (LATENCY, latency),
)
_ONE: tuple[tuple[Group, OfTarget], ...] = (
    (WHOLE_RUN, whole_run),
    (CALLING, killed_while_calling),
    (BUILDING, killed_while_building),
)
_ON_GPU = "the preferred engine"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def planned(bench: Bench) -> list[Planned]:
    """All sections in their order; those of one group follow each other."""
    sections = [Planned(PARTS, "this machine", "machine", parts_present)]
    sections.append(Planned(PYCUDA, "the GPU", "GPU", pycuda_alone))
    for group, find in _EACH:
        sections += [
            Planned(group, target.name, target.place, partial(find, bench, target))
            for target in (*CPU_TARGETS, *GPU_TARGETS)
        ]
    sections += [*SideBySide(bench, "CPU").planned(), *SideBySide(bench, "GPU").planned()]
    for group, find in _ONE:
        cpu = CPU_TARGETS[0]
        sections.append(Planned(group, cpu.name, "CPU", partial(find, bench, cpu)))
        sections.append(Planned(group, _ON_GPU, "GPU", partial(_preferred, find, bench)))
    sections.append(Planned(SOAK, _ON_GPU, "GPU", partial(_preferred, soak, bench)))
    return sections


def _preferred(find: OfTarget, bench: Bench) -> Findings:
    target = bench.preferred()
    found = find(bench, target)
    return replace(found, notes=(f"the preferred engine: {target.name}", *found.notes))


def accept(out: Path, scale: Scale) -> int:
    """Run all sections; the report is written after each, so that a crash leaves what was found until then."""
    with tempfile.TemporaryDirectory(prefix="edge-ctc-accept-") as name:
        head = Head(datetime.now(UTC).date().isoformat(), gpu_name(), scale, Path(name))
        plan = planned(Bench(scale, Path(name)))
        done = [not_reached(one) for one in plan]
        for number, one in enumerate(plan):
            typer.echo(f"{one.place}: {one.group.title}: {one.name}", err=True)
            done[number] = run_section(one)
            typer.echo(f"  {done[number].status} {done[number].reason} ({done[number].seconds:.1f} s)", err=True)
            written = write_report(out, head, done)
    for path in written:
        typer.echo(str(path))
    return exit_code(done)


@app.command()
def main(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report.")],
    cells: Annotated[int, typer.Option(min=100, help="Simulated cells for parity and flips.")] = CELLS,
    soak_seconds: Annotated[float, typer.Option(min=1, help="How long the soak lasts.")] = SOAK_SECONDS,
) -> int:
    """Run the acceptance and write its report."""
    return accept(Path(os.path.abspath(out)), Scale(cells, soak_seconds))


if __name__ == "__main__":
    run_app(app, "python -m tests.gpu.accept")
