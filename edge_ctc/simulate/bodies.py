"""Which bodies one cell consists of, and where they lie. Sources: `edge_ctc.simulate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_ctc.simulate.kinds import RECIPES, SINGLE_CTCS, SINGLE_LEUKOCYTES, Recipe, pick
from edge_ctc.simulate.patients import Patient


@dataclass(frozen=True, slots=True)
class Body:
    """One round thing in the field: what it is made of, its radius, its centre, in um."""

    recipe: Recipe
    radius: float
    x: float = 0.0
    y: float = 0.0


def bodies_of(kind: str, patient: Patient, rng: np.random.Generator) -> list[Body]:
    """The bodies of one cell of `kind`, near the centre of the field; platelets last."""
    match kind:
        case "ctc_cluster":
            kinds = [_one_of(SINGLE_CTCS, patient, rng) for _ in range(rng.integers(2, 4))]
            bodies = _touching([_body(one, patient, rng) for one in kinds], rng)
        case "ctc_leukocyte":
            kinds = [_one_of(SINGLE_CTCS, patient, rng), _one_of(SINGLE_LEUKOCYTES, patient, rng)]
            bodies = _touching([_body(one, patient, rng) for one in kinds], rng)
        case "doublet":
            bodies = _doublet(patient, rng)
        case "apoptotic" | "ctc_apoptotic":
            bodies = _blebbing(_body(kind, patient, rng), rng)
        case _:
            bodies = [_body(kind, patient, rng)]
    if rng.random() < patient.platelets:
        bodies += _platelets(bodies[0], patient, rng)
    x, y = rng.normal(0, 0.8, 2).tolist()
    return [replace(body, x=body.x + x, y=body.y + y) for body in bodies]


def _one_of(kinds: Sequence[str], patient: Patient, rng: np.random.Generator) -> str:
    shares = {**patient.ctc_shares, **patient.leukocyte_shares}
    return pick({kind: shares[kind] for kind in kinds}, rng)


def _body(kind: str, patient: Patient, rng: np.random.Generator) -> Body:
    recipe = RECIPES[kind]
    unit = 1.0
    if kind.startswith("ctc"):
        unit, recipe = patient.ctc_um, replace(recipe, rough=recipe.rough * patient.roughness)
    return Body(recipe, 0.5 * unit * recipe.diameter * rng.lognormal(0, recipe.spread))


def _touching(bodies: list[Body], rng: np.random.Generator) -> list[Body]:
    """Two or three bodies pressed against each other, around their common centre."""
    turn = rng.uniform(0, 2 * np.pi)
    first, second, *rest = bodies
    placed = [first, _beside(first, second.radius, turn, second.recipe)]
    placed += [_beside(first, third.radius, turn + rng.uniform(1.0, 1.5), third.recipe) for third in rest]
    area = sum(body.radius**2 for body in placed)
    x = sum(body.radius**2 * body.x for body in placed) / area
    y = sum(body.radius**2 * body.y for body in placed) / area
    return [replace(body, x=body.x - x, y=body.y - y) for body in placed]


def _beside(body: Body, radius: float, angle: float, recipe: Recipe) -> Body:
    """A body that touches another, both a little flattened where they meet."""
    apart = 0.92 * (body.radius + radius)
    return Body(recipe, radius, body.x + apart * float(np.cos(angle)), body.y + apart * float(np.sin(angle)))


def _doublet(patient: Patient, rng: np.random.Generator) -> list[Body]:
    """Two leukocytes that touch, one pair in three with a speck of CK debris [assumed]."""
    kinds = [_one_of(SINGLE_LEUKOCYTES, patient, rng) for _ in range(2)]
    pair = _touching([_body(kind, patient, rng) for kind in kinds], rng)
    if rng.random() < 0.35:
        speck = _body("debris", patient, rng)
        pair.append(replace(speck, radius=0.5 * speck.radius, x=pair[0].y, y=-pair[0].x))
    return pair


def _blebbing(body: Body, rng: np.random.Generator) -> list[Body]:
    """A shrunken cell that throws out 2 to 5 bubbles of its membrane."""
    blebs = [body]
    recipe = replace(RECIPES["bleb"], ck=0.5 * body.recipe.ck, cd45=0.5 * body.recipe.cd45)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(2, 6)).tolist():
        reach, radius = body.radius * rng.uniform(0.8, 1.05), body.radius * rng.uniform(0.2, 0.36)
        blebs.append(Body(recipe, radius, reach * float(np.cos(angle)), reach * float(np.sin(angle))))
    return blebs


def _platelets(body: Body, patient: Patient, rng: np.random.Generator) -> list[Body]:
    platelets = []
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(1, 4)).tolist():
        reach = body.radius * rng.uniform(0.6, 1.1)
        platelet = _body("platelet", patient, rng)
        x, y = body.x + reach * float(np.cos(angle)), body.y + reach * float(np.sin(angle))
        platelets.append(replace(platelet, x=x, y=y))
    return platelets
