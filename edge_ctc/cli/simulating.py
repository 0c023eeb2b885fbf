"""`edge-ctc simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.console.lines import progress, say
from edge_ctc.simulate import Layout, write_run


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The run's folder, which does not exist yet.")],
    cells: Annotated[int, typer.Option(min=1, help="All cells of the run.")] = 1000,
    ctcs: Annotated[
        int | None,
        typer.Option(min=0, help="How many are CTCs; without it ten, or every cell of fewer."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="One seed is one patient; the same seed gives the same cells.")] = 0,
    instrument: Annotated[
        int, typer.Option(min=0, help="Optics and camera; 0 is the default one, others differ as instruments do.")
    ] = 0,
    layout: Annotated[Layout, typer.Option(help="How the run lies on the disk.")] = Layout.FLAT,
    rate: Annotated[
        float | None, typer.Option(metavar="CELLS_PER_SECOND", help="Write as slowly as an instrument does.")
    ] = None,
) -> None:
    """Write a simulated run with known truth.

    Writes the run into OUT, and the truth beside it into OUT.truth.csv.

    Example: edge-ctc simulate demo/run --cells 300 --ctcs 12 --seed 7
    """
    ctcs = min(10, cells) if ctcs is None else ctcs
    with progress("simulating", cells) as advanced:
        write_run(out, cells, ctcs, seed, layout, rate, advanced, instrument)
    say(f"{out}: {cells} cells, {ctcs} of them CTC; truth in {out}.truth.csv")
