"""Patterns of image names: a path below the run to a cell, a channel and a focal plane, or to nothing. No guess."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

CELL_ID = "{cell_id}"
CHANNEL = "{channel}"
PLANE = "{plane}"
SUFFIXES = {".tif": r"\.tiff?", ".tiff": r"\.tiff?", ".png": r"\.png", ".bmp": r"\.bmp"}
"""A pattern's suffix, as the regular expression of all its spellings."""

_PARTS = re.compile(r"(\{[^{}]*\}|\*)")
_WILD = "*"
_DIGITS = "[0-9]+"
_PLANE_REGEX = "[A-Za-z0-9.+-]+"


class Reading(NamedTuple):
    """What a name says.

    Attributes:
        cell_id: as the name spells it.
        channel: None where one file shows all channels.
        plane: the focal plane as the name spells it; None where the pattern has none.
    """

    cell_id: str
    channel: str | None
    plane: str | None = None


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """A profile's `images`, compiled.

    Attributes:
        patterns: each matches the whole path below the run.
        by_token: channel name by case-folded token; empty where a file shows all channels.
    """

    patterns: tuple[re.Pattern[str], ...]
    by_token: Mapping[str, str]

    def read(self, name: str) -> Reading | None:
        """What an image's path says. None: no image, or a path that can be read in two ways.

        A path with `|` (it separates names in the calls) or with what cannot be printed is no image.
        """
        found = {self._reading(match) for pattern in self.patterns if (match := pattern.fullmatch(name))}
        if len(found) != 1 or "|" in name or not name.isprintable():
            return None
        return found.pop()

    def _reading(self, match: re.Match[str]) -> Reading | None:
        parts = match.groupdict()
        if not parts["cell_id"]:
            return None
        if not self.by_token:
            return Reading(parts["cell_id"], None)
        # The pattern folds more letters than casefold does, a dotless i for instance: such a token is none of ours.
        channel = self.by_token.get(parts["channel"].casefold())
        return None if channel is None else Reading(parts["cell_id"], channel, parts.get("plane"))


def compile_names(images: Sequence[str], cell_id: str, tokens: Mapping[str, str]) -> NamePatterns:
    """The patterns that tell a cell's images from all other files. Tokens match whole: PE is not PerCP.

    Args:
        images: patterns with `{cell_id}`, `{channel}`, `{plane}` and `*` (any characters within one name).
        cell_id: regular expression of an id.
        tokens: channel name by token as file names spell it; empty where a file shows all channels.

    Raises:
        re.error: `cell_id` is no regular expression in its place.
    """
    is_loose = cell_id != _DIGITS or any(_WILD in image for image in images)
    spellings = _apart(list(tokens), is_loose=is_loose) if tokens else [()]
    # What `*` stands for is taken once as long and once as short as it can be: two readings must not differ.
    wilds = ("[^/]*", "[^/]*?") if is_loose else ("",)
    return NamePatterns(
        patterns=tuple(
            _compiled(image, cell_id, some, wild) for image, some, wild in itertools.product(images, spellings, wilds)
        ),
        by_token={token.casefold(): name for token, name in tokens.items()},
    )


def _apart(tokens: list[str], *, is_loose: bool) -> list[tuple[str, ...]]:
    """Tokens for one pattern each where a name may hold two of them, or where one begins or ends another.

    `A_PE` is no PE of a cell whose id ends in A.
    """
    folded = [token.casefold() for token in tokens]
    pairs = itertools.permutations(folded, 2)
    overlap = any(one.startswith(other) or one.endswith(other) for one, other in pairs)
    return [(token,) for token in tokens] if overlap or is_loose else [tuple(tokens)]


def _compiled(image: str, cell_id: str, spellings: Sequence[str], wild: str) -> re.Pattern[str]:
    suffix = PurePosixPath(image).suffix
    regex, seen = "", False
    for part in _PARTS.split(image.removesuffix(suffix)):
        match part:
            case "{cell_id}":
                regex += "(?P=cell_id)" if seen else f"(?P<cell_id>{cell_id})"
                seen = True
            case "{channel}":
                regex += f"(?P<channel>{'|'.join(map(re.escape, spellings))})"
            case "{plane}":
                regex += f"(?P<plane>{_PLANE_REGEX})"
            case "*":
                regex += wild
            case _:
                regex += re.escape(part)
    return re.compile(regex + SUFFIXES[suffix.lower()], re.IGNORECASE)


def faults_of(image: str, *, channels_in_names: bool) -> list[str]:
    """What is wrong with one pattern, each fault in words.

    Args:
        image: the pattern.
        channels_in_names: whether each file shows one channel, which its name tells.
    """
    parts = [part for part in _PARTS.split(image.removesuffix(PurePosixPath(image).suffix)) if part]
    places = [part for part in parts if part.startswith("{")]
    faults = [f"{part} is no placeholder" for part in places if part not in (CELL_ID, CHANNEL, PLANE)]
    if CELL_ID not in places:
        faults.append(f"{CELL_ID} is missing")
    if places.count(CHANNEL) != (1 if channels_in_names else 0):
        faults.append(f"{CHANNEL} is wanted {'once' if channels_in_names else 'nowhere, a file shows all channels'}")
    if places.count(PLANE) > (1 if channels_in_names else 0):
        faults.append(f"{PLANE} is wanted {'once at most' if channels_in_names else 'nowhere'}")
    for one, other in itertools.pairwise(parts):
        if one in (CELL_ID, CHANNEL, PLANE, _WILD) and other in (CELL_ID, CHANNEL, PLANE, _WILD):
            faults.append(f"{one}{other}: nothing tells where one ends and the other begins")
    if PurePosixPath(image).suffix.lower() not in SUFFIXES:
        faults.append(f"expected a name ending in {', '.join(SUFFIXES)}")
    return faults
