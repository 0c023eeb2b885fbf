"""Whether a folder is a run or holds only folders that each look like one."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edge_ctc.probe.dialects import TABLE_SUFFIXES
from edge_ctc.probe.templates import image_suffix

_DEEPEST = 3
_SURE_TABLES = tuple(suffix for suffix in TABLE_SUFFIXES if suffix != ".txt")
"""A .txt may be anybody's note."""


@dataclass(frozen=True, slots=True)
class RunsBelow:
    """Runs below a folder.

    Attributes:
        glob: as a profile's `runs`.
        folders: names below the folder, sorted.
    """

    glob: str
    folders: tuple[str, ...]


def runs_below(names: Sequence[str]) -> RunsBelow | None:
    """The runs below a folder; None where it is a run itself, or nothing tells.

    Args:
        names: files below it, without those that are always ignored.
    """
    tables = [name.count("/") for name in names if name.lower().endswith(_SURE_TABLES)]
    pictures = [name for name in names if image_suffix(name)]
    shallowest = min((name.count("/") for name in pictures), default=0)
    if not shallowest or 0 in tables:
        return None
    images = [tuple(name.split("/")) for name in pictures]
    if tables:
        depths = [depth for depth in [min(tables)] if depth <= min(shallowest, _DEEPEST)]
    else:
        depths = [depth for depth in range(min(shallowest, _DEEPEST), 0, -1) if _is_run_level(images, depth)]
    for depth in depths:
        folders = _by_folder(images, depth)
        if all(_numbers(rest) > max(1, 0 if tables else len(folders)) for rest in folders.values()):
            return RunsBelow("/".join("*" * depth), tuple(sorted("/".join(folder) for folder in folders)))
    return None


def _by_folder(images: Sequence[tuple[str, ...]], depth: int) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for parts in images:
        found[parts[:depth]].append("/".join(parts[depth:]))
    return found


def _is_run_level(images: Sequence[tuple[str, ...]], depth: int) -> bool:
    """Whether the folders at this depth may be runs, and not one run's folders of images or channels."""
    folders = _by_folder(images, depth)
    numbers = {frozenset(map(_digits, rest)) for rest in folders.values()}
    if len(folders) < 2 or len(numbers) == 1:
        return False
    names: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folder in folders:
        names[folder[:-1]].add(folder[-1])
    return depth == 1 or len({frozenset(last) for last in names.values()}) > 1


def _digits(name: str) -> tuple[str, ...]:
    return tuple(re.findall("[0-9]+", name))


def _numbers(names: Sequence[str]) -> int:
    """How many different numbers file names hold."""
    return len({number for name in names for number in re.findall("[0-9]+", name.rpartition("/")[2])})
