"""The run as its profile reads it now, against the rows: nothing came, nothing went, nobody was passed over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_ctc.cells import Cell
from edge_ctc.errors import NotARunError
from edge_ctc.exports.listing import Listing, display_name
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles
from edge_ctc.exports.run_table import RunTable, read_run_table
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.quality import DISPLAY_STRETCHED, NOT_IN_TABLE, PIXEL_SIZE_UNCHECKED
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest
from edge_ctc.verify.findings import Finding, judged

_CALL_AGAIN = "call what was added, and keep the former calls, with `edge-ctc classify-run`; or put the files back"


@dataclass(frozen=True, slots=True)
class Scene:
    """A run as its profile reads it now.

    Attributes:
        run: every file accounted for.
        profile: the one that read it when it was called.
        cells: by case-folded id, with only the files of channels that the checkpoint takes.
    """

    run: Run
    profile: Profile
    cells: Mapping[str, Cell]

    @classmethod
    def of(cls, listing: Listing, profile: Profile, manifest: Manifest) -> "Scene":
        """For the run that was listed."""
        run = read_run(listing, profile)
        wanted = manifest.checkpoint.input.channel_names
        return cls(run, profile, {cell.cell_id.casefold(): cell.only(wanted) for cell in run.cells})


def find_profile(named: LoadedProfile | None, manifest: Manifest) -> tuple[LoadedProfile | None, Finding]:
    """The profile by which the run was called, None where it is not at hand."""
    wanted = manifest.profile
    offered = built_in_profiles() if named is None else (named,)
    for loaded in offered:
        if (loaded.profile.name, loaded.sha256) == (wanted.name, wanted.sha256):
            return loaded, Finding("profile", "ok", f"{wanted.name}, sha256 {wanted.sha256}")
    mend = "name its file, as it was then, with --profile"
    if named is not None:
        # The option is what is wrong: it says nothing of the run.
        found = f"{named.profile.name}, sha256 {named.sha256}, is not the profile that called the run"
        built_in = any(loaded.sha256 == wanted.sha256 for loaded in built_in_profiles())
        mend = "leave --profile out" if built_in else mend
        return None, Finding("profile", "unchecked", found, expected=f"{wanted.name}, {wanted.sha256}", mend=mend)
    found = (
        f"{wanted.name}, sha256 {wanted.sha256}, is not built in: whether a file on the disk is a cell that nobody "
        "called could not be checked"
    )
    return None, Finding("profile", "unchecked", found, mend=mend)


def check_cells(scene: Scene, calls: Sequence[Call], manifest: Manifest, on_disk: int) -> tuple[Finding, ...]:
    """Whether every image and every cell that is there now has its row, and the sums of the files still close.

    Raises:
        RunUnreadableError: the disk failed, or the table changed while it was read.
    """
    try:
        table = read_run_table(scene.run, scene.profile)
    except NotARunError as error:
        return (Finding("cells", "fault", str(error), mend=_CALL_AGAIN),)
    cells = judged(
        "cells",
        f"{len(scene.cells)} by the images and {len(table.without_images)} by the table alone, each with its row",
        "files or cells and rows do not meet",
        list(_passed_over(scene, table, calls, manifest)),
        _CALL_AGAIN,
    )
    cages = judged(
        "cages",
        "cages, pixel size and flags of the run are those of table and profile",
        "things the table or the profile says otherwise",
        list(_cages_apart(scene, table, calls, manifest)),
        _CALL_AGAIN,
    )
    rows_are_all = len(scene.cells) + len(table.without_images) == len(calls)
    return cells, cages, *_sums(scene, manifest, on_disk, rows_are_all=rows_are_all)


def _passed_over(scene: Scene, table: RunTable, calls: Sequence[Call], manifest: Manifest) -> Iterator[str]:
    known = {file.name for file in manifest.inputs}
    rows = {call.cell_id.casefold(): call for call in calls}
    tables = {file.name for file in manifest.tables}
    yield from (f"{file.name}: a table that came later" for file in scene.run.tables if file.name not in tables)
    for key, cell in scene.cells.items():
        present = [file.name for file in cell.files]
        came = [name for name in present if name not in known]
        yield from (f"{name}: came later, nobody called it" for name in came)
        if key not in rows:
            yield f"cell {cell.cell_id}: has no row"
        elif not came and present != [name for name in rows[key].image_files if name in set(present)]:
            yield f"cell {cell.cell_id}: its row shows {rows[key].image_files}, the names say {present}"
    yield from (f"cell {one}: in the table, has no row" for one in table.without_images if one.casefold() not in rows)
    for key, call in rows.items():
        if not call.image_files and key not in scene.cells and table.rows and call.cell_id not in table.without_images:
            yield f"cell {call.cell_id}: has a row, yet neither an image nor the table shows it"


def _cages_apart(scene: Scene, table: RunTable, calls: Sequence[Call], manifest: Manifest) -> Iterator[str]:
    profile, spec = scene.profile, manifest.checkpoint.input
    of_run = {DISPLAY_STRETCHED} if profile.intensity == "display" else set()
    of_run |= {PIXEL_SIZE_UNCHECKED} if "unknown" in (profile.pixel_size_um, spec.pixel_size_um) else set()
    for call in calls:
        if call.pixel_size_um != profile.pixel_size_um:
            yield f"cell {call.cell_id}: pixel_size_um {call.pixel_size_um}, expected {profile.pixel_size_um}"
        if {DISPLAY_STRETCHED, PIXEL_SIZE_UNCHECKED} & set(call.flags) != of_run:
            yield f"cell {call.cell_id}: flags {call.flags}, expected {sorted(of_run)} among them"
    # A table of other bytes is told apart; a row kept from a table that is gone keeps its cage.
    is_same = {file.sha256 for file in manifest.tables} >= {table.sha256} if scene.run.tables else not manifest.tables
    if is_same and (table.rows or table.problem or not manifest.cells_reused):
        yield from _cages_of(table, calls, manifest)


def _cages_of(table: RunTable, calls: Sequence[Call], manifest: Manifest) -> Iterator[str]:
    for call in calls:
        listed = table.rows.get(call.cell_id)
        wanted = (listed.cage_row, listed.cage_col) if listed else ("", "")
        if (call.cage_row, call.cage_col) != wanted:
            yield f"cell {call.cell_id}: cage {call.cage_row}/{call.cage_col}, expected {'/'.join(wanted)}"
        if (NOT_IN_TABLE in call.flags) != bool(table.rows and listed is None):
            yield f"cell {call.cell_id}: flags {call.flags}, yet the table {'names' if listed else 'does not name'} it"
    sums = manifest.table
    if sums is not None:
        pairs = (
            ("cells", sums.cells, len(table.rows)),
            ("without_images", sums.without_images, len(table.without_images)),
            ("problem", bool(sums.problem), bool(table.problem)),
        )
        yield from (f"table.{what}: {found}, the table says {now}" for what, found, now in pairs if found != now)


def _sums(scene: Scene, manifest: Manifest, on_disk: int, *, rows_are_all: bool) -> tuple[Finding, ...]:
    """What is on the disk against what was; the images, which stand in the manifest by name, apart."""
    then, run = manifest.files, scene.run
    images = sum(len(cell.files) for cell in scene.cells.values())
    aside_then = then.ignored - manifest.unaccounted_files - len(manifest.tables)
    aside_now = on_disk - images - len(run.unaccounted) - len(run.tables)
    findings = []
    strangers = [display_name(file.name) for file in run.unaccounted]
    noted = manifest.unaccounted
    if (len(strangers), tuple(strangers[: len(noted)])) != (manifest.unaccounted_files, noted):
        what = f"{len(strangers)} files that the profile does not account for, {manifest.unaccounted_files} then"
        findings.append(Finding("on disk", "fault", what, _came_and_went(strangers, noted), mend=_CALL_AGAIN))
    if aside_now < aside_then:
        no_images = _are_no_images(scene, manifest, rows_are_all=rows_are_all)
        findings.append(_fewer(aside_then - aside_now, no_images=no_images))
    elif aside_now > aside_then:
        what = f"{aside_now - aside_then} more that no call rests on: ignored, or of a channel that is not used"
        findings.append(Finding("on disk", "note", what))
    if len(run.links) != manifest.links_not_followed:
        what = f"{len(run.links)} links or special files, {manifest.links_not_followed} then; never followed"
        findings.append(Finding("on disk", "note", what))
    if any(finding.status != "note" for finding in findings):
        return tuple(findings)
    told = f"{on_disk} files; then {then.on_disk} = {then.used} used + {then.failed} failed + {then.ignored} of no row"
    return Finding("on disk", "ok", told), *findings


def _came_and_went(now: Sequence[str], then: Sequence[str]) -> tuple[str, ...]:
    """Names of now and then that are not in both; of a run with many, `then` has but the first."""
    came, went = sorted(set(now) - set(then)), sorted(set(then) - set(now))
    return (*(f"{name}: gone" for name in went), *(f"{name}: came later, or was not noted by name" for name in came))


def _are_no_images(scene: Scene, manifest: Manifest, *, rows_are_all: bool) -> bool:
    """Whether files that the manifest counts without naming them cannot have been images of a cell."""
    profile, shown = scene.profile, {frozenset(cell.channels) for cell in scene.run.cells}
    if profile.focal_plane is not None and profile.focal_plane.rule != "sharpest":
        return False
    if set(profile.channel_names) <= set(manifest.checkpoint.input.channel_names):
        return True  # every image stands in a row then, and by its name in the manifest
    whole = {frozenset(profile.channel_names), frozenset((None,))}
    return profile.focal_plane is None and rows_are_all and shown <= whole


def _fewer(count: int, *, no_images: bool) -> Finding:
    """Files are gone that the manifest counts without naming them."""
    if no_images:
        return Finding("on disk", "note", f"{count} fewer that no call rests on, none of them an image of a cell")
    return Finding(
        "on disk",
        "unchecked",
        f"{count} files that no call rests on are gone: whether they were ignored by name, as Thumbs.db is, or images "
        "of a channel or plane that is not used, is not known",
        mend="look into a copy of the run, and put back what was an image",
    )
