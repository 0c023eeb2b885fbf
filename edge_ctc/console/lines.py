"""Lines and progress, on any terminal and on none."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_ctc.exports.listing import display_name

_LINE_EVERY_S = 5.0


def say(line: str, *, to_error: bool = False) -> None:
    """One line, whole however long, in characters that any terminal prints.

    Where nobody reads any more (a closed pipe, a full disk behind it), work goes on without words: results matter more.
    """
    stream = sys.stderr if to_error else sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(display_name(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        # Python itself would fail once more when it flushes the stream at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def counted(number: int, one: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def say_error(message: str, hint: str = "") -> None:
    """`error: …` on standard error, with a hint on a line of its own."""
    for line in (f"error: {message}", hint):
        for part in line.splitlines():
            say(part, to_error=True)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function to be told how many more are done: a bar, or a line every five seconds, on standard error."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(display_name(what), total=total)
            yield lambda more: bar.advance(task, more)
    else:
        yield _Lines(what, total).advance


class OneBar:
    """Draws one bar at a time, for whatever tells people how far its work is; a context manager that clears it."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._bar = contextlib.ExitStack()
        self._advanced: Callable[[int], None] = lambda _: None

    def _draw(self, what: str, total: int) -> None:
        self._bar.close()
        self._advanced = self._bar.enter_context(progress(what, total))

    def advanced(self, more: int) -> None:
        """So many more are done."""
        self._advanced(more)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._next_line = time.monotonic() + _LINE_EVERY_S

    def advance(self, more: int) -> None:
        self._done += more
        if time.monotonic() >= self._next_line:
            say(f"{self._what}: {self._done} of {self._total}", to_error=True)
            self._next_line = time.monotonic() + _LINE_EVERY_S
