"""A reporter of the trainer's that a test can read, and that can end the training like a kill."""

from dataclasses import dataclass, field


class KilledError(Exception):
    """Stands for a kill between two epochs."""


@dataclass
class Listener:
    """A `Reporter` that keeps what it hears, and may end the training after an epoch."""

    killed_after: int = 0
    heard: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.heard.append(text)

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        self.heard.append(f"{what} {done}/{total} {note}")
        if what == "epoch" and done == self.killed_after:
            raise KilledError
