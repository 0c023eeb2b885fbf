"""One run, from files to rows: the one place that joins the skills."""

import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc import durable
from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import ImageError, NotARunError, RunUnreadableError
from edge_ctc.exports.completeness import says_it_is_over
from edge_ctc.exports.listing import Listing
from edge_ctc.exports.run_table import RunTable, read_run_table
from edge_ctc.images.files import read_file
from edge_ctc.models import OpenModels
from edge_ctc.parity import Parity
from edge_ctc.pipeline import CellReader, GrowingReader, Reader, evaluate
from edge_ctc.plan import (
    Plan,
    Request,
    Seen,
    check_same_run,
    is_current,
    is_same_model,
    is_unchanged,
    make_plan,
    vanished,
)
from edge_ctc.results.calls import ranked
from edge_ctc.results.commit import ResultPlace, commit, read_committed, read_mended, try_room, utc_now
from edge_ctc.results.manifest import InputFile, Manifest
from edge_ctc.rows import Course, RowMaker, manifest_of, present_files, reusable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run.

    Attributes:
        place: where the results lie.
        manifest: as committed.
        state: "called", or "unchanged" where nothing was owed and no file was touched.
        vanished: files of the committed calls that are no longer there.
    """

    place: ResultPlace
    manifest: Manifest
    state: Literal["called", "unchanged"]
    vanished: int


@dataclass(frozen=True, slots=True)
class Step:
    """What was done for a run that somebody watches.

    Attributes:
        manifest: as committed now or before; None while no cell could be called.
        state: "called", or "unchanged" where there was nothing new and no file was touched.
        pending: how many cells wait for a file or its end.
        undecoded: names of files that no image came of.
        unreadable: why the first of the cells that the disk or share would not give could not be read; empty: none.
    """

    manifest: Manifest | None
    state: Literal["called", "unchanged"]
    pending: int
    undecoded: frozenset[str]
    unreadable: str


class Reporter(Protocol):
    """Whom the walk tells how far it is."""

    def planned(self, plan: Plan) -> None:
        """The run is read, nothing is computed yet."""

    def put_aside(self, edited: Path) -> None:
        """The calls that stood there were changed by somebody after they were committed; they are kept in `edited`."""

    def called_before(self, former: Manifest) -> None:
        """By another checkpoint, profile, engine or version; it is called again, and those calls are kept."""

    def started(self, cells: int, reused: int) -> None:
        """`cells` will be computed, `reused` rows are taken from the former calls."""

    def advanced(self, cells: int) -> None:
        """So many cells more are done."""


def classify_run(request: Request, models: OpenModels, reporter: Reporter) -> Outcome:
    """Call every cell of a run, or find that nothing is owed.

    Raises:
        ConfigError: profile and checkpoint do not fit each other.
        CheckpointError: the checkpoint is spoilt.
        EngineError: the engine fails; nothing is written.
        RunError: the run cannot be read now, is none, or the results cannot be written.
    """
    plan = make_plan(request, models)
    reporter.planned(plan)
    with durable.sole_writer(plan.place.folder):
        former = _former(plan, reporter)
        if former is not None and is_current(plan, former):
            return Outcome(plan.place, former, "unchanged", vanished(plan, former))
        calling = _Calling(plan, read_run_table(plan.run, plan.profile.profile), former)
        calling.read_again()
        calling.compute(calling.cells, _cell_reader(plan), models, reporter)
        manifest = calling.commit(is_over=True)
        return Outcome(plan.place, manifest, "called", vanished(plan, manifest))


def classify_seen(request: Request, seen: Seen, models: OpenModels, reporter: Reporter) -> Step:
    """Call what is ready of a run that may still grow, and all of it once it is over; the caller is the sole writer.

    While the run grows, a cell that misses a channel, or of which no image comes, is pending. One that disk or share do
    not give is pending even at the end: the run is then not complete.

    Raises:
        EngineError: the engine fails; nothing is written.
        RunError: nothing of the run can be read now, it is none, or the results cannot be written.
    """
    plan = make_plan(request, models, seen.listing)
    former = _former(plan, reporter)
    if former is not None and is_unchanged(plan, former):
        return Step(former, "unchanged", 0, frozenset(), "")
    table = _table_as_seen(plan, seen)
    is_over = seen.is_quiet or _says_it_is_over(plan, table, seen)
    calling = _Calling(plan, table, former)
    reader = GrowingReader(_cell_reader(plan))
    ready = calling.cells
    if is_over:
        calling.read_again()
    else:
        withheld = seen.unsettled | seen.undecoded
        ready = [cell for cell in plan.cells if reader.is_ready(cell, withheld)]
        if not calling.owed(ready):
            return Step(former, "unchanged", calling.pending, seen.undecoded, "")
    reporter.planned(plan)
    calling.compute(ready, reader, models, reporter)
    undecoded = calling.take_back(reader.unreadable, and_problems=not is_over)
    unreadable = next(iter(reader.unreadable.values()), "")
    if calling.pending and not calling.has_news:
        return Step(former, "unchanged", calling.pending, seen.undecoded | undecoded, unreadable)
    manifest = calling.commit(is_over=is_over)
    return Step(manifest, "called", calling.pending, seen.undecoded | undecoded, unreadable)


def finished_before(request: Request, listing: Listing, models: OpenModels) -> Manifest | None:
    """The manifest of complete calls to which nothing was added since; None where something is owed. Reads alone.

    Raises:
        RunError: the results or the run cannot be read, or it is none.
    """
    plan = make_plan(request, models, listing)
    manifest = read_committed(plan.place)
    if manifest is None:
        return None
    check_same_run(plan, manifest)
    return manifest if is_unchanged(plan, manifest) else None


def _former(plan: Plan, reporter: Reporter) -> Manifest | None:
    found = read_mended(plan.place)
    if found.edited is not None:
        reporter.put_aside(found.edited)
    former = found.manifest
    if former is None:
        return None
    check_same_run(plan, former)
    if not is_same_model(plan, former):
        reporter.called_before(former)
    return former


def _cell_reader(plan: Plan) -> CellReader:
    return CellReader(plan.run.folder, plan.profile.profile, plan.checkpoint.input)


def _table_as_seen(plan: Plan, seen: Seen) -> RunTable:
    """The run's table; none while it is still being written or has not come."""
    if any(file.name in seen.unsettled for file in plan.run.tables):
        return RunTable()
    try:
        return read_run_table(plan.run, plan.profile.profile)
    except NotARunError:
        if seen.is_quiet:
            raise
        return RunTable()


