"""Where the daemon keeps what is its own, and the lock that lets one daemon at a time run there."""

import contextlib
import datetime as dt
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.daemon.status import STATUS, Status, boot_id, read_status, seconds_since_boot
from edge_ctc.engine.places import default_engines_dir
from edge_ctc.errors import InputMissingError, ResultsError, ResultsHeldError
from edge_ctc.lock_holder import holder_pid

LOCK = "watch.lock"
SERVICE_STATE = Path("/var/lib/edge-ctc")
"""What systemd makes of the unit's `StateDirectory=edge-ctc`; a shell does not have its $STATE_DIRECTORY."""

SILENT_AFTER_S = 15.0
"""A daemon that lives writes its status far more often."""

_TRIES = 10
_BETWEEN_TRIES_S = 0.05


def state_folder() -> Path:
    """$STATE_DIRECTORY under systemd, else `edge-ctc` in the user's state folder."""
    return default_engines_dir().parent


def state_folder_to_ask() -> Path:
    """Where whoever asks for a daemon's status finds it: the service's folder where it is installed, else the own."""
    is_told = os.environ.get("STATE_DIRECTORY", "").startswith("/")
    return SERVICE_STATE if not is_told and os.path.lexists(SERVICE_STATE) else state_folder()


@contextlib.contextmanager
def sole_daemon(folder: Path) -> Iterator[None]:
    """Be the only daemon of the state folder `folder`, which is made, for as long as the context lasts.

    The lock's file stays: one that is removed could be held by two, each with a file of its own. What the daemon
    before said goes: a new one of the same number, as in every container, would seem to say it.

    Raises:
        ResultsHeldError: another daemon runs here.
        ResultsError: the folder cannot be made, or its lock not be opened.
    """
    try:
        _make(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(folder / LOCK, flags, 0o644)
    except OSError as error:
        raise _cannot(folder, error) from error
    try:
        _take(handle, folder)
        with contextlib.suppress(OSError):
            (folder / STATUS).unlink()
        with contextlib.suppress(OSError):
            # For people, and for `edge-ctc status`. The unit's umask would hide it from the folder's group. A full
            # disk costs the number, not the lock.
            os.fchmod(handle, 0o644)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether a daemon runs with the state folder `folder`.

    Raises:
        OSError: its lock is there and cannot be tried, for want of rights for instance.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Trying takes the lock for an instant, shared with others who ask; a daemon that starts just then tries again.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@dataclass(frozen=True, slots=True)
class Sighting:
    """What can be seen of a daemon from outside.

    Attributes:
        folder: its state folder.
        runs: whether one holds the folder's lock.
        pid: of the one that runs, or ran last; None: none ever did.
        status: what was said last; None: nothing ever was.
        age_s: of that.
        answers: whether the one that runs has said it, and lately.
    """

    folder: Path
    runs: bool
    pid: int | None
    status: Status | None
    age_s: float
    answers: bool

    @property
    def is_well(self) -> bool:
        """Whether it answers, and nothing waits, stalls or is away."""
        status = self.status
        if not self.answers or status is None:
            return False
        return status.state in ("starting", "watching", "calling") and not status.waits and not status.runs.stalled


def look_for_daemon(folder: Path) -> Sighting:
    """Whether a daemon runs with the state folder `folder`, and what it said last.

    Raises:
        InputMissingError: what lies there may not be read.
        DataError: what was said is of another version.
    """
    try:
        runs = is_held(folder)
        status = read_status(folder / STATUS) if os.path.lexists(folder / STATUS) else None
    except OSError as error:
        raise InputMissingError(
            f"{folder}: cannot be read ({error.strerror}); ask as root or as a member of the folder's group"
        ) from error
    pid = pid_in_lock(folder)
    if status is None:
        return Sighting(folder, runs, pid, None, 0.0, answers=False)
    # A lock that is held was taken since the machine started; a container may show another number of that start.
    # What was said later than now was said before the machine started.
    since_s = seconds_since_boot() - status.updated_boot_s
    is_this_boot = status.boot_id == boot_id() or (runs and status.pid == pid and since_s >= 0)
    age_s = since_s if is_this_boot else _age_by_clock(status.updated_at_utc)
    answers = runs and is_this_boot and status.pid == pid and age_s <= SILENT_AFTER_S
    return Sighting(folder, runs, pid, status, max(age_s, 0.0), answers)


def _age_by_clock(utc: str) -> float:
    try:
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(utc)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def pid_in_lock(folder: Path) -> int | None:
    """The number that the last daemon wrote into its lock; None where there is none."""
    try:
        return int((folder / LOCK).read_text())
    except (OSError, ValueError):
        return None


def _make(folder: Path) -> None:
    if not os.path.isdir(folder):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        folder.chmod(0o750)  # whatever the umask


def _take(handle: int, folder: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not tries_left:
                pid = holder_pid(folder / LOCK) or pid_in_lock(folder)
                who = f"process {pid}" if pid else "another process"
                raise ResultsHeldError(
                    f"{folder}: another edge-ctc watch runs here ({who}); end that one first, or leave it to its work"
                ) from error
            time.sleep(_BETWEEN_TRIES_S)
        except OSError as error:
            raise _cannot(folder, error) from error
        else:
            return


def _cannot(folder: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"{folder}: the daemon cannot keep its state there ({error.strerror}); mend the folder's rights, or name "
        "another one in $STATE_DIRECTORY"
    )
