"""Simulated cells with one thing wrong, most made from counts; noise is put back where the change took it away."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.appearance import measure
from edge_ctc.simulate import PIXEL_SIZE_UM
from edge_ctc.simulate.bodies import Body
from edge_ctc.simulate.instruments import Day, Instrument
from edge_ctc.simulate.kinds import RECIPES
from edge_ctc.simulate.patients import Patient
from edge_ctc.simulate.scene import scene_of
from edge_ctc.simulate.view import View, see

Counts = NDArray[np.uint16]
Light = NDArray[np.floating[Any]]

FULL_SCALE = 4095
NUCLEAR = 1
"""DAPI, as the simulator orders its channels."""


def counts_of(light: Light) -> Counts:
    return np.clip(np.rint(light), 0, FULL_SCALE).astype(np.uint16)


def frame(cells: Counts) -> tuple[Light, Light]:
    """Background and noise of cells (N, C, H, W), to be broadcast against them."""
    looks = measure(cells, 12)
    return looks.background[..., None, None], looks.noise[..., None, None]


def noise_like(cells: Counts, seed: int) -> Light:
    return np.random.default_rng(seed).normal(0, 1, cells.shape)


def blurred(cells: Counts, sigma_px: float, seed: int = 0) -> Counts:
    """By a Gaussian, alike in all channels."""
    reach = np.arange(-int(4 * sigma_px) - 1, int(4 * sigma_px) + 2)
    kernel = np.exp(-0.5 * (reach / sigma_px) ** 2)
    kernel /= kernel.sum()
    light = cells.astype(np.float32)
    for axis in (-1, -2):
        rims = [(0, 0)] * light.ndim
        rims[axis] = (len(reach) // 2, len(reach) // 2)
        padded = np.pad(light, rims, "edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(reach), axis=axis)
        light = windows @ kernel.astype(np.float32)
    left = float((kernel**2).sum())
    return counts_of(light + (1 - left**2) ** 0.5 * frame(cells)[1] * noise_like(cells, seed))


def amplified(cells: Counts, factor: float, offset: float) -> Counts:
    """The camera's gain; `offset` are its counts in the dark."""
    return counts_of(offset + factor * (cells.astype(float) - offset))


def dimmed(cells: Counts, share: float, channels: list[int], seed: int = 0) -> Counts:
    """That share of what the cell gives beyond the background; of its shot noise too."""
    background, noise = frame(cells)
    out = cells.copy()
    signal = cells - background
    light = background + share * signal + (1 - share**2) ** 0.5 * noise * noise_like(cells, seed)
    out[:, channels] = counts_of(light)[:, channels]
    return out


def gone(cells: Counts, seed: int = 0) -> Counts:
    """Background and noise alone: no cell."""
    background, noise = frame(cells)
    return counts_of(background + noise * noise_like(cells, seed))


def sized(diameter_px: float, kind: str, seed: int, instrument: int) -> Counts:
    """One cell (4, H, W) of another patient, of that true diameter, as the simulator draws and shows it."""
    rng = np.random.default_rng(seed)
    taken_by = Instrument.of(instrument)
    body = Body(RECIPES[kind], 0.5 * diameter_px * PIXEL_SIZE_UM)
    scene = scene_of([body], Patient.draw(rng), rng)
    return see(scene, View.draw(taken_by, Day.draw(rng).at(1), rng), taken_by, rng)


def moved(cells: Counts, by_px: int) -> Counts:
    """To the right; what comes in at the left is the mirrored rim."""
    return np.pad(cells, [(0, 0)] * 3 + [(by_px, 0)], "reflect")[..., : cells.shape[-1]]


def clipped(cells: Counts, channel: int, share: float) -> Counts:
    """So bright that `share` of the pixels of a channel reach full scale."""
    out = cells.copy()
    brightest = np.quantile(cells[:, channel], 1 - share, axis=(-2, -1), keepdims=True)
    out[:, channel] = counts_of(cells[:, channel] * (FULL_SCALE / brightest))
    return out
