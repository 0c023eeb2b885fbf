"""Simulated patients whom no training saw, scored by shipped checkpoints: what the trials on simulated patients share.

The cells are those that `trainer.reference.simulate_patients` would write, with the same pixels, but they never touch
the disk: one simulation is scored by all checkpoints, with the product's preprocessing and ONNX Runtime.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc import __version__
from edge_ctc.checkpoint import Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.decision import cuts_in_run, decide
from edge_ctc.engine.opening import open_on_cpu
from edge_ctc.engine.seam import Engine
from edge_ctc.errors import ConfigError
from edge_ctc.plan import REFERENCE_NAMES
from edge_ctc.preprocess import prepare
from edge_ctc.simulate import CHANNELS, SimulatedCell, simulate_cells
from trainer.decision.measure import at_prevalence
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.out_folder import make_folder
from trainer.progress import Reporter
from trainer.reference import INSTRUMENTS

_LEARNED_SHARE = 0.1
"""Of CTCs in `trainer.reference`; a table must have it, and no figure of the trials asks for it."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Patients to simulate, each with a number of CTCs of its own.

    Attributes:
        first_seed: the patients have the seeds from it on; training seeds are refused.
        patients: how many.
        cells: of each patient, CTCs included.
        fewest_ctcs: of a patient, 1 or more.
        most_ctcs: of a patient; every number from the fewest to it is as likely.
    """

    first_seed: int
    patients: int
    cells: int
    fewest_ctcs: int
    most_ctcs: int

    @property
    def seeds(self) -> range:
        """Of the simulator; one is one patient."""
        return range(self.first_seed, self.first_seed + self.patients)

    @property
    def prevalence(self) -> float:
        """Expected share of CTCs among the cells, which p_ctc is made to assume."""
        return (self.fewest_ctcs + self.most_ctcs) / 2 / self.cells

    def ctcs(self, seed: int) -> int:
        """How many CTCs the patient `seed` has."""
        return int(np.random.default_rng(seed).integers(self.fewest_ctcs, self.most_ctcs, endpoint=True))


def shipped() -> tuple[Checkpoint, ...]:
    """The checkpoints that edge_ctc ships. Raises CheckpointError where one is spoilt."""
    return tuple(open_checkpoint(shipped_checkpoints() / name) for name in REFERENCE_NAMES)


def scored(cohort: Cohort, checkpoints: Sequence[Checkpoint], out: Path, reporter: Reporter) -> tuple[OutOfFold, ...]:
    """One table per checkpoint, each patient a run; kept in `out`, and read from there the next time.

    A kept table is of the same patients, checkpoint and version of edge_ctc, which its name says; a change of the
    simulator within one version goes unnoticed: remove the tables then.

    Raises:
        ConfigError: a checkpoint has seen one of the patients, or counts that no run can have.
        ResultsError: `out` cannot be written.
        DataError: a kept table is spoilt.
        EngineError: the runtime failed.
    """
    for checkpoint in checkpoints:
        _refuse_seen(cohort, checkpoint)
    kept = [out / f"scores-{checkpoint.name}-{_digest(cohort, checkpoint)}.csv" for checkpoint in checkpoints]
    if not all(path.exists() for path in kept):
        make_folder(out)
        for path, table in zip(kept, _simulated(cohort, checkpoints, reporter), strict=True):
            table.write(path)
    return tuple(OutOfFold.read(path) for path in kept)


def _refuse_seen(cohort: Cohort, checkpoint: Checkpoint) -> None:
    split = checkpoint.description.split
    seen = {patient for patients in split.values() for patient in patients} & {str(seed) for seed in cohort.seeds}
    if seen:
        raise ConfigError(
            f"{checkpoint.name}: trained or validated with the simulated patients {sorted(seen)[:3]}; "
            "name a first seed whose patients it never saw"
        )


def _digest(cohort: Cohort, checkpoint: Checkpoint) -> str:
    return hashlib.sha256(repr((astuple(cohort), checkpoint.sha256, __version__)).encode()).hexdigest()[:12]


def _simulated(cohort: Cohort, checkpoints: Sequence[Checkpoint], reporter: Reporter) -> tuple[OutOfFold, ...]:
    rows: list[list[tuple[Any, ...]]] = [[] for _ in checkpoints]
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(open_on_cpu(checkpoint)) for checkpoint in checkpoints]
        for done, seed in enumerate(cohort.seeds, 1):
            cells = list(simulate_cells(cohort.cells, cohort.ctcs(seed), seed, seed % INSTRUMENTS))
            for mine, engine, checkpoint in zip(rows, engines, checkpoints, strict=True):
                mine.extend(_rows(seed, cells, _logits(engine, checkpoint, cells), checkpoint, cohort.prevalence))
            reporter.advanced("simulating and scoring patients", done, cohort.patients)
    return tuple(OutOfFold.of_rows(mine) for mine in rows)


def _logits(engine: Engine, checkpoint: Checkpoint, cells: Sequence[SimulatedCell]) -> NDArray[np.float32]:
    """Of one patient's cells, float32 (M,)."""
    channels = [CHANNELS.index(channel.name) for channel in checkpoint.input.channels]
    parts = []
    for first in range(0, len(cells), engine.max_batch):
        batch = cells[first : first + engine.max_batch]
        for place, cell in zip(engine.inputs[0], batch, strict=False):
            prepare(list(cell.images[channels]), checkpoint.input, place)
        parts.append(engine.infer(0, len(batch)).logits)
    return np.concatenate(parts)


def _rows(
    seed: int, cells: Sequence[SimulatedCell], logits: NDArray[np.float32], checkpoint: Checkpoint, prevalence: float
) -> Iterator[tuple[Any, ...]]:
    """Rows of the table, each cell decided as the product would, but with p_ctc at `prevalence`."""
    thresholds, calibration = checkpoint.description.thresholds, checkpoint.description.calibration
    moved = None if calibration is None else at_prevalence(calibration, prevalence)
    scores = [float(str(logit)) for logit in logits]
    cuts = cuts_in_run(thresholds, scores)
    for cell, score in zip(cells, scores, strict=True):
        decision = decide(score, cuts, moved)
        run_id, cell_id = f"simulated-{seed}", f"{cell.number:06}"
        verdict = (score, decision.p_ctc, decision.verdict.value)
        yield (0, 0, run_id, cell_id, str(seed), cell.label, *verdict, _LEARNED_SHARE)
