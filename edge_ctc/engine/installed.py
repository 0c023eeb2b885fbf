"""Built engines on the disk: read with every byte checked, installed whole or not at all, the former one kept."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from edge_ctc import durable
from edge_ctc.engine.places import INSTALLATION, engine_path, engines_dir_of, failed_rebuild_of, former_of, kind_of
from edge_ctc.engine.record import EngineRecord
from edge_ctc.errors import EngineSpoiltError, InputMissingError, ResultsError

PLAN = "engine.plan"
TIMING_CACHE = "timing.cache"
RECORD = "engine.json"

_TEMP_MARK = ".tmp-"
_MACHINE_ID = Path("/etc/machine-id")
_MAX_BYTES = 4 << 30
_MAX_RECORD_BYTES = 1 << 20
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


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


def read_engine(folder: Path) -> InstalledEngine:
    """An installed engine, hashed and its seal checked.

    Raises:
        InputMissingError: there is no such folder.
        EngineSpoiltError: a file is missing or changed since it was built (named), or this installation did not
            build it. A plan is code that the GPU's driver runs: no other is ever loaded.
        ResultsError: what an install that was cut short left cannot be mended.
        ResultsHeldError: that is just now being mended, or another engine installed, by another process.
    """
    folder = engine_path(folder)
    _mend_if_cut(folder)
    if kind_of(folder) is None:
        raise no_such_engine(folder)
    with _opened(folder) as handle:
        record = _record(folder, handle)
        plan = _checked(folder, handle, PLAN, record.plan_sha256)
        expected = record.timing_cache_sha256
        cache = None if expected is None else _checked(folder, handle, TIMING_CACHE, expected)
    if not record.is_sealed_by(_key(engines_dir_of(folder))):
        raise EngineSpoiltError(
            f"{folder / RECORD}: changed since, or not built by this installation; an engine is code, and only one "
            "built here is loaded: build it again with `edge-ctc build-engine`"
        )
    return InstalledEngine(folder, record, plan, cache)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A handle of the folder: whoever installs meanwhile moves the folder, and its files stay together."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise EngineSpoiltError(f"{folder}: cannot be read ({error.strerror}); look at its rights") from error
        raise no_such_engine(folder) from error
    except ValueError as error:
        raise no_such_engine(folder) from error
    try:
        yield handle
    finally:
        os.close(handle)


def no_such_engine(folder: Path) -> InputMissingError:
    """To be raised where a folder is no engine's."""
    return InputMissingError(f"{folder}: no such engine; `edge-ctc engine list` shows those that there are")


