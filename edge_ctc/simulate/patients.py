"""What is simulated: kinds of cells, patients, and which bodies one cell consists of. Sources: `edge_ctc.simulate`."""

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_ctc.simulate.field import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one kind of cell is made of; strengths vary from cell to cell by about 30 %.

    Attributes:
        diameter: Median in um; of a CTC, in units of the patient's CTC median.
        spread: Standard deviation of the log diameter.
        lobes: Number of nuclear lobes, side by side along an arc.
        lobe: Radius of a lobe over the radius of the cell.
        arc: Distance of the lobes from the centre over the radius of the cell.
        rough: Relative height of the coarsest waves of the outline.
        index: Refractive index above the medium's.
        grain: Phase of the granules in rad.
        dapi: DAPI, 1 is a lymphocyte's nucleus.
        ck: CK, 1 is the patient's CTC level.
        cd45: CD45, 1 is the patient's lymphocyte level.
        sticky_ck: Probability that CK antibody sticks where no CK is.
        sticky_cd45: Probability that CD45 antibody, or a shred of a leukocyte, sticks.
    """

    diameter: float
    spread: float
    lobes: int
    lobe: float
    arc: float
    rough: float
    index: float
    grain: float
    dapi: float
    ck: float
    cd45: float
    sticky_ck: float = 0.0
    sticky_cd45: float = 0.0


# Enrichment keeps many large leukocytes; how many of each kind is [assumed].
CTC_SHARES = {"ctc": 0.62, "ctc_bland": 0.20, "ctc_marker_low": 0.18}
LEUKOCYTE_SHARES = {
    "lymphocyte": 0.30,
    "granulocyte": 0.28,
    "monocyte": 0.20,
    "doublet": 0.08,
    "debris": 0.07,
    "dead": 0.07,
}
SINGLE_LEUKOCYTES = ("lymphocyte", "granulocyte", "monocyte")
# Diameters [size] [blood]; lobes, arcs, large CTC nuclei, dim CD45 of granulocytes [textbook];
# everything else [assumed].
RECIPES = {
    "ctc": Recipe(
        diameter=1.0,
        spread=0.15,
        lobes=1,
        lobe=0.76,
        arc=0.12,
        rough=0.110,
        index=0.036,
        grain=0.22,
        dapi=0.95,
        ck=1.0,
        cd45=0.05,
        sticky_cd45=0.07,
    ),
    "ctc_bland": Recipe(
        diameter=0.97,
        spread=0.13,
        lobes=1,
        lobe=0.66,
        arc=0.10,
        rough=0.040,
        index=0.030,
        grain=0.20,
        dapi=0.95,
        ck=0.9,
        cd45=0.05,
        sticky_cd45=0.07,
    ),
    "ctc_marker_low": Recipe(
        diameter=1.0,
        spread=0.15,
        lobes=1,
        lobe=0.76,
        arc=0.12,
        rough=0.105,
        index=0.036,
        grain=0.22,
        dapi=0.95,
        ck=0.15,
        cd45=0.05,
        sticky_cd45=0.07,
    ),
    "lymphocyte": Recipe(
        diameter=7.9,
        spread=0.09,
        lobes=1,
        lobe=0.80,
        arc=0.06,
        rough=0.020,
        index=0.027,
        grain=0.14,
        dapi=1.0,
        ck=0.03,
        cd45=1.0,
        sticky_ck=0.06,
    ),
    "granulocyte": Recipe(
        diameter=10.1,
        spread=0.10,
        lobes=3,
        lobe=0.36,
        arc=0.42,
        rough=0.025,
        index=0.027,
        grain=0.40,
        dapi=1.1,
        ck=0.06,
        cd45=0.16,
        sticky_ck=0.20,
    ),
    "monocyte": Recipe(
        diameter=11.0,
        spread=0.12,
        lobes=3,
        lobe=0.46,
        arc=0.36,
        rough=0.040,
        index=0.026,
        grain=0.24,
        dapi=0.9,
        ck=0.06,
        cd45=0.60,
        sticky_ck=0.25,
    ),
    "debris": Recipe(
        diameter=4.5,
        spread=0.35,
        lobes=0,
        lobe=0.0,
        arc=0.0,
        rough=0.160,
        index=0.032,
        grain=0.30,
        dapi=0.0,
        ck=0.5,
        cd45=0.20,
    ),
    "dead": Recipe(
        diameter=8.6,
        spread=0.16,
        lobes=2,
        lobe=0.34,
        arc=0.28,
        rough=0.060,
        index=0.033,
        grain=0.60,
        dapi=1.5,
        ck=0.18,
        cd45=0.30,
        sticky_ck=0.15,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What all cells of a run share: the tumour, the staining, the instrument's day.

    Attributes:
        ctc_um: Median CTC diameter [size].
        dapi: Counts of DAPI in the nucleus of a lymphocyte [assumed], as all that follow.
        ck: Counts of CK in a CTC.
        cd45: Counts of CD45 on a lymphocyte.
        light: Bright-field background in counts.
        tilt: Relative slope of the illumination, centre to edge, `(2,)`.
        haze: Fluorescence background in counts, `(3,)`.
        bleed: Share of PE that APC shows.
        focus: Mean and standard deviation of the cells' defocus.
        gain: Camera gain, `(4,)`.
        offset: Camera offset in counts, `(4,)`.
    """

    ctc_um: float
    dapi: float
    ck: float
    cd45: float
    light: float
    tilt: tuple[float, float]
    haze: Plane
    bleed: float
    focus: tuple[float, float]
    gain: Plane
    offset: Plane

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw one patient."""
        return cls(
            ctc_um=rng.uniform(7.5, 12.4),
            dapi=900 * rng.lognormal(0, 0.20),
            ck=700 * rng.lognormal(0, 0.25),
            cd45=560 * rng.lognormal(0, 0.22),
            light=rng.uniform(1500, 2300),
            tilt=(rng.normal(0, 0.02), rng.normal(0, 0.02)),
            haze=(np.array([60, 80, 70]) * rng.lognormal(0, 0.4, 3)).astype(np.float32),
            bleed=rng.uniform(0.01, 0.06),
            focus=(rng.uniform(-3.0, 3.0), rng.uniform(1.5, 3.0)),
            gain=rng.lognormal(0, 0.15, 4).astype(np.float32),
            offset=rng.uniform(60, 140, 4).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Body:
    """One round thing in the field: what it is made of, its radius, its centre, in um."""

    recipe: Recipe
    radius: float
    x: float
    y: float


def pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    """One key, as often as its share says; the shares need not sum to 1."""
    edges = list(itertools.accumulate(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def bodies_of(kind: str, unit_um: float, rng: np.random.Generator) -> list[Body]:
    """The bodies of one cell of `kind`, near the centre; `unit_um` is what the recipe's diameter counts in."""
    x, y = rng.normal(0, 0.8, 2).tolist()
    if kind == "doublet":
        return _doublet(x, y, rng)
    return [_body(kind, unit_um, x, y, rng)]


def _body(kind: str, unit_um: float, x: float, y: float, rng: np.random.Generator) -> Body:
    recipe = RECIPES[kind]
    radius = 0.5 * unit_um * recipe.diameter * rng.lognormal(0, recipe.spread)
    return Body(recipe, radius, x, y)


def _doublet(x: float, y: float, rng: np.random.Generator) -> list[Body]:
    """Two leukocytes that touch, one pair in three with a speck of CK debris [assumed]."""
    kinds = [SINGLE_LEUKOCYTES[place] for place in rng.integers(3, size=2)]
    first, second = (_body(kind, 1.0, 0.0, 0.0, rng) for kind in kinds)
    apart, angle = 0.46 * (first.radius + second.radius), rng.uniform(0, 2 * np.pi)
    dx, dy = apart * float(np.cos(angle)), apart * float(np.sin(angle))
    pair = [
        Body(first.recipe, first.radius, x - dx, y - dy),
        Body(second.recipe, second.radius, x + dx, y + dy),
    ]
    if rng.random() < 0.35:
        pair.append(_body("debris", 0.5, x + dy, y - dx, rng))
    return pair
