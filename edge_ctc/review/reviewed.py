"""A called run with what its readers say now: of each reader the last reading of each cell."""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.committed import committed_calls
from edge_ctc.results.manifest import Manifest
from edge_ctc.review.readings import Reading, read_readings

CTC_FROM = 3
"""Grades 3 and 4 say CTC, 1 and 2 say not."""


@dataclass(frozen=True, slots=True)
class ReviewedCell:
    """A cell that somebody read.

    Attributes:
        call: its row.
        rank: from 1; None where it is not evaluable.
        readings: the last of each reader, by name; without those of other images than the call is.
        is_stale: all of them were.
    """

    call: Call
    rank: int | None
    readings: tuple[Reading, ...]
    is_stale: bool

    @property
    def grades(self) -> tuple[int, ...]:
        """Of the readers who gave one."""
        return tuple(reading.grade for reading in self.readings if reading.grade is not None)


@dataclass(frozen=True, slots=True)
class ReviewedRun:
    """A run and its review.

    Attributes:
        manifest: of the run.
        cells: that somebody read, in the order of the calls.
        gone: cells that somebody read and that are not in the calls any more.
    """

    manifest: Manifest
    cells: tuple[ReviewedCell, ...]
    gone: tuple[str, ...]

    @property
    def current(self) -> tuple[ReviewedCell, ...]:
        """The cells of which a last reading is of the images that were called."""
        return tuple(cell for cell in self.cells if not cell.is_stale)

    @property
    def stale(self) -> tuple[str, ...]:
        """The other cells that were read, and those that are gone."""
        return (*(cell.call.cell_id for cell in self.cells if cell.is_stale), *self.gone)


def says_ctc(grade: int) -> bool:
    """What a grade of 1 to 4 counts as where there are two classes."""
    return grade >= CTC_FROM


def reviewed_run(place: ResultPlace) -> ReviewedRun:
    """The run's committed calls and what its readers say of them now.

    Raises:
        NotARunError: it has no committed calls.
        DataError: the readings were changed.
        RunError: they cannot be read.
    """
    manifest, calls = committed_calls(place)
    last = last_readings(read_readings(place))
    cells = tuple(
        _cell(call, rank, last.pop(call.cell_id)) for rank, call in enumerate(calls, 1) if call.cell_id in last
    )
    return ReviewedRun(manifest, cells, tuple(last))


def last_readings(readings: Iterable[Reading]) -> dict[str, tuple[Reading, ...]]:
    """By cell, of each reader the reading with the latest time, and of two with the same the one imported later."""
    last: dict[str, dict[str, Reading]] = {}
    for reading in readings:
        of_cell = last.setdefault(reading.cell_id, {})
        former = of_cell.get(reading.reader)
        if former is None or former.read_at_utc <= reading.read_at_utc:
            of_cell[reading.reader] = reading
    return {cell_id: tuple(of_cell[reader] for reader in sorted(of_cell)) for cell_id, of_cell in last.items()}


def _cell(call: Call, rank: int, readings: tuple[Reading, ...]) -> ReviewedCell:
    current = tuple(reading for reading in readings if reading.images_sha256 == call.images_sha256)
    return ReviewedCell(call, None if call.score is None else rank, current, not current)
