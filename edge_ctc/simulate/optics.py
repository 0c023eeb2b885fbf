"""From a body's shape to the counts of a camera: phase, stains, focus, noise. Sources: `edge_ctc.simulate`.

Goodman, Introduction to Fourier Optics, chapters 4 to 6: Fresnel propagation in the pupil's plane.
"""

import numpy as np
from numpy.typing import NDArray

from edge_ctc.simulate.field import Q2, Q2_HALF, Plane, X, Y
from edge_ctc.simulate.forms import Form
from edge_ctc.simulate.patients import Body, Patient

_FULL_SCALE = 4095
# A 20x objective with its condenser nearly closed, in green light [assumed].
_WAVELENGTH, _APERTURE, _CONDENSER = 0.55, 0.4, 0.08
_PUPIL = (Q2 < (_APERTURE / _WAVELENGTH) ** 2).astype(np.float32)


def phase_of(body: Body, form: Form, rng: np.random.Generator) -> Plane:
    """Give the phase in rad that the body adds; the nucleus refracts less [index]."""
    recipe = body.recipe
    nuclear, granular = rng.lognormal(0, 0.3, 2).tolist()
    waves = 2 * np.pi / _WAVELENGTH * 2 * body.radius
    bulk = recipe.index * form.ball - 0.010 * nuclear * recipe.lobe * form.nucleus
    grains = recipe.grain * granular * form.coarse + 0.12 * form.fine * form.nucleus
    phase: Plane = waves * bulk + grains * form.ball
    return phase


def stains_of(body: Body, form: Form, patient: Patient, rng: np.random.Generator) -> Plane:
    """Give the light of DAPI, CK and CD45 that the body sends, `(3, 64, 64)` in counts."""
    recipe = body.recipe
    dapi, ck, cd45 = rng.lognormal(0, (0.3, 0.45, 0.40)).tolist()
    stuck = rng.lognormal(-1.2, 0.6, 2) * (rng.random(2) < (recipe.sticky_ck, recipe.sticky_cd45))
    own_glow = 8 * body.radius
    keratin = patient.ck * (recipe.ck * ck + float(stuck[0])) + own_glow
    membrane = patient.cd45 * (recipe.cd45 * cd45 + float(stuck[1]))
    cytoplasm = np.maximum(form.ball - 0.7 * recipe.lobe * form.nucleus, 0.05 * form.inside)
    return np.stack(
        [
            patient.dapi * recipe.dapi * dapi * form.nucleus * np.maximum(1 + 0.25 * form.fine, 0),
            keratin * cytoplasm * np.maximum(1 + 0.35 * form.coarse, 0),
            membrane * (0.75 * form.rim + 0.35 * form.inside) * np.maximum(1 + 0.3 * form.fine, 0),
        ]
    )


def bright_field(phase: Plane, defocus: float, patient: Patient) -> Plane:
    """Give the light behind a phase object that is `defocus` um out of focus, in counts."""
    damping = (np.pi * _CONDENSER * defocus) ** 2
    transfer = np.exp(np.complex64(-damping - 1j * np.pi * _WAVELENGTH * defocus) * Q2)
    wave = np.fft.ifft2(np.fft.fft2(np.exp(np.complex64(1j) * phase)) * _PUPIL * transfer)
    slope = (patient.tilt[0] * X + patient.tilt[1] * Y) / X[0, -1]
    bright: Plane = patient.light * (1 + slope) * np.abs(wave) ** 2
    return bright


def fluorescence(stains: Plane, defocus: float, patient: Patient, rng: np.random.Generator) -> Plane:
    """Blur each stain by its own focus, a little apart for each colour [assumed]."""
    sigma = np.hypot(0.35, 0.18 * (defocus + rng.normal(0, 0.3, 3))).astype(np.float32)
    spread = np.exp(-2 * (np.pi * sigma[:, None, None]) ** 2 * Q2_HALF)
    glow: Plane = np.fft.irfft2(np.fft.rfft2(stains) * spread)
    glow[2] += patient.bleed * glow[1]
    glow += patient.haze[:, None, None]
    return glow


def expose(light: Plane, patient: Patient, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Give the camera's counts, 0..4095, of light `(4, 64, 64)`, with shot and read noise, gain and offset."""
    # Shot noise is drawn as a normal of Poisson's variance: at these counts nobody can tell the
    # two apart, and drawing Poisson takes four times as long.
    noise = np.sqrt(0.5 * np.maximum(light, 0) + 16) * rng.standard_normal(light.shape, np.float32)
    counts = (light + noise) * patient.gain[:, None, None] + patient.offset[:, None, None]
    return np.clip(np.rint(counts), 0, _FULL_SCALE).astype(np.uint16)
