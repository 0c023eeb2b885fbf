"""The shape of a body, as a microscope looks through it. Sources: `edge_ctc.simulate`."""

from dataclasses import dataclass

import numpy as np

from edge_ctc.simulate.bodies import Body
from edge_ctc.simulate.field import PIXEL_SIZE_UM, Q2_HALF, Plane, X, Y
from edge_ctc.simulate.kinds import Nucleus

# Granules and clumps of keratin, then chromatin: Gaussian grains of these sigmas in um [assumed].
_COARSE, _FINE = (np.exp(-2 * (np.pi * sigma) ** 2 * Q2_HALF) for sigma in (0.45, 0.3))
# Waves of 1 to 5 periods around the outline; a membrane is stiff, so fine ones are lower than coarse ones, and the
# first would only move the cell [assumed].
_WAVES = np.array([[0.3], [0.8], [0.55], [0.4], [0.25]])


@dataclass(frozen=True, slots=True)
class Form:
    """A body seen through: planes `(64, 64)`, thickness relative to the body's diameter.

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
    distance, edge = _outline(body, rng)
    inside = np.clip((edge - distance) / PIXEL_SIZE_UM + 0.5, 0, 1)
    plan = body.recipe.nucleus
    return Form(
        inside=inside,
        ball=np.sqrt(np.clip(1 - (distance / edge) ** 2, 0, 1)),
        rim=inside * np.exp(-(((edge - distance - 0.4) / 0.7) ** 2)),
        nucleus=np.zeros_like(X) if plan is None else _nucleus(body, plan, rng) * inside,
        coarse=_texture(_COARSE, rng),
        fine=_texture(_FINE, rng),
    )


def _outline(body: Body, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Give each pixel's distance from the centre, and the outline's in its direction, both in um."""
    offset = (X - body.x) + np.complex64(1j) * (Y - body.y)
    distance = np.abs(offset)
    direction = offset / np.maximum(distance, np.float32(1e-3))
    waves = ((rng.normal(0, body.recipe.rough, (len(_WAVES), 2)) * _WAVES) @ [1, 1j]).astype(np.complex64)
    height = np.zeros_like(direction)
    for wave in waves[::-1]:
        height = (height + wave) * direction
    return distance, body.radius * np.maximum(1 + (height * direction).real, np.float32(0.3))


def _nucleus(body: Body, plan: Nucleus, rng: np.random.Generator) -> Plane:
    lobes = int(rng.integers(plan.lobes[0], plan.lobes[1] + 1))
    # Five segments close the ring; more would lie on each other.
    step = min(plan.step, 2 * np.pi / lobes)
    angles = rng.uniform(0, 2 * np.pi) + step * (np.arange(lobes) + rng.normal(0, 0.1, lobes))
    radii = plan.radius * rng.lognormal(0, plan.spread, lobes)
    reach = plan.reach * body.radius
    nucleus: Plane = np.zeros_like(X)
    for angle, radius in zip(angles.tolist(), np.minimum(radii, 0.9).tolist(), strict=True):
        x, y = body.x + reach * float(np.cos(angle)), body.y + reach * float(np.sin(angle))
        nucleus = np.maximum(nucleus, radius * _ellipsoid(x, y, radius * body.radius, plan.stretch, rng))
    return nucleus


def _ellipsoid(x: float, y: float, radius: float, stretch: float, rng: np.random.Generator) -> Plane:
    """Thickness of an ellipsoid over its middle's; its long axis lies anywhere in the plane."""
    turn, ratio = rng.uniform(0, np.pi), rng.lognormal(0, stretch) ** 0.5
    along, across = float(np.cos(turn)) / radius, float(np.sin(turn)) / radius
    first = (along * (X - x) + across * (Y - y)) * ratio
    second = (along * (Y - y) - across * (X - x)) / ratio
    thickness: Plane = np.sqrt(np.maximum(1 - first**2 - second**2, 0))
    return thickness


def _texture(envelope: Plane, rng: np.random.Generator) -> Plane:
    real, imaginary = rng.standard_normal((2, *envelope.shape), np.float32)
    plane: Plane = np.fft.irfft2((real + np.complex64(1j) * imaginary) * envelope)
    plane /= plane.std()
    return plane