def _record(folder: Path, handle: int) -> EngineRecord:
    try:
        return EngineRecord.model_validate_json(_read(folder, handle, RECORD, _MAX_RECORD_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise EngineSpoiltError(
            f"{folder / RECORD}: not as edge-ctc writes it ({where}: {first['msg']}); build the engine again"
        ) from error


def _checked(folder: Path, handle: int, name: str, sha256: str) -> bytes:
    content = _read(folder, handle, name, _MAX_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EngineSpoiltError(
            f"{folder / name}: sha256 {found[:12]}…, expected {sha256[:12]}…; the file changed since it was built: "
            "build the engine again, or go back with `edge-ctc engine rollback`"
        )
    return content


def _read(folder: Path, handle: int, name: str, most: int) -> bytes:
    # Without O_NONBLOCK, a pipe in the place of a file would hold the program up for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(name, flags, dir_fd=handle), "rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(most + 1) if is_file else b""
    except OSError as error:
        raise EngineSpoiltError(
            f"{folder / name}: cannot be read ({error.strerror}); build the engine again"
        ) from error
    if not is_file or len(content) > most:
        raise EngineSpoiltError(f"{folder / name}: no file of at most {most} bytes; build the engine again")
    return content


def install(folder: Path, record: EngineRecord, plan: bytes, timing_cache: bytes | None) -> InstalledEngine:
    """Let an engine appear whole in `folder`; the one that stood there becomes the former one.

    Call it as the sole writer of the folder's parent, which exists. Killed at any step, `read_engine` still finds one
    of both.

    Raises:
        ResultsError: it cannot be written. What stood there still stands, or, if only the last tidying failed, the
            new one does.
    """
    engine = InstalledEngine(folder, record.sealed(_key(engines_dir_of(folder), make=True)), plan, timing_cache)
    _appear(engine)
    return engine


def rollback(folder: Path) -> InstalledEngine:
    """Bring the former engine back; the current one becomes the former one. Call it as `install`.

    Raises:
        InputMissingError: there is no former one.
        EngineSpoiltError: the former one is not as it was built; nothing is changed.
        ResultsError: the folder cannot be written.
    """
    former = former_of(folder)
    mend(folder)
    if not os.path.isdir(former):
        raise InputMissingError(f"{former}: there is no former engine to go back to")
    engine = replace(read_engine(former), folder=folder)
    _appear(engine)
    return engine


def mend(folder: Path) -> None:
    """Bring back what an install that was cut had moved, and remove what it left. Call it as `install`.

    Raises:
        ResultsError: the folder cannot be written.
    """
    with _as_results_error(folder):
        _mend(folder)


def uninstall(folder: Path) -> None:
    """Remove an engine and its former one. Call it as `install`.

    Raises:
        ResultsError: the folder cannot be written.
    """
    with _as_results_error(folder):
        _mend(folder)
        for part in (former_of(folder), folder):
            if os.path.isdir(part):
                part.rename(_oldest_of(folder))
                shutil.rmtree(_oldest_of(folder))
        failed_rebuild_of(folder).unlink(missing_ok=True)


def _appear(engine: InstalledEngine) -> None:
    folder = engine.folder
    contents = {PLAN: engine.plan, RECORD: engine.record.model_dump_json(indent=1).encode()}
    if engine.timing_cache is not None:
        contents[TIMING_CACHE] = engine.timing_cache
    with _as_results_error(folder):
        _mend(folder)
        try:
            _make_current(_staged(folder, contents), folder)
        except BaseException:
            with contextlib.suppress(OSError):
                _mend(folder)
            raise
        failed_rebuild_of(folder).unlink(missing_ok=True)
        durable.mend(failed_rebuild_of(folder))


def _staged(folder: Path, contents: Mapping[str, bytes]) -> Path:
    temp = folder.with_name(f".{folder.name}{_TEMP_MARK}{secrets.token_hex(4)}")
    temp.mkdir()
    for name, content in contents.items():
        durable.write_bytes(temp / name, content)
    return temp


def _make_current(temp: Path, folder: Path) -> None:
    """Former one aside, current one to former, `temp` to current. `_mend` undoes what was cut before the last step."""
    former = former_of(folder)
    if os.path.isdir(folder) and os.path.isdir(former) and not _is_sound(folder):
        folder.rename(_oldest_of(folder))
    elif os.path.isdir(folder):
        if os.path.isdir(former):
            former.rename(_oldest_of(folder))
        folder.rename(former)
    temp.rename(folder)
    durable.sync_folder(folder.parent)
    shutil.rmtree(_oldest_of(folder), ignore_errors=True)


def _is_sound(folder: Path) -> bool:
    """A spoilt engine is not kept at the cost of a sound former one."""
    with contextlib.suppress(EngineSpoiltError):
        read_engine(folder)
        return True
    return False


def _mend_if_cut(folder: Path) -> None:
    """`_mend` for readers, who hold no lock yet."""
    if not os.path.isdir(folder) and os.path.isdir(former_of(folder)):
        with durable.sole_writer(folder.parent):
            mend(folder)


def _mend(folder: Path) -> None:
    former, oldest = former_of(folder), _oldest_of(folder)
    if not os.path.isdir(folder) and os.path.isdir(former):
        former.rename(folder)
    if os.path.isdir(oldest) and not os.path.isdir(former):
        oldest.rename(former)
    with os.scandir(folder.parent) as entries:
        left = [Path(entry) for entry in entries if entry.name.startswith(f".{folder.name}{_TEMP_MARK}")]
    for temp in left:
        shutil.rmtree(temp, ignore_errors=True)


def _oldest_of(folder: Path) -> Path:
    """The former engine, while a third takes its place."""
    return folder.with_name(f".{folder.name}{_TEMP_MARK}oldest")


def _key(engines_dir: Path, *, make: bool = False) -> bytes:
    """What the seals of this installation are made with: of the folder and of the machine, so that copies differ."""
    path = engines_dir / INSTALLATION
    if make and not path.exists():
        with durable.sole_writer(engines_dir):
            durable.mend(path)
            if not path.exists():
                durable.write_whole(path, durable.writing(secrets.token_hex(32).encode()))
    try:
        machine = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
        return hashlib.sha256(path.read_bytes() + machine).digest()
    except OSError as error:
        raise EngineSpoiltError(
            f"{path}: cannot be read ({error.strerror}); engines are bound to it: run as the user that built them, or "
            "build the engine again"
        ) from error


@contextlib.contextmanager
def _as_results_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror}); free space or rights there") from error
