"""The shape of a body, as a microscope looks through it. Sources: `edge_ctc.simulate`."""

from dataclasses import dataclass

import numpy as np

from edge_ctc.simulate.field import PIXEL_SIZE_UM, Q2_HALF, Plane, X, Y
from edge_ctc.simulate.patients import Body

# Granules and clumps of keratin, then chromatin: Gaussian grains of these sigmas [assumed].
_COARSE, _FINE = (np.exp(-2 * (np.pi * sigma) ** 2 * Q2_HALF) for sigma in (0.45, 0.3))
# A cell's membrane is stiff: fine waves of the outline are lower than coarse ones [assumed].
_WAVES = np.array([[1.0], [0.55], [0.35], [0.2]])


@dataclass(frozen=True, slots=True)
class Form:
    """A body seen through: planes `(64, 64)`, thickness relative to a ball's middle.

    Attributes:
        inside: 1 in the body, 0 outside.
        ball: Thickness of the whole body.
        rim: The membrane seen edge-on.
        nucleus: Thickness of the nucleus.
        coarse: Granules, mean 0, standard deviation 1.
        fine: Chromatin, mean 0, standard deviation 1.
    """

    inside: Plane
    ball: Plane
    rim: Plane
    nucleus: Plane
    coarse: Plane
    fine: Plane


def form_of(body: Body, rng: np.random.Generator) -> Form:
    """Draw outline, nucleus and texture of a body."""
    distance, edge = _outline(body, body.recipe.rough, rng)
    inside = np.clip((edge - distance) / PIXEL_SIZE_UM + 0.5, 0, 1)
    return Form(
        inside=inside,
        ball=_ball(distance, edge),
        rim=inside * np.exp(-(((edge - distance - 0.4) / 0.7) ** 2)),
        nucleus=_nucleus(body, rng) * inside,
        coarse=_texture(_COARSE, rng),
        fine=_texture(_FINE, rng),
    )


def _outline(body: Body, rough: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Give each pixel's distance from the centre, and the outline's in its direction."""
    offset = (X - body.x) + np.complex64(1j) * (Y - body.y)
    distance = np.abs(offset)
    direction = offset / np.maximum(distance, np.float32(1e-3))
    waves = ((rng.normal(0, rough, (4, 2)) * _WAVES) @ [1, 1j]).astype(np.complex64)
    height = np.zeros_like(direction)
    for wave in waves[::-1]:
        height = (height + wave) * direction
    return distance, body.radius * np.maximum(1 + (height * direction).real, np.float32(0.3))


def _ball(distance: Plane, edge: Plane) -> Plane:
    thickness: Plane = np.sqrt(np.clip(1 - (distance / edge) ** 2, 0, 1))
    return thickness


def _nucleus(body: Body, rng: np.random.Generator) -> Plane:
    recipe = body.recipe
    turn, step = rng.uniform(0, 2 * np.pi), rng.normal(1.15, 0.15)
    radius = body.radius * min(0.9, recipe.lobe * rng.lognormal(0, 0.08))
    reach = recipe.arc * body.radius
    nucleus: Plane = np.zeros_like(X)
    for angle in (turn + step * np.arange(recipe.lobes)).tolist():
        x, y = body.x + reach * float(np.cos(angle)), body.y + reach * float(np.sin(angle))
        lobe = Body(recipe, radius, x, y)
        nucleus = np.maximum(nucleus, _ball(*_outline(lobe, 0.04, rng)))
    return nucleus


def _texture(envelope: Plane, rng: np.random.Generator) -> Plane:
    real, imaginary = rng.standard_normal((2, *envelope.shape), np.float32)
    plane: Plane = np.fft.irfft2((real + np.complex64(1j) * imaginary) * envelope)
    plane /= plane.std()
    return plane
