"""Built engines on the disk: where they lie, whole or not at all, the former one kept.

```
ENGINES_DIR/
    .installation                               tells engines of this installation from copies of others
    <checkpoint>/
        <runtime>-<precision>-<target>/         engine.plan, timing.cache where there is one, engine.json
        <runtime>-<precision>-<target>.former/  what stood there before
```
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge_ctc import durable
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.runtimes import Machine
from edge_ctc.errors import EngineSpoiltError, InputMissingError, ResultsError
from edge_ctc.network import Precision

PLAN = "engine.plan"
TIMING_CACHE = "timing.cache"
RECORD = "engine.json"

_FORMER = ".former"
_TEMP_MARK = ".tmp-"
_INSTALLATION = ".installation"
_MACHINE_ID = Path("/etc/machine-id")
_MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """A built engine, every byte as it was built by this installation.

    Attributes:
        folder: where it lies.
        record: its engine.json.
        plan: content of engine.plan.
        timing_cache: content of timing.cache, where there is one.
    """

    folder: Path
    record: EngineRecord
    plan: bytes
    timing_cache: bytes | None


def default_engines_dir() -> Path:
    """`$STATE_DIRECTORY/engines` under systemd, else in the user's state folder."""
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.split(":")[0]) / "engines"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "edge-ctc" / "engines"


def engine_folder(engines_dir: Path, checkpoint: str, machine: Machine, precision: Precision) -> Path:
    """Where the engine of a checkpoint, by its name, for `machine` belongs."""
    return engines_dir / checkpoint / f"{machine.runtime}-{precision}-{machine.target}"


def engines_dir_of(folder: Path) -> Path:
    """The ENGINES_DIR in which an engine's folder lies."""
    return folder.parents[1]


def former_of(folder: Path) -> Path:
    """Where the engine that stood in `folder` before is kept."""
    return folder.with_name(folder.name + _FORMER)


def failed_rebuild_of(folder: Path) -> Path:
    """The note of a failed attempt to build the engine in `folder` anew; an install removes it."""
    return folder.with_name(f".{folder.name}.rebuild-failed")


