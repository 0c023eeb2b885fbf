"""One run, from files to rows: the one place that joins the skills."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc import durable
from edge_ctc.cells import Cell
from edge_ctc.exports.run_table import read_run_table
from edge_ctc.models import OpenModels
from edge_ctc.parity import Parity
from edge_ctc.pipeline import CellReader, evaluate
from edge_ctc.plan import Plan, Request, check_same_run, is_current, is_same_model, make_plan, vanished
from edge_ctc.results.calls import ranked
from edge_ctc.results.commit import ResultPlace, commit, read_mended, utc_now
from edge_ctc.results.manifest import Manifest
from edge_ctc.rows import Course, Row, RowMaker, manifest_of, reusable


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
        found = read_mended(plan.place)
        if found.edited is not None:
            reporter.put_aside(found.edited)
        former = found.manifest
        if former is not None:
            check_same_run(plan, former)
            if is_current(plan, former):
                return Outcome(plan.place, former, "unchanged", vanished(plan, former))
        manifest = _call(plan, models, former, reporter)
        return Outcome(plan.place, manifest, "called", vanished(plan, manifest))


def _call(plan: Plan, models: OpenModels, former: Manifest | None, reporter: Reporter) -> Manifest:
    started, clock = utc_now(), time.monotonic()
    if former is not None and not is_same_model(plan, former):
        reporter.called_before(former)
    table = read_run_table(plan.run, plan.profile.profile)
    cells = [*plan.cells, *table.without_images.values()]
    maker = RowMaker.of(plan, table, started)
    rows = {cell_id: maker.reused(row) for cell_id, row in reusable(plan, former, table).items()}
    reused = len(rows)
    owed = [cell for cell in cells if cell.cell_id not in rows]
    reporter.started(len(owed), reused)
    parity = _compute(plan, models, maker, owed, rows, reporter)
    in_order = [rows.pop(cell.cell_id) for cell in cells]
    in_order += rows.values()  # of cells that have no file any more
    manifest = manifest_of(plan, in_order, table, Course(reused, parity, started, time.monotonic() - clock))
    return commit(plan.place, ranked(row.call for row in in_order), manifest, former)


def _compute(
    plan: Plan, models: OpenModels, maker: RowMaker, owed: list[Cell], rows: dict[str, Row], reporter: Reporter
) -> Parity | None:
    """Add the rows that are owed to `rows`, by cell id."""
    if not owed:
        return None
    engine, parity = models.engine(plan.checkpoint)
    reader = CellReader(plan.run.folder, plan.profile.profile, plan.checkpoint.input)
    for batch in evaluate(owed, reader, engine):
        rows.update((one.evidence.cell.cell_id, maker.row(one)) for one in batch)
        reporter.advanced(len(batch))
    return parity
