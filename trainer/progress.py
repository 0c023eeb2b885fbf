"""How far a training is: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 2.0


class Reporter(Protocol):
    """Whom the training tells how far it is."""

    def say(self, text: str) -> None:
        """Something worth knowing, one line."""

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of `what` are done."""


class ConsoleReporter:
    """A `Reporter` that writes to standard error; a context manager that leaves the terminal as it was."""

    def __init__(self) -> None:
        """Nothing is shown before the first report."""
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """As `Reporter.say`."""
        self._console.print(text, markup=False, soft_wrap=True)

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        """As `Reporter.advanced`; without a terminal at most one line in two seconds, and the last."""
        if self._console.is_terminal:
            self._draw(what, done, total, note)
        elif done == total or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.say(f"{what} {done}/{total} {note}".rstrip())

    def _draw(self, what: str, done: int, total: int, note: str) -> None:
        self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, note=note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
