"""How files come to lie on the disk: at once, or as an instrument writes them, some whole and some bit by bit."""

import heapq
import itertools
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

# A stream of the patient that belongs to no cell; cells are numbered from 1.
_ARRIVAL = (0, 1000)
_SPREAD = 0.75
"""Of the time between two cells, over which the files of one begin."""

Step = tuple[float, Callable[[], object]]
"""After which share of the time between two cells something happens to a file, and what."""


class Disk:
    """Writes the files of one cell after another."""

    def __init__(self, rate: float | None, seed: int) -> None:
        """Start the clock.

        Args:
            rate: Cells per second; None is as fast as possible, every file at once.
            seed: Draws how each file arrives; its place and its content do not depend on that.
        """
        self._period = None if rate is None else 1 / rate
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=_ARRIVAL))
        self._start = time.monotonic()
        self._cells = 0
        self._folders: set[Path] = set()
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def write_cell(self, files: Sequence[tuple[Path, bytes]], written: Callable[[], object]) -> None:
        """Write one cell's files; with a rate they may still be arriving when the next cell's begin.

        Args:
            files: Each with its content.
            written: Called when the last of them is whole.
        """
        for folder in {path.parent for path, _ in files} - self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        if self._period is None:
            for path, content in files:
                path.write_bytes(content)
            written()
            return
        begin = self._start + self._cells * self._period
        self._cells += 1
        self._run_until(begin)
        last = begin
        for place, (path, content) in enumerate(files):
            first = begin + _SPREAD * self._period * place / len(files)
            for share, step in arrival_of(path, content, self._rng):
                last = max(last, first + share * self._period)
                heapq.heappush(self._waiting, (first + share * self._period, next(self._order), step))
        heapq.heappush(self._waiting, (last, next(self._order), written))

    def finish(self) -> None:
        """Wait until all files are whole."""
        self._run_until(None)

    def _run_until(self, moment: float | None) -> None:
        while self._waiting and (moment is None or self._waiting[0][0] <= moment):
            due, _, step = heapq.heappop(self._waiting)
            _sleep_until(due)
            step()
        if moment is not None:
            _sleep_until(moment)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def arrival_of(path: Path, content: bytes, rng: np.random.Generator) -> list[Step]:
    """How one file arrives: of ten files seven at once, the others so that a reader can meet them unfinished."""
    draw = rng.random()
    first, second = rng.uniform(0.2, 0.5, 2)
    if draw < 0.7:
        return [(0.0, partial(path.write_bytes, content))]
    if draw < 0.8:
        return _in_pieces(path, content, [0.0, first, first + second][: rng.integers(2, 4)])
    if draw < 0.9:
        return _preallocated(path, content, (first, first + second))
    temporary = path.with_name(path.name + ".tmp")
    return [(0.0, partial(temporary.write_bytes, content)), (first, partial(temporary.rename, path))]


def _in_pieces(path: Path, content: bytes, shares: Sequence[float]) -> list[Step]:
    cuts = [len(content) * place // len(shares) for place in range(len(shares) + 1)]
    return [
        (share, partial(_write_at, path, start, content[start:end]))
        for share, (start, end) in zip(shares, itertools.pairwise(cuts), strict=True)
    ]


def _preallocated(path: Path, content: bytes, shares: tuple[float, float]) -> list[Step]:
    half = len(content) // 2
    return [
        (0.0, partial(_allocate, path, len(content))),
        (shares[0], partial(_write_at, path, 0, content[:half])),
        (shares[1], partial(_write_at, path, half, content[half:])),
    ]


def _allocate(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


def _write_at(path: Path, offset: int, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(handle, content, offset)
    finally:
        os.close(handle)
