"""The gate: a new engine against ONNX Runtime at fp32, on the same cells; one that changes a decision does not pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cells import Cell
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.opening import open_on_cpu, open_plan
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.seam import Engine
from edge_ctc.errors import DataError, EngineError
from edge_ctc.exports.choose import cells_for, read_folder
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.parity import Comparison, Flip, compare, reference_logits, replay
from edge_ctc.pipeline import CellReader, evaluate


class Watcher(Protocol):
    """Whom the gate tells how far it is."""

    def comparing(self, cells: int) -> None:
        """The engine and ONNX Runtime answer so many cells of runs, each both times counted."""

    def advanced(self, cells: int) -> None:
        """So many answers more."""


class GateError(EngineError):
    """An engine would change decisions; it was not installed."""


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run that a new engine must answer.

    Attributes:
        folder: of the run.
        cells: with the files of the channels that the checkpoint takes.
        reader: of their files.
    """

    folder: Path
    cells: tuple[Cell, ...]
    reader: CellReader

    def scores(self, engine: Engine, watcher: Watcher) -> dict[str, float]:
        """By cell, of those that have one."""
        found: dict[str, float] = {}
        for batch in evaluate(self.cells, self.reader, engine):
            for one in batch:
                if one.score is not None:
                    found[f"{self.folder} cell {one.evidence.cell.cell_id}"] = one.score
            watcher.advanced(len(batch))
        if not found:
            raise DataError(f"{self.folder}: no cell of it can be evaluated, so it proves nothing; name another run")
        return found


def checked_run(folder: Path, checkpoint: Checkpoint, profile: LoadedProfile | None) -> CheckedRun:
    """A run whose cells a new engine must answer.

    Args:
        folder: of the run.
        checkpoint: of the engine.
        profile: how it is read; None: by the built-in one that fits.

    Raises:
        RunError: it cannot be read.
        ConfigError: it does not fit the checkpoint.
    """
    listing, loaded, run = read_folder(folder, profile)
    cells = cells_for(checkpoint.name, checkpoint.input, loaded.profile, run)
    return CheckedRun(folder, cells, CellReader(listing.folder, loaded.profile, checkpoint.input))


def pass_gate(
    checkpoint: Checkpoint, record: EngineRecord, plan: bytes, runs: Sequence[CheckedRun], watcher: Watcher
) -> Comparison:
    """The engine on all cells against the yardstick, which is replayed first: a wrong graph proves nothing.

    Raises:
        GateError: it would change decisions.
        EngineError: one of both fails.
    """
    with open_on_cpu(checkpoint) as yardstick, open_plan(record, plan, checkpoint) as engine:
        replay(yardstick, checkpoint)
        watcher.comparing(2 * sum(len(run.cells) for run in runs))
        expected = _by_cell(reference_logits(yardstick, checkpoint)) | _of_runs(yardstick, runs, watcher)
        found = _worst(engine, checkpoint, expected) | _of_runs(engine, runs, watcher)
        comparison = compare(expected, found, checkpoint, record.precision)
        if faults := comparison.faults():
            raise GateError(_refusal(record, comparison, faults))
        # Every start replays; what would be refused then is not installed now.
        replay(engine, checkpoint)
    return comparison


def _of_runs(engine: Engine, runs: Sequence[CheckedRun], watcher: Watcher) -> dict[str, float]:
    return {cell: score for run in runs for cell, score in run.scores(engine, watcher).items()}


def _worst(engine: Engine, checkpoint: Checkpoint, expected: Mapping[str, float]) -> dict[str, float]:
    """Of each reference cell the answer that is furthest off: as at a start, alone, and in a full batch.

    For each of these shapes other kernels may compute.
    """
    batches = (None, 1, engine.max_batch)
    answers = [_by_cell(reference_logits(engine, checkpoint, batch)) for batch in batches]
    return {cell: max((one[cell] for one in answers), key=lambda x: abs(x - expected[cell])) for cell in answers[0]}


def _by_cell(logits: NDArray[np.float32]) -> dict[str, float]:
    return {f"reference cell {number}": float(logit) for number, logit in enumerate(logits, 1)}


def _refusal(record: EngineRecord, comparison: Comparison, faults: Sequence[str]) -> str:
    instead = "try --precision fp32, or train again" if record.precision == "fp16" else "train again"
    found = f"held against ONNX Runtime at fp32 on {comparison.cells} cells: {'; '.join(faults)}"
    lines = [f"{record.description}: not installed; {found}; {instead}", *map(flip_line, comparison.flips)]
    return "\n".join(lines)


def flip_line(flip: Flip) -> str:
    """One flip for people."""
    return (
        f"  {flip.cell}: {flip.before} at {flip.expected:.6g} becomes {flip.after} at {flip.found:.6g}, "
        f"{flip.to_cut:.2g} from the cut"
    )
