"""Which runs were being called when a daemon ended by itself: the next one calls them last, and not at once."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = "last-work"
_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 600.0


class LastWork:
    """A note in the state folder while a run is called; what is found there at the start tells of sudden ends.

    Whatever in a run ends the process (a decoder that crashes, memory, an engine that fails or hangs) must not keep the
    others waiting when that comes again and again. The note decides only when a run is called, never what is said of
    it, so that it may be lost.
    """

    def __init__(self, folder: Path) -> None:
        """Read what earlier daemons left in the state folder."""
        self._path = folder / _NAME
        self._ends = _read(self._path)
        self._began = time.monotonic()

    def ends(self, run: str) -> int:
        """How often a daemon ended while it called this run, since it was last called with success."""
        return self._ends.get(run, 0)

    def may_begin(self, run: str, now: float) -> bool:
        """Whether it is time for this run: at once after one sudden end, which may be power's; later after more."""
        ends = self.ends(run)
        pause_s = 0.0 if ends < 2 else min(_FIRST_PAUSE_S * 2.0 ** min(ends - 2, 10), _LONGEST_PAUSE_S)
        return now - self._began >= pause_s

    @contextlib.contextmanager
    def on(self, run: str, harmless: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """The run is called while the context lasts; any exception but a harmless one is taken to end the process."""
        self._write(self._ends | {run: self.ends(run) + 1})
        try:
            yield
        except harmless:
            self._write(self._ends)
            raise
        self._ends.pop(run, None)
        self._write(self._ends)

    def forget_now(self) -> None:
        """What is under way is left on purpose."""
        self._write(self._ends)

    def _write(self, ends: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            if ends:
                self._path.write_text(json.dumps(ends))
            else:
                self._path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {run: ends for run, ends in found.items() if isinstance(ends, int)}
