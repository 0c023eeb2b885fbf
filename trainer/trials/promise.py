"""Whether the promised miss rate is kept, over many splits of simulated patients.

`python -m trainer.trials.promise --out DIR`. Patients whom no training saw are simulated and scored once. A split draws
n of them at random, lays the promised cut by their CTCs, and counts what it misses of all others. The promise concerns
the mean over splits; single splits may lie above alpha, and the share of those that do is reported, since a laboratory
has one split only.

Two standard errors, since all splits share the same patients:

- *splits*: sd / sqrt(splits). Given the patients, splits are independent, and a random split of any fixed patients is
  exchangeable; so the theorem holds for these very patients, and this error alone parts the mean found from the one
  over all splits of them. Whether the promise is kept is judged by it: the stricter of the two.
- *patients*: how far the mean would move with other patients. sd / sqrt(splits) knows nothing of it, and more splits
  of the same patients would not lower it. By a jackknife that leaves out one group of patients at a time and splits the
  rest anew (Efron and Stein, Ann. Statist. 9:586, 1981; delete-a-group: Kott, J. Off. Stat. 17:521, 2001). A bootstrap
  would put copies of one patient on both sides of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from edge_ctc.cli import run_app
from edge_ctc.durable import write_bytes
from edge_ctc.errors import ConfigError
from trainer.decision.promise import PatientScores, patients_with_ctcs, promised_cut
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.progress import ConsoleReporter
from trainer.trials.simulated_scores import Cohort, scored, shipped

FIRST_SEED = 200_000
ALPHAS = (0.05, 0.1, 0.2)
SIZES = (9, 19, 49, 99)
GROUPS = 10

_FOUND = PatientScores(np.zeros(1, np.float32), not_evaluable=0)
"""A patient of whom nothing is missed: if so many such lay no cut, then so many of any kind do."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Pool:
    """Patients to be split, each with a CTC at least; K CTCs and M cells in all.

    Attributes:
        patients: N of them.
        score: float32 (K,), of each CTC; NaN where it cannot be evaluated: it reaches no cut.
        owner: int64 (K,), which patient's.
        loss: float64 (K,), what missing it costs, 1 / (CTCs of that patient).
        other: float32 (M,), scores below the CTC cut, of all cells that can be evaluated.
        other_owner: int64 (M,).
        cells: int64 (N,), all cells of each patient.
    """

    patients: tuple[PatientScores, ...]
    score: NDArray[np.float32]
    owner: NDArray[np.intp]
    loss: NDArray[np.float64]
    other: NDArray[np.float32]
    other_owner: NDArray[np.intp]
    cells: NDArray[np.intp]

    def missed(self, cut: float) -> NDArray[np.float64]:
        """Loss of each patient at a cut, float64 (N,)."""
        lost = np.bincount(self.owner, ~(self.score >= cut) * self.loss, len(self.patients))
        return np.asarray(lost, np.float64)

    def reviewed(self, cut: float) -> NDArray[np.intp]:
        """Cells of each patient from `cut` up to the CTC cut, int64 (N,)."""
        return np.bincount(self.other_owner[self.other >= cut], minlength=len(self.patients))


