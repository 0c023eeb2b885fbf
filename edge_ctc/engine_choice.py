"""Which engine calls a checkpoint's cells: matched with this machine at every start, rebuilt where it does not fit."""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc import __version__, build, durable
from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine.installed import InstalledEngine, read_engine
from edge_ctc.engine.opening import open_plan
from edge_ctc.engine.places import engine_folder, engines_dir_of, failed_rebuild_of, find_engines, kind_of
from edge_ctc.engine.record import build_command
from edge_ctc.engine.runtimes import MAX_BATCH, PORTABLE, Machine, Runtime, this_machine
from edge_ctc.errors import (
    ConfigError,
    EngineError,
    GpuFailedError,
    InputMissingError,
    ResultsError,
    ResultsHeldError,
    UnavailableError,
)
from edge_ctc.exports.listing import display_name
from edge_ctc.network import Precision
from edge_ctc.parity import Parity, replay
from edge_ctc.results.commit import utc_now

OnStale = Literal["rebuild", "refuse"]
CPU: Literal["cpu"] = "cpu"


@dataclass(frozen=True, slots=True)
class Sort:
    """Which sort of engine is wanted."""

    runtime: Runtime
    precision: Precision


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """Which engine is wanted.

    Attributes:
        engine: folder of an installed engine; "cpu" for ONNX Runtime, which needs no building; None for the one that
            was built for the checkpoint in `engines_dir`, and ONNX Runtime where none was.
        engines_dir: where engines are looked for.
        on_stale: what to do with an engine that fits machine or checkpoint no more: build it anew, or end there.
        sort: runtime and precision of the one that is wanted where `engine` is None: it is built where none was, but
            for ONNX Runtime at fp32, which needs no building.
    """

    engine: Path | Literal["cpu"] | None
    engines_dir: Path
    on_stale: OnStale
    sort: Sort | None = None


class Reporter(build.Reporter, Protocol):
    """Whom the choice tells what it had to do."""

    def stale(self, folder: Path, mismatches: tuple[str, ...], instead: Path | None) -> None:
        """The engine in `folder` fits no more; another is taken, or, without one, it is built anew."""


class EngineChooser:
    """Chooses by one setting, checkpoint for checkpoint."""

    def __init__(self, setting: EngineSetting, reporter: Reporter) -> None:
        """Nothing is looked at yet."""
        self._setting = setting
        self._reporter = reporter

    @functools.cached_property
    def named(self) -> InstalledEngine | None:
        """The engine that the setting names, if it names one. Raises as `read_engine`."""
        engine = self._setting.engine
        return read_engine(engine) if isinstance(engine, Path) else None

    def choose(self, checkpoint: Checkpoint) -> InstalledEngine | None:
        """The engine for `checkpoint`; None: ONNX Runtime on the CPU, because it was asked for or nothing was built.

        Raises:
            InputMissingError: there is no engine in the folder that was named.
            EngineSpoiltError: an engine changed since it was built; it is never built anew without being asked for.
            UnavailableError: the engine was never proved; there is no GPU; or it fits no more and may not be rebuilt.
            ConfigError: engines of several runtimes or precisions are built, or the named one is another checkpoint's.
            EngineError: building it anew failed, now or before.
            ResultsError: it was built anew and cannot be written.
            ResultsHeldError: another process builds it at this moment.
        """
        if self._setting.engine == CPU:
            return None
        engine = self.named or _found(self._setting.engines_dir, checkpoint, self._setting.sort)
        if engine is None:
            return self._first_built(checkpoint)
        if engine.record.checkpoint != checkpoint.name:
            raise ConfigError(
                f"{engine.folder}: built from checkpoint {engine.record.checkpoint}, asked for is {checkpoint.name}; "
                "name an engine that was built from it"
            )
        return self._fitting(engine, checkpoint)

    def _first_built(self, checkpoint: Checkpoint) -> InstalledEngine | None:
        sort = self._setting.sort
        if sort is None or sort == Sort("onnxruntime", "fp32"):
            return None
        order = build.Order(checkpoint, sort.runtime, sort.precision, MAX_BATCH, self._setting.engines_dir)
        return self._built(order, this_machine(sort.runtime), None)

    def _fitting(self, engine: InstalledEngine, checkpoint: Checkpoint) -> InstalledEngine:
        _refuse_unproven(engine)
        machine = this_machine(engine.record.runtime)
        mismatches = engine.record.mismatches(machine, checkpoint)
        if not mismatches:
            return engine
        engines_dir = engines_dir_of(engine.folder)
        place = engine_folder(engines_dir, checkpoint.name, machine, engine.record.precision)
        if other := _fitting_at(place, machine, checkpoint):
            self._reporter.stale(engine.folder, mismatches, other.folder)
            return other
        command = engine.record.build_command(engines_dir, checkpoint.folder)
        if self._setting.on_stale == "refuse":
            raise UnavailableError(
                f"{engine.folder}: fits no more ({'; '.join(mismatches)}), and the setting says refuse; "
                f"build it again: `{command}`"
            )
        order = build.Order(
            checkpoint=checkpoint,
            runtime=engine.record.runtime,
            precision=engine.record.precision,
            max_batch=engine.record.max_batch,
            engines_dir=engines_dir,
            rebuilt_because=mismatches,
        )
        return self._built(order, machine, engine.folder)

    def _built(self, order: build.Order, machine: Machine, stale: Path | None) -> InstalledEngine:
        """Built now, in the place of the engine in `stale`, or of none, or by another process a moment ago."""
        with build.sole_builder(order, machine) as folder:
            if other := _fitting_at(folder, machine, order.checkpoint):
                return other
            if stale is not None:
                self._reporter.stale(stale, order.rebuilt_because, None)
            command = build_command(
                order.checkpoint.folder, order.runtime, order.precision, order.max_batch, order.engines_dir
            )
            with _tried_once(folder, order, machine, command):
                return build.rebuild(order, machine, self._reporter)


