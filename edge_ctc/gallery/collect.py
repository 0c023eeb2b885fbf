"""From the committed calls of a run to the page that a physician opens."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edge_ctc.cells import Verdict
from edge_ctc.expected import Expected, expected_ctcs
from edge_ctc.gallery.called_run import CalledRun
from edge_ctc.gallery.judged import LOOKED_AT, Flagger, trust_of
from edge_ctc.gallery.page import Page, Sheet, ShownCell, ShownChannel, Thumbnail
from edge_ctc.gallery.pictures import DisplayRange, display_range, shades
from edge_ctc.gallery.thumbnails import ACROSS, DOWN, Miniature, miniature, sheet
from edge_ctc.images.write_png import grey_png
from edge_ctc.preprocess import Counts
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest

CONTROLS = 200
"""Leukocytes that are shown like candidates: what a reader compares with, and what blind reading hides them among."""

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_AT_ONCE = 64
"""Cells between two reports: a daemon beats and looks around at each."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    call: Call
    rank: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A cell with its images by channel; None where one is not there, or is not the one that was called.

    Attributes:
        cell: which.
        called: those that the network saw; empty where one of them is not there.
        images: all, in the gallery's order.
    """

    cell: _Ranked
    called: Sequence[Counts]
    images: tuple[Counts | None, ...]


def collect(
    called: CalledRun,
    manifest: Manifest,
    calls: Sequence[Call],
    miniatures: Mapping[str, Miniature],
    also: Collection[str],
    advanced: Callable[[int], None],
) -> Page:
    """The page of a run.

    Args:
        called: its images; of what is gone, or was changed since the call, there is no picture.
        manifest: of its calls.
        calls: in file order: ranked.
        miniatures: by cell id, of the images that were called; of a cell that is not among them, the images are read.
        also: ids of leukocytes that are shown as controls, too.
        advanced: told how many cells more are done.

    Raises:
        RunUnreadableError: disk or share failed.
    """
    ranked = [_Ranked(call, rank) for rank, call in enumerate(calls, 1) if call.score is not None]
    groups = [[one for one in ranked if one.call.verdict is verdict] for verdict in (Verdict.CTC, Verdict.REVIEW)]
    # In one order: nearly all that the run is judged by are read as controls anyway.
    drawn = _in_random_order(ranked)
    groups.append(_controls(drawn, also))
    channels = called.channels
    channel = called.thumbnail_channel
    press = _Press(advanced)
    read = [press.each(lambda one: _read(called, one), group) for group in groups]
    ranges = [_range_of([[one.images[place] for one in group] for group in read]) for place in range(len(channels))]
    flagger = Flagger(manifest.checkpoint, called.markers, called.profile.bits)
    ctc, review, controls = (press.each(lambda one: _shown(one, ranges, flagger), group, 0) for group in read)
    shown = {one.call.cell_id for group in groups for one in group}
    rest = [one for one in ranked if one.call.cell_id not in shown]
    looked = _looked_at(called, press, [one.call for one in drawn[:LOOKED_AT]], read)
    on_sheets = [rest[first : first + ACROSS * DOWN] for first in range(0, len(rest), ACROSS * DOWN)]
    glance = _Glance(called, miniatures, ranges[channels.index(channel)])
    return Page(
        manifest=manifest,
        channels=tuple(
            ShownChannel(name, label, shown.low, shown.high)
            for name, label, shown in zip(channels, _labels(called), ranges, strict=True)
        ),
        ctc=ctc,
        review=review,
        controls=controls,
        rest=tuple(glance.sheet(cells, press.each(glance.miniature, cells)) for cells in on_sheets),
        thumbnail_channel=channel,
        not_evaluable=tuple(call for call in calls if call.score is None),
        scores=tuple((one.call.verdict, one.call.score) for one in ranked if one.call.score is not None),
        trust=trust_of(looked, called.profile.bits, calls, manifest.checkpoint),
        expected=_expected(ranked),
    )


def _looked_at(
    called: CalledRun, press: "_Press", calls: Sequence[Call], read: Sequence[Sequence[_Read]]
) -> list[Sequence[Counts]]:
    """The images of those of `calls` that are still there; what was read already is not read again."""
    there = {one.cell.call.cell_id: one.called for group in read for one in group}
    more = [call for call in calls if call.cell_id not in there]
    there.update(zip((call.cell_id for call in more), press.each(called.counts, more, 0), strict=True))
    return [images for call in calls if (images := there[call.cell_id])]


@dataclass(frozen=True, slots=True)
class _Press:
    """Works on one cell after the other: threads that pass Python's lock to and fro took 1.6 times as long."""

    advanced: Callable[[int], None]

    def each(self, work: Callable[[_Given], _Made], given: Sequence[_Given], done_by: int = 1) -> tuple[_Made, ...]:
        """`done_by`: cells that are done with each; 0 where another step counts them."""
        done: list[_Made] = []
        for first in range(0, len(given), _AT_ONCE):
            done += map(work, given[first : first + _AT_ONCE])
            self.advanced(done_by * (len(done) - first))
        return tuple(done)


