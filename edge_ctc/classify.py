"""One run, from files to rows: the one place that joins the skills."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from edge_ctc import durable
from edge_ctc.calling import Calling, Reporter
from edge_ctc.cell_reader import CellReader, GrowingReader
from edge_ctc.errors import CalledByAnotherError, NotARunError, ResultsError, RunUnreadableError
from edge_ctc.exports.completeness import says_it_is_over
from edge_ctc.exports.listing import Listing
from edge_ctc.exports.run_table import RunTable, read_run_table
from edge_ctc.gallery.called_run import CalledRun
from edge_ctc.gallery.thumbnails import Miniature, MiniatureKeeper
from edge_ctc.gallery.writing import shows, write_gallery
from edge_ctc.models import OpenModels
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
from edge_ctc.results.commit import Former, ResultPlace, read_committed, read_mended
from edge_ctc.results.manifest import Manifest
from edge_ctc.trust import Trust


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run.

    Attributes:
        place: where the results lie.
        manifest: as committed.
        state: "called", or "unchanged" where nothing was owed and no file was touched.
        vanished: files of the committed calls that are no longer there.
        trust: in the run, as its gallery says that was drawn now; None: it stood there already.
    """

    place: ResultPlace
    manifest: Manifest
    state: Literal["called", "unchanged"]
    vanished: int
    trust: Trust | None


@dataclass(frozen=True, slots=True)
class Step:
    """What was done for a run that somebody watches.

    Attributes:
        manifest: as committed now or before; None while no cell could be called.
        state: "called", or "unchanged" where there was nothing new and no file was touched.
        is_done: whether nothing is owed any more: complete calls stand, and they rest on all that was seen.
        pending: how many cells wait for a file or its end.
        undecoded: names of files of cells that no image came of.
        doubtful: names of all files of cells that were read and got no row: they may change behind what is remembered.
        unreadable: why the first of the cells could not be read that disk or share would not give; None: none was.
        trust: in the run, as its gallery says; None: none was drawn now.
    """

    manifest: Manifest | None
    state: Literal["called", "unchanged"]
    is_done: bool
    pending: int
    undecoded: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    unreadable: RunUnreadableError | None = None
    trust: Trust | None = None


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
        found = _former(plan, reporter)
        if found.manifest is not None and is_current(plan, found.manifest):
            trust = _draw_what_is_owed(plan, found.manifest, {}, reporter)
            return Outcome(plan.place, found.manifest, "unchanged", vanished(plan, found.manifest), trust)
        _tell_if_another_called(plan, found.manifest, reporter)
        calling = Calling(plan, read_run_table(plan.run, plan.profile.profile), found)
        calling.read_again(reporter)
        keeper = _keeper(plan)
        calling.compute(calling.cells, _cell_reader(plan, keeper), models, reporter)
        manifest = calling.commit(is_over=True)
        trust = _draw_what_is_owed(plan, manifest, keeper.kept, reporter)
        return Outcome(plan.place, manifest, "called", vanished(plan, manifest), trust)


def classify_seen(request: Request, seen: Seen, models: OpenModels, reporter: Reporter) -> Step:
    """Call what is ready of a run that may still grow, and all of it once it is over; the caller is the sole writer.

    While the run grows, a cell that misses a channel, or of which no image comes, is pending. One that disk or share do
    not give is pending even at the end: the run is then not complete.

    Raises:
        EngineError: the engine fails; nothing is written.
        RunError: nothing of the run can be read now, it is none, or the results cannot be written.
    """
    plan = make_plan(request, models, seen.listing)
    found = _former(plan, reporter)
    former = found.manifest
    if former is not None and is_unchanged(plan, former):
        reporter.planned(plan)
        trust = _draw_what_is_owed(plan, former, {}, reporter)
        return Step(former, "unchanged", is_done=True, pending=0, trust=trust)
    if former is not None:
        _refuse_to_lose_rows(plan, former, seen)
    table = _table_as_seen(plan, seen)
    is_over = seen.is_quiet or _says_it_is_over(plan, table, seen)
    calling = Calling(plan, table, found)
    keeper = _keeper(plan)
    reader = GrowingReader(_cell_reader(plan, keeper))
    ready = calling.cells
    if is_over:
        calling.read_again(reporter)
    else:
        ready = [cell for cell in plan.cells if reader.is_ready(cell, seen.unsettled, seen.undecoded)]
        if not calling.owed(ready):
            return Step(
                former,
                "unchanged",
                is_done=False,
                pending=calling.pending,
                undecoded=seen.undecoded,
                doubtful=seen.doubtful,
            )
    reporter.planned(plan)
    _tell_if_another_called(plan, former, reporter)
    # What was read in vain comes last: what lies behind it gets its turn.
    ready = sorted(ready, key=lambda cell: any(file.name in seen.doubtful for file in cell.files))
    calling.compute(ready, reader, models, reporter)
    unread = calling.take_back(reader.unreadable.keys() | reader.changed.keys())
    untried = calling.take_back(reader.untried)
    # While the run grows, a file that changes is one that is not ready.
    failed = [*reader.unreadable.values(), *(reader.changed.values() if is_over else ())]
    undecoded = seen.undecoded if is_over else seen.undecoded | calling.take_back(calling.problems)
    is_called = calling.has_news or not calling.pending
    manifest = calling.commit(is_over=is_over) if is_called else former
    trust = None if manifest is None else _draw_what_is_owed(plan, manifest, keeper.kept, reporter)
    return Step(
        manifest,
        "called" if is_called else "unchanged",
        is_done=is_over and not calling.pending,
        pending=calling.pending,
        undecoded=undecoded,
        doubtful=undecoded | unread | (untried & seen.doubtful),
        unreadable=next(iter(failed), None),
        trust=trust,
    )


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
    return manifest if is_unchanged(plan, manifest) and _has_gallery(plan, manifest) else None


