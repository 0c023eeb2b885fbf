"""Which channel shows nuclei, and how far apart two of them lie in one cell's image."""

import functools
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_NUCLEAR_STAINS = ("dapi", "hoechst", "draq")
_NUCLEAR_MARKERS = ("nucle", "dna", *_NUCLEAR_STAINS)
"""As lab staff write it in English or Italian: nucleus, nuclear, nuclei, nucleo."""

_SIGMAS = 5.0
"""A nucleus stands so many of the background's noise above it."""

_WEAKEST = 0.3
"""Of the brightest nucleus: a dimmer top is a lobe, a fragment or a neighbour's light."""

_SADDLE = 0.9
"""Between two nuclei the light falls to this share of the dimmer one's or lower; within one it does not."""

_MOST_TOPS = 6
"""Brightest tops that are looked at: 15 pairs."""

_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def nuclear_channel(markers: Mapping[str, str]) -> str | None:
    """The channel that shows nuclei, by what the profile says; None where none or several do.

    Args:
        markers: what each channel shows, in people's words, by the channel's name; "" where the profile does not say.
    """
    found = [
        name
        for name, marker in markers.items()
        if any(word in marker.casefold() for word in _NUCLEAR_MARKERS)
        or (not marker and any(stain in name.casefold() for stain in _NUCLEAR_STAINS))
    ]
    return found[0] if len(found) == 1 else None


def separation_px(image: NDArray[np.generic], background: float, noise: float, grain_px: int) -> float:
    """How far apart the two most distant nuclei lie, pixels; 0 where there is one or none.

    A nucleus is a top of the smoothed light with a valley between it and the other; lobes of one nucleus lie nearer
    than nuclei of two cells can, so that the distance tells them apart.

    Args:
        image: uint8 or uint16 (H, W), the nuclear stain.
        background: counts.
        noise: its sd in counts.
        grain_px: pixels that are taken together, along each side; about a twelfth of a cell.
    """
    down, across = (_smoothing(side, grain_px) for side in image.shape)
    light = down @ image.astype(np.float32) @ across.T - np.float32(background)
    tops = _tops(light, max(_SIGMAS * noise, _WEAKEST * float(light.max())))
    apart = [
        float(np.hypot(*(one - other)))
        for one, other in itertools.combinations(tops, 2)
        if _between(light, one, other) <= _SADDLE * min(light[tuple(one)], light[tuple(other)])
    ]
    return grain_px * max(apart, default=0.0)


@functools.lru_cache(maxsize=16)
def _smoothing(side: int, grain_px: int) -> NDArray[np.float32]:
    """Means of `grain_px` pixels along a side, then binomial weights over five of them: (G, side), rows of sum 1.

    What is left over at the end is not looked at; beyond the ends the last grain stands.
    """
    grains = max(1, side // grain_px)
    weights = np.zeros((grains, side), np.float32)
    for grain in range(grains):
        for step, weight in zip((-2, -1, 0, 1, 2), _BINOMIAL, strict=True):
            place = min(max(grain + step, 0), grains - 1) * grain_px
            weights[grain, place : place + grain_px] += weight
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _tops(light: NDArray[np.float32], level: float) -> NDArray[np.intp]:
    """(T, 2) places above `level` that no neighbour exceeds, the brightest first."""
    padded = np.pad(light, 1, mode="edge")
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    highest = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    places = np.argwhere((light >= highest) & (light > level))
    brightest = np.argsort(-light[tuple(places.T)], kind="stable")[:_MOST_TOPS]
    tops: NDArray[np.intp] = places[brightest]
    return tops


def _between(light: NDArray[np.float32], one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """The lowest light on the straight line from one place to the other."""
    steps = 2 * int(np.abs(one - other).max()) + 1
    along = np.rint(np.linspace(one, other, steps)).astype(np.intp)
    return float(light[tuple(along.T)].min())
