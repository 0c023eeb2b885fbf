"""The calling of one run, from the rows that may be kept to the commit."""

import hashlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from edge_ctc.cell_reader import UNREADABLE_IN_A_ROW, Reader, concerns_one_file
from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import ImageError, RunUnreadableError
from edge_ctc.exports.run_table import RunTable
from edge_ctc.images.files import read_file
from edge_ctc.models import OpenModels
from edge_ctc.parity import Parity
from edge_ctc.pipeline import evaluate
from edge_ctc.plan import Plan
from edge_ctc.results.calls import ranked
from edge_ctc.results.commit import Former, commit, try_room, utc_now
from edge_ctc.results.manifest import InputFile, Manifest
from edge_ctc.rows import RowMaker, decided_in_run, present_files, reusable
from edge_ctc.run_manifest import Course, manifest_of


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

    def drawing(self, cells: int) -> None:
        """The calls stand; the gallery of so many cells is drawn."""

    def advanced(self, cells: int) -> None:
        """So many cells more are done."""


class Calling:
    """The calling of one run.

    Attributes:
        cells: of the run, in their order.
        rows: by cell id, that stand so far.
    """

    def __init__(self, plan: Plan, table: RunTable, found: Former) -> None:
        """Nothing is computed yet.

        Args:
            plan: of the run.
            table: of the run, as it is to be heeded.
            found: what stands in the results' place.
        """
        self._plan, self._table, self._found, self._former = plan, table, found, found.manifest
        self._started, self._clock = utc_now(), time.monotonic()
        self._maker = RowMaker.of(plan, table, self._started)
        self._parity: Parity | None = None
        self.cells = [*plan.cells, *table.without_images.values()]
        self.rows = {cell_id: self._maker.reused(row) for cell_id, row in reusable(plan, found.manifest, table).items()}
        self._reused = len(self.rows)
        self._computed: set[str] = set()

    @property
    def has_news(self) -> bool:
        """Whether any row was made now."""
        return not self._computed.isdisjoint(self.rows)

    @property
    def pending(self) -> int:
        """How many cells have no row."""
        return sum(cell.cell_id not in self.rows for cell in self.cells)

    def owed(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that have no row."""
        return [cell for cell in cells if cell.cell_id not in self.rows]

    def read_again(self, reporter: Reporter) -> None:
        """Rows that were made while the run grew stand only if their files still hold the same bytes.

        Raises:
            RunUnreadableError: disk or share failed, not a file alone.
        """
        if self._former is None or self._former.run_state == "complete":
            return
        in_a_row = 0
        for cell_id, row in list(self.rows.items()):
            reporter.advanced(0)
            try:
                holds = all(_holds_same_bytes(self._plan.run.folder, file) for file in present_files(row))
                in_a_row = 0
            except RunUnreadableError as error:
                in_a_row += not concerns_one_file(error)
                if in_a_row >= UNREADABLE_IN_A_ROW:
                    raise
                holds = False
            if not holds:
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
            return
        try_room(self._plan.place, len(self.cells), self._plan.files_on_disk)
        engine, _ = models.engine(self._plan.checkpoint)
        for batch in evaluate(owed, reader, engine):
            made = {one.evidence.cell.cell_id: self._maker.row(one) for one in batch}
            self.rows.update(made)
            self._computed.update(made)
            reporter.advanced(len(batch))
        _, self._parity = models.engine(self._plan.checkpoint)

    @property
    def problems(self) -> set[str]:
        """The cells that were computed now and cannot be evaluated."""
        return {one for one in self._computed if one in self.rows and self.rows[one].call.score is None}

    def take_back(self, cell_ids: Collection[str]) -> frozenset[str]:
        """Leave these cells without a row; gives the names of their files."""
        for cell_id in cell_ids:
            del self.rows[cell_id]
        return frozenset(file.name for cell in self._plan.cells if cell.cell_id in cell_ids for file in cell.files)

    def commit(self, *, is_over: bool) -> Manifest:
        """Write the rows, in the cells' order and then those of cells that have no file any more."""
        pending = tuple(self.owed(self.cells))
        course = Course(
            pending, is_over, self._reused, self._parity, self._started, round(time.monotonic() - self._clock, 3)
        )
        there = {cell.cell_id for cell in self.cells}
        in_order = [self.rows[cell.cell_id] for cell in self.cells if cell.cell_id in self.rows]
        in_order += [row for cell_id, row in self.rows.items() if cell_id not in there]
        rows = decided_in_run([row.in_state(course.run_state) for row in in_order], self._plan.checkpoint)
        manifest = manifest_of(self._plan, rows, self._table, course)
        if self._parity is None and self._former is not None and self.rows:
            # Nothing was computed now: the rows rest on what the engine answered then.
            manifest = manifest.model_copy(update={"replay": self._former.replay})
        return commit(self._plan.place, ranked(row.call for row in rows), manifest, self._found)


def _holds_same_bytes(folder: Path, file: InputFile) -> bool:
    """Whether the file is the one that was called; one that is too large to be read has no sum.

    Raises:
        RunUnreadableError: it cannot be read, or changed.
    """
    try:
        content = read_file(folder, ImageFile(file.name, file.size, file.mtime_ns))
    except ImageError:
        return True
    return hashlib.sha256(content).hexdigest() == file.sha256