def complete_calls(place: ResultPlace) -> Manifest | None:
    """The manifest of complete calls that stand there, whatever became of the run. Raises ResultsError."""
    manifest = read_committed(place)
    return manifest if manifest is not None and manifest.run_state == "complete" else None


def _has_gallery(plan: Plan, manifest: Manifest) -> bool:
    """Calls that name none were made by a version that drew none, or are partial.

    Those of another profile still stand, but their images are not read as they were called then: `edge-ctc report`
    draws them, with their own.
    """
    is_of_another_profile = manifest.profile.sha256 != plan.profile.sha256
    return manifest.gallery is None or is_of_another_profile or shows(plan.place, manifest)


def _draw_what_is_owed(
    plan: Plan, manifest: Manifest, miniatures: Mapping[str, Miniature], reporter: Reporter
) -> Trust | None:
    """The calls stand, whatever becomes of their gallery; None: nothing is owed."""
    if _has_gallery(plan, manifest):
        return None
    reporter.drawing(manifest.cells.called)
    called = CalledRun.of(plan.run, plan.profile.profile, manifest.checkpoint.input)
    try:
        return write_gallery(called, plan.place, miniatures, (), reporter.advanced).trust
    except ResultsError as error:
        raise ResultsError(f"{error}; the calls of this run stand") from error


def _former(plan: Plan, reporter: Reporter) -> Former:
    found = read_mended(plan.place)
    if found.edited is not None:
        reporter.put_aside(found.edited)
    if found.manifest is not None:
        check_same_run(plan, found.manifest)
    return found


def _refuse_to_lose_rows(plan: Plan, former: Manifest, seen: Seen) -> None:
    """Rows of another model are made anew when a file comes; of cells whose images are gone they could not be."""
    if former.run_state != "complete" or is_same_model(plan, former):
        return
    there = {file.name for file in seen.listing.files}
    if any(file.name not in there for file in former.inputs):
        raise CalledByAnotherError(
            f"{plan.place.manifest}: another checkpoint, profile, engine or version called this run, some images "
            "are gone since, and others came; put the images back, or call it with classify-run"
        )


def _tell_if_another_called(plan: Plan, former: Manifest | None, reporter: Reporter) -> None:
    if former is not None and not is_same_model(plan, former):
        reporter.called_before(former)


def _keeper(plan: Plan) -> MiniatureKeeper:
    return MiniatureKeeper(CalledRun.of(plan.run, plan.profile.profile, plan.checkpoint.input))


def _cell_reader(plan: Plan, keeper: MiniatureKeeper) -> CellReader:
    reader = CellReader.of(plan.run.folder, plan.profile.profile, plan.checkpoint)
    return replace(reader, shown_to=keeper.keep)


def _table_as_seen(plan: Plan, seen: Seen) -> RunTable:
    """The run's table; none while it is still being written or has not come."""
    if not seen.is_quiet and any(file.name in seen.unsettled for file in plan.run.tables):
        return RunTable()
    try:
        return read_run_table(plan.run, plan.profile.profile)
    except NotARunError:
        if seen.is_quiet:
            raise
        return RunTable()


def _says_it_is_over(plan: Plan, table: RunTable, seen: Seen) -> bool:
    if not seen.may_be_over:
        return False
    wanted = plan.checkpoint.input.channel_names
    return says_it_is_over(seen.listing, plan.run.cells, table, plan.profile.profile, wanted)
