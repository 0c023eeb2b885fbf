"""Ten CTCs in a thousand cells: what a reader finds, and whether p_ctc adds up, on simulated patients.

`python -m trainer.trials.rare --out DIR`. Patients whom no training saw, one run each, scored by the shipped
checkpoints. p_ctc is moved to the prevalence of these runs, which a laboratory would write into its recipe; nothing
else is fitted.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.checkpoint import Checkpoint
from edge_ctc.cli import run_app
from edge_ctc.durable import write_bytes
from trainer.evaluation.calibration_evidence import CalibrationEvidence, calibration_evidence
from trainer.evaluation.figures import Asked, Figure, RunRow, figures_of, per_run
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.progress import ConsoleReporter
from trainer.trials.simulated_scores import Cohort, scored, shipped

FIRST_SEED = 300_000
TOP = 20
_REPORTED = {
    "recall_in_top": f"recall in the best {TOP} of a run",
    "precision_at_prevalence": "precision of the verdict CTC",
    "average_precision": "average precision, all runs in one ranking",
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def rare_trial(
    out: Annotated[Path, typer.Option(help="Folder for rare.md and the scores.")],
    runs: Annotated[int, typer.Option(min=2, help="Simulated patients, one run each.")] = 24,
    cells: Annotated[int, typer.Option(min=20, help="Cells per run, CTCs included.")] = 1000,
    ctcs: Annotated[int, typer.Option(min=1, help="CTCs per run.")] = 10,
) -> None:
    """Call simulated runs with few CTCs, and hold ranking, verdicts and p_ctc against the truth."""
    cohort = Cohort(FIRST_SEED, runs, cells, ctcs, ctcs)
    checkpoints = shipped()
    with ConsoleReporter() as reporter:
        tables = scored(cohort, checkpoints, out, reporter)
    parts = (_part(checkpoint, table, cohort) for checkpoint, table in zip(checkpoints, tables, strict=True))
    text = "\n".join([_head(cohort), *chain.from_iterable(parts), ""])
    write_bytes(out / "rare.md", text.encode())
    typer.echo(text)


def _head(cohort: Cohort) -> str:
    return (
        f"{cohort.patients} simulated patients (seeds {cohort.seeds[0]} to {cohort.seeds[-1]}), one run each, "
        f"{cohort.fewest_ctcs} CTCs in {cohort.cells} cells; p_ctc at prevalence {cohort.prevalence:g}; 95 % intervals "
        "by bootstrap over patients."
    )


def _part(checkpoint: Checkpoint, table: OutOfFold, cohort: Cohort) -> Iterable[str]:
    """The section of one checkpoint, Markdown."""
    asked = Asked(prevalence=cohort.prevalence, top=TOP)
    yield f"\n## {checkpoint.name}, {checkpoint.sha256[:12]}\n"
    yield from (_figure(figure) for figure in figures_of(table, asked) if figure.name in _REPORTED)
    yield f"\n| run | CTCs in the best {TOP} | recall | precision | called CTC, right | wrong | REVIEW | sum of p_ctc |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_run(row) for row in per_run(table, asked))
    yield from _calibration(calibration_evidence(table, None))


def _figure(figure: Figure) -> str:
    return f"- {_REPORTED[figure.name]}: {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _run(row: RunRow) -> str:
    review = row.ctcs_review + row.leukocytes_review
    return (
        f"| {row.run_id} | {row.ctcs_in_top:.0f} of {row.ctcs} | {row.ctcs_in_top / row.ctcs:.2f} | "
        f"{row.ctcs_in_top / TOP:.2f} | {row.ctcs_called:.0f} | {row.leukocytes_called:.0f} | {review:.0f} | "
        f"{row.expected_ctcs:.1f} |"
    )


def _calibration(evidence: CalibrationEvidence | None) -> Iterable[str]:
    if evidence is None:
        yield "\nNo calibration: p_ctc is empty."
        return
    slope = "none, both classes part" if evidence.slope is None else f"{evidence.slope:.2f}"
    yield f"\nThe p_ctc of all cells sum to {evidence.expected:.1f}, of {evidence.ctcs:.0f} CTCs; slope {slope}.\n"
    yield "| p_ctc | cells | sum of p_ctc | CTCs |"
    yield "|---|---|---|---|"
    for one in evidence.bins:
        yield f"| {one.low:g} to {one.high:g} | {one.cells:.0f} | {one.expected:.1f} | {one.ctcs:.0f} |"


if __name__ == "__main__":
    run_app(app, "python -m trainer.trials.rare")
