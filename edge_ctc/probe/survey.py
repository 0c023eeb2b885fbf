"""What is in a folder that nobody has described yet: files by kind, channels as a sample shows them, tables."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.exports.listing import IGNORED_FOLDERS, Listing, any_of, list_files
from edge_ctc.exports.profile import built_in_profiles
from edge_ctc.exports.runs import ALWAYS_IGNORED, read_run
from edge_ctc.probe.dialects import TABLE_SUFFIXES, find_tables
from edge_ctc.probe.family import Family, members_by_token
from edge_ctc.probe.found_table import FoundTable
from edge_ctc.probe.layout import DIFFERS, NameLayout, read_names
from edge_ctc.probe.levels import RunsBelow, runs_below
from edge_ctc.probe.measure import Channel, Sampled
from edge_ctc.probe.settle import Layout, Watcher, sampled_images, settled
from edge_ctc.probe.templates import Kind, image_suffix

_MANY_DOUBLES = 0.05
"""Share of cells with several images of one channel from which the number is not the cell's alone."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """What a built-in profile would make of the run."""

    name: str
    cells: int
    unaccounted: int


@dataclass(frozen=True, slots=True)
class Doubles:
    """Cells with several images of one channel and focal plane.

    Attributes:
        cells: how many.
        examples: names of the images of the first few.
    """

    cells: int
    examples: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """All that a probe found.

    Attributes:
        listing: of the run.
        below: the runs in the folder that was named, where it is none itself; the first was probed.
        aside: files that are left aside whatever a profile says: the system's, hidden ones, our own.
        built_in: profiles.
        layout: None where no name tells a cell, or no image decodes.
        names: of the images.
        channels: by token or page, in their order.
        sampled: by token, as decoded.
        tables: files that may be the table.
        others: files that are neither image nor table.
        doubles: of cells.
        doubts: why the names may be misread.
    """

    listing: Listing
    below: RunsBelow | None
    aside: tuple[ImageFile, ...]
    built_in: tuple[BuiltIn, ...]
    layout: Layout | None
    names: NameLayout
    channels: tuple[Channel, ...]
    sampled: dict[str, list[Sampled]]
    tables: tuple[FoundTable, ...]
    others: tuple[ImageFile, ...]
    doubles: Doubles
    doubts: tuple[str, ...]

    @property
    def run_name(self) -> str:
        """Of the run's folder."""
        return self.listing.folder.name

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """Of all cells, numbers by value."""
        return self.names.family.cell_ids if self.names.family else ()

    @property
    def table(self) -> FoundTable | None:
        """The table with most rows that are cells."""
        return self.tables[0] if self.tables and self.tables[0].keys else None

    @property
    def extensions(self) -> Counter[str]:
        """Files by the end of their names."""
        lasts = (file.name.rpartition("/")[2].rpartition(".") for file in self.listing.files)
        return Counter(f".{last[2].lower()}" if last[0] else "(none)" for last in lasts)

    def lacking(self) -> dict[str, list[str]]:
        """Cells without an image of a token, by token."""
        if self.names.family is None or len(self.names.family.tokens) < 2:
            return {}
        found = {}
        for token, members in members_by_token(self.names.family).items():
            have = {cell_id.casefold() for member in members for cell_id in member.kind.files}
            if lack := [cell_id for cell_id in self.cell_ids if cell_id.casefold() not in have]:
                found[token] = lack
        return found


