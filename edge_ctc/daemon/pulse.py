"""What is being computed right now, so that an engine that never answers is noticed from another thread."""

import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from edge_ctc.engine.seam import Engine, Scores


class Pulse:
    """The batches under way."""

    def __init__(self) -> None:
        """None is."""
        self._begun: dict[int, float] = {}

    @contextlib.contextmanager
    def batch(self, slot: int) -> Iterator[None]:
        """A batch is computed in `slot` while the context lasts."""
        self._begun[slot] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[slot]

    def longest_s(self, now: float) -> float:
        """For how long the batch is computed that began first; 0.0 where none is."""
        begun = list(self._begun.values())
        return now - min(begun) if begun else 0.0


class TimedEngine:
    """An engine whose batches are told to a pulse; else it is the engine."""

    def __init__(self, engine: Engine, pulse: Pulse) -> None:
        """Takes the engine over."""
        self._engine, self._pulse = engine, pulse
        self.description = engine.description
        self.precision = engine.precision
        self.max_batch = engine.max_batch
        self.inputs = engine.inputs

    def infer(self, slot: int, n: int) -> Scores:
        """As `Engine.infer`."""
        with self._pulse.batch(slot):
            return self._engine.infer(slot, n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.__exit__(kind, error, trace)
