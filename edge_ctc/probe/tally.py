"""Every image of a run, decoded as its profile says: what each channel holds, and which cells it leaves unread."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_ctc.cells import Cell
from edge_ctc.errors import ImageError
from edge_ctc.exports.channels import channels_of
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.runs import Run
from edge_ctc.images.files import read_file
from edge_ctc.preprocess import Counts

Form = tuple[tuple[int, int], str]
"""((H, W), dtype) of an image."""


@dataclass(slots=True)
class ChannelTally:
    """What the images of one channel hold.

    Attributes:
        forms: images by size and dtype.
        low: smallest count; None without an image.
        high: largest count.
        stretched: 8-bit images that reach both 0 and 255.
    """

    forms: Counter[Form] = field(default_factory=Counter)
    low: int | None = None
    high: int = 0
    stretched: int = 0

    @property
    def images(self) -> int:
        """How many."""
        return self.forms.total()

    def add(self, counts: Counts) -> Form:
        """One more image; its form."""
        low, high = int(counts.min()), int(counts.max())
        form = (counts.shape[0], counts.shape[1]), str(counts.dtype)
        self.forms[form] += 1
        self.low = low if self.low is None else min(self.low, low)
        self.high = max(self.high, high)
        self.stretched += form[1] == "uint8" and (low, high) == (0, 255)
        return form


@dataclass(frozen=True, slots=True)
class ReadCell:
    """What one cell gave.

    Attributes:
        cell_id: as in the names.
        forms: of its channels' images; a channel without an image that decodes is not there.
        missing: channels without a file.
        ambiguous: names of files that claim the same channel and focal plane.
        mixed: whether its images differ in size, so that they cannot be one input.
    """

    cell_id: str
    forms: dict[str, Form]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    mixed: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """Every image of a run.

    Attributes:
        cells: in the run's order.
        channels: by name, in the profile's order.
        failed: names of files by why they do not decode.
        planes: files by focal plane; empty where names tell none.
    """

    cells: tuple[ReadCell, ...]
    channels: dict[str, ChannelTally]
    failed: dict[str, list[str]]
    planes: Counter[str]


def tally(run: Run, profile: Profile, advanced: Callable[[int], None]) -> Tally:
    """Decode every image that the profile gives to a cell.

    Args:
        run: as the profile reads it.
        profile: its layout.
        advanced: told after each file.

    Raises:
        RunUnreadableError: the disk failed or a file changed.
    """
    channels = {name: ChannelTally() for name in profile.channel_names}
    failed: dict[str, list[str]] = {}
    cells = []
    for cell in run.cells:
        cells.append(_read(cell, run, profile, channels, failed))
        advanced(len(cell.files))
    planes = Counter(plane for cell in run.cells for plane in cell.planes if plane is not None)
    return Tally(tuple(cells), channels, failed, planes)


def _read(
    cell: Cell, run: Run, profile: Profile, channels: dict[str, ChannelTally], failed: dict[str, list[str]]
) -> ReadCell:
    forms: dict[str, Form] = {}
    seen: set[Form] = set()
    for file, channel in zip(cell.files, cell.channels, strict=True):
        wanted = profile.channel_names if channel is None else (channel,)
        try:
            images = channels_of(read_file(run.folder, file), file.name, profile, wanted)
        except ImageError as error:
            failed.setdefault(str(error).removeprefix(f"{file.name}: "), []).append(file.name)
            continue
        for name, counts in images.items():
            forms[name] = channels[name].add(counts)
            seen.add(forms[name])
    missing = () if None in cell.channels else tuple(one for one in profile.channel_names if one not in cell.channels)
    return ReadCell(cell.cell_id, forms, missing, _ambiguous(cell), len({size for size, _ in seen}) > 1)


def _ambiguous(cell: Cell) -> tuple[str, ...]:
    """As `edge_ctc.pipeline` tells it: an image without a plane is a rival of every plane of its channel."""
    claims = list(zip(cell.channels, cell.planes or (None,) * len(cell.files), strict=True))
    names = []
    for file, (channel, plane) in zip(cell.files, claims, strict=True):
        rivals = [one for one in claims if one[0] == channel and (one[1] == plane or None in (one[1], plane))]
        if len(rivals) > 1:
            names.append(file.name)
    return tuple(names)
