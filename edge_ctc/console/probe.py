"""What people see of a probe: what is in the folder, what it was taken for, and what they have to answer."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_ctc.console.lines import OneBar, say
from edge_ctc.exports.listing import display_name
from edge_ctc.probe.channel_text import planes_of, range_text
from edge_ctc.probe.found_table import FoundTable, Key
from edge_ctc.probe.groups import Group, is_small, shape_of
from edge_ctc.probe.measure import Channel, Sampled
from edge_ctc.probe.proposal import Proposal
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.writing import Written

_MOST_GROUPS = 12
_LONGEST_SHAPE = 60


class ProbeWatcher(OneBar):
    """An `edge_ctc.probe.survey.Watcher` for people; a context manager."""

    def listed(self, files: int) -> None:
        """Names are read next, which takes seconds where there are many."""
        say(f"{files} files; reading their names", to_error=True)

    def decoding(self, files: int) -> None:
        """A bar for the sample."""
        self._draw("decoding a sample", files)


def print_survey(found: Survey, groups: Sequence[Group]) -> None:
    """What is in the folder, in lines and tables."""
    _print_run(found)
    _print_groups(groups)
    _print_cells(found)
    _print_channels(found)
    for table in found.tables:
        if not is_small(table, found):
            _print_table(table)


def print_written(written: Written, proposal: Proposal, run: Path) -> None:
    """What lies on the disk now, and what to do next."""
    say("")
    say(f"Questions in the profile ({len(proposal.questions)}); it is refused until each is answered:")
    for number, question in enumerate(proposal.questions, 1):
        say(f"  {number}. {question}")
    say("")
    if written.kept is not None:
        say(f"kept as it is, somebody may have answered it: {written.kept}")
    for sheet in written.sheets:
        say(f"picture sheet: {sheet}")
    say(f"profile: {written.profile}")
    check = shlex.join([str(written.profile), str(run)])
    say(f"next: look at the sheets, answer the questions, then: edge-ctc profile check {check}")


def _print_run(found: Survey) -> None:
    if found.below is not None:
        folders = found.below.folders
        say(
            f"This folder holds {len(folders)} folder(s) that each look like a run; probing the first by name: "
            f'{folders[0]}. The profile says runs = "{found.below.glob}"'
        )
    extensions = ", ".join(f"{count} {suffix}" for suffix, count in found.extensions.most_common())
    say(f"{found.listing.folder}")
    say(f"{len(found.listing.files)} files: {extensions or 'none'}")
    say("")
    rows = [(one.name, str(one.cells), str(one.unaccounted)) for one in found.built_in]
    _table(("built-in profile", "cells", "files not accounted for"), rows)
    for one in found.built_in:
        if one.cells and not one.unaccounted:
            say(
                f"  The names fit the built-in profile {one.name}. Names alone do not tell what a channel shows: "
                "compare the picture sheets all the same."
            )


def _print_groups(groups: Sequence[Group]) -> None:
    say("")
    say("Files by the shape of their names (# is any number)")
    ours = [group for group in groups if group.is_cell]
    others = [group for group in groups if not group.is_cell]
    # Of many tokens not all are shown: the strangers among the files matter more.
    room = max(_MOST_GROUPS - len(others), _MOST_GROUPS // 2)
    shown = [*ours[:room], *others[: _MOST_GROUPS - len(ours[:room])]]
    for group in shown:
        say(f"  {group.count:>7}  {_short(group.shape)}")
        say(f"           {group.role}")
        if group.count > 1 or group.shape != group.examples[0]:
            say(f"           for instance {', '.join(_short(name) for name in group.examples)}")
    if len(groups) > len(shown):
        rest = sum(group.count for group in groups) - sum(group.count for group in shown)
        say(f"  {rest:>7}  in {len(groups) - len(shown)} more shapes")


def _short(name: str) -> str:
    text = display_name(name)
    return text if len(text) <= _LONGEST_SHAPE else f"{text[: _LONGEST_SHAPE // 2]}…{text[-_LONGEST_SHAPE // 2 :]}"


def _print_cells(found: Survey) -> None:
    say("")
    ids = found.cell_ids
    if not ids:
        say("No image whose name tells a cell.")
        return
    widths = sorted({len(cell_id) for cell_id in ids})
    width = f"{widths[0]} characters each" if len(widths) == 1 else f"{widths[0]} to {widths[-1]} characters"
    zeros = ", with leading zeros" if any(cell_id.startswith("0") for cell_id in ids) else ""
    say(f"Cells: {len(ids)}, {_short(ids[0])} to {_short(ids[-1])}, {width}{zeros}; layout {found.layout}")
    for pattern in found.names.family.patterns if found.names.family else ():
        say(f"  read as {pattern}")
    for token, lack in list(found.lacking().items())[:_MOST_GROUPS]:
        say(f"  without {_short(token)}: {len(lack)} cells, {_few(lack)}")
    if planes := planes_of(found):
        say(f"  focal planes in the names: {_few(planes)}")
    if found.doubles.cells:
        examples = " and ".join(found.doubles.examples[0])
        say(f"  several images of one channel: {found.doubles.cells} cells, as {examples}")
    for doubt in found.doubts:
        say(f"  in doubt: {doubt}")


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(_short, names[:4])) + (", …" if len(names) > 4 else "")


def _print_channels(found: Survey) -> None:
    if not found.channels:
        return
    say("")
    say("Channels, as a sample of their images shows them. Which is which, a person has to say.")
    rows = [
        (_short(one.token or "picture"), str(one.cells), str(len(one.pictures)), range_text(one), _bits(one))
        for one in found.channels
    ]
    _table(("token", "cells", "decoded", "size (H x W), depth, range", "bits"), rows)
    for channel in found.channels:
        for line in _remarks(channel):
            say(f"  {_short(channel.token or 'picture')}: {line}")


def _bits(channel: Channel) -> str:
    if channel.dtypes == ("uint16",):
        return f"{channel.used_bits} used, 12 bits fit" if channel.used_bits <= 12 else f"{channel.used_bits} used"
    return f"{channel.used_bits} used"


def _remarks(channel: Channel) -> Iterable[str]:
    if channel.own_names:
        yield f"the files themselves call it {_few(channel.own_names)}"
    if channel.is_shifted:
        yield "every count is a multiple of 16, as of 12 bits that were shifted up"
    if channel.looks_stretched:
        yield "looks stretched to be looked at: nearly every image reaches both 0 and 255"
    if channel.is_mask:
        yield "no image has more than two different counts: a mask?"
    reasons: dict[str, list[Sampled]] = {}
    for one in channel.failed:
        reasons.setdefault(shape_of(one.reason), []).append(one)
    for alike in reasons.values():
        names = [one.file.name for one in alike]
        yield f"{len(names)} of the sample do not decode: {alike[0].reason} ({_few(names)})"


def _print_table(table: FoundTable) -> None:
    say("")
    if table.reason:
        say(f"{table.file.name}: cannot be read as a table: {table.reason}")
        return
    said = f", {table.encoding}, separated by {_either(table.delimiters)}" if table.delimiters else ""
    said += f", decimal {_either(table.decimals)}" if table.decimals else ""
    say(f"Table {table.file.name}: {table.rows} rows{said}")
    say(f"  columns: {', '.join(_short(column) for column in table.header)}")
    for key in table.keys[:4]:
        say(f"  {_short(key.column)}: {_how(key)} in {key.matched} of {table.rows} rows")
    if not table.keys:
        say("  no column holds ids of the cells")
    if table.cages:
        say(f"  may be row and column of the cage: {_few(table.cages)}")
    if table.features:
        say(f"  numbers: {', '.join(map(_short, table.features))}")
    if table.match is not None:
        say(
            f"  rows without images: {len(table.match.without_images)}; cells without a row: "
            f"{len(table.match.not_in_table)}"
        )
    if table.refused:
        say(f"  the reader of runs refuses it: {table.refused}")


def _either(marks: Sequence[str]) -> str:
    return " or ".join("TAB" if mark == "\t" else mark for mark in marks)


def _how(key: Key) -> str:
    if key.how == "image":
        return "names an image of a cell"
    return f"a cell's id once filled with zeros to {key.digits} digits" if key.digits else "a cell's id"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        say("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
