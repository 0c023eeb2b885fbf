"""The gate: a new engine against ONNX Runtime at fp32, on the same cells; one that changes a decision does not pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_ctc.cell_reader import CellReader
from edge_ctc.cells import Cell
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.opening import open_on_cpu, open_plan
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.seam import Engine, Scores
from edge_ctc.errors import DataError, EngineError
from edge_ctc.exports.choose import cells_for, read_folder
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.novelty import Novelty
from edge_ctc.parity import (
    Comparison,
    Flip,
    compare,
    ood_faults,
    ood_scores,
    reference_cells,
    reference_ood_scores,
    reference_scores,
    replay,
)
from edge_ctc.pipeline import evaluate


class Watcher(Protocol):
    """Whom the gate tells how far it is."""

    def comparing(self, cells: int) -> None:
        """The engine and ONNX Runtime answer so many cells of runs, each both times counted."""

    def advanced(self, cells: int) -> None:
        """So many answers more."""


class GateError(EngineError):
    """An engine would change decisions; it was not installed."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What an engine says of cells.

    Attributes:
        logits: by cell.
        ood_scores: by cell; none where the checkpoint has no out-of-distribution score.
    """

    logits: dict[str, float]
    ood_scores: dict[str, float]

    def __or__(self, others: "Answers") -> "Answers":
        """Those of other cells, too."""
        return Answers(self.logits | others.logits, self.ood_scores | others.ood_scores)


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run that a new engine must answer.

    Attributes:
        folder: of the run.
        cells: with the files of the channels that the checkpoint takes.
        reader: of their files.
        novelty: of the checkpoint.
    """

    folder: Path
    cells: tuple[Cell, ...]
    reader: CellReader
    novelty: Novelty | None

    def answers(self, engine: Engine, watcher: Watcher) -> Answers:
        """Of the cells that can be evaluated."""
        found = Answers({}, {})
        for batch in evaluate(self.cells, self.reader, engine):
            for one in batch:
                if one.score is not None and one.features is not None:
                    name = f"{self.folder} cell {one.evidence.cell.cell_id}"
                    found.logits[name] = one.score
                    found.ood_scores.update(ood_scores(self.novelty, [name], one.features[None]))
            watcher.advanced(len(batch))
        if not found.logits:
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
    return CheckedRun(folder, cells, CellReader(listing.folder, loaded.profile, checkpoint.input), checkpoint.novelty)


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
        expected = _of_reference(reference_scores(yardstick, checkpoint), checkpoint)
        found = _worst(engine, checkpoint, expected)
        for run in runs:
            expected |= run.answers(yardstick, watcher)
            found |= run.answers(engine, watcher)
        comparison = compare(expected.logits, found.logits, checkpoint, record.precision)
        if faults := (*comparison.faults(), *ood_faults(expected.ood_scores, found.ood_scores)):
            raise GateError(_refusal(record, comparison, faults))
        # Every start replays; what would be refused then is not installed now.
        replay(engine, checkpoint)
    return comparison


def _worst(engine: Engine, checkpoint: Checkpoint, expected: Answers) -> Answers:
    """Of each reference cell what is furthest off: as at a start, alone, and in a full batch.

    For each of these shapes other kernels may compute.
    """
    batches = (None, 1, engine.max_batch)
    answers = [_of_reference(reference_scores(engine, checkpoint, batch), checkpoint) for batch in batches]
    return Answers(
        _furthest([one.logits for one in answers], expected.logits),
        _furthest([one.ood_scores for one in answers], expected.ood_scores),
    )


def _furthest(answers: Sequence[Mapping[str, float]], expected: Mapping[str, float]) -> dict[str, float]:
    return {cell: max((one[cell] for one in answers), key=lambda x: abs(x - expected[cell])) for cell in expected}


def _of_reference(scores: Scores, checkpoint: Checkpoint) -> Answers:
    logits = dict(zip(reference_cells(checkpoint), map(float, scores.logits), strict=True))
    return Answers(logits, reference_ood_scores(checkpoint, scores.features))


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
