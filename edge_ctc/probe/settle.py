"""Pages and names together: how a run is laid out, and which image shows which channel."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from edge_ctc.cells import ImageFile
from edge_ctc.probe.family import Family, Member, members_by_token
from edge_ctc.probe.layout import NameLayout, is_per_cell, only
from edge_ctc.probe.measure import SAMPLE, Channel, Sampled, channel_of_files, channels_of_pages, page_count, sample

Layout = Literal["flat", "per-cell", "multipage", "one-image"]
"""As a profile says it; "one-image": one page for each cell, a montage or the only channel."""

_MOST_TOKENS = 32


class Watcher(Protocol):
    """Is told how far a probe is."""

    def listed(self, files: int) -> None:
        """So many files are there; now their names are read."""

    def decoding(self, files: int) -> None:
        """So many will be decoded."""

    def advanced(self, files: int) -> None:
        """So many more are."""


def sampled_images(folder: Path, family: Family, watcher: Watcher) -> dict[str, list[Sampled]]:
    """A sample of the images of each token. Raises RunUnreadableError."""
    by_token = dict(list(members_by_token(family).items())[:_MOST_TOKENS])
    files = {token: _one_file_each(members) for token, members in by_token.items()}
    watcher.decoding(sum(min(SAMPLE, len(of_token)) for of_token in files.values()))
    return {
        token: sample(folder, of_token, [one for one in family.cell_ids if one in of_token], watcher.advanced)
        for token, of_token in files.items()
    }


def _one_file_each(members: Sequence[Member]) -> dict[str, ImageFile]:
    """One image of each cell, of the middle focal plane first."""
    middle = (len(members) - 1) // 2
    files: dict[str, ImageFile] = {}
    for member in (members[middle], *members):
        for cell_id, own in member.kind.files.items():
            files.setdefault(cell_id, own[0])
    return files


def settled(
    names: NameLayout, sampled: Mapping[str, Sequence[Sampled]]
) -> tuple[Layout | None, NameLayout, tuple[Channel, ...]]:
    """The layout, as pages and names together tell it."""
    family = names.family
    if family is None:
        return None, names, ()
    members = members_by_token(family)
    pages = {token: page_count(sampled.get(token, ())) for token in members}
    if max(pages.values()) > 1:
        token = max(members, key=lambda one: (pages[one] > 1, sum(own.kind.count for own in members[one]), pages[one]))
        kept = members[token][0]
        names = only(names, kept, f"its images have another number of pages than the {pages[token]} of most")
        return "multipage", names, channels_of_pages(len(kept.kind.files), sampled[token])
    channels = tuple(
        channel_of_files(token, len({cell_id for one in own for cell_id in one.kind.files}), sampled.get(token, ()))
        for token, own in members.items()
        if token in sampled
    )
    if len(members) == 1 and family.members[0].plane is None:
        return "one-image", names, channels
    return ("per-cell" if is_per_cell(family) else "flat"), names, channels