@dataclass(frozen=True, slots=True)
class Splits:
    """What came of the splits.

    Attributes:
        losses: float64 (S,), mean loss of the held-out patients of each.
        reviewed: float64 (S,), REVIEW cells per 1,000 cells of them.
    """

    losses: NDArray[np.float64]
    reviewed: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        checkpoint: its name.
        alpha: as promised.
        n: patients that lay the cut.
        splits: None: with so few patients nothing is promised.
        error_splits: standard error of the mean loss, given these patients.
        error_patients: the same over other patients.
    """

    checkpoint: str
    alpha: float
    n: int
    splits: Splits | None = None
    error_splits: float = 0.0
    error_patients: float = 0.0

    @property
    def text(self) -> str:
        """Markdown."""
        start = f"| {self.checkpoint} | {self.alpha:g} | {self.n} |"
        if self.splits is None:
            return f"{start} no guarantee | | | | | |"
        mean = self.splits.losses.mean()
        kept = "yes" if mean <= self.alpha + 2 * self.error_splits else "NO"
        above = (self.splits.losses > self.alpha).mean()
        return (
            f"{start} {mean:.4f} | {self.error_splits:.4f} | {self.error_patients:.4f} | {kept} | {above:.0%} | "
            f"{self.splits.reviewed.mean():.1f} |"
        )


@app.command()
def promise_trial(
    out: Annotated[Path, typer.Option(help="Folder for promise.md and the scores.")],
    patients: Annotated[int, typer.Option(min=20, help="Simulated patients.")] = 300,
    cells: Annotated[int, typer.Option(min=20, help="Cells per patient, 1 to 10 CTCs included.")] = 100,
    splits: Annotated[int, typer.Option(min=2, help="Random splits of the patients for each line.")] = 500,
) -> None:
    """Split simulated patients many times, and hold the loss of the held-out ones against the promise."""
    cohort = Cohort(FIRST_SEED, patients, cells, 1, 10)
    checkpoints = shipped()
    lines: list[Line] = []
    with ConsoleReporter() as reporter:
        for checkpoint, table in zip(checkpoints, scored(cohort, checkpoints, out, reporter), strict=True):
            pool = pool_of(table, checkpoint.description.thresholds.ctc)
            sizes = [n for n in SIZES if n <= patients * 2 // 3]
            for done, n in enumerate(sizes, 1):
                lines += [line_of(checkpoint.name, pool, alpha, n, splits) for alpha in ALPHAS]
                reporter.advanced(f"splitting, {checkpoint.name}", done, len(sizes))
    hashes = ", ".join(f"{checkpoint.name} {checkpoint.sha256[:12]}" for checkpoint in checkpoints)
    text = "\n".join([_head(cohort, splits, hashes), *(line.text for line in lines), ""])
    write_bytes(out / "promise.md", text.encode())
    typer.echo(text)


def _head(cohort: Cohort, splits: int, hashes: str) -> str:
    return (
        f"{cohort.patients} simulated patients (seeds {cohort.seeds[0]} to {cohort.seeds[-1]}), {cohort.cells} cells "
        f"each, {cohort.fewest_ctcs} to {cohort.most_ctcs} of them CTCs; {splits} random splits; {hashes}.\n\n"
        "| checkpoint | alpha | n | mean loss | error, splits | error, patients | at most alpha + 2 errors (splits) | "
        "splits above alpha | REVIEW per 1,000 cells |\n|---|---|---|---|---|---|---|---|---|"
    )


def pool_of(table: OutOfFold, ctc_cut: float) -> Pool:
    """The patients of a table; those without a CTC are left out."""
    with_ctcs = list(dict.fromkeys(table.patient[table.is_ctc].tolist()))
    patients = patients_with_ctcs(table.patient.tolist(), table.is_ctc, table.logit)
    owner = np.repeat(np.arange(len(patients)), [one.ctcs for one in patients])
    number = {name: place for place, name in enumerate(with_ctcs)}
    of = np.array([number.get(name, -1) for name in table.patient.tolist()])
    other = (table.logit < ctc_cut) & (of >= 0)
    return Pool(
        patients=patients,
        score=np.concatenate(
            [np.append(one.scores, np.full(one.not_evaluable, np.nan, np.float32)) for one in patients]
        ),
        owner=owner,
        loss=np.array([1 / one.ctcs for one in patients])[owner],
        other=table.logit[other],
        other_owner=of[other],
        cells=np.bincount(of[of >= 0], minlength=len(patients)),
    )


def line_of(checkpoint: str, pool: Pool, alpha: float, n: int, splits: int) -> Line:
    """One line of the table.

    Raises:
        ConfigError: the pool has too few patients to hold some out.
    """
    if promised_cut([_FOUND] * n, alpha).cut is None:
        return Line(checkpoint, alpha, n)
    everyone = np.arange(len(pool.patients))
    whole = split(pool, everyone, alpha, n, splits)
    groups = np.array_split(np.random.default_rng(n).permutation(everyone), GROUPS)
    means = [split(pool, np.setdiff1d(everyone, group), alpha, n, splits).losses.mean() for group in groups]
    return Line(checkpoint, alpha, n, whole, float(whole.losses.std(ddof=1) / splits**0.5), jackknife_error(means))


def jackknife_error(means: Sequence[float]) -> float:
    """Standard error from the means without one of the groups each; the splits' own scatter makes it larger."""
    groups = len(means)
    return float(np.sqrt((groups - 1) * np.var(means)))


def split(pool: Pool, members: NDArray[np.intp], alpha: float, n: int, splits: int) -> Splits:
    """Random splits of `members`: n lay the cut, all others are held out.

    Raises:
        ConfigError: nobody would be held out.
    """
    if len(members) <= n:
        raise ConfigError(f"{len(members)} patients, {n} of them to lay the cut; simulate more patients")
    rng = np.random.default_rng([n, len(members)])
    losses, reviewed = np.empty(splits), np.empty(splits)
    for place in range(splits):
        order = rng.permutation(members)
        held_out = order[n:]
        cut = promised_cut([pool.patients[index] for index in order[:n]], alpha).cut
        # Too many of the n may have cells that cannot be evaluated: without a promise all of them are looked at.
        lowest = -np.inf if cut is None else cut
        losses[place] = pool.missed(lowest)[held_out].mean()
        reviewed[place] = 1000 * pool.reviewed(lowest)[held_out].sum() / pool.cells[held_out].sum()
    return Splits(losses, reviewed)


if __name__ == "__main__":
    run_app(app, "python -m trainer.trials.promise")
