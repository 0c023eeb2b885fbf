"""What the product talks about: cells, their image files, verdicts. Frozen, checked when built."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CsvDialect = Literal["rfc4180", "excel-it"]
"""How a table of ours is spelt: RFC 4180, or as Excel in Italian opens it (BOM, `;`, decimal comma)."""


class Verdict(StrEnum):
    """What a call says of a cell."""

    CTC = "CTC"
    REVIEW = "REVIEW"
    LEUKOCYTE = "LEUKOCYTE"
    NOT_EVALUABLE = "NOT_EVALUABLE"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One regular file of a run as the listing saw it.

    Attributes:
        name: path below the run folder, parts joined by `/`, as the disk spells it.
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970, as the file system tells it.
    """

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell and the files that show it.

    Attributes:
        cell_id: as the instrument writes it; leading zeros belong to it.
        files: every file that the profile gives to this cell, in the order of the channels; empty where only
            channels that the checkpoint does not take were found, or where only a table names the cell.
        channels: the channel that each of `files` shows; None for a file that shows all.
        planes: the focal plane that each of `files` shows; None where its name tells none. Empty: none does.
    """

    cell_id: str
    files: tuple[ImageFile, ...]
    channels: tuple[str | None, ...]
    planes: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.cell_id or len(self.files) != len(self.channels) or len(self.planes) not in (0, len(self.files)):
            raise ValueError(f"cell {self.cell_id!r}: {len(self.files)} files, {self.channels}, {self.planes}")

    def only(self, wanted: Collection[str]) -> "Cell":
        """The same cell without the files of channels that are not wanted."""
        if all(channel is None or channel in wanted for channel in self.channels):
            return self
        kept = [place for place, channel in enumerate(self.channels) if channel is None or channel in wanted]
        return Cell(
            self.cell_id,
            tuple(self.files[place] for place in kept),
            tuple(self.channels[place] for place in kept),
            tuple(self.planes[place] for place in kept) if self.planes else (),
        )
