"""Checkpoints and engines: every byte as it was made, and fit for this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ctc.checkpoint import Checkpoint, open_checkpoint
from edge_ctc.doctor.findings import Finding, Status, from_error, parted
from edge_ctc.doctor.folders import LIMIT_S, Look
from edge_ctc.engine.installed import read_engine
from edge_ctc.engine.places import engines_dir_of, failed_rebuild_of, find_engines, kind_of
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.runtimes import Machine, Runtime
from edge_ctc.errors import EdgeCtcError, InputMissingError, UnavailableError

MachineOf = Callable[[Runtime], Machine]
"""As `edge_ctc.engine.runtimes.this_machine`."""

_MEND_SHARE = "look whether the server of its share runs, then mount it again"


class _NoAnswerError(EdgeCtcError):
    """A share is gone."""


def check_checkpoints(folders: Sequence[Path], look: Look) -> tuple[list[Finding], dict[str, Checkpoint]]:
    """A line for each, and those that are sound, by name."""
    findings, sound = [], {}
    for folder in folders:
        try:
            checkpoint = _opened(folder, look)
        except EdgeCtcError as error:
            findings.append(from_error("checkpoint", error))
        else:
            sound[checkpoint.name] = checkpoint
            found = f"{checkpoint.name} ({checkpoint.sha256[:12]}): every byte as trained"
            findings.append(Finding("checkpoint", "ok", found))
    return findings, sound


def _opened(folder: Path, look: Look) -> Checkpoint:
    _must_answer(folder, look)
    return open_checkpoint(folder)


def _must_answer(folder: Path, look: Look) -> None:
    if look(folder) is None:
        raise _NoAnswerError(f"{folder}: does not answer within {LIMIT_S:g} s; {_MEND_SHARE}")


@dataclass(frozen=True, slots=True)
class CheckedEngine:
    """An installed engine.

    Attributes:
        folder: where it lies.
        record: None where it cannot be read.
        state: broken: not as it was built; unfit: whole, but it does not call here.
        found: in words.
        mend: what to do; empty where it fits.
    """

    folder: Path
    record: EngineRecord | None
    state: Literal["fits", "unfit", "broken"]
    found: str
    mend: str = ""

    @property
    def kind(self) -> tuple[str, str] | None:
        """Runtime and precision."""
        kind = kind_of(self.folder)
        return None if kind is None else (kind.runtime, kind.precision)


def check_engines(
    engines_dir: Path, checkpoints: Mapping[str, Checkpoint], look: Look, machine_of: MachineOf
) -> list[CheckedEngine]:
    """Each engine that is installed.

    Args:
        engines_dir: where engines lie.
        checkpoints: those that will be called with, by name; others are looked for where engines were built from.
        look: tells whether a folder answers.
        machine_of: this machine, as a runtime sees it.

    Raises:
        EdgeCtcError: the folder cannot be read, or does not answer.
    """
    _must_answer(engines_dir, look)
    return [_checked(folder, checkpoints, look, machine_of) for folder in find_engines(engines_dir)]


def _checked(folder: Path, checkpoints: Mapping[str, Checkpoint], look: Look, machine_of: MachineOf) -> CheckedEngine:
    if not folder.is_dir():
        # Reading it would bring the former one back: that is for those to do who may write.
        mend = f"`edge-ctc engine verify {folder}` brings the former one back"
        return CheckedEngine(folder, None, "broken", f"{folder}: its installation was cut short", mend)
    try:
        record = read_engine(folder).record
    except EdgeCtcError as error:
        return CheckedEngine(folder, None, "broken", *parted(error))
    problem, mend = _problem(folder, record, checkpoints, look, machine_of)
    if problem:
        return CheckedEngine(folder, record, "unfit", f"{folder}: {problem}", mend)
    checkpoint = f"checkpoint {record.checkpoint} ({record.checkpoint_sha256[:12]})"
    return CheckedEngine(folder, record, "fits", f"{folder}: proved and fits: {record.description}, {checkpoint}")


def _problem(
    folder: Path, record: EngineRecord, checkpoints: Mapping[str, Checkpoint], look: Look, machine_of: MachineOf
) -> tuple[str, str]:
    """Why it does not call here, and what to do; empty where it does."""
    anew = f"`{record.build_command(engines_dir_of(folder))}`"
    if record.state == "unproven":
        return "never proved on a GPU, so it calls nothing", f"with the GPU, {anew}; or call with --engine cpu"
    try:
        machine = machine_of(record.runtime)
        checkpoint = checkpoints.get(record.checkpoint) or _opened(Path(record.checkpoint_folder), look)
    except UnavailableError as error:
        found, mend = parted(error)
        return f"cannot run: {found}", mend
    except InputMissingError:
        mend = "name its checkpoint, where it lies now, with --checkpoint"
        return f"its checkpoint {record.checkpoint} is not in {record.checkpoint_folder} any more", mend
    except EdgeCtcError as error:
        return parted(error)
    problem = "; ".join(record.mismatches(machine, checkpoint))
    anew = f"`{record.build_command(engines_dir_of(folder), checkpoint.folder)}`"
    if problem and failed_rebuild_of(folder).exists():
        return f"{problem}; building it anew ended badly, and is not tried again by itself", anew
    return problem, f"classify-run builds it anew; by hand: {anew}"


def engine_findings(engines_dir: Path, engines: Sequence[CheckedEngine]) -> list[Finding]:
    """A line for each engine; without any, one that says so."""
    if not engines:
        found = f"none is built in {engines_dir}: ONNX Runtime calls on the CPU"
        return [Finding("engine", "warning", found, "`edge-ctc build-engine CHECKPOINT`")]
    beside = {
        engine.folder: [one for one in engines if one.folder.parent == engine.folder.parent] for engine in engines
    }
    return [_finding(engine, beside[engine.folder]) for engine in engines]


def _finding(engine: CheckedEngine, of_its_checkpoint: Sequence[CheckedEngine]) -> Finding:
    kinds = {one.kind for one in of_its_checkpoint if one.kind is not None}
    if engine.state == "fits" and len(kinds) > 1:
        found = f"{engine.found}; there are {len(kinds)} kinds for its checkpoint, and none is taken by itself"
        mend = "name one with --engine, or remove the others: `edge-ctc engine remove DIR`"
        return Finding("engine", "warning", found, mend)
    if engine.state == "fits":
        return Finding("engine", "ok", engine.found)
    # That of this GPU is taken in the place of another GPU's, and a proved one in that of an unproven one.
    replaced = any(one.state == "fits" and one.kind == engine.kind for one in of_its_checkpoint)
    status: Status = "warning" if engine.state == "unfit" and replaced else "fault"
    return Finding("engine", status, engine.found, engine.mend)
