"""Which run was being called when a daemon ended without a word: it is called last by the next one, and not at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_NAME = "last-work"
_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 600.0


class LastWork:
    """A note in the state folder while a run is called; one that is found at the start tells of a sudden end.

    Whatever in a run ends the process (a decoder that crashes, memory, a hung engine) must not keep the others waiting
    when that comes again and again. The note decides only when a run is called, never what is said of it, so that it
    may be lost.
    """

    def __init__(self, folder: Path) -> None:
        """Read what an earlier daemon left in the state folder."""
        self._path = folder / _NAME
        self.run, self._ends = _read(self._path)

    @property
    def pause_s(self) -> float:
        """For how long after the start that run is left alone: not at all after one sudden end; it may be power's."""
        return 0.0 if self._ends < 2 else min(_FIRST_PAUSE_S * 2.0 ** (self._ends - 2), _LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def on(self, run: str, harmless: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """The run is called while the context lasts; any exception but a harmless one is taken to end the process."""
        ends = self._ends + 1 if run == self.run else 1
        with contextlib.suppress(OSError):
            self._path.write_text(f"{ends}\n{run}", "utf-8", "surrogateescape")
        try:
            yield
        except harmless:
            self.forget()
            raise
        self.forget()
        if run == self.run:
            self.run, self._ends = "", 0

    def forget(self) -> None:
        """Nothing ended here by itself."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[str, int]:
    try:
        ends, run = path.read_text("utf-8", "surrogateescape").split("\n", 1)
        return run, int(ends)
    except (OSError, ValueError):
        return "", 0
