"""Which engine calls a checkpoint's cells: matched with this machine at every start, rebuilt where it does not fit."""

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc import __version__, build, durable
from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.engine.installed import (
    InstalledEngine,
    engine_folder,
    engines_dir_of,
    failed_rebuild_of,
    find_engines,
    read_engine,
)
from edge_ctc.engine.opening import open_plan
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.runtimes import Machine, this_machine
from edge_ctc.errors import ConfigError, EngineError, UnavailableError
from edge_ctc.parity import Parity, replay
from edge_ctc.results.commit import utc_now

OnStale = Literal["rebuild", "refuse"]
CPU: Literal["cpu"] = "cpu"

_BUILD = "`edge-ctc build-engine`"


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """Which engine is wanted.

    Attributes:
        engine: folder of an installed engine; "cpu" for ONNX Runtime, which needs no building; None for the one that
            was built for the checkpoint in `engines_dir`, and ONNX Runtime where none was.
        engines_dir: where engines are looked for.
        on_stale: what to do with an engine that fits machine or checkpoint no more: build it anew, or end there.
    """

    engine: Path | Literal["cpu"] | None
    engines_dir: Path
    on_stale: OnStale


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

    def checkpoint_folder(self) -> Path | None:
        """Of the checkpoint that the named engine was built from; None where none is named. Raises as `choose`."""
        engine = self._setting.engine
        return Path(read_engine(engine).record.checkpoint_folder) if isinstance(engine, Path) else None

    def choose(self, checkpoint: Checkpoint) -> InstalledEngine | None:
        """The engine for `checkpoint`; None: ONNX Runtime on the CPU, because it was asked for or nothing was built.

        Raises:
            InputMissingError: there is no engine in the folder that was named.
            EngineSpoiltError: an engine changed since it was built; it is never built anew without being asked for.
            UnavailableError: the engine was never proved; there is no GPU; or it fits no more and may not be rebuilt.
            ConfigError: several engines fit.
            EngineError: building it anew failed, now or before.
            ResultsHeldError: another process builds it at this moment.
        """
        engine = self._setting.engine
        if engine == CPU:
            return None
        if isinstance(engine, Path):
            return self._fitting(read_engine(engine), checkpoint)
        found = [read_engine(folder) for folder in find_engines(self._setting.engines_dir, checkpoint.name)]
        return self._fitting(_only(found, checkpoint), checkpoint) if found else None

    def _fitting(self, engine: InstalledEngine, checkpoint: Checkpoint) -> InstalledEngine:
        record = engine.record
        if record.state == "unproven":
            raise _unproven(engine)
        machine = this_machine(record.runtime)
        mismatches = record.mismatches(machine, checkpoint)
        if not mismatches:
            return engine
        other = _fitting_at(engine_folder(engines_dir_of(engine.folder), checkpoint.name, machine, record.precision))
        if other is not None and not other.record.mismatches(machine, checkpoint):
            self._reporter.stale(engine.folder, mismatches, other.folder)
            return other
        if self._setting.on_stale == "refuse":
            raise UnavailableError(
                f"{engine.folder}: fits no more ({'; '.join(mismatches)}), and the setting says refuse; "
                f"build it again: {_BUILD}"
            )
        self._reporter.stale(engine.folder, mismatches, None)
        return self._rebuilt(engine, checkpoint, machine, mismatches)

    def _rebuilt(
        self, engine: InstalledEngine, checkpoint: Checkpoint, machine: Machine, mismatches: tuple[str, ...]
    ) -> InstalledEngine:
        record, engines_dir = engine.record, engines_dir_of(engine.folder)
        place = engine_folder(engines_dir, checkpoint.name, machine, record.precision)
        attempt = _Attempt.of(place, record, checkpoint, machine)
        attempt.refuse_second()
        order = build.Order(
            checkpoint=checkpoint,
            runtime=record.runtime,
            precision=record.precision,
            max_batch=record.max_batch,
            engines_dir=engines_dir,
            rebuilt_because=mismatches,
        )
        try:
            return build.build_engine(order, self._reporter).engine
        except EngineError as error:
            attempt.remember(error)
            raise


def verify_engine(folder: Path, checkpoint: Path | None) -> tuple[InstalledEngine, Parity]:
    """Prove an installed engine once more: every byte, this machine, its answers to the reference cells.

    Args:
        folder: of the engine.
        checkpoint: folder of its checkpoint; None: where it lay when the engine was built.

    Raises:
        EngineSpoiltError: a file changed since it was built; the message names it.
        UnavailableError: it is whole, but cannot be proved here, or was never proved.
        EngineError: it gives other answers.
    """
    engine = read_engine(folder)
    record = engine.record
    if record.state == "unproven":
        raise _unproven(engine)
    try:
        machine = this_machine(record.runtime)
    except UnavailableError as error:
        raise UnavailableError(f"{engine.folder}: whole, but it cannot be proved here: {error}") from error
    opened = open_checkpoint(checkpoint or Path(record.checkpoint_folder))
    if mismatches := record.mismatches(machine, opened):
        raise UnavailableError(
            f"{engine.folder}: whole, but it does not fit here: {'; '.join(mismatches)}; build it again: {_BUILD}"
        )
    with open_plan(record, engine.plan, opened) as loaded:
        return engine, replay(loaded, opened)


def _unproven(engine: InstalledEngine) -> UnavailableError:
    return UnavailableError(
        f"{engine.folder}: whole, but never proved on a GPU, so it calls nothing; build it on the machine that is to "
        f"run it: {_BUILD}, or name --engine cpu"
    )


def _only(found: list[InstalledEngine], checkpoint: Checkpoint) -> InstalledEngine:
    """The one that fits this machine; of those that fit none, or are unproven, the only one there is."""
    proved = [engine for engine in found if engine.record.state == "proved"] or found
    if len(proved) > 1:
        fitting = [engine for engine in proved if _fits_here(engine.record, checkpoint)]
        proved = fitting or proved
    if len(proved) > 1:
        names = ", ".join(str(engine.folder) for engine in proved)
        raise ConfigError(f"several engines are built for {checkpoint.name}: {names}; name one with --engine")
    return proved[0]


def _fits_here(record: EngineRecord, checkpoint: Checkpoint) -> bool:
    with contextlib.suppress(UnavailableError):
        return not record.mismatches(this_machine(record.runtime), checkpoint)
    return False


def _fitting_at(folder: Path) -> InstalledEngine | None:
    return read_engine(folder) if folder.is_dir() else None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One rebuilding for one machine and checkpoint: what failed once is not tried at every start."""

    note: Path
    sha256: str

    @classmethod
    def of(cls, place: Path, record: EngineRecord, checkpoint: Checkpoint, machine: Machine) -> "_Attempt":
        facts = [asdict(machine), checkpoint.sha256, record.precision, record.max_batch, __version__]
        sha256 = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return cls(failed_rebuild_of(place), sha256)

    def refuse_second(self) -> None:
        try:
            sha256, at_utc, why = self.note.read_text().split("\n", 2)
        except (OSError, ValueError):
            return
        if sha256 == self.sha256:
            raise EngineError(
                f"{self.note}: building this engine anew failed at {at_utc} ({why}) and is not tried again by itself; "
                f"mend that, then run {_BUILD}"
            )

    def remember(self, error: EngineError) -> None:
        durable.write_bytes(self.note, f"{self.sha256}\n{utc_now()}\n{error}".encode())
