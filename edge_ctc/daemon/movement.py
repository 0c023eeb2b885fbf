"""Whether the threads of this process move at all: tells one that a dead share holds from one that is slow."""

import os
import threading

_TASKS = "/proc/self/task"
_JUDGED_EVERY_S = 1.0
_SHARE_OF_COMPUTING = 0.1


class Movement:
    """Looks at the threads of this process, now and again.

    A thread that a system call does not let go, or that waits for ever for a lock, never comes to a processor. Any
    other does. So a Python thread moves when it was on a processor at all since the last look; one of a library (ONNX
    Runtime, CUDA) only when it computes, for a tenth of the time at least: such a library may have threads that wake up
    now and again, and these would hide that all else is stuck. watchdog's threads are left out for the same reason.
    """

    def __init__(self, apart: int) -> None:
        """`apart` is the native id of a thread that is left out: the one that looks, and so always moves."""
        self._apart = apart
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._python: dict[int, tuple[int, int]] = {}
        self._library: frozenset[int] = frozenset()
        self._computed = 0
        self._judged_at = 0.0
        self._moved_at: float | None = None

    def seconds_still(self, now: float) -> float:
        """For how long none has moved, as far as the looks can tell; `now` is of a monotonic clock.

        A thread that begins or ends moves. 0.0 where the kernel does not tell: what is not known kills nobody.
        """
        threads = _threads()
        if self._apart not in threads:
            return 0.0  # /proc is another container's: its numbers mean nothing here
        ours, watchdogs = _python_threads()
        looked_at = (threads & ours) - watchdogs - {self._apart}
        python = {thread: (_ticks(thread), _switches(thread)) for thread in looked_at}
        library = frozenset(threads - ours)
        moved = python != self._python or library != self._library
        self._python, self._library = python, library
        if self._library_computes(now) or moved or self._moved_at is None:
            self._moved_at = now
        return now - self._moved_at

    def _library_computes(self, now: float) -> bool:
        # The kernel counts in hundredths of a second: a shorter time than this says nothing.
        seconds = now - self._judged_at
        if 0 <= seconds < _JUDGED_EVERY_S:
            return False
        before, self._computed, self._judged_at = self._computed, sum(map(_ticks, self._library)), now
        return self._computed - before >= _SHARE_OF_COMPUTING * seconds * self._ticks_per_s


def _threads() -> frozenset[int]:
    try:
        return frozenset(int(name) for name in os.listdir(_TASKS))
    except (OSError, ValueError):
        return frozenset()


def _python_threads() -> tuple[set[int], set[int]]:
    """Native ids of all that Python knows, and those of watchdog's among them."""
    threads = [(thread, thread.native_id) for thread in threading.enumerate()]
    known = {number for _, number in threads if number is not None}
    watchdogs = {number for thread, number in threads if number and type(thread).__module__.startswith("watchdog.")}
    return known, watchdogs


def _ticks(thread: int) -> int:
    """Of the processor that a thread used, for itself and in the kernel; 0 of one that has just ended."""
    try:
        # Its name, the second field, may hold anything, a closing bracket too.
        fields = _read(f"{_TASKS}/{thread}/stat").rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0


def _switches(thread: int) -> int:
    """How often a thread came to, or lost, a processor; 0 of one that has just ended."""
    try:
        lines = _read(f"{_TASKS}/{thread}/status").splitlines()
        return sum(int(line.split()[1]) for line in lines if b"ctxt_switches" in line)
    except (OSError, ValueError, IndexError):
        return 0


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, 1 << 14)
    finally:
        os.close(handle)
