"""List what a folder holds, links left alone; find the run folders under an export folder."""

import contextlib
import fnmatch
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cells import ImageFile
from edge_ctc.errors import RunMissingError, RunUnreadableError

IGNORED_FOLDERS = (
    *("@eaDir", ".*", "lost+found", "System Volume Information", "$RECYCLE.BIN"),
    *("*.ctc-gallery", "*.ctc-probe"),
)
"""Folders that hold no run and no image, wherever they lie: of systems, of servers, and our own."""


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


def list_files(folder: Path, known: Mapping[str, ImageFile] | None = None) -> Listing:
    """List `folder` to the bottom without following a link.

    Args:
        folder: to be listed.
        known: files, by name, that are taken as they were and not asked for size and time again.

    Raises:
        RunMissingError: `folder` does not exist or is no folder.
        RunUnreadableError: the disk or share failed; nothing may be concluded from what was seen so far.
    """
    folder = absolute(folder)
    files: list[ImageFile] = []
    links: list[str] = []
    try:
        for name, entry in _walk(folder):
            if not entry.is_file(follow_symlinks=False):
                links.append(name)
            elif known is not None and name in known:
                files.append(known[name])
            else:
                # A temporary file often has its final name by now; a folder that is gone is found gone below.
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    files.append(ImageFile(name, stat.st_size, stat.st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError) as error:
        if folder.is_dir():
            raise RunUnreadableError(f"{folder}: files vanish while it is listed; try again") from error
        what = "is a file, no folder" if folder.exists() else "no such folder"
        raise RunMissingError(f"{folder}: {what}; name the folder of one exported run") from error
    except OSError as error:
        raise RunUnreadableError(f"{folder}: cannot be listed ({error}); try again later") from error
    if not os.path.isdir(folder):
        raise RunMissingError(f"{folder}: went while it was listed; look whether its disk or share is there")
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


def find_runs(export: Path, runs: str) -> tuple[Path, ...]:
    """The run folders under an export folder, sorted by path; links are not followed.

    Args:
        export: the folder that the instrument, or its operator, exports into.
        runs: glob with one part per level, upper and lower case count as one: `*`, or `*/*/*` for patient/date/run.

    Raises:
        RunMissingError: `export` does not exist or is no folder.
        RunUnreadableError: the disk or share failed; nothing may be concluded from what was seen so far.
    """
    return tuple(map(Path, find_run_paths(absolute(export), runs)))


def find_run_paths(export: Path, runs: str, left_out: Callable[[RunUnreadableError], None] | None = None) -> list[str]:
    """As `find_runs`, of an absolute path, as text: cheaper where it is asked for every second.

    Args:
        export: absolute.
        runs: as in `find_runs`.
        left_out: told of a folder below `export` that cannot be listed, whose runs are then left out; one that went
            meanwhile is left out too. None: both raise.
    """
    found = [str(export)]
    for depth, part in enumerate(runs.split("/")):
        wanted = any_of([part])
        above = found
        found = []
        for folder in above:
            names = _folders(folder) if left_out is None or not depth else _folders_if_any(folder, left_out)
            found += [f"{folder}/{name}" for name in names if wanted(name) and not _is_ignored(name)]
    return sorted(found)


def _folders_if_any(folder: str, left_out: Callable[[RunUnreadableError], None]) -> list[str]:
    try:
        return _folders(folder)
    except RunMissingError:
        return []
    except RunUnreadableError as error:
        left_out(error)
        return []


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunMissingError(f"{folder}: no such folder; name the folder that holds the runs") from error
    except OSError as error:
        raise RunUnreadableError(f"{folder}: cannot be listed ({error}); try again later") from error


def any_of(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    """Tells whether a text matches one of `globs` whole, whatever its case."""
    return re.compile("|".join(map(fnmatch.translate, globs)), re.IGNORECASE).fullmatch


_is_ignored = any_of(IGNORED_FOLDERS)


def display_name(name: str) -> str:
    """A file's name in printable characters: bytes that are no UTF-8 and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
