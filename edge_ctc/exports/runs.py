"""Read a listing by a profile: every regular file, each accounted for once."""

import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.exports.listing import IGNORED_FOLDERS, Listing, any_of
from edge_ctc.exports.names import Reading
from edge_ctc.exports.profile import FocalPlane, Profile

OUR_OUTPUTS = (
    *("*.ctc-calls.csv", "*.ctc-calls.*.csv", "*.ctc-run.json", "*.truth.csv"),
    *("*.ctc-gallery.html", "*.ctc-review.json", "*.ctc-review.csv", "*.recovery.csv"),
)
"""What edge_ctc itself writes: never input, wherever it lies."""
ALWAYS_IGNORED = (*OUR_OUTPUTS, "Thumbs.db", "desktop.ini", "~$*", "*.tmp", "*.part", ".*")

_DIGITS = "0123456789"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Run:
    """A listing, read by a profile: files on disk = files of `cells` + `tables` + `ignored` + `unaccounted`.

    Attributes:
        run_id: the folder's name.
        folder: absolute.
        cells: sorted by id, numbers by value.
        tables: files that the profile's table may be: one is wanted.
        ignored: files that the ignore lists name, and focal planes that the profile does not read.
        unaccounted: files that neither the profile nor an ignore list names.
        links: as in `Listing`.
    """

    run_id: str
    folder: Path
    cells: tuple[Cell, ...]
    tables: tuple[ImageFile, ...]
    ignored: tuple[ImageFile, ...]
    unaccounted: tuple[ImageFile, ...]
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """An image of a cell, and the place of its channel in the profile's order."""

    place: int
    file: ImageFile
    reading: Reading


def read_run(listing: Listing, profile: Profile) -> Run:
    """Give every file of the listing to a cell, to the tables, to the ignored, or to the unaccounted."""
    names = profile.name_patterns()
    order = {name: place for place, name in enumerate(profile.channel_names)}
    is_ignored = _ignores(profile)
    is_table = _tables(profile)
    spelling: dict[str, str] = {}
    cells: dict[str, list[_Found]] = {}
    tables, ignored, unaccounted = [], [], []
    for file in listing.files:
        if is_table(file.name):
            tables.append(file)
        elif is_ignored(file.name):
            ignored.append(file)
        elif reading := names.read(file.name):
            # Names count as one whatever their case, and so do the ids in them; the first spelling is kept.
            known = spelling.setdefault(reading.cell_id.casefold(), reading.cell_id)
            place = order[reading.channel] if reading.channel else 0
            cells.setdefault(known, []).append(_Found(place, file, reading))
        else:
            unaccounted.append(file)
    chosen = {cell_id: _chosen(found, profile.focal_plane) for cell_id, found in cells.items()}
    for cell_id, found in cells.items():
        if len(found) > len(chosen[cell_id]):
            ignored += [one.file for one in found if one not in chosen[cell_id]]
    return Run(
        run_id=listing.folder.name,
        folder=listing.folder,
        cells=tuple(_cell(cell_id, chosen[cell_id]) for cell_id in sorted(cells, key=_by_number)),
        tables=tuple(tables),
        ignored=tuple(ignored),
        unaccounted=tuple(unaccounted),
        links=listing.links,
    )


def _chosen(found: list[_Found], focal_plane: FocalPlane | None) -> list[_Found]:
    """The images of one cell without the focal planes that are not read."""
    if focal_plane is None or focal_plane.rule == "sharpest":
        return found
    wanted = {}
    for channel in {one.reading.channel for one in found}:
        planes = {one.reading.plane.casefold() for one in found if one.reading.channel == channel and one.reading.plane}
        wanted[channel] = focal_plane.plane or _middle(planes)
    return [
        one for one in found if one.reading.plane is None or _is_same(one.reading.plane, wanted[one.reading.channel])
    ]


def _middle(planes: set[str]) -> str:
    in_order = sorted(planes, key=_by_height)
    return in_order[(len(in_order) - 1) // 2] if in_order else ""


def _by_height(plane: str) -> tuple[float, str]:
    """Planes that are numbers from low to high, then the others."""
    return (float(plane) if _NUMBER.fullmatch(plane) else math.inf), plane


def _is_same(plane: str, wanted: str) -> bool:
    return plane.casefold() == wanted.casefold()


def _cell(cell_id: str, found: list[_Found]) -> Cell:
    # The listing is sorted by name, and sorting by channel keeps that order within a channel.
    found.sort(key=operator.attrgetter("place"))
    planes = tuple(one.reading.plane for one in found)
    return Cell(
        cell_id,
        tuple(one.file for one in found),
        _shared(tuple(one.reading.channel for one in found)),
        planes if any(planes) else (),
    )


@functools.lru_cache(maxsize=1024)
def _shared(channels: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """One tuple for all cells that show the same channels."""
    return channels


def _by_number(cell_id: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", cell_id)
    return tuple((0, int(part), "") if part[0] in _DIGITS else (1, 0, part) for part in parts), cell_id


def _tables(profile: Profile) -> Callable[[str], bool]:
    """Tells of a path whether it may be the table: whatever `ignore` says, but not what is ignored in every run."""
    if profile.table is None:
        return lambda _: False
    wanted, never = any_of([profile.table.file]), any_of(ALWAYS_IGNORED)
    depth = profile.table.file.count("/")
    return lambda name: bool(wanted(name) and name.count("/") == depth and not never(name.rpartition("/")[2]))


def is_sentinel(name: str, profile: Profile) -> bool:
    """Whether the file says that the export is over."""
    return profile.sentinel is not None and name.casefold() == profile.sentinel.casefold()


def rests_on(profile: Profile) -> Callable[[str], bool]:
    """Tells of a path below the run whether it may be an image, the table or the sentinel: what calls may rest on."""
    names = profile.name_patterns()
    is_ignored, is_table = _ignores(profile), _tables(profile)

    def matters(name: str) -> bool:
        # In this order because it is asked of 100,000 names, nearly all of which are images.
        if names.read(name) is not None and not is_ignored(name):
            return True
        return is_table(name) or is_sentinel(name, profile)

    return matters


def _ignores(profile: Profile) -> Callable[[str], bool]:
    """Tells of a path below the run whether its base name, a folder above it, or the whole path is on a list.

    The sentinel is no image either.
    """
    of_name = any_of([*ALWAYS_IGNORED, *(glob for glob in profile.ignore if "/" not in glob)])
    of_folder = any_of(IGNORED_FOLDERS)
    paths = [glob for glob in profile.ignore if "/" in glob]
    of_path = any_of(paths)

    @functools.lru_cache(maxsize=4096)
    def folder_is_ignored(folder: str) -> bool:
        return any(map(of_folder, folder.split("/")))

    def is_ignored(name: str) -> bool:
        folder, _, last = name.rpartition("/")
        if of_name(last) or folder_is_ignored(folder) or (paths and of_path(name)):
            return True
        return is_sentinel(name, profile)

    return is_ignored
