"""What the arms of a table are worth, as table.md for people, table.json for programs and table.png to look at."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import MaxNLocator

from edge_ctc.durable import write_bytes
from trainer.evaluation.figures import Figure
from trainer.out_folder import make_folder
from trainer.pages.plots import BLUE, GREY, ORANGE, png
from trainer.table import Arm, Table

SHOWN = {
    "f1_ctc": "F1 of CTC",
    "average_precision": "average precision",
    "average_precision_per_fold": "average precision per fold",
    "f1_at_half": "F1 of CTC at even odds",
}
"""`trainer.evaluation.figures.NAMES` that the report holds, with what people read."""

_WITHOUT = "—"
_DPI = 120
_APART = 0.14
"""Of the rows' distance, so that the two differences of an arm do not hide each other."""


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm and what it is worth.

    Attributes:
        arm: with its recipe.
        figures: its own.
        to_baseline: its figures less the baseline's, paired; None for the baseline.
        to_former: its figures less those of the arm before, paired; None for the first.
    """

    arm: Arm
    figures: tuple[Figure, ...]
    to_baseline: tuple[Figure, ...] | None
    to_former: tuple[Figure, ...] | None


@dataclass(frozen=True, slots=True)
class Ablation:
    """All arms of a table.

    Attributes:
        table: what was asked.
        arms: in its order.
        ctcs: scored in every arm, once per seed.
        leukocytes: the same.
        patients: whose cells they are.
    """

    table: Table
    arms: tuple[ArmFigures, ...]
    ctcs: int
    leukocytes: int
    patients: int


def write_report(ablation: Ablation, out: Path) -> None:
    """Write table.png, table.json and table.md, each whole, into the folder `out`.

    Raises:
        ResultsError: they cannot be written.
    """
    make_folder(out)
    write_bytes(out / "table.png", picture(ablation))
    write_bytes(out / "table.json", json.dumps(_facts(ablation), indent=1, allow_nan=False).encode())
    write_bytes(out / "table.md", markdown(ablation).encode())


def markdown(ablation: Ablation) -> str:
    """The report as Markdown."""
    table = ablation.table
    parts = [f"# {table.name}", _layout(ablation), _grid("arm", [(one, one.figures) for one in ablation.arms], "")]
    parts += [f"Less `{table.baseline}`, paired:", _grid("arm", _having(ablation, "to_baseline"), "+")]
    if _has_others_before(table):
        parts += ["Less the arm before it, paired:", _grid("arm", _having(ablation, "to_former"), "+")]
    return "\n\n".join(parts) + "\n"


def _has_others_before(table: Table) -> bool:
    """Whether some arm's difference to the arm before it is another than that to the baseline."""
    return len(table.arms) > 2 or table.arms[0].name != table.baseline


def _having(ablation: Ablation, name: str) -> list[tuple[ArmFigures, tuple[Figure, ...]]]:
    found = [(one, getattr(one, name)) for one in ablation.arms]
    return [(one, figures) for one, figures in found if figures is not None]


def _layout(ablation: Ablation) -> str:
    folds = ablation.table.folds
    sample = folds.sample
    learned = "all cells of a fold" if sample is None else f"{sample.ctcs} CTCs and {sample.leukocytes} leukocytes"
    return (
        f"{ablation.ctcs} CTCs and {ablation.leukocytes} leukocytes of {ablation.patients} patients, each scored by a "
        f"network that never saw its patient: {folds.folds} folds, {folds.seeds} seeds; learned from {learned}. "
        "Means over the seeds, [95 % bootstrap interval over patients], sd over the seeds. F1 of CTC: the cut is "
        "chosen on validation patients, beyond those learned from; at even odds it needs none of their labels. "
        "Average precision ranks the scores of all folds together, or those of each fold's network alone (mean). "
        "Differences are of the same resampled patients and the same seeds."
    )


def _grid(corner: str, rows: list[tuple[ArmFigures, tuple[Figure, ...]]], sign: str) -> str:
    head = [f"| {corner} | {' | '.join(SHOWN.values())} |", f"|---|{'---|' * len(SHOWN)}"]
    lines = [
        f"| {one.arm.name} | {' | '.join(_said(figure, sign) for figure in _of(figures))} |" for one, figures in rows
    ]
    return "\n".join(head + lines)


