"""Evidence to rows: what was seen of each cell, as calls; and which former rows may be kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from edge_ctc import __version__
from edge_ctc.cell_reader import Evidence
from edge_ctc.cells import Cell, Verdict
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.decision import NOT_EVALUABLE, Cuts, believed_in_run, cuts_in_run, decide, doubted, doubts_of
from edge_ctc.exports.run_table import RunTable
from edge_ctc.pipeline import ScoredCell
from edge_ctc.plan import Plan, is_same_file, is_same_model
from edge_ctc.quality import DISPLAY_STRETCHED, NOT_IN_TABLE, PIXEL_SIZE_UNCHECKED
from edge_ctc.results.calls import SCHEMA_VERSION, Call, RunState, read_calls
from edge_ctc.results.manifest import (
    InputFile,
    Manifest,
)

RESEARCH_USE = "RUO: for research use only, not for diagnosis"

_UNREAD = "unread"
_NO_IMAGE = "no image: the run's table names the cell, no file shows it"


@dataclass(frozen=True, slots=True)
class Row:
    """One call with the files that it rests on."""

    call: Call
    inputs: tuple[InputFile, ...]

    def in_state(self, run_state: RunState) -> "Row":
        """The same row in a run of that state."""
        return self if self.call.run_state == run_state else Row(replace(self.call, run_state=run_state), self.inputs)

    def doubts(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Why its score may not be believed."""
        cut = None if checkpoint.novelty is None else checkpoint.novelty.cut
        return doubts_of(self.call.flags, self.call.ood_score, cut)

    def decided(self, cuts: Cuts, doubts: Sequence[str], believed: Collection[str]) -> "Row":
        """The same row in a run of these cuts and doubts; p_ctc is of the cell alone."""
        call, verdict, reason = self.call, self.call.verdict, self.call.reason
        if call.score is not None:
            decision = doubted(decide(call.score, cuts, None), doubts, believed)
            verdict, reason = decision.verdict, decision.reason
        if (call.threshold_review, call.verdict, call.reason) == (cuts.review, verdict, reason):
            return self
        return Row(replace(call, threshold_review=cuts.review, verdict=verdict, reason=reason), self.inputs)


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes the rows of one run.

    Attributes:
        checkpoint: whose thresholds and calibration decide.
        cuts: of a run without any other cell, until `decided_in_run` knows them all.
        table: of the run.
        template: a row with all that is the same for every cell of the run.
    """

    checkpoint: Checkpoint
    cuts: Cuts
    table: RunTable
    template: Call

    @classmethod
    def of(cls, plan: Plan, table: RunTable, classified_at_utc: str) -> "RowMaker":
        """For the run of `plan`."""
        description = plan.checkpoint.description
        cuts = cuts_in_run(description.thresholds, ())
        pixel_size = plan.profile.profile.pixel_size_um
        template = Call(
            schema_version=SCHEMA_VERSION,
            run_id=plan.place.run_id,
            cell_id="",
            cage_row="",
            cage_col="",
            verdict=Verdict.NOT_EVALUABLE,
            p_ctc=None,
            score=None,
            threshold_ctc=cuts.ctc,
            threshold_review=cuts.review,
            ood_score=None,
            flags=_flags_of_run(plan),
            reason="",
            channels_used=(),
            channels_missing=(),
            image_files=(),
            image_sha256=(),
            pixel_size_um=pixel_size,
            checkpoint_name=description.name,
            checkpoint_sha256=plan.checkpoint.sha256,
            profile_name=plan.profile.profile.name,
            profile_sha256=plan.profile.sha256,
            engine=plan.engine.description,
            software_version=__version__,
            classified_at_utc=classified_at_utc,
            run_state="complete",
            intended_use=intended_use(plan.checkpoint),
        )
        return cls(plan.checkpoint, cuts, table, template)

    def row(self, scored: ScoredCell) -> Row:
        """The row of one cell."""
        evidence, description = scored.evidence, self.checkpoint.description
        decision = NOT_EVALUABLE
        if scored.score is not None:
            decision = decide(scored.score, self.cuts, description.calibration)
        cage = self._cage(evidence.cell.cell_id)
        call = replace(
            self.template,
            cell_id=evidence.cell.cell_id,
            cage_row=cage.row,
            cage_col=cage.col,
            verdict=decision.verdict,
            p_ctc=decision.p_ctc,
            score=scored.score,
            ood_score=self._ood_score(scored),
            flags=evidence.flags + self.template.flags + cage.flags,
            reason=_NO_IMAGE
            if evidence.cell.cell_id in self.table.without_images
            else evidence.problem or decision.reason,
            channels_used=() if evidence.problem else description.input.channel_names,
            channels_missing=evidence.channels_missing,
            image_files=tuple(file.name for file in evidence.cell.files),
            image_sha256=tuple(sha256 or _UNREAD for sha256 in evidence.sha256),
        )
        return Row(call, _inputs(evidence))

    def _ood_score(self, scored: ScoredCell) -> float | None:
        if scored.features is None or self.checkpoint.novelty is None:
            return None
        return self.checkpoint.novelty.score(scored.features)

    def reused(self, row: Row) -> Row:
        """A former row with what the run's table says now; its cage as it was where there is no table to go by."""
        if not self.table.rows and not self.table.problem:
            return row
        cage = self._cage(row.call.cell_id)
        flags = tuple(flag for flag in row.call.flags if flag != NOT_IN_TABLE) + cage.flags
        if (row.call.cage_row, row.call.cage_col, row.call.flags) == (cage.row, cage.col, flags):
            return row
        return Row(replace(row.call, cage_row=cage.row, cage_col=cage.col, flags=flags), row.inputs)

    def _cage(self, cell_id: str) -> "_Cage":
        listed = self.table.rows.get(cell_id)
        if listed is None:
            return _NOT_LISTED if self.table.rows else _NO_TABLE
        return _Cage(listed.cage_row, listed.cage_col, ())


