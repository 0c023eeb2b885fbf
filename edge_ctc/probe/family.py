"""Templates to a layout: which images belong together as the channels and focal planes of one cell."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from edge_ctc.exports.names import CELL_ID, CHANNEL, PLANE
from edge_ctc.probe.templates import Kind, by_number

_SEPARATORS = "_-. /()[],;=+@#&~"
_PLANE_WORDS = "z|f|fp|plane|focus|fokus|ebene|piano|fuoco|stack|slice|pos"
_WITH_PLANE = re.compile(
    rf"(?P<token>.*?[^\W_])(?P<joint>[\W_]+)(?P<word>(?:{_PLANE_WORDS})?)(?P<plane>[+-]?[0-9]+(?:\.[0-9]+)?)",
    re.IGNORECASE,
)
_PLANE_FIRST = re.compile(
    rf"(?P<word>{_PLANE_WORDS})(?P<plane>[+-]?[0-9]+(?:\.[0-9]+)?)(?P<joint>[\W_]+)(?P<token>.+)", re.IGNORECASE
)
# Doubled braces stand for single ones: `{channel}` and `{plane}` are the profile's.
_PLANE_AFTER = "{{channel}}{joint}{word}{{plane}}"
_PLANE_BEFORE = "{word}{{plane}}{joint}{{channel}}"
_ONLY_PLANE = re.compile(rf"(?P<word>{_PLANE_WORDS})(?P<plane>[+-]?[0-9]+(?:\.[0-9]+)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Member:
    """A kind of image with its place in the family.

    Attributes:
        token: what its names say beside the cell; empty where there is no such part.
        plane: of focus, as the names spell it; None where they tell none.
    """

    kind: Kind
    token: str
    plane: str | None = None


@dataclass(frozen=True)
class Family:
    """The kinds of image that differ in one part of their names.

    Attributes:
        members: sorted by token and plane.
        patterns: as a profile writes them, without suffix, by member's (token, plane) form.
        doubts: why the parts may be something else, in words.
    """

    members: tuple[Member, ...]
    patterns: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(members_by_token(self))

    @cached_property
    def cell_ids(self) -> tuple[str, ...]:
        """Of all members, numbers by value; ids that differ in case alone count as one."""
        ids = {cell_id.casefold(): cell_id for member in self.members for cell_id in member.kind.files}
        return tuple(sorted(ids.values(), key=by_number))

    @property
    def count(self) -> int:
        """How many files."""
        return sum(member.kind.count for member in self.members)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of its files."""
        return tuple(sorted({member.kind.suffix for member in self.members}))


@dataclass(frozen=True, slots=True)
class _Cut:
    """A template that is the same for all, but for one part: before + part + after."""

    before: str
    part: str
    after: str
    kind: Kind


def find_family(kinds: Sequence[Kind]) -> Family:
    """The family with most files; `kinds` is not empty."""
    groups: dict[tuple[int, str], list[_Cut]] = defaultdict(list)
    for kind in kinds:
        left, _, right = kind.template.rpartition(CELL_ID)
        folder, slash, last = left.rpartition("/")
        groups[0, left.casefold()].append(_Cut(left + CELL_ID, right, "", kind))
        groups[1, right.casefold()].append(_Cut("", left, CELL_ID + right, kind))
        if slash and CELL_ID not in folder:
            anywhere = "*/" * (folder.count("/") + 1)
            groups[2, anywhere + last.casefold()].append(_Cut(f"{anywhere}{last}{CELL_ID}", right, "", kind))
    # Of equal ones the first: a token after the cell, before it, or after it in a folder of its own.
    best = max(groups, key=lambda key: (sum(cut.kind.count for cut in groups[key]), -key[0]))
    cuts = _one_suffix(groups[best])
    empty = [cut for cut in cuts if not cut.part.strip(_SEPARATORS)]
    return _family(empty if empty and len(cuts) > 1 else cuts)


def _one_suffix(cuts: list[_Cut]) -> list[_Cut]:
    """Without the rarer of two formats of one image."""
    totals: dict[str, int] = defaultdict(int)
    for cut in cuts:
        totals[cut.kind.suffix] += cut.kind.count
    order = sorted(totals, key=lambda suffix: (-totals[suffix], suffix))
    kept: dict[str, _Cut] = {}
    for cut in sorted(cuts, key=lambda one: order.index(one.kind.suffix)):
        kept.setdefault(cut.part.casefold(), cut)
    return sorted(kept.values(), key=lambda one: one.part)


def _family(cuts: Sequence[_Cut]) -> Family:
    before, after = cuts[0].before, cuts[0].after
    parts = [cut.part for cut in cuts]
    if len(cuts) == 1:
        return _alone(cuts[0])
    start, end = _shared_ends(parts)
    before, after = before + parts[0][:start], parts[0][len(parts[0]) - end :] + after
    tokens = [part[start : len(part) - end] for part in parts]
    members = tuple(Member(cut.kind, token) for cut, token in zip(cuts, tokens, strict=True))
    with_planes = _with_planes(members, before, after)
    if with_planes is not None:
        return with_planes
    return Family(_in_order(members), (f"{before}{CHANNEL}{after}",))


