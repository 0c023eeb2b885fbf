"""What is asked for one run, and all that is settled before its first cell is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from edge_ctc import __version__
from edge_ctc.cells import Cell, CsvDialect, ImageFile
from edge_ctc.checkpoint import Checkpoint, read_description, shipped_checkpoints
from edge_ctc.errors import ConfigError, ResultsError
from edge_ctc.exports.choose import cells_for, read_folder, read_listing
from edge_ctc.exports.listing import Listing, absolute, display_name
from edge_ctc.exports.profile import LoadedProfile, Profile
from edge_ctc.exports.runs import Run
from edge_ctc.models import ChosenEngine, OpenModels
from edge_ctc.results.calls import read_calls
from edge_ctc.results.commit import ResultPlace, utc_now
from edge_ctc.results.manifest import InputFile, Manifest

REFERENCE_NAMES = ("reference", "reference-bf")
"""The shipped checkpoints, in the order in which they are offered a run."""

_SMB_NS = 100
"""SMB tells times in units of 100 ns, the server's own disk and NFS in nanoseconds: the same file must be the same."""
_LONGEST_NAME = 255
_TEMPORARY = 16
"""Bytes that a temporary name is longer than the final one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for one run.

    Attributes:
        run: the run's folder.
        profile: None: the one built-in profile that accounts for every file.
        checkpoint: its folder; None: that of the engine that is named, or else the shipped reference whose channels
            the profile declares.
        out: the folder for the results; None: beside the run.
        csv: how the calls are written; None: as the profile says.
    """

    run: Path
    profile: LoadedProfile | None = None
    checkpoint: Path | None = None
    out: Path | None = None
    csv: CsvDialect | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as somebody sees it who watches it grow.

    Attributes:
        listing: of this moment.
        unsettled: names of files that may still be written to.
        undecoded: names of files that no image came of when they were read as they are now.
        doubtful: names of files of cells that were read in vain; they are read after the others.
        may_be_over: no file may still be written to, none went just now, and the run's own word for its end counts.
        is_quiet: for so long nothing was added or changed that the run counts as complete, whatever its table says.
    """

    listing: Listing
    unsettled: frozenset[str]
    undecoded: frozenset[str]
    doubtful: frozenset[str]
    may_be_over: bool
    is_quiet: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is settled before the first cell is read.

    Attributes:
        run: as its profile reads it.
        cells: of the run, with only the files of channels that the checkpoint takes.
        profile: how the run was read.
        checkpoint: what will call it.
        engine: what will compute.
        place: where the results belong.
        run_folder: the run as seen from the results' folder: what is moved together stays together.
        files_on_disk: regular files under the run.
        csv: how the calls are written.
    """

    run: Run
    cells: tuple[Cell, ...]
    profile: LoadedProfile
    checkpoint: Checkpoint
    engine: ChosenEngine
    place: ResultPlace
    run_folder: str
    files_on_disk: int
    csv: CsvDialect


def make_plan(request: Request, models: OpenModels, listing: Listing | None = None) -> Plan:
    """Read the names of a run, choose what was left open, and check that all fits.

    Args:
        request: what is asked for.
        models: that are open.
        listing: of the run's folder; None: it is listed now.

    Raises:
        RunError, ConfigError, CheckpointError, EngineError: as `classify_run`.
    """
    if listing is None:
        listing, profile, run = read_folder(request.run, request.profile)
    else:
        listing, profile, run = read_listing(listing, request.profile)
    checkpoint = models.checkpoint(request.checkpoint or models.named_checkpoint() or _reference_for(profile.profile))
    cells = cells_for(checkpoint.name, checkpoint.input, profile.profile, run)
    engine = models.chosen(checkpoint)
    place = _made(result_place(request.run, request.out))
    return Plan(
        run=run,
        cells=cells,
        profile=profile,
        checkpoint=checkpoint,
        engine=engine,
        place=place,
        run_folder=display_name(os.path.relpath(os.path.realpath(listing.folder), os.path.realpath(place.folder))),
        files_on_disk=len(listing.files),
        csv=request.csv or profile.profile.csv,
    )


def _reference_for(profile: Profile) -> Path:
    declared = set(profile.channel_names)
    for name in REFERENCE_NAMES:
        folder = shipped_checkpoints() / name
        if declared.issuperset(read_description(folder).input.channel_names):
            return folder
    raise ConfigError(
        f"profile {profile.name}: no shipped checkpoint takes channels among {sorted(declared)}; "
        "name one with --checkpoint"
    )


