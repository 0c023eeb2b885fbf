"""Find and list what a run folder holds: every regular file, each accounted for once."""

import fnmatch
import functools
import operator
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import NotARunError, RunMissingError, RunUnreadableError
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles, compile_names

OUR_OUTPUTS = ("*.ctc-calls.csv", "*.ctc-calls.*.csv", "*.ctc-run.json", "*.truth.csv")
"""What edge_ctc itself writes: never input, wherever it lies."""
ALWAYS_IGNORED = (*OUR_OUTPUTS, "Thumbs.db", "desktop.ini", "~$*", "*.tmp", "*.part", ".*")
_DIGITS = "0123456789"
IGNORED_FOLDERS = ("@eaDir", ".*", "*.ctc-gallery")


@dataclass(frozen=True, slots=True)
class Listing:
    """All regular files under a run folder, links left alone.

    Attributes:
        folder: absolute.
        files: sorted by name.
        links: names of symbolic links and other things that are neither file nor folder; never followed.
    """

    folder: Path
    files: tuple[ImageFile, ...]
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A listing, read by a profile: files on disk = files of `cells` + `ignored` + `unaccounted`.

    Attributes:
        run_id: the folder's name.
        cells: sorted by id, numbers by value.
        ignored: files that the ignore lists name.
        unaccounted: files that neither the profile nor an ignore list names.
        links: as in `Listing`.
    """

    run_id: str
    folder: Path
    cells: tuple[Cell, ...]
    ignored: tuple[ImageFile, ...]
    unaccounted: tuple[ImageFile, ...]
    links: tuple[str, ...]


def list_files(folder: Path) -> Listing:
    """List `folder` to the bottom without following a link.

    Raises:
        RunMissingError: `folder` does not exist or is no folder.
        RunUnreadableError: the disk or share failed; nothing may be concluded from what was seen so far.
    """
    folder = absolute(folder)
    files: list[ImageFile] = []
    links: list[str] = []
    try:
        for name, entry in _walk(folder):
            if entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                files.append(ImageFile(name, stat.st_size, stat.st_mtime_ns))
            else:
                links.append(name)
    except (FileNotFoundError, NotADirectoryError) as error:
        if folder.is_dir():
            raise RunUnreadableError(f"{folder}: files vanish while it is listed; try again") from error
        what = "is a file, no folder" if folder.exists() else "no such folder"
        raise RunMissingError(f"{folder}: {what}; name the folder of one exported run") from error
    except OSError as error:
        raise RunUnreadableError(f"{folder}: cannot be listed ({error}); try again later") from error
    files.sort(key=operator.attrgetter("name"))
    return Listing(folder, tuple(files), tuple(sorted(links)))


def absolute(path: Path) -> Path:
    """The path from the root; a link that it ends in is kept, since its name is the run's."""
    # Taking `link/..` away as text would lead to another folder than the system's.
    return Path(os.path.realpath(path) if ".." in path.parts else os.path.abspath(path))


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{below}{entry.name}/")
                else:
                    yield below + entry.name, entry


def read_run(listing: Listing, profile: Profile) -> Run:
    """Give every file of the listing to a cell, to the ignored, or to the unaccounted."""
    names = compile_names(profile)
    order = {name: index for index, name in enumerate(profile.channel_names)}
    is_ignored = _ignores(profile)
    spelling: dict[str, str] = {}
    cells: dict[str, list[tuple[int, ImageFile, str | None]]] = {}
    ignored, unaccounted = [], []
    for file in listing.files:
        if is_ignored(file.name):
            ignored.append(file)
        elif match := names.match(file.name):
            cell_id, channel = match
            # Names count as one whatever their case, and so do the ids in them; the first spelling is kept.
            known = spelling.setdefault(cell_id.casefold(), cell_id)
            cells.setdefault(known, []).append((order[channel] if channel else 0, file, channel))
        else:
            unaccounted.append(file)
    return Run(
        run_id=listing.folder.name,
        folder=listing.folder,
        cells=tuple(_cell(cell_id, cells[cell_id]) for cell_id in sorted(cells, key=_by_number)),
        ignored=tuple(ignored),
        unaccounted=tuple(unaccounted),
        links=listing.links,
    )