def _in_order(members: Sequence[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda one: (one.token.casefold(), one.plane or "")))


def _alone(cut: _Cut) -> Family:
    """One image for each cell: its token is the last word, if there is one."""
    found = re.search(r"[^\W_0-9][^\W_]*(?=[\W_]*$)", cut.part) if CELL_ID in cut.before else None
    token = found[0] if found else ""
    return Family((Member(cut.kind, token),), (cut.kind.template,))


def single_channel_pattern(family: Family) -> str | None:
    """The pattern of one image for each cell with its last word as a token; None where it has none."""
    (member,) = family.members
    if not member.token:
        return None
    head, _, tail = member.kind.template.rpartition(member.token)
    return f"{head}{CHANNEL}{tail}"


def _shared_ends(parts: Sequence[str]) -> tuple[int, int]:
    """Characters that all parts share at their start and at their end, no word cut in two, nothing left empty."""
    room = min(map(len, parts)) - 1
    shared = _shared_start(parts)[:room]
    start = max((shared.rfind(mark) + 1 for mark in _SEPARATORS), default=0)
    turned = _shared_start([part[start:][::-1] for part in parts])[: room - start]
    end = max((turned.rfind(mark) + 1 for mark in _SEPARATORS), default=0)
    return start, end


def _shared_start(parts: Sequence[str]) -> str:
    first, last = min(parts), max(parts)
    return next(
        (first[:place] for place, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), first
    )


def _with_planes(members: Sequence[Member], before: str, after: str) -> Family | None:
    """The family read as channels of several focal planes each; None where names do not look so."""
    only = [_ONLY_PLANE.fullmatch(member.token) for member in members]
    if all(only) and len({one["word"].casefold() for one in only if one}) == 1:
        return _planes_of_one(members, before, after)
    for form, template in ((_WITH_PLANE, _PLANE_AFTER), (_PLANE_FIRST, _PLANE_BEFORE)):
        found = {member.token: match for member in members if (match := form.fullmatch(member.token))}
        if not _are_planes(list(found.values())):
            continue
        joint, word = next((match["joint"], match["word"]) for match in found.values())
        split = tuple(
            replace(one, token=found[one.token]["token"], plane=found[one.token]["plane"])
            if one.token in found
            else one
            for one in members
        )
        patterns = [before + template.format(joint=joint, word=word) + after]
        if len(found) < len(members):
            patterns.append(f"{before}{CHANNEL}{after}")
        return Family(_in_order(split), tuple(patterns))
    return None


def _are_planes(found: Sequence[re.Match[str]]) -> bool:
    """Whether what was split off is a focal plane: written in one way, and several of some token."""
    stacks: dict[str, set[str]] = defaultdict(set)
    for match in found:
        stacks[match["token"].casefold()].add(match["plane"])
    if len({(match["joint"], match["word"].casefold()) for match in found}) != 1:
        return False
    if max(map(len, stacks.values())) < 2:
        return False
    # Plain numbers may belong to the tokens, unless every token has the same ones.
    same = len(stacks) > 1 and len({frozenset(planes) for planes in stacks.values()}) == 1
    return bool(found[0]["word"]) or same


def _planes_of_one(members: Sequence[Member], before: str, after: str) -> Family:
    """Nothing but the focal plane varies: the word before it may be the one channel's token."""
    head, _, tail = before.rpartition(CELL_ID)
    word = re.search(r"([^\W_]+)([\W_]+)$", tail)
    planes = [_ONLY_PLANE.fullmatch(member.token) for member in members]
    names = ", ".join(member.token for member in members[:4])
    if word is None:
        doubt = f"{names} may be focal planes of one channel whose name no file tells, or channels"
        return Family(_in_order(members), (f"{before}{CHANNEL}{after}",), (doubt,))
    split = tuple(
        replace(one, token=word[1], plane=match["plane"]) for one, match in zip(members, planes, strict=True) if match
    )
    first = planes[0]["word"] if planes[0] else ""
    pattern = f"{head}{CELL_ID}{tail[: word.start()]}{CHANNEL}{word[2]}{first}{PLANE}{after}"
    doubt = f"{names} are taken for focal planes of {word[1]}, and not for channels"
    return Family(_in_order(split), (pattern,), (doubt,))


def members_by_token(family: Family) -> Mapping[str, list[Member]]:
    """The members of each token, in their order."""
    found: dict[str, list[Member]] = {}
    spelling: dict[str, str] = {}
    for member in family.members:
        found.setdefault(spelling.setdefault(member.token.casefold(), member.token), []).append(member)
    return found
