"""Instruments: optics, camera and light, whatever cell lies before them; and how they drift during a run.

Sources: `edge_ctc.simulate`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_ctc.simulate.field import Plane

_Three = tuple[float, float, float]
_Four = tuple[float, float, float, float]
DEFAULT_INSTRUMENT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One microscope with its camera and chip; the defaults are a plausible one, all [assumed] but the emissions.

    Attributes:
        aperture: Numerical aperture of the objective.
        magnification: Lateral; at 20 a pixel shows the 0.5 um that the export says.
        condenser: Numerical aperture of the illumination in bright field; the larger, the less coherent.
        bright_um: Wavelength in bright field.
        emissions_um: Wavelengths of DAPI, PE and APC at their peaks [textbook].
        chromatic_um: Focus of DAPI, PE and APC beyond the bright field's.
        focus_um: Mean defocus of the cells, of the autofocus' own.
        focus_spread_um: Standard deviation of the cells' defocus: they float in their cages.
        light: Electrons per pixel of the bright field's background.
        exposures: Factor on the light in the four channels.
        falloff: Tangent of the angle at which the frame's corner is seen: light falls as cos^4 towards it.
        decentred: Where light is brightest, in units of half the frame's side.
        tilt: Relative slope of the bright field, from a cell's centre to its image's edge.
        haze: Electrons per pixel of the background in DAPI, PE and APC.
        crosstalk: What DAPI's, PE's and APC's channels (rows) see of DAPI, PE and APC (columns).
        gain: Counts per electron.
        offset: Counts in the dark.
        read_noise: Electrons.
        hot_pixels: Of one image, on average.
        cage_um: Side of a cage.
        cage_turn: Angle between the chip and the camera in rad.
        cage_depth: Light lost in the middle of a cage's edge, relative.
    """

    aperture: float = 0.45
    magnification: float = 20.0
    condenser: float = 0.17
    bright_um: float = 0.55
    emissions_um: _Three = (0.461, 0.578, 0.660)
    chromatic_um: _Three = (-0.6, 0.3, 0.9)
    focus_um: float = 0.0
    focus_spread_um: float = 2.4
    light: float = 3800.0
    exposures: _Four = (1.0, 1.0, 1.0, 1.0)
    falloff: float = 0.25
    decentred: tuple[float, float] = (0.05, -0.10)
    tilt: tuple[float, float] = (0.010, -0.006)
    haze: _Three = (120.0, 160.0, 140.0)
    crosstalk: tuple[_Three, _Three, _Three] = ((1.0, 0.0, 0.0), (0.015, 1.0, 0.004), (0.0, 0.035, 1.0))
    gain: float = 0.5
    offset: float = 100.0
    read_noise: float = 8.0
    hot_pixels: float = 0.15
    cage_um: float = 27.0
    cage_turn: float = 0.01
    cage_depth: float = 0.07

    @classmethod
    def of(cls, number: int) -> Self:
        """The default instrument for 0, and another for each other number, 1 or more."""
        if number == DEFAULT_INSTRUMENT:
            return cls()
        return cls._draw(np.random.default_rng(np.random.SeedSequence(number, spawn_key=(0, 2))))

    @classmethod
    def _draw(cls, rng: np.random.Generator) -> Self:
        base = cls()
        weaker, bled, stronger = (np.array(base.crosstalk)[[1, 1, 2], [0, 2, 1]] * rng.lognormal(0, 0.4, 3)).tolist()
        return cls(
            aperture=rng.uniform(0.40, 0.50),
            magnification=base.magnification * rng.normal(1, 0.015),
            condenser=rng.uniform(0.13, 0.22),
            bright_um=rng.uniform(0.53, 0.58),
            chromatic_um=_three(np.array(base.chromatic_um) + rng.normal(0, 0.5, 3)),
            focus_um=rng.uniform(-2.0, 2.0),
            focus_spread_um=rng.uniform(1.8, 3.0),
            light=base.light * rng.uniform(0.8, 1.2),
            exposures=_four(rng.lognormal(0, 0.12, 4)),
            falloff=rng.uniform(0.15, 0.38),
            decentred=_two(rng.normal(0, 0.15, 2)),
            tilt=_two(rng.normal(0, 0.02, 2)),
            haze=_three(np.array(base.haze) * rng.lognormal(0, 0.35, 3)),
            crosstalk=((1.0, 0.0, 0.0), (weaker, 1.0, bled), (0.0, stronger, 1.0)),
            gain=base.gain * rng.lognormal(0, 0.10),
            offset=rng.uniform(60, 140),
            read_noise=rng.uniform(5, 12),
            hot_pixels=rng.uniform(0, 0.4),
            cage_um=rng.uniform(26, 29),
            cage_turn=rng.normal(0, 0.02),
            cage_depth=rng.uniform(0.03, 0.11),
        )


def _two(values: Plane) -> tuple[float, float]:
    first, second = values.tolist()
    return first, second


def _three(values: Plane) -> _Three:
    first, second, third = values.tolist()
    return first, second, third


def _four(values: Plane) -> _Four:
    first, second, third, fourth = values.tolist()
    return first, second, third, fourth


@dataclass(frozen=True, slots=True)
class Moment:
    """The instrument when one cell is taken.

    Attributes:
        light: Factor on the light, float32 `(4,)`.
        haze: Factor on the fluorescence background, float32 `(3,)`.
        offset: Counts beyond the instrument's.
        focus_um: Mean defocus beyond the instrument's.
    """

    light: Plane
    haze: Plane
    offset: float
    focus_um: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One run on one instrument: where it starts, and how it drifts with the cells' numbers, all [assumed].

    Lamps, camera and stage settle like 1 - exp(-number / settling), and swing with the room.

    Attributes:
        light: Factor on the light at the start, `(4,)`.
        haze: Factor on the background, `(3,)`: how well the sample was washed.
        settling: Cells until the instrument is warm.
        period: Cells in one swing of the room's temperature.
        lamps: Relative change of the light until warm, `(4,)`.
        swing: Relative swing of the light.
        offset: Change of the camera's offset until warm, in counts.
        focus_um: Mean defocus at the start, and its change until warm.
    """

    light: Plane
    haze: Plane
    settling: float
    period: float
    lamps: Plane
    swing: float
    offset: float
    focus_um: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw one run's day."""
        return cls(
            light=rng.lognormal(0, 0.08, 4).astype(np.float32),
            haze=rng.lognormal(0, 0.30, 3).astype(np.float32),
            settling=rng.uniform(200, 800),
            period=rng.uniform(600, 3000),
            lamps=rng.normal(0, 0.05, 4).astype(np.float32),
            swing=rng.uniform(0, 0.02),
            offset=rng.normal(0, 5),
            focus_um=_two(rng.normal(0, (1.2, 0.6))),
        )

    def at(self, number: int) -> Moment:
        """The moment of the cell `number`, 1 or more."""
        warm = 1 - float(np.exp(-number / self.settling))
        swung = self.swing * float(np.sin(2 * np.pi * number / self.period))
        return Moment(
            light=self.light * (1 + self.lamps * warm + swung),
            haze=self.haze,
            offset=self.offset * warm,
            focus_um=self.focus_um[0] + self.focus_um[1] * warm,
        )
