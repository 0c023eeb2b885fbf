"""Checkpoint to engine: compiled, held against ONNX Runtime at fp32, installed only where it changes no decision."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc import __version__, durable
from edge_ctc.cells import Cell
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.installed import InstalledEngine, engine_folder, install, mend, read_engine
from edge_ctc.engine.opening import compile_for, open_on_cpu, open_plan
from edge_ctc.engine.record import EngineRecord, GateRecord
from edge_ctc.engine.runtimes import Machine, Runtime, runtime_version, this_machine
from edge_ctc.engine.seam import Engine
from edge_ctc.engine.tensorrt import Compiled, Graph
from edge_ctc.errors import DataError, EngineError, EngineSpoiltError, InputMissingError, ResultsError, UnavailableError
from edge_ctc.exports.choose import read_folder
from edge_ctc.exports.listing import display_name
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.network import Precision
from edge_ctc.parity import Comparison, Flip, compare, reference_logits, replay
from edge_ctc.pipeline import CellReader, evaluate
from edge_ctc.preprocess import check_channels, check_fit
from edge_ctc.results.commit import utc_now


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built.

    Attributes:
        checkpoint: what to compile.
        runtime: the library that will compute.
        precision: which of the checkpoint's graphs.
        max_batch: cells per inference at most.
        engines_dir: where engines are installed.
        checks: folders of runs that the engine must answer too.
        profile: how those are read; None: each by the built-in one that fits.
        command: as the user typed it, for the record; None where no user did.
        rebuilt_because: how a former engine no longer fits, where this one replaces it without being asked for.
    """

    checkpoint: Checkpoint
    runtime: Runtime
    precision: Precision
    max_batch: int
    engines_dir: Path
    checks: tuple[Path, ...] = ()
    profile: LoadedProfile | None = None
    command: str | None = None
    rebuilt_because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """An engine as installed.

    Attributes:
        engine: on the disk.
        comparison: with ONNX Runtime at fp32; None where it could not be run here.
        no_device: why it could not; empty where it could.
    """

    engine: InstalledEngine
    comparison: Comparison | None
    no_device: str


class Reporter(Protocol):
    """Whom a build tells how far it is."""

    def compiling(self, order: Order, machine: Machine) -> None:
        """The graph goes to the compiler."""

    def phase(self, name: str) -> None:
        """The compiler begins a phase."""

    def comparing(self, cells: int) -> None:
        """The engine and ONNX Runtime answer so many cells, each both times counted."""

    def advanced(self, cells: int) -> None:
        """So many answers more."""


class GateError(EngineError):
    """An engine would change decisions; it was not installed."""


def build_engine(order: Order, reporter: Reporter) -> Built:
    """Compile a checkpoint, prove the engine on this machine, and install it.

    TensorRT for RTX compiles without a GPU too; such an engine is installed as unproven, and calls nothing.

    Raises:
        UnavailableError: the runtime is not installed, or it needs a GPU to compile and there is none.
        GateError: the engine would change decisions; the message lists them. Nothing is installed.
        EngineError: the runtime refuses the graph, or fails. Nothing is installed.
        RunError: a run to be checked cannot be read.
        DataError: a run to be checked holds no cell that can be evaluated.
        ConfigError: a run to be checked does not fit the checkpoint.
        ResultsError: the engine cannot be written.
        ResultsHeldError: another process builds an engine of the same checkpoint.
    """
    machine, no_device = _machine(order.runtime)
    with sole_builder(order, machine):
        return _built(order, machine, no_device, reporter)


@contextlib.contextmanager
def sole_builder(order: Order, machine: Machine) -> Iterator[Path]:
    """Hold the place of the order's engine; gives its folder, mended after an install that was cut short.

    Raises:
        ResultsError: the folder cannot be made or written.
        ResultsHeldError: another process builds an engine of the same checkpoint.
    """
    folder = engine_folder(order.engines_dir, order.checkpoint.name, machine, order.precision)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"{folder.parent}: cannot be made ({error.strerror}); name another folder for engines"
        ) from error
    with durable.sole_writer(folder.parent):
        mend(folder)
        yield folder


def rebuild(order: Order, machine: Machine, reporter: Reporter) -> InstalledEngine:
    """As `build_engine`, on a machine that was found already, for whoever is the sole builder."""
    return _built(order, machine, "", reporter).engine


def _built(order: Order, machine: Machine, no_device: str, reporter: Reporter) -> Built:
    runs = [_checked_run(folder, order) for folder in order.checks]
    folder = engine_folder(order.engines_dir, order.checkpoint.name, machine, order.precision)
    reporter.compiling(order, machine)
    graph = Graph(order.checkpoint.models[order.precision], order.precision, order.max_batch)
    compiled = compile_for(machine, graph, _former_timing_cache(folder), reporter.phase)
    record = _unproven(order, machine, compiled)
    comparison = None
    if not no_device:
        comparison = _compared(order.checkpoint, record, compiled.plan, runs, reporter)
        record = _proved(record, comparison, len(runs))
    return Built(install(folder, record, compiled.plan, compiled.timing_cache), comparison, no_device)


