"""Trust in simulated runs: `python -m tests.benchmarks.trust SCENARIO [BF]` prints a table for docs/results.md."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_ctc.appearance import Appearances, joined, measure
from edge_ctc.run_spread import RunSpread
from edge_ctc.simulate import CHANNELS, simulate_cells
from edge_ctc.simulate.instruments import Instrument
from edge_ctc.trust import RunLooks, Trust, trust_in
from tests.defects import Counts, amplified, blurred, dimmed
from trainer.cells.labels import Label
from trainer.cells.run_spread import run_spread

TRAINING_RUNS, UNSHIFTED_RUNS, SHIFTED_RUNS = 60, 200, 40
SHIFTED_CELLS = 100

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


@dataclass(frozen=True, slots=True)
class Scenario:
    """The first of the new patients, and the instruments of the training's runs and of the new ones."""

    told: str
    patient: int
    training: Sequence[int]
    new: Sequence[int]


ONE, TWELVE = [3] * UNSHIFTED_RUNS, [run % 12 for run in range(UNSHIFTED_RUNS)]
OTHERS, SIXTY = range(500, 500 + UNSHIFTED_RUNS), range(900, 900 + TRAINING_RUNS)
SCENARIOS = {
    "one": Scenario("one instrument, the same", 42_000, ONE, ONE),
    "twelve": Scenario("12 instruments, the same", 42_000, TWELVE, TWELVE),
    "twelve-new": Scenario("12 instruments, each new run another", 43_000, TWELVE, OTHERS),
    "many": Scenario("60 instruments, each new run another", 43_000, SIXTY, OTHERS),
}


def learned(scenario: Scenario, channels: slice) -> RunSpread:
    """From 60 patients of 200 cells with 20 CTCs each."""
    looks: list[Appearances] = []
    labels: list[Label] = []
    for run in range(TRAINING_RUNS):
        cells = list(simulate_cells(200, 20, 100_000 + run, scenario.training[run]))
        looks.append(measure(np.stack([cell.images[channels] for cell in cells]), 12))
        labels += [Label(f"r{run}", str(cell.number), cell.label == "CTC", f"p{run}") for cell in cells]
    spread = run_spread(joined(looks), labels, CHANNELS[channels])
    if spread is None:
        raise ValueError(f"{TRAINING_RUNS} runs gave no spread")
    return spread


def lights(found: Sequence[Trust]) -> str:
    counts = Counter(one.light for one in found)
    why = Counter(f"{reason.channel} {reason.measure}".strip() for one in found for reason in one.reasons)
    shares = " | ".join(f"{counts[light] / len(found):.1%}" for light in ("green", "amber", "red"))
    return f"{shares} | {', '.join(f'{name} {count}' for name, count in why.most_common(3))}"


def main() -> None:
    """Simulate, shift, judge and print."""
    scenario = SCENARIOS[sys.argv[1]]
    channels = slice(0, 1) if sys.argv[2:] == ["BF"] else slice(0, 4)
    names, spread = CHANNELS[: channels.stop], learned(scenario, channels)

    def judged(cells: Counts) -> Trust:
        return trust_in(RunLooks(tuple(names), measure(cells, 12), len(cells), 0, None), spread)

    unshifted: list[Trust] = []
    shifts = OF_ALL_CHANNELS if len(names) == 1 else {**OF_ALL_CHANNELS, **OF_STAINS}
    by_shift: dict[str, list[Trust]] = {name: [] for name in shifts}
    for run in range(UNSHIFTED_RUNS):
        images = np.stack([cell.images for cell in simulate_cells(250, 5, scenario.patient + run, scenario.new[run])])
        unshifted.append(judged(images[:, channels]))
        if run < SHIFTED_RUNS:
            dark = Instrument.of(scenario.new[run]).offset
            for name, found in by_shift.items():
                found.append(judged(shifts[name](images[:SHIFTED_CELLS], dark)[:, channels]))
    sys.stdout.write(
        f"{scenario.told}; {', '.join(names)}; bands {spread.amber_sds:.2f}, {spread.red_sds:.2f} sds\n\n"
        "| shift | green | amber | red | figures that told it |\n|---|---|---|---|---|\n"
        f"| none | {lights(unshifted)} |\n"
    )
    sys.stdout.writelines(f"| {name} | {lights(found)} |\n" for name, found in by_shift.items())


if __name__ == "__main__":
    main()