def _found(engines_dir: Path, checkpoint: Checkpoint, sort: Sort | None) -> InstalledEngine | None:
    """The engine that was built for the checkpoint; of several alike for other GPUs, this one's, else the newest."""
    kinds = {
        folder: kind
        for folder in find_engines(engines_dir, checkpoint.name)
        if (kind := kind_of(folder)) and sort in (None, Sort(kind.runtime, kind.precision))
    }
    proved = {folder: kind for folder, kind in kinds.items() if kind.target != PORTABLE}
    if not proved:
        return read_engine(next(iter(kinds))) if kinds else None
    if len({(kind.runtime, kind.precision) for kind in kinds.values()}) > 1:
        raise ConfigError(
            f"several engines are built for {checkpoint.name}: {', '.join(map(str, kinds))}; "
            "name one with --engine, or remove the others: `edge-ctc engine remove DIR`"
        )
    if len(proved) == 1:
        return read_engine(next(iter(proved)))
    kind = next(iter(proved.values()))
    here = engine_folder(engines_dir, checkpoint.name, this_machine(kind.runtime), kind.precision)
    if here in proved:
        return read_engine(here)
    return max((read_engine(folder) for folder in proved), key=lambda engine: engine.record.built_at_utc)


def _fitting_at(folder: Path, machine: Machine, checkpoint: Checkpoint) -> InstalledEngine | None:
    if not os.path.isdir(folder):
        return None
    engine = read_engine(folder)
    fits = engine.record.state == "proved" and not engine.record.mismatches(machine, checkpoint)
    return engine if fits else None


def _refuse_unproven(engine: InstalledEngine) -> None:
    if engine.record.state != "proved":
        command = engine.record.build_command(engines_dir_of(engine.folder))
        raise UnavailableError(
            f"{engine.folder}: whole, but never proved on a GPU, so it calls nothing; build it on the machine that "
            f"is to run it: `{command}`; or call with --engine cpu; or remove it: `edge-ctc engine remove "
            f"{engine.folder}`"
        )


@contextlib.contextmanager
def _tried_once(folder: Path, order: build.Order, machine: Machine, command: str) -> Iterator[None]:
    """What failed once, or ended this process, is not tried at every start, whoever starts it again.

    A note beside the engine's folder stands while it is tried, and stays where that ends badly; an install removes it.
    What CUDA reports, a GPU that is gone, another process or an interrupt is not the engine's fault, and leaves none.
    """
    facts = [asdict(machine), order.checkpoint.sha256, order.precision, order.max_batch, __version__]
    tried = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    note = failed_rebuild_of(folder)
    durable.mend(note)
    _refuse_second(note, tried, command)
    _write(note, tried, "it was cut short")
    try:
        yield
    except (GpuFailedError, UnavailableError, ResultsHeldError, KeyboardInterrupt, SystemExit):
        note.unlink(missing_ok=True)
        raise
    except (EngineError, ResultsError) as error:
        with contextlib.suppress(ResultsError):
            _write(note, tried, str(error))
        raise


def _refuse_second(note: Path, tried: str, command: str) -> None:
    try:
        sha256, at_utc, why = note.read_text("utf-8").split("\n", 2)
    except (OSError, ValueError):
        return
    if sha256 == tried:
        raise EngineError(
            f"{note}: building this engine anew ended badly at {at_utc} ({why}) and is not tried again by itself; mend "
            f"that, then run `{command}`"
        )


def _write(note: Path, tried: str, why: str) -> None:
    durable.write_bytes(note, f"{tried}\n{utc_now()}\n{display_name(why)}".encode())


def verify_engine(folder: Path, checkpoint: Path | None) -> tuple[InstalledEngine, Parity]:
    """Prove an installed engine once more: every byte, this machine, its answers to the reference cells.

    Args:
        folder: of the engine.
        checkpoint: folder of its checkpoint; None: where it lay when the engine was built.

    Raises:
        EngineSpoiltError: a file changed since it was built; the message names it.
        InputMissingError: there is no such engine, or its checkpoint is not there.
        CheckpointError: the checkpoint is spoilt.
        ConfigError: it is another one.
        UnavailableError: it is whole, but cannot be proved here, or was never proved.
        EngineError: it gives other answers.
        ResultsError, ResultsHeldError: as `read_engine`.
    """
    engine = read_engine(folder)
    record = engine.record
    _refuse_unproven(engine)
    try:
        machine = this_machine(record.runtime)
    except UnavailableError as error:
        raise UnavailableError(f"{engine.folder}: whole, but it cannot be proved here: {error}") from error
    try:
        opened = open_checkpoint(checkpoint or Path(record.checkpoint_folder))
    except InputMissingError as error:
        raise InputMissingError(f"{error}, where it lies now, with --checkpoint") from error
    if opened.name != record.checkpoint:
        raise ConfigError(f"{opened.folder}: is {opened.name}, expected {record.checkpoint}, as the engine was built")
    if mismatches := record.mismatches(machine, opened):
        raise UnavailableError(
            f"{engine.folder}: whole, but it does not fit here: {'; '.join(mismatches)}; build it again: "
            f"`{record.build_command(engines_dir_of(engine.folder), opened.folder)}`"
        )
    with open_plan(record, engine.plan, opened) as loaded:
        return engine, replay(loaded, opened)
