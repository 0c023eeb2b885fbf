"""Trust in simulated runs that a shipped checkpoint calls: `python -m tests.benchmarks.trust INSTRUMENTS CHECKPOINT`.

Prints a table for docs/results.md. INSTRUMENTS: "seen", the twelve of its training, or "new", another one for each run;
CHECKPOINT: reference or reference-bf. Each run is written, and called and judged by the product.
"""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.classify import classify_run
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.simulate import CHANNELS, Layout, simulate_cells
from edge_ctc.simulate.instruments import Instrument
from edge_ctc.simulate.layouts import cell_files, cell_ids
from edge_ctc.trust import Trust
from tests.benchmarks.walk import Silent
from tests.defects import Counts, amplified, blurred, dimmed
from trainer.reference import INSTRUMENTS

UNSHIFTED_RUNS, UNSHIFTED_CELLS = 400, 250
SHIFTED_RUNS, SHIFTED_CELLS = 40, 100
FIRST_PATIENT = {"seen": 45_000, "new": 46_000}
"""Patients that no choice was made on."""

Shift = Callable[[Counts, float], Counts]
"""Cells (N, 4, H, W) and the camera's counts in the dark to shifted cells."""

STAINS = (1, 2, 3)


def gain(by: float, cells: Counts, dark: float) -> Counts:
    return amplified(cells, by, dark)


def defocus(by_px: float, cells: Counts, _dark: float) -> Counts:
    return blurred(cells, by_px)


def stain(by: float, channels: Sequence[int], cells: Counts, _dark: float) -> Counts:
    return dimmed(cells, by, list(channels))


OF_ALL_CHANNELS: Mapping[str, Shift] = {
    **{f"gain x {by:g}": partial(gain, by) for by in (1.25, 1.5, 2.0)},
    **{f"defocus {by:g} px": partial(defocus, by) for by in (0.5, 1.0, 1.5, 2.0)},
}
OF_STAINS: Mapping[str, Shift] = {
    **{f"all stains x {by:g}": partial(stain, by, STAINS) for by in (0.7, 0.5, 0.33)},
    **{f"{CHANNELS[one]} x 0.5": partial(stain, 0.5, [one]) for one in STAINS},
}


def instrument_of(which: str, patient: int) -> int:
    return patient % INSTRUMENTS if which == "seen" else patient


def judged(cells: Iterable[Counts], run: Path, checkpoint: Path, models: OpenModels) -> Trust:
    """Write the cells (4, H, W) as a run, call it, and take all away again."""
    images = list(cells)
    for cell_id, one in zip(cell_ids(len(images), Layout.MULTIPAGE), images, strict=True):
        for name, content in cell_files(run.name, cell_id, one, Layout.MULTIPAGE):
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    trust = classify_run(Request(run, checkpoint=checkpoint), models, Silent()).trust
    shutil.rmtree(run.parent)
    if trust is None:
        raise ValueError(f"{run}: was not judged")
    return trust


def lights(found: Sequence[Trust]) -> str:
    counts = Counter(one.light for one in found)
    why = Counter(f"{reason.channel} {reason.measure}".strip() for one in found for reason in one.reasons)
    shares = " | ".join(f"{counts[light] / len(found):.1%}" for light in ("green", "amber", "red"))
    return f"{shares} | {', '.join(f'{name} {count}' for name, count in why.most_common(3))}"


def main() -> None:
    """Simulate, shift, call and print."""
    which, name = sys.argv[1:]
    checkpoint = shipped_checkpoints() / name
    shifts = OF_ALL_CHANNELS if name == "reference-bf" else {**OF_ALL_CHANNELS, **OF_STAINS}
    unshifted: list[Trust] = []
    by_shift: dict[str, list[Trust]] = {shift: [] for shift in shifts}
    with tempfile.TemporaryDirectory() as scratch, OpenModels() as models:
        run = Path(scratch) / "export" / "run"
        for place in range(UNSHIFTED_RUNS):
            patient = FIRST_PATIENT[which] + place
            instrument = instrument_of(which, patient)
            images = np.stack([cell.images for cell in simulate_cells(UNSHIFTED_CELLS, 5, patient, instrument)])
            unshifted.append(judged(images, run, checkpoint, models))
            if place < SHIFTED_RUNS:
                dark = Instrument.of(instrument).offset
                for shift, found in by_shift.items():
                    shifted = shifts[shift](images[:SHIFTED_CELLS], dark)
                    found.append(judged(shifted, run, checkpoint, models))
    sys.stdout.write(
        f"{name}, {which} instruments\n\n"
        "| shift | green | amber | red | figures that told it |\n|---|---|---|---|---|\n"
        f"| none | {lights(unshifted)} |\n"
    )
    sys.stdout.writelines(f"| {shift} | {lights(found)} |\n" for shift, found in by_shift.items())


if __name__ == "__main__":
    main()