def result_place(run: Path, out: Path | None) -> ResultPlace:
    """Where the results of the run in folder `run` belong: beside it, or in `out`.

    Raises:
        ConfigError: `out` lies inside the run.
    """
    folder = absolute(run)
    place = folder.parent if out is None else absolute(out)
    inside = Path(os.path.realpath(place))
    if Path(os.path.realpath(folder)) in (inside, *inside.parents):
        raise ConfigError(f"{place}: lies inside the run; results are never written there, name another folder")
    return ResultPlace(place, display_name(folder.name))


def _made(place: ResultPlace) -> ResultPlace:
    longest = place.superseded(f"{utc_now()}.edited").name
    if len(os.fsencode(longest)) > _LONGEST_NAME - _TEMPORARY:
        raise ResultsError(f"{place.run_id}: too long a name for a run, its results' names have no room; shorten it")
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{place.folder}: cannot be made ({error.strerror}); name another folder") from error
    return place


def check_same_run(plan: Plan, former: Manifest) -> None:
    """Refuse to take another run's results, of a folder of the same name, for this run's.

    Raises:
        ResultsError: the manifest in the place is of another folder.
    """
    if former.run_folder != plan.run_folder:
        raise ResultsError(
            f"{plan.place.manifest}: is of the run {former.run_folder}, not of {plan.run_folder}; "
            "name another folder for the results, or move those away"
        )


def is_same_model(plan: Plan, former: Manifest) -> bool:
    """Whether checkpoint, profile, engine and software are those of the former calls."""
    return (former.checkpoint.sha256, former.profile.sha256, former.engine, former.software_version) == (
        plan.checkpoint.sha256,
        plan.profile.sha256,
        plan.engine.description,
        __version__,
    )


def is_current(plan: Plan, former: Manifest) -> bool:
    """Whether nothing is owed: the same model, and no file added or changed since. Files that vanish owe nothing."""
    return is_same_model(plan, former) and former.calls.csv == plan.csv and is_unchanged(plan, former)


def is_unchanged(plan: Plan, former: Manifest) -> bool:
    """Whether the calls are complete and no file was added or changed since, whichever model called."""
    if former.run_state != "complete":
        return False
    if former.profile.sha256 != plan.profile.sha256:
        return _is_unchanged_by_another_profile(plan, former)
    cells = plan.cells
    if former.checkpoint.sha256 != plan.checkpoint.sha256:
        cells = tuple(cell.only(former.checkpoint.input.channel_names) for cell in plan.run.cells)
    tables = {file.name: file for file in former.tables}
    if not all(is_same_file(file, tables.get(file.name)) for file in plan.run.tables):
        return False
    if former.table and former.table.problem and len(plan.run.tables) != len(former.tables):
        return False
    known = {file.name: file for file in former.inputs}
    without_images = set(former.cells_without_images)
    if any(not cell.files and cell.cell_id not in without_images for cell in cells):
        patterns = plan.profile.profile.name_patterns()
        readings = (patterns.read(file.name) for file in former.inputs)
        without_images |= {reading.cell_id for reading in readings if reading}
    return all(
        all(is_same_file(file, known.get(file.name)) for file in cell.files)
        if cell.files
        else cell.cell_id in without_images
        for cell in cells
    )


def _is_unchanged_by_another_profile(plan: Plan, former: Manifest) -> bool:
    """Whether no file changed, and no cell came; what this profile reads otherwise than the former is let alone."""
    known = {file.name: file for file in (*former.inputs, *former.tables)}
    now = [file for cell in plan.run.cells for file in cell.files]
    if any(file.name in known and not is_same_file(file, known[file.name]) for file in now):
        return False
    before = {call.cell_id.casefold() for call in read_calls(plan.place.calls)}
    new = [cell for cell in plan.run.cells if cell.cell_id.casefold() not in before]
    there = {file.name for file in (*now, *plan.run.ignored, *plan.run.unaccounted)}
    reads_otherwise = len(new) == len(plan.run.cells) and not known.keys().isdisjoint(there)
    return reads_otherwise or not any(file.name not in known for cell in new for file in cell.files)


def is_same_file(now: ImageFile, then: InputFile | None) -> bool:
    """Whether a file is the one that a row rests on, by size and time."""
    if then is None or now.size != then.size:
        return False
    return now.mtime_ns // _SMB_NS == then.mtime_ns // _SMB_NS


def vanished(plan: Plan, manifest: Manifest) -> int:
    """How many files of the calls are gone, where the manifest knows every file that is there."""
    found = sum(len(cell.files) for cell in plan.cells)
    return len(manifest.inputs) - found
