"""From a cell to the light on the camera: phase, focus, point spread, cage. Sources: `edge_ctc.simulate`.

Goodman, Introduction to Fourier Optics, chapters 4 to 6: Fresnel propagation in the pupil's plane.
"""

import functools

import numpy as np

from edge_ctc.simulate.field import HALF_SIDE_UM, Q2, Q2_HALF, Plane, X, Y
from edge_ctc.simulate.instruments import Instrument
from edge_ctc.simulate.scene import Scene

_WATER = 1.33
# Root mean square distance of a cell's stain from its middle plane, in um [assumed]: no cell is flat.
_DEPTH_UM = 1.5
# The cage's edges lie on the chip, the cell floats above it by so many um [assumed].
_LEVITATION_UM = 4.0
_CAGE_LINE_UM = 0.6


def bright_field(scene: Scene, defocus_um: float, instrument: Instrument) -> Plane:
    """Light behind a cell that is `defocus_um` out of focus, downstream, over the light beside it, `(64, 64)`.

    Each direction of the illumination propagates coherently, and shifts the image by defocus times angle; together they
    blur it by the condenser's disc [Goodman], taken for a Gaussian of the same standard deviation.
    """
    wavelength = instrument.bright_um
    transfer = np.exp(np.complex64(-1j * np.pi * wavelength / _WATER * defocus_um) * Q2)
    transfer *= _pupil(instrument)
    behind = np.exp(np.complex64(2j * np.pi / wavelength) * scene.path - scene.loss)
    wave = np.fft.ifft2(np.fft.fft2(behind) * transfer)
    coherent = wave.real**2 + wave.imag**2
    shadow = np.exp(-2 * (np.pi * _disc_um(instrument.condenser, defocus_um)) ** 2 * Q2_HALF)
    light: Plane = np.fft.irfft2(np.fft.rfft2(coherent) * shadow)
    return light


@functools.lru_cache(maxsize=32)
def _pupil(instrument: Instrument) -> Plane:
    """Share of the illumination's directions whose diffracted light still enters the objective, `(64, 64)`.

    1 up to the difference of both apertures, 0 from their sum on; a straight line between them [assumed].
    """
    reach = instrument.aperture + instrument.condenser - instrument.bright_um * np.sqrt(Q2)
    share: Plane = np.clip(reach / np.float32(2 * instrument.condenser), 0, 1)
    return share


def _disc_um(aperture: float, defocus_um: float) -> float:
    """Standard deviation along each axis of the disc that a cone of light cuts out `defocus_um` beside its tip."""
    return float(0.5 * abs(defocus_um) * aperture / (_WATER**2 - aperture**2) ** 0.5)


def point_spread_um(defocus_um: float, instrument: Instrument) -> Plane:
    """Sigma of the Gaussian point spread of DAPI, PE and APC, `(3,)` in um.

    In focus 0.21 wavelength / NA [gauss]; out of focus the disc that the cone of light cuts out.
    """
    emissions, offsets = np.array(instrument.emissions_um), np.array(instrument.chromatic_um)
    sharp = 0.21 * emissions / instrument.aperture
    disc = _disc_um(instrument.aperture, 1.0) * np.hypot(defocus_um - offsets, _DEPTH_UM)
    spread: Plane = np.hypot(sharp, disc)
    return spread


def fluorescence(scene: Scene, defocus_um: float, instrument: Instrument) -> Plane:
    """Electrons that the stains give in DAPI's, PE's and APC's channels, blurred and mixed, `(3, 64, 64)`."""
    sigma = point_spread_um(defocus_um, instrument).astype(np.float32)
    spread = np.exp(-2 * (np.pi * sigma[:, None, None]) ** 2 * Q2_HALF)
    glow = np.fft.irfft2(np.fft.rfft2(scene.stains) * spread)
    mixed: Plane = np.tensordot(np.array(instrument.crosstalk, np.float32), glow, 1)
    return mixed


def illumination(place: tuple[float, float], instrument: Instrument) -> Plane:
    """Light over that in the middle of the frame, `(64, 64)`, for a cell at `place`, -1..1 along each side.

    cos^4 of the angle under which a place is seen [textbook]; the frame is 1 mm wide [assumed].
    """
    x = place[0] - instrument.decentred[0] + X / 500
    y = place[1] - instrument.decentred[1] + Y / 500
    falloff: Plane = (1 + instrument.falloff**2 / 2 * (x**2 + y**2)) ** -2
    return falloff


def cage(centre: tuple[float, float], defocus_um: float, instrument: Instrument) -> Plane:
    """Light that the edges of the cages leave, `(64, 64)`; `centre` is the middle of the cell's own cage in um."""
    sigma = float(np.hypot(_CAGE_LINE_UM, _disc_um(instrument.aperture, defocus_um + _LEVITATION_UM)))
    turned_x = X + instrument.cage_turn * Y - centre[0]
    turned_y = Y - instrument.cage_turn * X - centre[1]
    side = instrument.cage_um
    depth = instrument.cage_depth * _CAGE_LINE_UM / sigma
    light: Plane = np.ones_like(X)
    for turned in (turned_x, turned_y):
        sides = (turned + side / 2) / side
        from_edge = side / sigma * (sides - np.rint(sides))
        light -= depth * np.exp(-0.5 * from_edge**2)
    return light


def tilted(instrument: Instrument) -> Plane:
    """Slope of the bright field across one image, `(64, 64)`."""
    slope: Plane = 1 + (instrument.tilt[0] * X + instrument.tilt[1] * Y) / HALF_SIDE_UM
    return slope
