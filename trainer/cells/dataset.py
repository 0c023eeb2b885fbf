"""Labelled cells out of runs, read as the product reads them."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cell_reader import CellReader
from edge_ctc.cells import Cell
from edge_ctc.errors import ConfigError, DataError, ImageError, InputMissingError, NotARunError, RunUnreadableError
from edge_ctc.exports.choose import choose_profile
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import LoadedProfile, Profile
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.preprocess import Bits, ChannelInput, Counts, InputSpec, Intensity, PixelSize, prepare
from trainer.cells.labels import Label
from trainer.cells.not_held import no_such_cell, no_such_run
from trainer.progress import Reporter

_SMALLEST_SIDE_PX = 8


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """One cell that can be trained on.

    Attributes:
        label: what a person said of it.
        counts: uint8 or uint16 (C, H, W), as stored.
        auxiliary: of the same dtype (A, H, W), what is seen in training alone.
    """

    label: Label
    counts: NDArray[Any]
    auxiliary: NDArray[Any]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A labelled cell that cannot be evaluated, and why."""

    label: Label
    problem: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """All labelled cells of all runs.

    Attributes:
        cells: those that can be evaluated, in the order of the labels.
        left_out: those that cannot.
        unlabelled: cells of the same runs that have no label; not used.
        channels: of `LabelledCell.counts`, in order.
        auxiliary_channels: of `LabelledCell.auxiliary`, in order.
        dtype: of all images.
        bits: used bits per count, as the profiles declare them.
        pixel_size_um: as the profiles declare it.
        intensity: as the profiles declare it.
    """

    cells: tuple[LabelledCell, ...]
    left_out: tuple[LeftOut, ...]
    unlabelled: int
    channels: tuple[str, ...]
    auxiliary_channels: tuple[str, ...]
    dtype: Literal["uint8", "uint16"]
    bits: Bits
    pixel_size_um: PixelSize
    intensity: Intensity


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which channels are read.

    Attributes:
        channels: in network order; "all": those of the profile.
        auxiliary: seen in training alone.
    """

    channels: tuple[str, ...] | Literal["all"]
    auxiliary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _OpenRun:
    run: Run
    profile: Profile


def read_dataset(
    runs: Path,
    labels: Sequence[Label],
    profile: LoadedProfile | None,
    wanted: Wanted,
    reporter: Reporter,
) -> Dataset:
    """Read every labelled cell.

    Args:
        runs: the folder whose subfolders are the runs.
        labels: which cells, and what they are.
        profile: how the runs are laid out; None: per run the built-in that accounts for every file.
        wanted: which channels are read.
        reporter: told of each run, of cells left out and of cells without a label.

    Raises:
        InputMissingError: `runs` is no folder.
        RunUnreadableError: the disk failed.
        NotARunError: no profile, or several, account for a run.
        ConfigError: the runs' profiles differ in channels, depth, intensity or pixel size, or lack a wanted channel.
        DataError: a label names a run or cell that does not exist, or no cell can be evaluated.
    """
    by_run: dict[str, list[Label]] = {}
    for label in labels:
        by_run.setdefault(label.run_id, []).append(label)
    check_runs(runs, labels)
    opened = {run_id: _open(runs / run_id, profile) for run_id in by_run}
    declared = _agreed([one.profile for one in opened.values()])
    channels = _channels(opened, wanted)
    cells: list[LabelledCell] = []
    left_out: list[LeftOut] = []
    for done, (run_id, one) in enumerate(opened.items(), 1):
        found = _read(one, by_run[run_id], channels, wanted.auxiliary)
        cells += [cell for cell in found if isinstance(cell, LabelledCell)]
        left_out += [cell for cell in found if isinstance(cell, LeftOut)]
        reporter.advanced("reading runs", done, len(opened), run_id)
    unlabelled = sum(len(one.run.cells) for one in opened.values()) - len(labels)
    _tell(left_out, unlabelled, reporter)
    return Dataset(tuple(cells), tuple(left_out), unlabelled, channels, wanted.auxiliary, _dtype(cells), *declared)


def check_runs(runs: Path, labels: Sequence[Label]) -> None:
    """Refuse labels of a run that is no folder in `runs`; nothing of a run is read.

    Raises:
        InputMissingError: `runs` is no folder.
        RunUnreadableError: the disk failed.
        DataError: a label names a run that is not there.
    """
    try:
        with os.scandir(runs) as entries:
            folders = [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{runs}: no such folder; name the folder that holds the runs") from error
    except OSError as error:
        raise RunUnreadableError(f"{runs}: cannot be listed ({error.strerror}); try again later") from error
    for run_id, count in Counter(label.run_id for label in labels).items():
        if run_id not in folders:
            raise DataError(no_such_run(run_id, count, runs, folders))


def _open(folder: Path, profile: LoadedProfile | None) -> _OpenRun:
    listing = list_files(folder)
    if profile is None:
        loaded, run = choose_profile(listing)
        return _OpenRun(run, loaded.profile)
    run = read_run(listing, profile.profile)
    if not run.cells:
        raise NotARunError(
            f"{folder}: profile {profile.profile.name} finds no cell among {len(listing.files)} files; "
            "name another profile"
        )
    return _OpenRun(run, profile.profile)


def _agreed(profiles: Sequence[Profile]) -> tuple[Bits, PixelSize, Intensity]:
    declared = {(profile.bits, profile.pixel_size_um, profile.intensity) for profile in profiles}
    if len(declared) > 1:
        raise ConfigError(
            f"profiles {sorted({profile.name for profile in profiles})}: bits, pixel_size_um or intensity differ "
            f"({sorted(declared, key=str)}); one network takes one kind of image, train on runs of one kind"
        )
    return declared.pop()


def _channels(opened: dict[str, _OpenRun], wanted: Wanted) -> tuple[str, ...]:
    first = next(iter(opened.values())).profile
    channels = first.channel_names if wanted.channels == "all" else wanted.channels
    for run_id, one in opened.items():
        lacking = [name for name in (*channels, *wanted.auxiliary) if name not in one.profile.channel_names]
        if lacking:
            raise ConfigError(
                f"run {run_id}: profile {one.profile.name} declares {list(one.profile.channel_names)}, {lacking} lack; "
                "name the recipe's channels as the profile does"
            )
    return channels


def _read(
    one: _OpenRun, labels: Sequence[Label], channels: tuple[str, ...], auxiliary: tuple[str, ...]
) -> list[LabelledCell | LeftOut]:
    both = (*channels, *auxiliary)
    cells = {cell.cell_id: cell.only(both) for cell in one.run.cells}
    # What the network will take is known only after all cells are read: the reader needs the channels alone.
    spec = InputSpec(channels=_raw(both), side_px=_SMALLEST_SIDE_PX, dtype="uint16", intensity=one.profile.intensity)
    reader = CellReader(one.run.folder, one.profile, spec)
    for label in labels:
        if label.cell_id not in cells:
            raise DataError(no_such_cell(label.cell_id, label.run_id, list(cells)))
    return [_cell(reader, cells[label.cell_id], label, len(channels)) for label in labels]


def _raw(channels: tuple[str, ...]) -> tuple[ChannelInput, ...]:
    return tuple(ChannelInput(name=name, range="raw") for name in channels)


def _cell(reader: CellReader, cell: Cell, label: Label, channels: int) -> LabelledCell | LeftOut:
    counts, evidence = reader.counts(cell)
    problem = evidence.problem or _misfit(counts, reader.spec)
    if problem:
        return LeftOut(label, problem)
    stacked = np.stack(counts)
    return LabelledCell(label, stacked[:channels], stacked[channels:])


def _misfit(counts: list[Counts], spec: InputSpec) -> str:
    """Why `prepare` refuses the channels of one cell together; empty if it does not."""
    fitting = spec.model_copy(update={"dtype": str(counts[0].dtype)})
    try:
        prepare(counts, fitting, np.empty(fitting.shape, np.float32))
    except ImageError as error:
        return str(error)
    return ""


def _dtype(cells: Sequence[LabelledCell]) -> Literal["uint8", "uint16"]:
    found = sorted({str(cell.counts.dtype) for cell in cells})
    if not found:
        raise DataError("no labelled cell can be evaluated; mend the runs or name another profile")
    if len(found) > 1:
        raise DataError(f"images of {found}, expected one kind; train on runs of one kind")
    return "uint8" if found == ["uint8"] else "uint16"


def _tell(left_out: Sequence[LeftOut], unlabelled: int, reporter: Reporter) -> None:
    if left_out:
        reporter.say(f"left out: {len(left_out)} labelled cells that cannot be evaluated")
        for cell in left_out[:5]:
            reporter.say(f"  {cell.label.run_id} cell {cell.label.cell_id}: {cell.problem}")
    if unlabelled:
        reporter.say(f"not used: {unlabelled} cells without a label")
