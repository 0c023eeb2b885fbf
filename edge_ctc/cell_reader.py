"""The files of one cell to network input, and what they gave as evidence."""

import errno
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import central, look_at
from edge_ctc.cells import Cell
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.errors import ImageError, RunUnreadableError
from edge_ctc.exports.channels import channels_of
from edge_ctc.exports.profile import Profile
from edge_ctc.flag_cuts import FlagCuts
from edge_ctc.images.files import read_file
from edge_ctc.images.focus import sharpest
from edge_ctc.preprocess import Counts, InputSpec, prepare
from edge_ctc.quality import flags_of

UNREADABLE_IN_A_ROW = 3
"""So many files, one after the other, that the system does not give: it is not the files."""
_OF_ONE_FILE: Final = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ELOOP, errno.ETXTBSY})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the files of one cell gave.

    Attributes:
        cell: the cell.
        sha256: of each of the cell's files, in their order; None where a file was too large to be read.
        failed: names of the files that could not be read or decoded.
        channels_missing: wanted channels without a file.
        problem: why the cell cannot be evaluated; empty if it can.
        flags: of `edge_ctc.quality`; none where there is a problem.
    """

    cell: Cell
    sha256: tuple[str | None, ...]
    failed: tuple[str, ...]
    channels_missing: tuple[str, ...]
    problem: str
    flags: tuple[str, ...]


def _nobody(cell: Cell, counts: Sequence[Counts]) -> None:
    """Whom cells are shown to where nobody wants to see them."""


@dataclass(frozen=True, slots=True)
class CellReader:
    """Reads the files of one cell into one place of an engine's input.

    Attributes:
        folder: of the run.
        profile: how its files are laid out.
        spec: what the network takes.
        cuts: of the flags; None: the checkpoint tells none, and only `empty` and `saturated` are seen.
        shown_to: given each cell that can be evaluated, with its counts channel by channel in network order.
    """

    folder: Path
    profile: Profile
    spec: InputSpec
    cuts: FlagCuts | None = None
    shown_to: Callable[[Cell, Sequence[Counts]], None] = _nobody

    @classmethod
    def of(cls, folder: Path, profile: Profile, checkpoint: Checkpoint) -> "CellReader":
        """For the cells that `checkpoint` is to call."""
        fingerprint, spec = checkpoint.description.fingerprint, checkpoint.input
        markers = profile.markers_of(spec.channel_names)
        return cls(folder, profile, spec, None if fingerprint is None else FlagCuts.of(fingerprint, markers))

    def read(self, cell: Cell, out: NDArray[np.float32]) -> Evidence:
        """Fill `out`, float32 (C, H, W), and tell what was found; with a problem, `out` holds zeros.

        Raises:
            RunUnreadableError: the disk failed or a file changed.
        """
        counts, evidence = self.counts(cell)
        if not evidence.problem:
            try:
                prepare(counts, self.spec, out, self._names(cell))
            except ImageError as error:
                evidence = replace(evidence, problem=str(error), flags=())
            else:
                self.shown_to(cell, counts)
                return replace(evidence, flags=self._flags(counts))
        out.fill(0)
        return evidence

    def counts(self, cell: Cell) -> tuple[list[Counts], Evidence]:
        """One (H, W) array of counts per channel in network order, empty where there is a problem. Raises as `read`."""
        wanted = self.spec.channel_names
        planes: dict[str, list[Counts]] = {name: [] for name in wanted}
        sha256: list[str | None] = []
        failed: list[str] = []
        problems: list[str] = []
        for file, channel in zip(cell.files, cell.channels, strict=True):
            shown = wanted if channel is None else (channel,)
            content = None
            try:
                content = read_file(self.folder, file)
                for name, image in channels_of(content, file.name, self.profile, shown).items():
                    planes[name].append(image)
            except ImageError as error:
                failed.append(file.name)
                problems.append(str(error))
            sha256.append(None if content is None else hashlib.sha256(content).hexdigest())
        missing, structural = self.structure(cell)
        problem = "; ".join(structural + problems)
        counts = [] if problem else [_in_focus(planes[name]) for name in wanted]
        return counts, Evidence(cell, tuple(sha256), tuple(failed), missing, problem, ())

    def _flags(self, counts: Sequence[Counts]) -> tuple[str, ...]:
        images = np.stack([central(image) for image in counts])
        found = flags_of(images, look_at(images, self.profile.bits), self.spec.channel_names, self.cuts)
        return tuple(flag.name for flag in found)

    def _names(self, cell: Cell) -> list[str]:
        """For each channel in network order, the file that shows it and the channel."""
        shown = list(zip(cell.files, cell.channels, strict=True))
        return [
            f"{next(file.name for file, channel in shown if channel in (None, name))}: {name}"
            for name in self.spec.channel_names
        ]

    def structure(self, cell: Cell) -> tuple[tuple[str, ...], list[str]]:
        """The missing channels, and what is wrong with the set of files."""
        missing = () if None in cell.channels else tuple(n for n in self.spec.channel_names if n not in cell.channels)
        problems = [f"channel {name} is missing" for name in missing]
        if self.profile.intensity != self.spec.intensity:
            problems.append(
                f"intensities: the profile says {self.profile.intensity}, the checkpoint was trained on "
                f"{self.spec.intensity}; use a checkpoint trained on such images"
            )
        claims = list(zip(cell.channels, cell.planes or (None,) * len(cell.files), strict=True))
        for channel, plane in dict.fromkeys(claims):
            rivals = [one for one in claims if one[0] == channel and (one[1] == plane or None in (one[1], plane))]
            if len(rivals) > 1:
                names = [file.name for file, one in zip(cell.files, claims, strict=True) if one in rivals]
                problems.append(f"ambiguous: {', '.join(names)} all claim {channel or 'the cell'}")
        return missing, list(dict.fromkeys(problems))


class GrowingReader:
    """Reads the cells of a run that may still grow: one that cannot be read now waits, the others go on.

    Attributes:
        unreadable: why, by id of the cells that disk or share do not give.
        changed: the same, of the cells of which a file changed since it was listed.
        untried: ids of the cells that were left because several before them could not be read.
    """

    def __init__(self, reader: CellReader) -> None:
        """Reads as `reader` does."""
        self._reader = reader
        self._in_a_row = 0
        self.unreadable: dict[str, RunUnreadableError] = {}
        self.changed: dict[str, RunUnreadableError] = {}
        self.untried: set[str] = set()

    def is_ready(self, cell: Cell, unsettled: Collection[str], undecoded: Collection[str]) -> bool:
        """Whether it may be read: no channel is missing, no file unsettled, and not all of them were tried in vain."""
        missing, _ = self._reader.structure(cell)
        if missing or any(file.name in unsettled for file in cell.files):
            return False
        return not all(file.name in undecoded for file in cell.files)

    def read(self, cell: Cell, out: NDArray[np.float32]) -> Evidence:
        """As `CellReader.read`, but that nothing is raised for a cell that cannot be read.

        After several in a row it is the disk or share that fails, and the others are not tried: each could take long.
        """
        if self._in_a_row >= UNREADABLE_IN_A_ROW:
            self.untried.add(cell.cell_id)
            return _left(cell, out, "not tried: disk or share fails")
        try:
            evidence = self._reader.read(cell, out)
        except RunUnreadableError as error:
            self._note(cell, error)
            return _left(cell, out, str(error))
        self._in_a_row = 0
        return evidence

    def _note(self, cell: Cell, error: RunUnreadableError) -> None:
        if isinstance(error.__cause__, OSError):
            self.unreadable[cell.cell_id] = error
            self._in_a_row += not concerns_one_file(error)
        else:
            self.changed[cell.cell_id] = error


def concerns_one_file(error: RunUnreadableError) -> bool:
    """Whether a file is held, closed, gone or changed; anything else that the system says may be said of all."""
    cause = error.__cause__
    return not isinstance(cause, OSError) or cause.errno in _OF_ONE_FILE


def _left(cell: Cell, out: NDArray[np.float32], why: str) -> Evidence:
    out.fill(0)
    return Evidence(cell, (None,) * len(cell.files), (), (), why, ())


def _in_focus(planes: Sequence[Counts]) -> Counts:
    return planes[0] if len(planes) == 1 else planes[sharpest(planes)]


class Reader(Protocol):
    """Whatever gives the evidence of a cell, as `CellReader` does."""

    def read(self, cell: Cell, out: NDArray[np.float32]) -> Evidence:
        """As `CellReader.read`."""
        ...