def _in_random_order(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    """The same for the same cells, whatever called them: the light of a run does not change with a call."""
    by_id = sorted(ranked, key=lambda one: one.call.cell_id)
    told = "\n".join(" ".join((one.call.cell_id, *one.call.image_sha256)) for one in by_id)
    generator = np.random.default_rng(int(hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest(), 16))
    return [by_id[place] for place in generator.permutation(len(by_id))]


def _expected(ranked: Sequence[_Ranked]) -> Expected | None:
    """None where the checkpoint has no calibration."""
    probabilities = [one.call.p_ctc for one in ranked if one.call.p_ctc is not None]
    return expected_ctcs(probabilities) if len(probabilities) == len(ranked) else None


def _controls(drawn: Sequence[_Ranked], also: Collection[str]) -> list[_Ranked]:
    """The first leukocytes of a random order, and those that are asked for, by rank."""
    leukocytes = [one for one in drawn if one.call.verdict is Verdict.LEUKOCYTE]
    asked = [one for one in leukocytes[CONTROLS:] if one.call.cell_id in also]
    return sorted((*leukocytes[:CONTROLS], *asked), key=lambda one: one.rank)


def _read(called: CalledRun, one: _Ranked) -> _Read:
    taken = called.network.channel_names
    counts = called.counts(one.call)
    images: tuple[Counts | None, ...] = tuple(counts) or (None,) * len(taken)
    beside = (called.counts_of(one.call, channel) for channel in called.channels[len(taken) :])
    return _Read(one, counts, (*images, *beside))


def _range_of(groups: Sequence[Sequence[Counts | None]]) -> DisplayRange:
    return display_range([[image for image in group if image is not None] for group in groups])


def _shown(read: _Read, ranges: Sequence[DisplayRange], flagger: Flagger) -> ShownCell:
    call = read.cell.call
    pictures = (
        b"" if image is None else grey_png(shades(image, shown))
        for image, shown in zip(read.images, ranges, strict=True)
    )
    return ShownCell(call, read.cell.rank, tuple(pictures), call.images_sha256, flagger.sentences(call, read.called))


@dataclass(frozen=True, slots=True)
class _Glance:
    """Makes the sheets of the cells that are only glanced at."""

    called: CalledRun
    kept: Mapping[str, Miniature]
    shown: DisplayRange

    def miniature(self, one: _Ranked) -> Miniature | None:
        kept = self.kept.get(one.call.cell_id)
        if kept is not None:
            return kept
        image = self.called.counts_of(one.call, self.called.thumbnail_channel)
        return None if image is None else miniature(image)

    def sheet(self, cells: Sequence[_Ranked], miniatures: Sequence[Miniature | None]) -> Sheet:
        thumbnails = (
            Thumbnail(one.call.cell_id, one.rank, one.call.images_sha256, small is not None)
            for one, small in zip(cells, miniatures, strict=True)
        )
        return Sheet(tuple(thumbnails), sheet(miniatures, self.shown))


def _labels(called: CalledRun) -> list[str]:
    """What people call each channel: its name, what it shows, and whether the network saw it."""
    markers = {channel.name: channel.marker for channel in called.profile.channels}
    labels = [f"{name} ({markers[name]})" if markers.get(name) else name for name in called.channels]
    taken = len(called.network.channel_names)
    return [*labels[:taken], *(f"{label}, not seen by the network" for label in labels[taken:])]