def _of(figures: tuple[Figure, ...]) -> list[Figure]:
    by_name = {figure.name: figure for figure in figures}
    return [by_name[name] for name in SHOWN]


def _said(figure: Figure, sign: str) -> str:
    if math.isnan(figure.value):
        return _WITHOUT
    sd = "" if math.isnan(figure.seed_sd) else f", sd {figure.seed_sd:.3f}"
    return f"{figure.value:{sign}.3f} [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]{sd}"


def _facts(ablation: Ablation) -> dict[str, Any]:
    folds = ablation.table.folds
    return {
        "schema_version": 1,
        "name": ablation.table.name,
        "folds": folds.folds,
        "seeds": folds.seeds,
        "sample": None if folds.sample is None else asdict(folds.sample),
        "baseline": ablation.table.baseline,
        "scored": {"ctcs": ablation.ctcs, "leukocytes": ablation.leukocytes, "patients": ablation.patients},
        "arms": [
            {
                "name": one.arm.name,
                "figures": _numbers(one.figures),
                "to_baseline": _numbers(one.to_baseline),
                "to_former": _numbers(one.to_former),
                "recipe": one.arm.recipe.model_dump(mode="json"),
            }
            for one in ablation.arms
        ],
    }


def _numbers(figures: tuple[Figure, ...] | None) -> dict[str, dict[str, float | None]] | None:
    """By name; what is not defined is null, since JSON knows no NaN."""
    if figures is None:
        return None
    names = ("value", "low", "high", "seed_sd", "undefined")
    return {
        figure.name: {name: None if math.isnan(getattr(figure, name)) else getattr(figure, name) for name in names}
        for figure in _of(figures)
    }


def picture(ablation: Ablation) -> bytes:
    """A PNG: each arm's differences to the baseline (filled) and to the arm before it (hollow), with intervals.

    Without the latter where they are the same.
    """
    names = [one.arm.name for one in ablation.arms]
    drawn = Picture(figsize=(3 * len(SHOWN) + 2, 0.55 * len(names) + 2.0), dpi=_DPI, layout="constrained")
    baseline, before = f"less the arm {ablation.table.baseline}", _has_others_before(ablation.table)
    panels = drawn.subplots(1, len(SHOWN), sharey=True)
    for place, (axes, shown) in enumerate(zip(panels, SHOWN.values(), strict=True)):
        axes.axvline(0, color=GREY, linewidth=1)
        _draw(axes, _at(place, ablation, "to_baseline"), -_APART if before else 0, BLUE, BLUE, baseline)
        if before:
            _draw(axes, _at(place, ablation, "to_former"), _APART, ORANGE, "white", "less the arm before")
        axes.set_xlabel(f"difference in {shown}")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    drawn.suptitle(_title(ablation), fontsize=11)
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return png(drawn)


def _title(ablation: Ablation) -> str:
    folds = ablation.table.folds
    seeds = "seed" if folds.seeds == 1 else "seeds"
    return (
        f"{ablation.table.name}: paired differences between arms, n = {folds.seeds} {seeds} x {folds.folds} folds "
        f"({ablation.ctcs} CTCs, {ablation.leukocytes} leukocytes, {ablation.patients} patients)\n"
        "dot: mean of the seeds; bar: 95 % bootstrap interval over patients"
    )


def _at(place: int, ablation: Ablation, name: str) -> list[tuple[int, Figure]]:
    """The rows that have a difference, each with that of one panel."""
    found = [(row, getattr(one, name)) for row, one in enumerate(ablation.arms)]
    return [(row, _of(figures)[place]) for row, figures in found if figures is not None]


def _draw(axes: Axes, known: list[tuple[int, Figure]], shift: float, colour: str, face: str, label: str) -> None:
    heights = [row + shift for row, _ in known]
    axes.hlines(heights, [one.low for _, one in known], [one.high for _, one in known], color=colour)
    axes.plot([one.value for _, one in known], heights, "o", color=colour, markerfacecolor=face, label=label)
