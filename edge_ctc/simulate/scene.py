"""One cell before any light falls on it: what it does to phase and amplitude, and the stains in it.

Sources: `edge_ctc.simulate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_ctc.simulate.bodies import Body
from edge_ctc.simulate.field import SIDE_PX, Plane
from edge_ctc.simulate.forms import Form, form_of
from edge_ctc.simulate.patients import Patient

# Autofluorescence in DAPI's, PE's and APC's channels over PE's; it fades towards the red [textbook]; by how much is
# [assumed].
_GLOW = np.array([0.6, 1.0, 0.35], np.float32)[:, None, None]
# The nucleus refracts less than the cytoplasm around it [index], by this much [assumed].
_NUCLEUS_INDEX = -0.010


@dataclass(frozen=True, slots=True)
class Scene:
    """All bodies of one cell together.

    Attributes:
        path: Optical path in um beyond the medium's, float32 `(64, 64)`.
        loss: Amplitude lost, as the exponent of e, float32 `(64, 64)`.
        stains: Electrons per pixel that DAPI, CK and CD45 give, each to its own channel, float32 `(3, 64, 64)`.
    """

    path: Plane
    loss: Plane
    stains: Plane


def scene_of(bodies: Sequence[Body], patient: Patient, rng: np.random.Generator) -> Scene:
    """Draw the shapes of the bodies, and add up what they do."""
    path, loss = np.zeros((2, SIDE_PX, SIDE_PX), np.float32)
    stains = np.zeros((3, SIDE_PX, SIDE_PX), np.float32)
    for body in bodies:
        form = form_of(body, rng)
        path += patient.refraction * _path_of(body, form, rng)
        loss += np.float32(body.recipe.absorbing) * form.ball
        stains += _stains_of(body, form, patient, rng)
    return Scene(path, loss, stains)


def _path_of(body: Body, form: Form, rng: np.random.Generator) -> Plane:
    recipe = body.recipe
    nuclear, granular = rng.lognormal(0, 0.3, 2).tolist()
    bulk = 2 * body.radius * (recipe.index * form.ball + _NUCLEUS_INDEX * nuclear * form.nucleus)
    # Granules of some hundredths of a wavelength, finer chromatin in the nucleus [assumed].
    grains = 0.07 * recipe.grain * granular * form.coarse + 0.010 * form.fine * (form.nucleus > 0)
    path: Plane = bulk + grains * form.ball
    return path


def _stains_of(body: Body, form: Form, patient: Patient, rng: np.random.Generator) -> Plane:
    recipe = body.recipe
    dna, ck, cd45, glow = rng.lognormal(0, (0.22, 0.55, 0.50, 0.45)).tolist()
    stuck = _stuck(body, patient, rng)
    keratin = patient.ck * (recipe.ck * ck + stuck[0])
    membrane = patient.cd45 * (recipe.cd45 * cd45 + stuck[1])
    cytoplasm = np.maximum(form.ball - 0.7 * form.nucleus, 0.05 * form.inside)
    chromatin = form.nucleus * np.maximum(1 + 0.25 * form.fine, 0)
    stains = np.stack(
        [
            # The same DNA in a smaller nucleus is brighter: condensed nuclei shine, swollen ones fade.
            patient.dapi * recipe.dna * dna / max(float(chromatin.sum()), 1.0) * chromatin,
            keratin * cytoplasm * np.maximum(1 + 0.35 * form.coarse, 0),
            membrane * (0.75 * form.rim + 0.35 * form.inside) * np.maximum(1 + 0.3 * form.fine, 0),
        ]
    )
    stains += _GLOW * (2 * body.radius * recipe.glow * glow * form.ball * np.maximum(1 + 0.3 * form.coarse, 0))
    return stains


def _stuck(body: Body, patient: Patient, rng: np.random.Generator) -> tuple[float, float]:
    """CK and CD45 antibody that sticks where it has no target, in units of the patient's level [assumed]."""
    much = rng.lognormal((-0.9, -1.2), 0.6)
    sticks = rng.random(2) < patient.stickiness * np.array([body.recipe.sticky_ck, body.recipe.sticky_cd45])
    ck, cd45 = (much * sticks).tolist()
    return ck, cd45
