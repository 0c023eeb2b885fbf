"""Folders that may lie on a share whose server is gone: touched by another process, with a time limit."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 3.0
"""A share that lets its first look wait longer is of no use beside an instrument either."""

_TOUCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("touch.py")))
_PARTING_S = 0.3


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder that answered.

    Attributes:
        real: with all links resolved.
        place: the same, or the folder in which it would be made; None where that cannot be told.
        entries: how many things lie in it; None where it cannot be listed.
        newest_s: of its own time and those of what lies in it, Unix time; None where it cannot be listed.
        free_bytes: for others than root, in `place`.
        problem: why it cannot be listed; empty where it can.
        is_missing: whether that is because there is no such folder.
    """

    real: Path
    place: Path | None
    entries: int | None
    newest_s: float | None
    free_bytes: int | None
    problem: str
    is_missing: bool


Look = Callable[[Path], Seen | None]
"""What is in a folder; None: it does not answer."""


def look_at(folder: Path, limit_s: float = LIMIT_S, touch: Sequence[str] = _TOUCH) -> Seen | None:
    """What is in `folder`; None: it does not answer.

    Args:
        folder: absolute.
        limit_s: how long to wait.
        touch: the command that is given "look" and the folder.
    """
    found = _answer([*touch, "look", str(folder)], limit_s)
    if found is None:
        return None
    code = found["errno"]
    return Seen(
        real=Path(found["real"]),
        place=None if found["place"] is None else Path(found["place"]),
        entries=found["entries"],
        newest_s=found["newest"],
        free_bytes=found["free"],
        problem="" if code is None else os.strerror(code),
        is_missing=code == errno.ENOENT,
    )


def try_writing(folder: Path, limit_s: float = LIMIT_S, touch: Sequence[str] = _TOUCH) -> str | None:
    """Make and remove one hidden file in `folder`.

    Args:
        folder: absolute.
        limit_s: how long to wait.
        touch: the command that is given "write" and the folder.

    Returns:
        Why it failed; empty: it did not; None: the folder does not answer.
    """
    found = _answer([*touch, "write", str(folder)], limit_s)
    if found is None:
        return None
    return "" if found["errno"] is None else os.strerror(found["errno"])


def _answer(command: Sequence[str], limit_s: float) -> dict[str, Any] | None:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        content, _ = process.communicate(timeout=limit_s)
        answer: dict[str, Any] = json.loads(content)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    else:
        return answer
    finally:
        _part_with(process)


def _part_with(process: "subprocess.Popen[bytes]") -> None:
    """Whether it ends or not: what a dead share holds cannot be waited for, and ends when the share answers."""
    process.terminate()
    if process.stdout:
        process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PARTING_S)
