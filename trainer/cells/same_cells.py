"""Cells that are one cell: the same bytes, or the same picture moved, turned, photographed or encoded again."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

SAME = 0.985
"""Correlation from which two pictures are taken for one cell; docs/results.md has the measurement. Of 1,200 simulated
cells no two distinct ones reach it; of 7,917 Jurkat cells 2 pairs do (19 at 0.98), beside 3 that stand there twice."""

_WAVES = 12
"""Details finer than a twelfth of the grid are left out: that is where two exposures of one cell differ."""

_SMALLEST_GRID = 64
"""Pixels that pictures are laid on, so that a shift by any whole pixel is met; a larger image widens it."""

_NEIGHBOURS = 3
_TAPER_SHARE = 8
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells, by their places, and how far their pictures correlate at best: `SAME`..1."""

    first: int
    second: int
    correlation: float


def identical(cells: Sequence[NDArray[Any]]) -> tuple[tuple[int, ...], ...]:
    """Groups of two cells or more, by their places, whose counts (C, H, W) are the same in all channels.

    Cells of which every channel shows one single count are passed over: they show no cell.
    """
    groups: dict[str, list[int]] = {}
    for place, counts in enumerate(cells):
        if (counts.min(axis=(1, 2)) < counts.max(axis=(1, 2))).any():
            digest = hashlib.sha256(f"{counts.dtype} {counts.shape} ".encode() + counts.tobytes()).hexdigest()
            groups.setdefault(digest, []).append(place)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def near_identical(cells: Sequence[NDArray[Any]], noise: NDArray[np.float64]) -> tuple[Pair, ...]:
    """Pairs of cells whose pictures correlate by `SAME` or more, however moved, turned by quarters or mirrored.

    The size of a picture's Fourier transform is blind to shifts and, folded along its axes and diagonals, to quarter
    turns and mirrors: the three cells most alike in it are sought for each cell, and only those pairs are laid over
    each other by phase in all eight positions. That takes time with N, not with N^2.

    Args:
        cells: uint8 or uint16 (C, H, W) each, of one number of channels.
        noise: (C,) counts; channels weigh by how far they stand out of it.
    """
    if len(cells) < 2:
        return ()
    grid = max(_SMALLEST_GRID, *(side for counts in cells for side in counts.shape[1:]))
    spectra = _spectra(cells, noise, grid)
    shapes = _folded(np.abs(spectra))
    count = min(_NEIGHBOURS + 1, len(cells))
    near = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(shapes).kneighbors(shapes, return_distance=False)
    pairs = sorted({(min(a, b), max(a, b)) for a, row in enumerate(near.tolist()) for b in row if a != b})
    found = []
    for first in range(0, len(pairs), _AT_ONCE):
        some = pairs[first : first + _AT_ONCE]
        one, other = np.array(some).T
        correlations = _correlation(spectra[one], spectra[other], grid)
        found += [Pair(*pair, float(r)) for pair, r in zip(some, correlations, strict=True) if r >= SAME]
    return tuple(found)


def _spectra(cells: Sequence[NDArray[Any]], noise: NDArray[np.float64], grid: int) -> NDArray[np.complex64]:
    """Fourier coefficients up to `_WAVES`, complex64 (N, C, 2 W + 1, 2 W + 1), each cell's of norm 1.

    Weighted by frequency, as the gradient's are: all cells are blobs, and blobs correlate.
    """
    waves = np.r_[0 : _WAVES + 1, -_WAVES:0]
    radius = np.hypot(waves[:, None], waves)
    weight = np.where(radius <= _WAVES, radius, 0).astype(np.float32)
    spectra = np.empty((len(cells), len(noise), len(waves), len(waves)), np.complex64)
    for place, counts in enumerate(cells):
        whole = np.fft.fft2(_on_black(counts) / noise.astype(np.float32)[:, None, None], s=(grid, grid))
        spectra[place] = whole[:, waves[:, None], waves] * weight
    norms = np.sqrt((np.abs(spectra) ** 2).sum(axis=(1, 2, 3), keepdims=True))
    np.divide(spectra, norms, out=spectra, where=norms > 0)
    return spectra


def _on_black(counts: NDArray[Any]) -> NDArray[np.float32]:
    """Counts (C, H, W) less the median of the outermost pixels, fading to 0 at the edge, which else had a spectrum."""
    light = counts.astype(np.float32)
    edge = np.concatenate([light[:, 0], light[:, -1], light[:, :, 0], light[:, :, -1]], axis=1)
    light -= np.median(edge, axis=1)[:, None, None]
    rows, columns = (_taper(side) for side in counts.shape[1:])
    return light * rows[:, None] * columns


def _taper(side: int) -> NDArray[np.float32]:
    place = np.arange(side, dtype=np.float32) + np.float32(0.5)
    rising: NDArray[np.float32] = np.minimum(place, side - place) * np.float32(_TAPER_SHARE / side)
    return np.minimum(rising, np.float32(1))


def _folded(sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sizes of Fourier coefficients, (N, C, 2 W + 1, 2 W + 1), folded into an eighth, on a log scale: (N, features)."""
    half = (sizes + sizes[..., -np.arange(sizes.shape[-1]) % sizes.shape[-1]])[..., : _WAVES + 1, : _WAVES + 1]
    rows, columns = np.triu_indices(_WAVES + 1)
    within = (np.hypot(rows, columns) <= _WAVES) & (columns > 0)
    eighth = (half + half.swapaxes(-1, -2))[..., rows[within], columns[within]]
    floor = 1e-3 * eighth.mean(axis=-1, keepdims=True) + np.finfo(np.float32).tiny
    log = np.log(eighth + floor)
    log -= log.mean(axis=-1, keepdims=True)
    norms = np.sqrt((log**2).sum(axis=-1, keepdims=True))
    features: NDArray[np.float32] = np.divide(log, norms, out=np.zeros_like(log), where=norms > 0)
    return features.reshape(len(sizes), -1)


def _correlation(one: NDArray[np.complex64], other: NDArray[np.complex64], grid: int) -> NDArray[np.float32]:
    """Largest correlation of N pairs over all shifts, quarter turns and mirrors, from their spectra of norm 1."""
    best = np.full(len(one), -1, np.float32)
    rows = np.r_[0 : _WAVES + 1, -_WAVES:0][:, None]
    laid = np.zeros((len(one), grid, grid // 2 + 1), np.complex64)
    for turned in _positions(other):
        laid[:, rows, np.arange(_WAVES + 1)] = (one * turned.conj()).sum(axis=1)[..., : _WAVES + 1]
        overlap = np.fft.irfft2(laid, s=(grid, grid), norm="forward")
        best = np.maximum(best, overlap.max(axis=(-2, -1)))
    return best


def _positions(spectra: NDArray[np.complex64]) -> Iterator[NDArray[np.complex64]]:
    """The spectra of a picture in its eight positions; mirroring a picture mirrors its spectrum."""
    mirrored = -np.arange(spectra.shape[-1]) % spectra.shape[-1]
    for upright in (spectra, spectra.swapaxes(-1, -2)):
        for standing in (upright, upright[..., mirrored, :]):
            yield standing
            yield standing[..., mirrored]
