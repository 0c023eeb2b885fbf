"""The manifest of a run's rows: how its calling went, and the sums that close."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_ctc import __version__
from edge_ctc.cells import Cell, Verdict
from edge_ctc.exports.listing import absolute, display_name
from edge_ctc.exports.run_table import RunTable
from edge_ctc.parity import Parity
from edge_ctc.plan import Plan
from edge_ctc.quality import NOT_IN_TABLE
from edge_ctc.results.calls import RunState
from edge_ctc.results.manifest import (
    CallsIdentity,
    CellSums,
    CheckpointIdentity,
    FileSums,
    InputFile,
    Manifest,
    ProfileIdentity,
    Replay,
    TableSums,
)
from edge_ctc.rows import Row, intended_use

_NAMES_SHOWN = 20
_ZEROS = "0" * 64


@dataclass(frozen=True, slots=True)
class Course:
    """How the calling of one run went.

    Attributes:
        pending: cells that still wait for a file or for its end; a run with any is partial, and they have no row.
        is_over: whether nothing more is expected of the run.
        reused: rows that were taken from the former calls.
        parity: of the replay, if the engine was wanted.
        started_at_utc: ISO 8601.
        seconds: on the clock.
    """

    pending: tuple[Cell, ...]
    is_over: bool
    reused: int
    parity: Parity | None
    started_at_utc: str
    seconds: float

    @property
    def run_state(self) -> RunState:
        """As it stands in every row and in the manifest."""
        return "complete" if self.is_over and not self.pending else "partial"


def manifest_of(plan: Plan, rows: Sequence[Row], table: RunTable, course: Course) -> Manifest:
    """The manifest of the rows, still without the sums of the calls file that it will commit."""
    checkpoint, installed = plan.checkpoint, plan.engine.installed
    tables = _table_files(plan, table)
    return Manifest(
        schema_version=1,
        run_id=plan.place.run_id,
        run_folder=plan.run_folder,
        run_state=course.run_state,
        intended_use=intended_use(checkpoint),
        software_version=__version__,
        engine=plan.engine.description,
        engine_plan_sha256=None if installed is None else installed.record.plan_sha256,
        engine_rebuilt_because=() if installed is None else installed.record.rebuilt_because,
        checkpoint=CheckpointIdentity(
            name=checkpoint.name,
            sha256=checkpoint.sha256,
            folder=display_name(str(absolute(checkpoint.folder))),
            input=checkpoint.input,
            thresholds=checkpoint.description.thresholds,
            calibration=checkpoint.description.calibration,
            fingerprint=checkpoint.description.fingerprint,
            ood_cut=None if checkpoint.novelty is None else checkpoint.novelty.cut,
        ),
        profile=ProfileIdentity(name=plan.profile.profile.name, sha256=plan.profile.sha256),
        started_at_utc=course.started_at_utc,
        finished_at_utc=course.started_at_utc,
        seconds=course.seconds,
        files=_file_sums(plan, rows, course.pending),
        cells=_cell_sums(rows, course.pending),
        verdicts=_verdicts(rows),
        flags=dict(Counter(flag for row in rows for flag in row.call.flags)),
        cells_reused=course.reused,
        first_problem=_first_problem(rows),
        replay=None if course.parity is None else _replay(course.parity),
        unaccounted_files=len(plan.run.unaccounted),
        cells_without_images=tuple(row.call.cell_id for row in rows if not row.inputs),
        unaccounted=tuple(display_name(file.name) for file in plan.run.unaccounted[:_NAMES_SHOWN]),
        links_not_followed=len(plan.run.links),
        table=_table_sums(rows, table) if tables else None,
        tables=tables,
        superseded=None,
        calls=CallsIdentity(name=plan.place.calls.name, sha256=_ZEROS, rows=len(rows), csv=plan.csv),
        gallery=plan.place.gallery.name if course.run_state == "complete" else None,
        inputs=tuple(file for row in rows for file in row.inputs),
    )


def _first_problem(rows: Sequence[Row]) -> str | None:
    problems = (f"{row.call.cell_id}: {row.call.reason}" for row in rows if row.call.score is None)
    return next(problems, None)


def _table_files(plan: Plan, table: RunTable) -> tuple[InputFile, ...]:
    state: Literal["used", "failed"] = "failed" if table.problem else "used"
    return tuple(InputFile(file.name, file.size, file.mtime_ns, table.sha256, state) for file in plan.run.tables)


def _table_sums(rows: Sequence[Row], table: RunTable) -> TableSums:
    return TableSums(
        cells=len(table.rows),
        without_images=len(table.without_images),
        not_in_table=sum(NOT_IN_TABLE in row.call.flags for row in rows),
        problem=table.problem,
    )


def _file_sums(plan: Plan, rows: Sequence[Row], waiting: Sequence[Cell]) -> FileSums:
    pending = sum(len(cell.files) for cell in waiting)
    states = Counter(file.state for row in rows for file in row.inputs)
    named = states["used"] + states["failed"]
    return FileSums(
        on_disk=plan.files_on_disk,
        used=states["used"],
        failed=states["failed"],
        ignored=plan.files_on_disk - named - pending,
        pending=pending,
    )


def _cell_sums(rows: Sequence[Row], pending: Sequence[Cell]) -> CellSums:
    called = sum(row.call.score is not None for row in rows)
    return CellSums(
        total=len(rows) + len(pending), called=called, not_evaluable=len(rows) - called, pending=len(pending)
    )


def _verdicts(rows: Sequence[Row]) -> dict[str, int]:
    counts = Counter(row.call.verdict for row in rows)
    return {verdict.value: counts[verdict] for verdict in Verdict}


def _replay(parity: Parity) -> Replay:
    return Replay(cells=parity.cells, largest_difference=parity.largest_difference, tolerance=parity.tolerance)