@dataclass(frozen=True, slots=True)
class _Cage:
    """What the run's table says of a cell."""

    row: str
    col: str
    flags: tuple[str, ...]


_NO_TABLE = _Cage("", "", ())
_NOT_LISTED = _Cage("", "", (NOT_IN_TABLE,))


def _flags_of_run(plan: Plan) -> tuple[str, ...]:
    profile = plan.profile.profile
    flags = []
    if "unknown" in (profile.pixel_size_um, plan.checkpoint.input.pixel_size_um):
        flags.append(PIXEL_SIZE_UNCHECKED)
    if profile.intensity == "display":
        flags.append(DISPLAY_STRETCHED)
    return tuple(flags)


def intended_use(checkpoint: Checkpoint) -> str:
    """What stands in every row: research use only, and the checkpoint's own notice."""
    notice = checkpoint.description.notice
    return f"{RESEARCH_USE}; {notice}" if notice else RESEARCH_USE


def _inputs(evidence: Evidence) -> tuple[InputFile, ...]:
    return tuple(
        InputFile(file.name, file.size, file.mtime_ns, sha256, "failed" if file.name in evidence.failed else "used")
        for file, sha256 in zip(evidence.cell.files, evidence.sha256, strict=True)
    )


def decided_in_run(rows: Sequence[Row], checkpoint: Checkpoint) -> list[Row]:
    """All rows of a run, each with the verdict that it has among the others.

    Of a checkpoint that reviews by rank the cut moves with every cell that comes, also for rows that were made before;
    and so does whether a doubt is one of the cell or of the run.
    """
    scores = [row.call.score for row in rows if row.call.score is not None]
    cuts = cuts_in_run(checkpoint.description.thresholds, scores)
    doubts = [row.doubts(checkpoint) for row in rows]
    believed = believed_in_run([of_one for of_one, row in zip(doubts, rows, strict=True) if row.call.score is not None])
    return [row.decided(cuts, of_one, believed) for row, of_one in zip(rows, doubts, strict=True)]


def reusable(plan: Plan, former: Manifest | None, table: RunTable) -> dict[str, Row]:
    """Former rows, by cell id, of cells to which no file was added and none changed, if the same model called them.

    Files that have vanished make no work: the row of such a cell, even of one without any file left, stays as it
    was made, and its files are marked as gone. So does the row of a cell that only a table named, unless `table`
    was read and says otherwise now.

    Raises:
        ResultsError: the former calls cannot be read.
    """
    if former is None or not is_same_model(plan, former):
        return {}
    known = {file.name: file for file in former.inputs}
    cells = {cell.cell_id.casefold(): cell for cell in plan.cells}
    calls = [call for call in read_calls(plan.place.calls) if call.image_files or not table.rows]
    rows = (_former_row(call, cells.get(call.cell_id.casefold()), known) for call in calls)
    return {row.call.cell_id: row for row in rows if row is not None}


def _former_row(call: Call, cell: Cell | None, known: dict[str, InputFile]) -> Row | None:
    present = {file.name: file for file in cell.files} if cell else {}
    inputs = [known[name] for name in call.image_files if name in known]
    if len(inputs) != len(call.image_files) or not present.keys() <= set(call.image_files):
        return None
    if any(not is_same_file(present[file.name], file) for file in inputs if file.name in present):
        return None
    if cell is not None and cell.cell_id != call.cell_id:
        # The file is gone whose spelling it was; the cell goes by that of the next.
        call = replace(call, cell_id=cell.cell_id)
    return Row(call, tuple(file if file.name in present else replace(file, state="gone") for file in inputs))


def present_files(row: Row) -> tuple[InputFile, ...]:
    """The files of a row that were there when the run was listed."""
    return tuple(file for file in row.inputs if file.state != "gone")