def find_engines(engines_dir: Path, checkpoint: str | None = None) -> list[Path]:
    """Folders of installed engines in their order, of one checkpoint by its name or of all, without former ones.

    Raises:
        ResultsError: a folder cannot be read.
    """
    try:
        names = [checkpoint] if checkpoint else sorted(os.listdir(engines_dir))
        return [
            folder
            for name in names
            if not name.startswith(".") and (engines_dir / name).is_dir()
            for folder in _engines_in(engines_dir / name)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError(f"{engines_dir}: cannot be read ({error.strerror}); look at its rights") from error


def _engines_in(folder: Path) -> list[Path]:
    names = {name.removesuffix(_FORMER) for name in os.listdir(folder) if not name.startswith(".")}
    return [folder / name for name in sorted(names) if (folder / name).is_dir() or former_of(folder / name).is_dir()]


def read_engine(folder: Path) -> InstalledEngine:
    """An installed engine, hashed and its seal checked.

    Raises:
        InputMissingError: there is no such folder.
        EngineSpoiltError: a file is missing or changed since it was built (named), or this installation did not
            build it. A plan is code that the GPU's driver runs: no other is ever loaded.
        ResultsError: what an install that was cut short left cannot be mended.
    """
    folder = Path(os.path.abspath(folder))
    _mend_if_cut(folder)
    if not folder.is_dir():
        raise InputMissingError(f"{folder}: no such engine; `edge-ctc engine list` shows those that there are")
    record = _record(folder / RECORD)
    plan = _checked(folder / PLAN, record.plan_sha256)
    expected = record.timing_cache_sha256
    cache = None if expected is None else _checked(folder / TIMING_CACHE, expected)
    if not record.is_sealed_by(_key(engines_dir_of(folder))):
        raise EngineSpoiltError(
            f"{folder / RECORD}: changed since, or not built by this installation; an engine is code, and only one "
            "built here is loaded: build it again with `edge-ctc build-engine`"
        )
    return InstalledEngine(folder, record, plan, cache)


def _record(path: Path) -> EngineRecord:
    try:
        return EngineRecord.model_validate_json(_read(path))
    except ValidationError as error:
        raise EngineSpoiltError(f"{path}: not as edge-ctc writes it ({error}); build the engine again") from error


def _checked(path: Path, sha256: str) -> bytes:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EngineSpoiltError(
            f"{path}: sha256 {found[:12]}…, expected {sha256[:12]}…; the file changed since it was built: "
            "build the engine again, or go back with `edge-ctc engine rollback`"
        )
    return content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise EngineSpoiltError(f"{path}: cannot be read ({error.strerror}); build the engine again") from error
    if len(content) > _MAX_BYTES:
        raise EngineSpoiltError(f"{path}: larger than {_MAX_BYTES} bytes; build the engine again")
    return content


def install(folder: Path, record: EngineRecord, plan: bytes, timing_cache: bytes | None) -> InstalledEngine:
    """Let an engine appear whole in `folder`; the one that stood there becomes the former one.

    Call it as the sole writer of the folder's parent, which exists. Killed at any step, `read_engine` still finds one
    of both.

    Raises:
        ResultsError: it cannot be written; what stood there still stands.
    """
    record = record.sealed(_key(engines_dir_of(folder), make=True))
    contents = {PLAN: plan, RECORD: record.model_dump_json(indent=1).encode()}
    if timing_cache is not None:
        contents[TIMING_CACHE] = timing_cache
    try:
        _mend(folder)
        temp = _staged(folder, contents)
        _make_current(temp, folder)
        failed_rebuild_of(folder).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return InstalledEngine(folder, record, plan, timing_cache)


def _staged(folder: Path, contents: Mapping[str, bytes]) -> Path:
    temp = _temp(folder)
    temp.mkdir()
    try:
        for name, content in contents.items():
            durable.write_bytes(temp / name, content)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise
    return temp


def _make_current(temp: Path, folder: Path) -> None:
    """Former one away, current one to former, `temp` to current; between the last two steps `_mend` is needed."""
    former, oldest = former_of(folder), _temp(folder)
    if folder.is_dir():
        if former.is_dir():
            former.rename(oldest)
        folder.rename(former)
    temp.rename(folder)
    durable.sync_folder(folder.parent)
    shutil.rmtree(oldest, ignore_errors=True)


def rollback(folder: Path) -> InstalledEngine:
    """Bring the former engine back; the current one becomes the former one. Call it as `install`.

    Raises:
        InputMissingError: there is no former one.
        EngineSpoiltError: the former one is not as it was built; nothing is changed.
        ResultsError: the folder cannot be written.
    """
    former = former_of(folder)
    try:
        _mend(folder)
        if not former.is_dir():
            raise InputMissingError(f"{former}: there is no former engine to go back to")
        read_engine(former)
        temp = _temp(folder)
        former.rename(temp)
        _make_current(temp, folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return read_engine(folder)


def _mend_if_cut(folder: Path) -> None:
    """`_mend` for readers, who hold no lock yet; one that installs at this moment is waited out by running again."""
    if not folder.is_dir() and former_of(folder).is_dir():
        with durable.sole_writer(folder.parent):
            _mend(folder)


def _mend(folder: Path) -> None:
    """Close the gap of an install that was killed between its last two steps, and remove what it left."""
    former = former_of(folder)
    if not folder.is_dir() and former.is_dir():
        former.rename(folder)
    for left in folder.parent.glob(f".{folder.name}{_TEMP_MARK}*"):
        shutil.rmtree(left, ignore_errors=True)


def _temp(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{_TEMP_MARK}{secrets.token_hex(4)}")


def _key(engines_dir: Path, *, make: bool = False) -> bytes:
    """What the seals of this installation are made with: of the folder and of the machine, so that copies differ."""
    path = engines_dir / _INSTALLATION
    try:
        if make and not path.exists():
            durable.write_bytes(path, secrets.token_hex(32).encode())
        machine = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
        return hashlib.sha256(path.read_bytes() + machine).digest()
    except OSError as error:
        raise EngineSpoiltError(
            f"{path}: cannot be read ({error.strerror}); engines are bound to it: build the engine again"
        ) from error


def _cannot_write(path: Path, error: OSError) -> ResultsError:
    return ResultsError(f"{path}: cannot be written ({error.strerror}); free space or rights there")
