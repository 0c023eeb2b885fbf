"""What is to be known of the labelled cells before a training: for people, and for the checkpoint."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import (
    MEASURES,
    QUANTILES,
    Appearances,
    ChannelFingerprint,
    ClassFingerprint,
    Fingerprint,
    Quantiles,
    measure_each,
)
from edge_ctc.errors import DataError
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.labels import CLASSES, Conflict, Label
from trainer.cells.run_spread import run_spread
from trainer.cells.same_cells import identical, near_identical
from trainer.cells.selection import truth_of

_DIGITS = 5
"""Significant; no measure of a cell is better known, and checkpoint.json stays readable."""

_PATIENTS_SHOWN = 50
"""One by one; where cells have no donors, each is a patient of its own, and there are thousands."""


@dataclass(frozen=True, slots=True)
class PatientCells:
    """How many cells of each class one patient has."""

    patient: str
    ctc: int
    leukocyte: int


@dataclass(frozen=True, slots=True)
class ChannelIntensity:
    """Medians over cells, in counts; `saturated` is the share of cells with a pixel at full scale."""

    channel: str
    background: float
    noise: float
    ctc: float
    leukocyte: float
    saturated: float


@dataclass(frozen=True, slots=True)
class NearIdentical:
    """Two cells whose pictures are nearly the same, and their correlation."""

    first: Label
    second: Label
    correlation: float


@dataclass(frozen=True, slots=True)
class DataReport:
    """What people should know of the data before they believe a training.

    Attributes:
        patients: sorted by name.
        intensity: of each channel.
        sizes: (height, width) of the images and how many cells have it, the commonest first.
        conflicts: cells that readers labelled differently.
        identical: groups of cells with the same bytes in all channels.
        near_identical: pairs of others that show the same picture, the most alike first.
    """

    patients: tuple[PatientCells, ...]
    intensity: tuple[ChannelIntensity, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    conflicts: tuple[Conflict, ...]
    identical: tuple[tuple[Label, ...], ...]
    near_identical: tuple[NearIdentical, ...]

    @property
    def contradictions(self) -> tuple[tuple[Label, ...], ...]:
        """Those groups of identical cells that are labelled differently: label conflicts, too."""
        return tuple(group for group in self.identical if len({label.is_ctc for label in group}) > 1)

    @property
    def across_patients(self) -> tuple[NearIdentical, ...]:
        """Those nearly identical pairs that belong to two patients, and so may stand on both sides of a split."""
        return tuple(pair for pair in self.near_identical if pair.first.patient != pair.second.patient)

    @property
    def lines(self) -> tuple[str, ...]:
        """For the reporter, plain text: the patients, then their cells."""
        patients = (f"{one.patient}: {one.ctc} CTC, {one.leukocyte} LEUKOCYTE" for one in self.patients)
        return (*_listed("patients", patients, _PATIENTS_SHOWN), *self.cell_lines)

    @property
    def cell_lines(self) -> tuple[str, ...]:
        """For the record, plain text."""
        return tuple(_lines(self))


def describe(dataset: Dataset, conflicts: Sequence[Conflict]) -> DataReport:
    """Look through all labelled cells.

    Raises:
        DataError: one cell stands there as two patients'.
    """
    labels = [cell.label for cell in dataset.cells]
    counts = [cell.counts for cell in dataset.cells]
    groups = refuse_shared_cells(dataset.cells)
    looks = measure_each(counts, dataset.bits)
    repeated = {place for group in groups for place in group[1:]}
    kept = [place for place in range(len(labels)) if place not in repeated]
    pairs = near_identical([counts[place] for place in kept], np.median(looks.noise, axis=0))
    near = [NearIdentical(labels[kept[pair.first]], labels[kept[pair.second]], pair.correlation) for pair in pairs]
    return DataReport(
        patients=_patients(labels),
        intensity=_intensity(looks, truth_of(dataset.cells), dataset.channels),
        sizes=tuple(Counter((cell.shape[1], cell.shape[2]) for cell in counts).most_common()),
        conflicts=tuple(conflicts),
        identical=tuple(tuple(labels[place] for place in group) for group in groups),
        near_identical=tuple(sorted(near, key=lambda pair: -pair.correlation)),
    )


def refuse_shared_cells(cells: Sequence[LabelledCell]) -> tuple[tuple[int, ...], ...]:
    """Refuse a cell that is labelled as two patients': it would stand on both sides of a split.

    Only the same bytes are proof: a camera never takes the same noise twice. Nearly identical cells are listed and not
    refused, as two round leukocytes can look alike, and a labelled archive must not be stopped by a likeness.

    Returns:
        Groups of cells with the same bytes in all channels, by their places.

    Raises:
        DataError: a group has two patients.
    """
    groups = identical([cell.counts for cell in cells])
    named = [[cells[place].label for place in group] for group in groups]
    shared = [group for group in named if len({label.patient for label in group}) > 1]
    if not shared:
        return groups
    first = shared[0][0]
    second = next(label for label in shared[0] if label.patient != first.patient)
    raise DataError(
        f"{_name(first)} and {_name(second)}: the same image bytes in all channels, labelled as patients "
        f"{first.patient} and {second.patient} ({len(shared)} such cells in all); one cell belongs to one patient, "
        "or it would be trained on and tested with: mend the patient, or take one of the rows out"
    )


def fingerprint(dataset: Dataset) -> Fingerprint:
    """What the labelled cells look like, for checkpoint.json.

    Raises:
        DataError: a class has no cell.
    """
    looks = measure_each([cell.counts for cell in dataset.cells], dataset.bits)
    is_ctc = truth_of(dataset.cells)
    sides = [side for cell in dataset.cells for side in cell.counts.shape[1:]]
    return Fingerprint(
        patients=len({cell.label.patient for cell in dataset.cells}),
        sides_px=(min(sides), max(sides)),
        leukocyte=_class_fingerprint(looks, ~is_ctc, dataset.channels),
        ctc=_class_fingerprint(looks, is_ctc, dataset.channels),
        runs=run_spread(looks, [cell.label for cell in dataset.cells], dataset.channels),
    )


def _class_fingerprint(looks: Appearances, members: NDArray[np.bool_], channels: Sequence[str]) -> ClassFingerprint:
    if not members.any():
        raise DataError(f"all {len(members)} cells are of one class; expected both: label some of the other")
    return ClassFingerprint(
        cells=int(members.sum()),
        diameter_px=_quantiles(looks.diameter_px[members]),
        channels={
            channel: ChannelFingerprint(**{name: _quantiles(getattr(looks, name)[members, place]) for name in MEASURES})
            for place, channel in enumerate(channels)
        },
    )


def _quantiles(values: NDArray[np.float64]) -> Quantiles:
    one, five, quarter, half, three_quarters, rest, nearly_all = (
        float(f"{value:.{_DIGITS}g}") for value in np.quantile(values, QUANTILES)
    )
    return one, five, quarter, half, three_quarters, rest, nearly_all


def _patients(labels: Sequence[Label]) -> tuple[PatientCells, ...]:
    ctcs = Counter(label.patient for label in labels if label.is_ctc)
    cells = Counter(label.patient for label in labels)
    return tuple(PatientCells(patient, ctcs[patient], cells[patient] - ctcs[patient]) for patient in sorted(cells))


def _intensity(looks: Appearances, is_ctc: NDArray[np.bool_], channels: Sequence[str]) -> tuple[ChannelIntensity, ...]:
    return tuple(
        ChannelIntensity(
            channel=channel,
            background=float(np.median(looks.background[:, place])),
            noise=float(np.median(looks.noise[:, place])),
            ctc=_median(looks.brightness[is_ctc, place]),
            leukocyte=_median(looks.brightness[~is_ctc, place]),
            saturated=float(np.mean(looks.saturated[:, place] > 0)),
        )
        for place, channel in enumerate(channels)
    )


def _median(values: NDArray[np.float64]) -> float:
    """NaN where a class has no cell."""
    return float(np.median(values)) if len(values) else float("nan")


def _name(label: Label) -> str:
    return f"cell {label.cell_id} of run {label.run_id}"


def _lines(report: DataReport) -> Iterator[str]:
    for one in report.intensity:
        yield (
            f"channel {one.channel}: background {one.background:.0f} counts, noise {one.noise:.1f}; medians of cells, "
            f"less the background: CTC {_counts(one.ctc)}, LEUKOCYTE {_counts(one.leukocyte)}; "
            f"a pixel at full scale in {one.saturated:.1%} of cells"
        )
    yield "images: " + ", ".join(f"{count} of {high} x {wide} pixels" for (high, wide), count in report.sizes)
    between = report.across_patients
    within = [pair for pair in report.near_identical if pair not in between]
    yield from _listed(
        "cells that readers labelled differently, kept", map(str, report.conflicts), len(report.conflicts)
    )
    yield from _listed("groups of cells with the same image bytes", map(_group, report.identical))
    yield from _listed("pairs of cells that look the same, between patients: check them", map(_alike, between))
    yield from _listed("pairs of cells that look the same, within a patient", map(_alike, within))


def _counts(median: float) -> str:
    return "none" if math.isnan(median) else f"{median:+.0f}"


def _group(labels: Sequence[Label]) -> str:
    classes = sorted({CLASSES[label.is_ctc] for label in labels})
    contradiction = f", labelled {' and '.join(classes)}" if len(classes) > 1 else ""
    return ", ".join(_name(label) for label in labels) + contradiction


def _alike(pair: NearIdentical) -> str:
    return f"{_name(pair.first)}, {_name(pair.second)} (correlation {pair.correlation:.3f})"


def _listed(what: str, items: Iterable[str], shown: int = 5) -> Iterator[str]:
    """A heading with the number of `items`, then the first of them; nothing where there are none."""
    found = list(items)
    if found:
        yield f"{what}: {len(found)}"
        yield from (f"  {item}" for item in found[:shown])
    if len(found) > shown:
        yield f"  and {len(found) - shown} more"