def _cell(cell_id: str, found: list[tuple[int, ImageFile, str | None]]) -> Cell:
    # The listing is sorted by name, and sorting by channel keeps that order within a channel.
    found.sort(key=operator.itemgetter(0))
    return Cell(cell_id, tuple(file for _, file, _ in found), _shared(tuple(channel for _, _, channel in found)))


@functools.lru_cache(maxsize=1024)
def _shared(channels: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """One tuple for all cells that show the same channels."""
    return channels


def _by_number(cell_id: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", cell_id)
    return tuple((0, int(part), "") if part[0] in _DIGITS else (1, 0, part) for part in parts), cell_id


def _ignores(profile: Profile) -> Callable[[str], bool]:
    """Tells of a path below the run whether its base name, a folder above it, or the whole path is on a list."""
    of_name = _any_of([*ALWAYS_IGNORED, *(glob for glob in profile.ignore if "/" not in glob)])
    of_folder = _any_of(IGNORED_FOLDERS)
    paths = [glob for glob in profile.ignore if "/" in glob]
    of_path = _any_of(paths)

    @functools.cache
    def folder_is_ignored(folder: str) -> bool:
        return any(map(of_folder, folder.split("/")))

    def is_ignored(name: str) -> bool:
        folder, _, last = name.rpartition("/")
        return bool(of_name(last) or folder_is_ignored(folder) or (paths and of_path(name)))

    return is_ignored


def _any_of(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(fnmatch.translate, globs)), re.IGNORECASE).fullmatch


def choose_profile(listing: Listing) -> tuple[LoadedProfile, Run]:
    """The one built-in profile that accounts for every file, with the run as it reads it.

    Raises:
        NotARunError: none or several do; the message shows why for each.
    """
    # A profile that does not account for the first and last file is not worth reading 100,000 names with.
    ends = replace(listing, files=listing.files[:1] + listing.files[-1:])
    promising = [loaded for loaded in built_in_profiles() if not read_run(ends, loaded.profile).unaccounted]
    candidates = [(loaded, read_run(listing, loaded.profile)) for loaded in promising]
    fitting = [(loaded, run) for loaded, run in candidates if run.cells and not run.unaccounted]
    if len(fitting) == 1:
        return fitting[0]
    candidates = [(loaded, read_run(listing, loaded.profile)) for loaded in built_in_profiles()]
    if not listing.files:
        raise NotARunError(f"{listing.folder}: holds no file; name the folder of one exported run")
    nearly = [(loaded, run) for loaded, run in candidates if run.cells]
    if len(nearly) == 1:
        loaded, run = nearly[0]
        raise NotARunError(
            f"{listing.folder}: profile {loaded.profile.name} fits but for {_strangers(run)}; take them out, "
            f"or leave them aside with --profile {loaded.profile.name}"
        )
    found = "several built-in profiles account" if fitting else "no built-in profile accounts"
    reasons = "; ".join(f"{loaded.profile.name}: {_reason(run)}" for loaded, run in candidates)
    raise NotARunError(
        f"{listing.folder}: {found} for its {len(listing.files)} files ({reasons}); "
        "name a run folder, or a profile with --profile"
    )


def _reason(run: Run) -> str:
    if not run.unaccounted:
        return f"{len(run.cells)} cells, every file accounted for" if run.cells else "no image"
    return f"{len(run.cells)} cells, {_strangers(run)}"


def _strangers(run: Run) -> str:
    shown = ", ".join(display_name(file.name) for file in run.unaccounted[:3])
    more = ", …" if len(run.unaccounted) > 3 else ""
    return f"{len(run.unaccounted)} files not accounted for: {shown}{more}"


def display_name(name: str) -> str:
    """A file's name in printable characters: bytes that are no UTF-8 and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