def _machine(runtime: Runtime) -> tuple[Machine, str]:
    """This machine, and why no engine can be run on it."""
    try:
        return this_machine(runtime), ""
    except UnavailableError as error:
        if runtime != "tensorrt-rtx":
            raise
        return Machine(runtime, runtime_version(runtime)), str(error)


def _former_timing_cache(folder: Path) -> bytes | None:
    with contextlib.suppress(InputMissingError, EngineSpoiltError):
        return read_engine(folder).timing_cache
    return None


def _unproven(order: Order, machine: Machine, compiled: Compiled) -> EngineRecord:
    cache = compiled.timing_cache
    return EngineRecord(
        schema_version=1,
        checkpoint=order.checkpoint.name,
        checkpoint_folder=display_name(str(order.checkpoint.folder.absolute())),
        checkpoint_sha256=order.checkpoint.sha256,
        onnx_sha256=_sha256(order.checkpoint.models[order.precision]),
        plan_sha256=_sha256(compiled.plan),
        timing_cache_sha256=None if cache is None else _sha256(cache),
        runtime=machine.runtime,
        runtime_version=machine.runtime_version,
        cuda_version=machine.cuda_version,
        driver_version=machine.driver_version,
        gpu_name=machine.gpu_name,
        compute_capability=machine.compute_capability,
        precision=order.precision,
        max_batch=order.max_batch,
        parity=None,
        state="unproven",
        built_at_utc=utc_now(),
        rebuilt_because=order.rebuilt_because,
        software_version=__version__,
        command=None if order.command is None else display_name(order.command),
        seal="",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class _CheckedRun:
    """A run that a new engine must answer."""

    folder: Path
    cells: tuple[Cell, ...]
    reader: CellReader

    def scores(self, engine: Engine, reporter: Reporter) -> dict[str, float]:
        """By cell, of those that have one."""
        found: dict[str, float] = {}
        for batch in evaluate(self.cells, self.reader, engine):
            for one in batch:
                if one.score is not None:
                    found[f"{self.folder} cell {one.evidence.cell.cell_id}"] = one.score
            reporter.advanced(len(batch))
        if not found:
            raise DataError(f"{self.folder}: no cell of it can be evaluated, so it proves nothing; name another run")
        return found


def _checked_run(folder: Path, order: Order) -> _CheckedRun:
    checkpoint = order.checkpoint
    listing, loaded, run = read_folder(folder, order.profile)
    profile = loaded.profile
    check_channels(checkpoint.name, checkpoint.input, profile.channel_names)
    check_fit(checkpoint.input, profile.pixel_size_um, profile.bits)
    wanted = checkpoint.input.channel_names
    cells = tuple(cell.only(wanted) for cell in run.cells)
    return _CheckedRun(folder, cells, CellReader(listing.folder, profile, checkpoint.input))


def _compared(
    checkpoint: Checkpoint, record: EngineRecord, plan: bytes, runs: Sequence[_CheckedRun], reporter: Reporter
) -> Comparison:
    """The engine on all cells against the yardstick, which is replayed first: a wrong graph proves nothing.

    Raises:
        GateError: it would change decisions.
        EngineError: one of both fails.
    """
    with open_on_cpu(checkpoint) as yardstick, open_plan(record, plan, checkpoint) as engine:
        replay(yardstick, checkpoint)
        reporter.comparing(2 * sum(len(run.cells) for run in runs))
        expected = _answers(yardstick, checkpoint, runs, reporter)
        found = _answers(engine, checkpoint, runs, reporter) | _worst(engine, checkpoint, expected)
        comparison = compare(expected, found, checkpoint, record.precision)
        if faults := comparison.faults():
            raise GateError(_refusal(record, comparison, faults))
        # Every start replays; what would be refused then is not installed now.
        replay(engine, checkpoint)
    return comparison


def _answers(
    engine: Engine, checkpoint: Checkpoint, runs: Sequence[_CheckedRun], reporter: Reporter
) -> dict[str, float]:
    answers = _by_cell(reference_logits(engine, checkpoint))
    for run in runs:
        answers |= run.scores(engine, reporter)
    return answers


def _worst(engine: Engine, checkpoint: Checkpoint, expected: Mapping[str, float]) -> dict[str, float]:
    """Of each reference cell the answer that is furthest off: alone, and in a full batch, for which others compute."""
    answers = [_by_cell(reference_logits(engine, checkpoint, batch)) for batch in (1, engine.max_batch)]
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


def _proved(record: EngineRecord, comparison: Comparison, runs: int) -> EngineRecord:
    parity = GateRecord(
        cells=comparison.cells,
        runs=runs,
        largest_difference=comparison.largest_difference,
        tolerance=comparison.tolerance,
        flips=len(comparison.flips) - comparison.review_flips,
        review_flips=comparison.review_flips,
    )
    return record.model_copy(update={"parity": parity, "state": "proved"})
