"""What the daemon says of itself, in one small file in its state folder: seen from outside without a port."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from edge_ctc.errors import DataError, InputMissingError
from edge_ctc.exports.listing import display_name
from edge_ctc.toml_file import StrictModel

STATUS = "status.json"
_TEMP = ".status.json.tmp"
"""One name is enough: only the holder of the state folder's lock writes, and what a crash leaves is written over."""

_MOST_BYTES = 1 << 20

Count = Annotated[int, Field(ge=0)]
Shown = Annotated[str, AfterValidator(display_name)]
"""In printable characters: a folder's name may be bytes that no JSON holds."""

State = Literal["starting", "watching", "calling", "share-away", "share-silent", "waiting", "ended"]
"""`waiting`: something is owed and cannot be done now (disk full, a file that cannot be read), see `waits`."""


class RunSummary(StrictModel):
    """One called run, as its manifest says.

    Attributes:
        run: its name.
        finished_at_utc: ISO 8601.
        run_state: complete or partial.
        cells: all that are known.
        verdicts: how many cells of each.
        flags: how many cells carry each.
        seconds: that the calling took.
        cells_reused: whose rows were kept, and which took no time.
    """

    run: Shown
    finished_at_utc: str
    run_state: Literal["complete", "partial"]
    cells: Count
    verdicts: dict[str, int]
    flags: dict[str, int]
    seconds: float
    cells_reused: Count = 0


class Wait(StrictModel):
    """A run for which something is owed that cannot be done now.

    Attributes:
        run: its name.
        reason: kind of failure and the system's words, no path.
        for_s: how long already.
    """

    run: Shown
    reason: Shown
    for_s: float


class RunCounts(StrictModel):
    """How many folders are what.

    Attributes:
        growing: runs that are not complete, the stalled ones among them.
        stalled: of these, runs that do not grow any more.
        complete: runs with complete calls to which nothing was added since.
        unchecked: found when the daemon started, not looked into yet.
        no_runs: folders in which the profile finds no cell.
    """

    growing: Count = 0
    stalled: Count = 0
    complete: Count = 0
    unchecked: Count = 0
    no_runs: Count = 0


def seconds_since_boot() -> float:
    """By a clock that nobody sets, and that is the same for every process of this machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Of the machine's start; empty where it is hidden."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Status(StrictModel):
    """The file's content.

    Attributes:
        pid: of the daemon.
        boot_id: of the machine's start in which `pid` holds.
        software_version: of edge_ctc.
        engine: as it stands in every call; empty while the daemon starts.
        started_at_utc: ISO 8601.
        updated_at_utc: when this was written.
        updated_boot_s: the same by `seconds_since_boot`: the age of this, whatever becomes of the clock.
        state: in a word.
        state_since_utc: since when it is that; None: as long as the daemon runs.
        sentence: in a sentence, as systemd shows it.
        last_look_at_utc: when the export folder was last listed with success.
        calling: the run that is being called now, if one is.
        cells_done: of that run, in this call.
        cells_owed: of that run, in this call.
        oldest_pending_file_s: for how long the oldest file that is owed to a call has been seen; None: none is.
        runs: how many of which state.
        verdicts: cells of each, over all runs whose calls were read since the start.
        failures: how often what failed since the start, by reason.
        waits: what cannot be done now.
        recent: the last called runs, the newest last, fifty at most.
    """

    schema_version: Literal[1] = 1
    pid: int
    boot_id: str
    software_version: str
    engine: str
    started_at_utc: str
    updated_at_utc: str
    updated_boot_s: float = Field(default_factory=seconds_since_boot)
    state: State
    state_since_utc: str | None = None
    sentence: Shown
    last_look_at_utc: str | None
    calling: Shown | None
    cells_done: Count
    cells_owed: Count
    oldest_pending_file_s: float | None
    runs: RunCounts
    verdicts: dict[str, int]
    failures: dict[str, int]
    waits: tuple[Wait, ...]
    recent: tuple[RunSummary, ...]


def write_status(path: Path, status: Status) -> str | None:
    """Let `path` hold `status`, readable for all who may enter its folder.

    Whole, by a rename, but not flushed to the disk: after a power cut the daemon that starts writes a new one anyway.

    Returns:
        None; or, where it could not be written, why, in the system's words: a full disk under the state folder must be
        said (in the sentence that systemd shows, for instance), and must not end the daemon.
    """
    temp = path.with_name(_TEMP)
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temp, flags, 0o644), "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o644)  # the unit's umask would hide it
                file.write(json.dumps(status.model_dump()))
            temp.replace(path)
        except OSError:
            temp.unlink(missing_ok=True)  # half a file must not take the little space that is left
            raise
    except OSError as error:
        return error.strerror or str(error)
    return None


def read_status(path: Path) -> Status:
    """What a daemon said last.

    Raises:
        InputMissingError: there is no such file, or it may not be read.
        DataError: it is no status of this version.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no daemon has written its status there; name its state folder") from error
    except OSError as error:
        raise InputMissingError(
            f"{path}: cannot be read ({error.strerror}); ask as root or as a member of the folder's group"
        ) from error
    try:
        return Status.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "file"
        raise DataError(
            f"{path}: no status that this version can read ({where}: {fault['msg']}); ask with the version that runs"
        ) from error
