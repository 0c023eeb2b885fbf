"""A sample of a run's images, decoded: sizes, counts, used bits, and what looks like a display's doing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge_ctc.cells import ImageFile
from edge_ctc.errors import ImageError
from edge_ctc.images.content import open_image
from edge_ctc.images.files import read_file
from edge_ctc.preprocess import Counts

SAMPLE = 24
"""Images of each channel that are decoded."""
_STRETCHED_SHARE = 0.9
_LOW_BITS = 15
"""The four bits that 12 in 16 leave empty where they were shifted up."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampled:
    """One file of the sample.

    Attributes:
        cell_id: the cell's.
        file: the file.
        pages: (H, W) counts; empty where it did not decode.
        own_names: what the file itself calls its pages.
        reason: why it did not decode; empty where it did.
    """

    cell_id: str
    file: ImageFile
    pages: tuple[Counts, ...] = field(repr=False)
    own_names: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as the sample shows it: a token of file names, or a page.

    Attributes:
        token: as file names spell it; "page 1" for the first page of each file.
        cells: that have it, of all cells.
        pictures: (cell, (H, W) counts) of the sample.
        failed: files of the sample that did not decode.
        own_names: what the files themselves call it.
    """

    token: str
    cells: int
    pictures: tuple[tuple[str, Counts], ...] = field(repr=False)
    failed: tuple[Sampled, ...]
    own_names: tuple[str, ...]

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(H, W) of the sample, counted."""
        return Counter(counts.shape[:2] for _, counts in self.pictures)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of the sample: uint8, uint16."""
        return tuple(sorted({str(counts.dtype) for _, counts in self.pictures}))

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest count of the sample; (0, 0) without a picture."""
        low = min((int(counts.min()) for _, counts in self.pictures), default=0)
        return low, max((int(counts.max()) for _, counts in self.pictures), default=0)

    @property
    def used_bits(self) -> int:
        """That the largest count takes."""
        return self.range[1].bit_length()

    @property
    def is_shifted(self) -> bool:
        """Whether every count of 16-bit images is a multiple of 16, as of 12 bits shifted up by four."""
        if self.dtypes != ("uint16",) or not self.range[1]:
            return False
        return not any(int(np.bitwise_or.reduce(counts, axis=None)) & _LOW_BITS for _, counts in self.pictures)

    @property
    def looks_stretched(self) -> bool:
        """Whether nearly every 8-bit image reaches both 0 and 255, as where each was stretched to be looked at."""
        if self.dtypes != ("uint8",):
            return False
        full = sum(int(counts.min()) == 0 and int(counts.max()) == 255 for _, counts in self.pictures)
        return full >= _STRETCHED_SHARE * len(self.pictures)

    @property
    def is_mask(self) -> bool:
        """Whether no image shows more than two different counts."""
        return bool(self.pictures) and all(len(np.unique(counts)) <= 2 for _, counts in self.pictures)


def spread(items: Sequence[T], wanted: int) -> list[T]:
    """At most `wanted` of `items`, evenly spread, the first and the last among them."""
    if len(items) <= wanted:
        return list(items)
    return [items[place * (len(items) - 1) // (wanted - 1)] for place in range(wanted)]


def sample(
    folder: Path, files: Mapping[str, ImageFile], cell_ids: Sequence[str], advanced: Callable[[int], None]
) -> list[Sampled]:
    """Decode images of at most `SAMPLE` cells, evenly spread over `cell_ids`.

    Args:
        folder: of the run.
        files: one for each cell.
        cell_ids: of `files`, in order.
        advanced: told after each file.

    Raises:
        RunUnreadableError: the disk failed or a file changed.
    """
    found = []
    for cell_id in spread(cell_ids, SAMPLE):
        found.append(decoded(folder, cell_id, files[cell_id]))
        advanced(1)
    return found


def decoded(folder: Path, cell_id: str, file: ImageFile) -> Sampled:
    """All pages of one file. Raises as `sample`."""
    try:
        image = open_image(read_file(folder, file), file.name)
        pages = tuple(image.page(page) for page in range(image.pages))
    except ImageError as error:
        return Sampled(cell_id, file, (), (), str(error).removeprefix(f"{file.name}: "))
    return Sampled(cell_id, file, pages, image.channel_names, "")


def channel_of_files(token: str, cells: int, sampled: Sequence[Sampled]) -> Channel:
    """The channel that the one page of each file shows."""
    return _channel(token, cells, _with_pages(sampled, min(1, page_count(sampled))), 0)


def channels_of_pages(cells: int, sampled: Sequence[Sampled]) -> tuple[Channel, ...]:
    """A channel for each page; where the files name their pages in different orders, one for each name."""
    pages = page_count(sampled)
    alike = _with_pages(sampled, pages)
    orders = dict.fromkeys(tuple(name.casefold() for name in one.own_names) for one in alike if one.pages)
    first = next(iter(orders), ())
    if len(orders) > 1 and len(set(first)) == pages and all(sorted(order) == sorted(first) for order in orders):
        alike = [_in_order(one, first) for one in alike]
        tokens: tuple[str, ...] = next(one.own_names for one in alike if one.pages)
    else:
        tokens = tuple(f"page {page + 1}" for page in range(pages))
    return tuple(_channel(token, cells, alike, page) for page, token in enumerate(tokens))


def _with_pages(sampled: Sequence[Sampled], pages: int) -> list[Sampled]:
    """The sample, a file with another number of pages as one that does not decode."""
    return [
        one
        if len(one.pages) in (0, pages)
        else Sampled(one.cell_id, one.file, (), (), f"{len(one.pages)} page(s), expected {pages} as of the others")
        for one in sampled
    ]


def _in_order(one: Sampled, names: Sequence[str]) -> Sampled:
    """The file with its pages in the order of these names."""
    own = [name.casefold() for name in one.own_names]
    places = [own.index(name) for name in names] if own else []
    ordered = tuple(one.pages[place] for place in places)
    return Sampled(one.cell_id, one.file, ordered, tuple(one.own_names[place] for place in places), one.reason)


def page_count(sampled: Sequence[Sampled]) -> int:
    """Pages of most files that decode, the larger of two equally frequent numbers; 0 where none decodes."""
    counts = Counter(len(one.pages) for one in sampled if one.pages)
    return max(counts, key=lambda pages: (counts[pages], pages), default=0)


def _channel(token: str, cells: int, sampled: Sequence[Sampled], page: int) -> Channel:
    good = [one for one in sampled if one.pages]
    names = dict.fromkeys(one.own_names[page] for one in good if page < len(one.own_names))
    return Channel(
        token,
        cells,
        tuple((one.cell_id, one.pages[page]) for one in good),
        tuple(one for one in sampled if not one.pages),
        tuple(names),
    )