def survey(folder: Path, watcher: Watcher) -> Survey:
    """Look at a folder; nothing is written.

    Raises:
        RunMissingError: `folder` does not exist or is no folder.
        RunUnreadableError: the disk or share failed, or a file changed.
    """
    listing = list_files(folder)
    aside, rest = _apart(listing)
    below = runs_below([file.name for file in rest])
    if below is not None:
        listing = list_files(listing.folder / below.folders[0])
        aside, rest = _apart(listing)
    watcher.listed(len(listing.files))
    names = read_names([file for file in rest if image_suffix(file.name)])
    sampled = sampled_images(listing.folder, names.family, watcher) if names.family else {}
    layout, names, channels = settled(names, sampled)
    tables = [file for file in rest if _is_table(file)]
    doubles = _doubles(names.family)
    return Survey(
        listing=listing,
        below=below,
        aside=tuple(aside),
        built_in=_built_in(listing, names.family),
        layout=layout,
        names=names,
        channels=channels,
        sampled=sampled,
        tables=find_tables(listing.folder, tables, _cells(names.family)),
        others=tuple(file for file in rest if not image_suffix(file.name) and not _is_table(file)),
        doubles=doubles,
        doubts=(*names.doubts, *_more_doubts(names, doubles)),
    )


def _is_table(file: ImageFile) -> bool:
    return file.name.lower().endswith(TABLE_SUFFIXES)


def _apart(listing: Listing) -> tuple[list[ImageFile], list[ImageFile]]:
    """The files that are left aside whatever a profile says, and the others."""
    of_name, of_folder = any_of(ALWAYS_IGNORED), any_of(IGNORED_FOLDERS)
    folders: dict[str, bool] = {}
    aside: list[ImageFile] = []
    rest: list[ImageFile] = []
    for file in listing.files:
        folder, _, last = file.name.rpartition("/")
        if folder not in folders:
            folders[folder] = any(map(of_folder, folder.split("/")))
        (aside if folders[folder] or of_name(last) else rest).append(file)
    return aside, rest


def _built_in(listing: Listing, family: Family | None) -> tuple[BuiltIn, ...]:
    """What each built-in profile would make of the run; by the first and last name of each kind, where none fits."""
    kinds = [member.kind for member in family.members] if family else []
    members = {file.name for kind in kinds for files in kind.files.values() for file in files}
    ends = {file.name for kind in kinds for file in _ends(kind)}
    few = replace(listing, files=tuple(file for file in listing.files if file.name not in members or file.name in ends))
    found = []
    for loaded in built_in_profiles():
        run = read_run(few, loaded.profile)
        if run.cells:
            run = read_run(listing, loaded.profile)
            unaccounted = len(run.unaccounted)
        else:
            unaccounted = len(members) + sum(file.name not in members for file in run.unaccounted)
        found.append(BuiltIn(loaded.profile.name, len(run.cells), unaccounted))
    return tuple(found)


def _ends(kind: Kind) -> tuple[ImageFile, ...]:
    files = list(kind.files.values())
    return files[0][0], files[-1][0]


def _cells(family: Family | None) -> list[Cell]:
    files: dict[str, list[ImageFile]] = {}
    for member in family.members if family else ():
        for cell_id, own in member.kind.files.items():
            files.setdefault(cell_id, []).extend(own)
    return [Cell(cell_id, tuple(own), (None,) * len(own)) for cell_id, own in files.items()]


def _doubles(family: Family | None) -> Doubles:
    found: dict[str, tuple[str, ...]] = {}
    for member in family.members if family else ():
        for cell_id, files in member.kind.files.items():
            if len(files) > 1:
                found.setdefault(cell_id, tuple(file.name for file in files))
    return Doubles(len(found), tuple(list(found.values())[:3]))


def _more_doubts(names: NameLayout, doubles: Doubles) -> list[str]:
    if names.family is None:
        return []
    doubts = []
    cells = len(names.family.cell_ids)
    if doubles.cells > _MANY_DOUBLES * cells:
        doubts.append(
            f"{doubles.cells} of {cells} cells have several images of one channel, as "
            f"{' and '.join(doubles.examples[0])}: the number may not tell the cell alone"
        )
    strange = sum(
        stranger.count for stranger, why in names.strangers if not isinstance(stranger, ImageFile) and DIFFERS in why
    )
    if 2 * strange >= names.family.count:
        doubts.append(
            f"only {names.family.count} images fit one pattern, {strange} with a number in their names do not"
        )
    return doubts
