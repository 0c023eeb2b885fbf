"""How an instrument looks at one cell: where in the frame, how far from focus, before which haze."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_ctc.simulate.bodies import Body
from edge_ctc.simulate.camera import expose
from edge_ctc.simulate.field import HALF_SIDE_UM, SIDE_PX, Plane, X, Y
from edge_ctc.simulate.instruments import Instrument, Moment
from edge_ctc.simulate.optics import bright_field, cage, fluorescence, illumination, tilted
from edge_ctc.simulate.scene import Scene

_NOMINAL_MAGNIFICATION = 20.0


@dataclass(frozen=True, slots=True)
class View:
    """What differs from cell to cell on one instrument, and has nothing to do with the cell; all [assumed].

    Attributes:
        moment: The instrument at the time.
        defocus_um: Of the cell in bright field.
        place: In the camera's frame, -1..1 along each side.
        cage_centre: Middle of the cage, um from the image's.
        haze: Relative slopes of the background along x and y, and its bow, for DAPI, PE and APC, float32 `(3, 3)`.
        hot: Electrons of the hot pixels, float32 `(64, 64)`; the same in all channels, as they belong to the camera.
    """

    moment: Moment
    defocus_um: float
    place: tuple[float, float]
    cage_centre: tuple[float, float]
    haze: Plane
    hot: Plane

    @classmethod
    def draw(cls, instrument: Instrument, moment: Moment, rng: np.random.Generator) -> Self:
        """Draw one look at a cell."""
        x, y = rng.uniform(-1, 1, 2).tolist()
        cage_x, cage_y = rng.normal(0, 1.2, 2).tolist()
        return cls(
            moment=moment,
            defocus_um=instrument.focus_um + moment.focus_um + rng.normal(0, instrument.focus_spread_um),
            place=(x, y),
            cage_centre=(cage_x, cage_y),
            haze=rng.normal(0, 0.10, (3, 3)).astype(np.float32),
            hot=_hot_pixels(instrument, rng),
        )

    def focused(self, defocus_um: float) -> Self:
        """The same look at another focal plane."""
        return replace(self, defocus_um=defocus_um)


def _hot_pixels(instrument: Instrument, rng: np.random.Generator) -> Plane:
    hot = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for _ in range(rng.poisson(instrument.hot_pixels)):
        row, column = rng.integers(SIDE_PX, size=2)
        hot[row, column] = rng.lognormal(6.3, 0.6)
    return hot


def magnified(bodies: Sequence[Body], instrument: Instrument) -> list[Body]:
    """Bodies as large as they seem where every pixel is taken for 0.5 um."""
    by = instrument.magnification / _NOMINAL_MAGNIFICATION
    return [replace(body, radius=body.radius * by, x=body.x * by, y=body.y * by) for body in bodies]


def see(scene: Scene, view: View, instrument: Instrument, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Take the four images of one cell, uint16 `(4, 64, 64)`, counts 0..4095."""
    bright = instrument.light * bright_field(scene, view.defocus_um, instrument)
    bright *= tilted(instrument) * cage(view.cage_centre, view.defocus_um, instrument)
    glow = fluorescence(scene, view.defocus_um, instrument) + _haze(view, instrument)
    levels = (view.moment.light * np.array(instrument.exposures, np.float32))[:, None, None]
    light = np.concatenate([bright[None], glow]) * levels * illumination(view.place, instrument)
    return expose(light + view.hot, view.moment.offset, instrument, rng)


def _haze(view: View, instrument: Instrument) -> Plane:
    level = (np.array(instrument.haze, np.float32) * view.moment.haze)[:, None, None]
    x, y = X / np.float32(HALF_SIDE_UM), Y / np.float32(HALF_SIDE_UM)
    across, down, bow = view.haze.T[:, :, None, None]
    haze: Plane = level * np.maximum(1 + across * x + down * y + bow * (x**2 + y**2), 0)
    return haze
