"""The files that are no images of cells, as `ignore` of a profile: plain ones named, strange ones a question."""

import glob
from collections.abc import Iterator, Sequence

from edge_ctc.exports.listing import any_of
from edge_ctc.probe.groups import Group
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.toml_text import question, quoted, strings

_MOST = 40
_LEFT = ("left aside", "not understood", "a table that")


def ignore_lines(found: Survey, groups: Sequence[Group]) -> Iterator[str]:
    """The key `ignore`, with its question where there is one."""
    globs = _globs(found, [group for group in groups if group.role.startswith(_LEFT)])
    aside = [text for group, text in globs if not group.is_open]
    strange = [(group, text) for group, text in globs if group.is_open]
    if strange:
        notes = [f"{quoted(text)}: {group.count} file(s), {group.role}" for group, text in strange[:_MOST]]
        if len(strange) > _MOST:
            notes.append(f"and {len(strange) - _MOST} more shapes of names")
        yield from question(
            'Are these no images of cells? Then put them between the brackets; take the "?" out in any case.', *notes
        )
    wanted = ["?", *aside[:_MOST]] if strange else aside[:_MOST]
    yield f"ignore = {strings(wanted)}  # no images of cells: left aside"


def _globs(found: Survey, groups: Sequence[Group]) -> list[tuple[Group, str]]:
    """A glob for each group that meets no image of a cell; the name of its first file where there is no such glob."""
    family = found.names.family
    ours = [file.name for one in (family.members if family else ()) for own in one.kind.files.values() for file in own]
    globs = {_glob(group): group for group in groups}
    # One look at 100,000 names for all globs, and one for each only where that finds something.
    if globs and any(map(any_of(list(globs)), ours)):
        named = {text: _escaped(group.examples[0]) for text, group in globs.items() if any(map(any_of([text]), ours))}
        return [(group, named.get(text, text)) for text, group in globs.items()]
    return [(group, text) for text, group in globs.items()]


def _glob(group: Group) -> str:
    if group.count == 1:
        return _escaped(group.examples[0])
    return "*".join(map(_escaped, group.shape.split("#")))


def _escaped(text: str) -> str:
    """The text as a glob; what cannot be printed, a lone surrogate for instance, is met by `?`."""
    return "".join(char if char.isprintable() else "?" for char in glob.escape(text))
