"""Labelled cells for tests of the trainer: small pictures, CTCs brighter than leukocytes."""

import numpy as np

from trainer.cells.dataset import Dataset, LabelledCell, LeftOut
from trainer.cells.labels import Label

SIDE_PX = 12


def dataset_of(patients: int = 6, cells: int = 12, ctcs: int = 3, left_out: int = 0, channels: int = 1) -> Dataset:
    """A run per patient; the first `ctcs` cells are CTCs, and the first `left_out` of them cannot be evaluated."""
    names = ("BF", "DAPI", "PE", "APC")[:channels]
    kept: list[LabelledCell] = []
    torn: list[LeftOut] = []
    for patient in range(patients):
        draw = np.random.default_rng(patient)
        for number in range(cells):
            label = Label(f"run{patient}", f"{number:03}", number < ctcs, f"p{patient}")
            if number < left_out:
                torn.append(LeftOut(label, "torn"))
                continue
            kept.append(LabelledCell(label, _counts(draw, label.is_ctc, channels), _none()))
    return Dataset(tuple(kept), tuple(torn), 0, names, (), "uint16", 16, "unknown", "counts")


def _counts(draw: np.random.Generator, is_ctc: bool, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 1) / 2
    height = draw.normal(900 if is_ctc else 600, 120, (channels, 1, 1))
    cell = 200 + height * np.exp(-(x**2 + y**2) / 18)
    counts: np.ndarray[tuple[int, ...], np.dtype[np.uint16]] = np.clip(draw.normal(cell, 40), 0, 65535).astype(
        np.uint16
    )
    return counts


def _none() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    return np.empty((0, SIDE_PX, SIDE_PX), np.uint16)
