"""The arms of a table, each cross-validated in a process of its own, and the written comparison."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from edge_ctc.errors import ConfigError, EngineError
from edge_ctc.exports.profile import LoadedProfile
from trainer.cells.dataset import Wanted, read_dataset
from trainer.cells.fingerprint import refuse_shared_cells
from trainer.cells.folds import Folds
from trainer.cells.labels import read_labels
from trainer.evaluation.crossval import cross_validate
from trainer.evaluation.figures import Asked, differences, figures_of
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.learning.start import read_start
from trainer.pages.ablation_report import Ablation, ArmFigures, write_report
from trainer.progress import Reporter
from trainer.table import Arm, Table

OUT_OF_FOLD = "out_of_fold.csv"


@dataclass(frozen=True, slots=True)
class Order:
    """What all arms learn from.

    Attributes:
        runs: the folder whose subfolders are the runs.
        labels: CSV with run_id, cell_id, label, patient.
        profile: how the runs are laid out; None: per run the built-in that accounts for every file.
    """

    runs: Path
    labels: Path
    profile: LoadedProfile | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    order: Order
    arm: Arm
    folds: Folds
    out: Path


def ablate(order: Order, table: Table, out: Path, jobs: int, reporter: Reporter) -> Ablation:
    """Cross-validate every arm, and write what they are worth against the baseline and against the arm before.

    What was killed goes on where it stood, if it is started again with the same arguments.

    Args:
        order: what to learn from.
        table: the arms.
        out: a folder for each arm, and table.md, table.json and table.png.
        jobs: arms at a time, each on one thread of torch.
        reporter: told of each arm that is done; the arms themselves write plain lines to standard error.

    Raises:
        EdgeCtcError: what an arm raised, as `read_dataset`, `refuse_shared_cells` and `cross_validate` say; the others
            end.
        EngineError: an arm's process ended suddenly.
        ConfigError: `jobs` is no number of processes, or the weights to start from cannot be read.
        ResultsError: `out` cannot be written.
    """
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs, expected 1 or more; name as many as there are cores")
    read_labels(order.labels)
    for arm in table.arms:
        read_start(arm.recipe)
    works = [_Work(order, arm, table.folds, out / arm.name) for arm in table.arms]
    tables = _cross_validated(works, jobs, reporter)
    reporter.say("comparing the arms by bootstrap")
    ablation = _compared(table, [tables[arm.name] for arm in table.arms])
    write_report(ablation, out)
    return ablation


def _cross_validated(works: list[_Work], jobs: int, reporter: Reporter) -> dict[str, OutOfFold]:
    """The out-of-fold table of each arm, by name."""
    context = multiprocessing.get_context("spawn")
    done: dict[str, OutOfFold] = {}
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours, ProcessPoolExecutor(jobs, context, _begin_child, (theirs,)) as pool:
        try:
            name_of = {pool.submit(_train_arm, work): work.arm.name for work in works}
            for future in as_completed(name_of):
                done[name_of[future]] = future.result()
                reporter.say(f"{name_of[future]}: done, {len(done)} of {len(works)} arms")
        except BrokenProcessPool as error:
            raise EngineError(
                "the process of an arm ended suddenly, for want of memory perhaps; start again to go on, "
                "with fewer --jobs"
            ) from error
        finally:
            if len(done) < len(works):
                ours.close()  # ends the arms that still train: leaving the pool would wait for them
    return done


def _begin_child(parent: Connection) -> None:
    """One thread of torch; end with the parent, who is told of Ctrl-C alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """Nothing is ever sent: the pipe can be read when its other end closes, which a killed parent's does too."""
    parent.poll(None)
    os._exit(1)


def _train_arm(work: _Work) -> OutOfFold:
    recipe, lines = work.arm.recipe, ArmLines(work.arm.name)
    wanted = Wanted(recipe.channels, recipe.auxiliary_channels)
    labels = read_labels(work.order.labels).cells
    dataset = read_dataset(work.order.runs, labels, work.order.profile, wanted, lines)
    refuse_shared_cells(dataset.cells)
    table = cross_validate(dataset, recipe, work.folds, work.out, lines)
    table.write(work.out / OUT_OF_FOLD)
    return table


class ArmLines:
    """A `Reporter` that writes plain lines with the arm's name to standard error, each text once, and no epochs."""

    def __init__(self, arm: str) -> None:
        """Nothing is written before the first report."""
        self._arm = arm
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """As `Reporter.say`; every fold says much the same."""
        if text not in self._said:
            self._said.add(text)
            sys.stderr.write(f"{self._arm}: {text}\n")
            sys.stderr.flush()

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        """As `Reporter.advanced`."""
        if what == "folds":
            self.say(f"{what} {done}/{total} {note}".rstrip())


def _compared(table: Table, tables: list[OutOfFold]) -> Ablation:
    # The report shows figures that need neither.
    asked = Asked(prevalence=0.01, top=20)
    baseline = next(found for arm, found in zip(table.arms, tables, strict=True) if arm.name == table.baseline)
    arms = [
        ArmFigures(
            arm=arm,
            figures=figures_of(found, asked),
            to_baseline=None if arm.name == table.baseline else differences(baseline, found, asked),
            to_former=None if number == 0 else differences(tables[number - 1], found, asked),
        )
        for number, (arm, found) in enumerate(zip(table.arms, tables, strict=True))
    ]
    first = baseline.of_seed(baseline.seeds[0])
    ctcs = int(first.is_ctc.sum())
    return Ablation(table, tuple(arms), ctcs, len(first.is_ctc) - ctcs, len(set(first.patient.tolist())))
