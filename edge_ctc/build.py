"""Checkpoint to engine: compiled, held against ONNX Runtime at fp32, installed only where it changes no decision."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_ctc import __version__, durable, gate
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.compiler import Compiled, Graph
from edge_ctc.engine.installed import InstalledEngine, install, mend, read_engine
from edge_ctc.engine.opening import compile_for
from edge_ctc.engine.places import engine_folder
from edge_ctc.engine.record import EngineRecord, GateRecord
from edge_ctc.engine.runtimes import Machine, Runtime, runtime_version, this_machine
from edge_ctc.errors import EngineSpoiltError, InputMissingError, ResultsError, UnavailableError
from edge_ctc.exports.listing import display_name
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.network import Precision
from edge_ctc.parity import Comparison
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


class Reporter(gate.Watcher, Protocol):
    """Whom a build tells how far it is."""

    def compiling(self, order: Order, machine: Machine) -> None:
        """The graph goes to the compiler."""

    def phase(self, name: str) -> None:
        """The compiler begins a phase."""


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
    runs = [gate.checked_run(folder, order.checkpoint, order.profile) for folder in order.checks]
    folder = engine_folder(order.engines_dir, order.checkpoint.name, machine, order.precision)
    reporter.compiling(order, machine)
    graph = Graph(order.checkpoint.models[order.precision], order.precision, order.max_batch)
    compiled = compile_for(machine, graph, _former_timing_cache(folder), reporter.phase)
    record = _unproven(order, machine, compiled)
    comparison = None
    if not no_device:
        comparison = gate.pass_gate(order.checkpoint, record, compiled.plan, runs, reporter)
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
        checkpoint_folder=_as_text(str(order.checkpoint.folder.absolute())),
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
        command=None if order.command is None else _as_text(order.command),
        seal="",
    )


def _as_text(name: str) -> str:
    """As it is where it is text, which JSON can hold; else escaped, and `--checkpoint` must name the folder."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return display_name(name)
    return name


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