def _says_it_is_over(plan: Plan, table: RunTable, seen: Seen) -> bool:
    if not seen.has_settled:
        return False
    return says_it_is_over(seen.listing, plan.run.cells, table, plan.profile.profile)


def _holds_same_bytes(folder: Path, file: InputFile) -> bool:
    """Whether the file can be read and is the one that was called; one that is too large to be read has no sum."""
    try:
        content = read_file(folder, ImageFile(file.name, file.size, file.mtime_ns))
    except ImageError:
        return True
    except RunUnreadableError:
        return False
    return hashlib.sha256(content).hexdigest() == file.sha256


class _Calling:
    """The calling of one run, from the rows that may be kept to the commit.

    Attributes:
        cells: of the run, in their order.
        rows: by cell id, that stand so far.
    """

    def __init__(self, plan: Plan, table: RunTable, former: Manifest | None) -> None:
        self._plan, self._table, self._former = plan, table, former
        self._started, self._clock = utc_now(), time.monotonic()
        self._maker = RowMaker.of(plan, table, self._started)
        self._parity: Parity | None = None
        self.cells = [*plan.cells, *table.without_images.values()]
        self.rows = {cell_id: self._maker.reused(row) for cell_id, row in reusable(plan, former, table).items()}
        self._reused = len(self.rows)

    @property
    def has_news(self) -> bool:
        """Whether any row was made now."""
        return any(row.call.classified_at_utc == self._started for row in self.rows.values())

    @property
    def pending(self) -> int:
        """How many cells have no row."""
        return sum(cell.cell_id not in self.rows for cell in self.cells)

    def owed(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that have no row."""
        return [cell for cell in cells if cell.cell_id not in self.rows]

    def read_again(self) -> None:
        """Rows that were made while the run grew stand only if their files still hold the same bytes."""
        if self._former is None or self._former.run_state == "complete":
            return
        for cell_id, row in list(self.rows.items()):
            if not all(_holds_same_bytes(self._plan.run.folder, file) for file in present_files(row)):
                del self.rows[cell_id]
        self._reused = len(self.rows)

    def compute(self, cells: Sequence[Cell], reader: Reader, models: OpenModels, reporter: Reporter) -> None:
        """Add the rows that `cells` are owed.

        The reference cells are asked before the first cell and after the last: nothing that an engine said which
        turned bad in between is written.
        """
        owed = self.owed(cells)
        reporter.started(len(owed), self._reused)
        if not owed:
            self._parity = None
            return
        try_room(self._plan.place, len(self.cells), self._plan.files_on_disk)
        engine, _ = models.engine(self._plan.checkpoint)
        for batch in evaluate(owed, reader, engine):
            self.rows.update((one.evidence.cell.cell_id, self._maker.row(one)) for one in batch)
            reporter.advanced(len(batch))
        _, self._parity = models.engine(self._plan.checkpoint)

    def take_back(self, unreadable: Collection[str], *, and_problems: bool) -> frozenset[str]:
        """Leave cells without a row that could not be read, and those with a problem where that may still mend.

        Returns:
            The files of the cells with a problem.
        """
        for cell_id in unreadable:
            del self.rows[cell_id]
        if not and_problems:
            return frozenset()
        spoilt = [cell for cell in self._plan.cells if self._is_new_problem(cell.cell_id)]
        for cell in spoilt:
            del self.rows[cell.cell_id]
        return frozenset(file.name for cell in spoilt for file in cell.files)

    def _is_new_problem(self, cell_id: str) -> bool:
        row = self.rows.get(cell_id)
        return row is not None and row.call.score is None and row.call.classified_at_utc == self._started

    def commit(self, *, is_over: bool) -> Manifest:
        """Write the rows, in the cells' order and then those of cells that have no file any more."""
        pending = tuple(self.owed(self.cells))
        course = Course(
            pending, is_over, self._reused, self._parity, self._started, round(time.monotonic() - self._clock, 3)
        )
        there = {cell.cell_id for cell in self.cells}
        in_order = [self.rows[cell.cell_id] for cell in self.cells if cell.cell_id in self.rows]
        in_order += [row for cell_id, row in self.rows.items() if cell_id not in there]
        rows = [row.in_state(course.run_state) for row in in_order]
        manifest = manifest_of(self._plan, rows, self._table, course)
        return commit(self._plan.place, ranked(row.call for row in rows), manifest, self._former)
