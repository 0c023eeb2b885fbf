"""What the names of a run say when nobody has described it: one family of images, and the strangers beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_ctc.cells import ImageFile
from edge_ctc.exports.names import CELL_ID, compile_names, faults_of
from edge_ctc.probe.family import Family, Member, find_family, single_channel_pattern
from edge_ctc.probe.templates import ID_FORMS, UUID_FORM, Kind, find_templates

FEW_CELLS = 8
"""Below this many cells, a channel's number may vary as much as a cell's."""
_MANY_TOKENS = 16
_SHOWN = 3
_ENOUGH = 0.6
"""Share of the images that a family has to explain before plainer ids are preferred to other forms."""


DIFFERS = "differs from the others in"
"""How it is said of images that fit no pattern of the family."""


@dataclass(frozen=True, slots=True)
class NameLayout:
    """The names of a run.

    Attributes:
        family: the images of the cells; None where no name tells a cell.
        cell_id: regular expression of an id.
        strangers: other images, each with why it is none of the family.
        doubts: why the family may be misread; with one, the patterns are a question.
    """

    family: Family | None
    cell_id: str
    strangers: tuple[tuple[Kind | ImageFile, str], ...]
    doubts: tuple[str, ...]


def is_sayable(name: str) -> bool:
    """Whether a pattern can name it: printable, and without the marks that patterns or calls keep for themselves."""
    return name.isprintable() and not set(name) & set("{}*|\\")


def read_names(images: Sequence[ImageFile]) -> NameLayout:
    """Read the names of all files with an image's suffix."""
    sayable = [file for file in images if is_sayable(file.name)]
    strangers: list[tuple[Kind | ImageFile, str]] = [
        (file, "its name holds a character that no profile can name; rename it")
        for file in images
        if not is_sayable(file.name)
    ]
    best: tuple[float, int, Family | None, list[tuple[Kind | ImageFile, str]]] = (-1.0, 0, None, [])
    for form in _forms(sayable):
        family, others = _by_form(sayable, form)
        share = family.count / len(sayable) if family else 0.0
        # Anything fits a pattern whose channels are as many as its cells.
        share *= min(1.0, _MANY_TOKENS / len(family.tokens)) if family else 0.0
        if share > best[0]:
            best = (share, form, family, others)
        if share >= _ENOUGH:
            break
    _, form, family, others = best
    cell_id = ID_FORMS[form]
    if family is not None:
        forms = (one for one in ID_FORMS if all(re.fullmatch(one, cell_id) for cell_id in family.cell_ids))
        cell_id = next(forms, cell_id)
    return NameLayout(family, cell_id, (*strangers, *others), () if family is None else _doubts(family))


def _forms(images: Sequence[ImageFile]) -> Sequence[int]:
    """The plainest form of id first, but UUIDs before the numbers that they are made of."""
    order = list(range(len(ID_FORMS)))
    has_uuid = bool(images) and re.search(ID_FORMS[UUID_FORM], images[0].name) is not None
    return sorted(order, key=lambda form: form != UUID_FORM) if has_uuid else order


def _by_form(images: Sequence[ImageFile], form: int) -> tuple[Family | None, list[tuple[Kind | ImageFile, str]]]:
    templates = find_templates(images, form)
    unread = [(file, "nothing in its name tells a cell") for file in templates.unread]
    if not templates.kinds:
        return None, [*unread]
    family = find_family(templates.kinds)
    inside = {id(member.kind) for member in family.members}
    others = [(kind, _why(kind, family)) for kind in templates.kinds if id(kind) not in inside]
    return family, [*others, *unread]


def _why(kind: Kind, family: Family) -> str:
    ours = family.members[0].kind
    twin = next((one.kind for one in family.members if one.kind.template.casefold() == kind.template.casefold()), None)
    if twin is not None:
        return f"the same images as {twin.suffix} are there too"
    if kind.template.rpartition("/")[0].casefold() != ours.template.rpartition("/")[0].casefold():
        return f"{DIFFERS} its folder"
    return f"{DIFFERS} the fixed part of its name"


def _doubts(family: Family) -> tuple[str, ...]:
    rivals = list(dict.fromkeys(doubt for member in family.members for doubt in member.kind.doubts))
    more = [f"and so in {len(rivals) - _SHOWN} more kinds of names"] if len(rivals) > _SHOWN else []
    doubts = [*rivals[:_SHOWN], *more, *family.doubts]
    count = len(family.cell_ids)
    if count < FEW_CELLS:
        doubts.append(
            f"only {count} cells, too few to tell the number of a cell from other numbers: probe a larger run"
        )
    if len(family.tokens) > _MANY_TOKENS:
        doubts.append(f"{len(family.tokens)} different names beside the cell's, too many for channels")
    return tuple(doubts)


def only(layout: NameLayout, member: Member, why: str) -> NameLayout:
    """The layout with one member as its family; the others become strangers."""
    if layout.family is None:
        raise ValueError("a layout without a family")
    others = tuple((one.kind, why) for one in layout.family.members if one is not member)
    family = Family((member,), (member.kind.template,))
    return replace(layout, family=family, strangers=(*layout.strangers, *others), doubts=_doubts(family))


def is_per_cell(family: Family) -> bool:
    """Whether each cell has a folder of its own."""
    return all(CELL_ID in pattern.rpartition("/")[0] for pattern in family.patterns)


def image_patterns(family: Family, run_name: str, *, channels_in_names: bool) -> tuple[str, ...]:
    """The patterns of a family as a profile's `images`.

    Args:
        family: images that differ in their channel's token, or one image for each cell.
        run_name: of the run's folder; where file names begin with it, they begin otherwise in the next run.
        channels_in_names: whether each file shows one channel.
    """
    patterns = family.patterns
    if channels_in_names and len(family.members) == 1:
        patterns = tuple(filter(None, [single_channel_pattern(family)]))
    return tuple(_without_run(pattern, run_name) + suffix for pattern in patterns for suffix in family.suffixes)


def _without_run(pattern: str, run_name: str) -> str:
    folder, slash, last = pattern.rpartition("/")
    rest = last[len(run_name) :]
    if not run_name or not last.casefold().startswith(run_name.casefold()) or not rest or rest[0] in "{*":
        return pattern
    return f"{folder}{slash}*{rest}"


def misread(family: Family, patterns: Sequence[str], cell_id: str, *, channels_in_names: bool) -> str:
    """Why these patterns do not read the family's files as they are meant; empty where they do.

    The proof runs through the very code that reads runs.
    """
    if not patterns:
        return "no pattern tells the cell and the channel"
    faults = [fault for pattern in patterns for fault in faults_of(pattern, channels_in_names=channels_in_names)]
    if faults:
        return ", ".join(dict.fromkeys(faults))
    tokens = {token: token for token in family.tokens} if channels_in_names else {}
    names = compile_names(patterns, cell_id, tokens)
    for member in family.members:
        token = member.token.casefold() if channels_in_names else None
        for own_id, files in member.kind.files.items():
            for file in files:
                found = names.read(file.name)
                said = None if found is None or found.channel is None else found.channel.casefold()
                if found is None or (found.cell_id.casefold(), said) != (own_id.casefold(), token):
                    return f"{file.name} would be read as {found or 'no image'}"
    return ""
