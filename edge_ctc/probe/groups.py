"""The files of a run by the shape of their names, and what each group is taken for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_ctc.cells import ImageFile
from edge_ctc.exports.names import CELL_ID
from edge_ctc.probe.family import members_by_token
from edge_ctc.probe.found_table import FoundTable
from edge_ctc.probe.measure import decoded, spread
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.templates import Kind

_EXAMPLES = 3
_TRIED = 3
"""Files of a group of strangers that are decoded."""


@dataclass(frozen=True, slots=True)
class Group:
    """Files whose names have one shape.

    Attributes:
        shape: the name with `#` for every run of digits.
        count: files.
        examples: names of at most three.
        role: what they are taken for.
        is_open: whether a person has to say what they are.
        is_cell: whether they are images of cells.
    """

    shape: str
    count: int
    examples: tuple[str, ...]
    role: str
    is_open: bool = False
    is_cell: bool = False


def groups_of(found: Survey) -> list[Group]:
    """Every file and link of the run in one group: images of cells first, then by number of files."""
    rest: dict[tuple[str, str, bool], list[ImageFile]] = {}
    for file, role, is_open in (*_strangers(found), *_tables(found), *_others(found)):
        rest.setdefault((shape_of(file.name), role, is_open), []).append(file)
    groups = [
        Group(shape, len(files), _examples(files), role, is_open) for (shape, role, is_open), files in rest.items()
    ]
    groups = [*_tried(groups, rest, found)]
    if found.listing.links:
        links = found.listing.links
        groups.append(Group("(links and special files)", len(links), links[:_EXAMPLES], "not followed"))
    return [*_family(found), *sorted(groups, key=lambda one: (-one.count, one.shape))]


def shape_of(name: str) -> str:
    """The name with `#` for every run of digits."""
    return re.sub("[0-9]+", "#", name)


def _family(found: Survey) -> Iterator[Group]:
    """A group for each token, its focal planes together."""
    for token, members in members_by_token(found.names.family).items() if found.names.family else ():
        files = [file for member in members for own in member.kind.files.values() for file in own]
        role = "images of all channels" if found.layout == "multipage" else "images"
        if token and found.layout != "multipage":
            role += f', channel token "{token}"'
        planes = [member.plane for member in members if member.plane is not None]
        if planes:
            role += f", focal plane(s) {', '.join(planes)}"
        kind = members[0].kind
        shape = shape_of(files[0].name) if planes else kind.template.replace(CELL_ID, "#") + kind.suffix
        yield Group(shape, len(files), _examples(files), role, is_cell=True)


def _examples(files: list[ImageFile]) -> tuple[str, ...]:
    return tuple(file.name for file in spread(files, _EXAMPLES))


def _strangers(found: Survey) -> Iterator[tuple[ImageFile, str, bool]]:
    for stranger, why in found.names.strangers:
        if isinstance(stranger, Kind):
            for files in stranger.files.values():
                yield from ((file, f"not understood: {why}", True) for file in files)
        else:
            yield stranger, f"not understood: {why}", True


def _tried(groups: list[Group], files: dict[tuple[str, str, bool], list[ImageFile]], found: Survey) -> Iterator[Group]:
    """Groups of strange images, with whether they are images at all."""
    strange = {stranger.name for stranger in _strange_images(found)}
    for group in groups:
        own = files[group.shape, group.role, group.is_open]
        if own[0].name not in strange:
            yield group
            continue
        tried = [decoded(found.listing.folder, "", file) for file in spread(own, _TRIED)]
        reason = next((one.reason for one in tried if one.reason), "")
        pages = max(len(one.pages) for one in tried)
        said = f"decodes: no: {reason}" if reason else f"decodes, {pages} page(s)"
        yield Group(group.shape, group.count, group.examples, f"{group.role}; {said}", group.is_open)


def _strange_images(found: Survey) -> Iterator[ImageFile]:
    return (file for file, _, _ in _strangers(found))


def _tables(found: Survey) -> Iterator[tuple[ImageFile, str, bool]]:
    for table in found.tables:
        if table is found.table:
            yield table.file, "table of the cells", False
        elif is_small(table, found):
            yield table.file, "left aside: no table of the cells", False
        else:
            yield table.file, f"a table that was not understood: {why_no_table(table)}", True


def is_small(table: FoundTable, found: Survey) -> bool:
    """Whether a file with a table's suffix has too few lines to be the table of the cells."""
    most = max(1, len(found.cell_ids) // 2)
    lines_at_least = table.file.size // 4096 if table.reason else table.rows
    return not table.keys and lines_at_least < most and table.file.size < 64 * most


def why_no_table(table: FoundTable) -> str:
    """In words."""
    if table.reason:
        return table.reason
    return "another table has more rows that are cells" if table.keys else "no column of it holds ids of the cells"


def _others(found: Survey) -> Iterator[tuple[ImageFile, str, bool]]:
    for file in found.aside:
        yield file, "always ignored: the system's, hidden, or our own", False
    for file in found.others:
        yield file, "left aside: neither image nor table by its suffix", False
