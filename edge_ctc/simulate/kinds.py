"""Kinds of cells and what each is made of. Sources: `edge_ctc.simulate`."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Nucleus:
    """The plan of a nucleus: lobes side by side along an arc, each an ellipsoid.

    Attributes:
        lobes: Fewest and most lobes.
        radius: Radius of a lobe over the radius of the cell.
        spread: Standard deviation of the log radius from lobe to lobe.
        reach: Distance of the lobes' centres from the cell's over the radius of the cell.
        step: Angle from one lobe to the next in rad; its standard deviation is 0.1 of it.
        stretch: Standard deviation of the log ratio of a lobe's axes.
    """

    lobes: tuple[int, int] = (1, 1)
    radius: float
    spread: float = 0.06
    reach: float
    step: float = 1.2
    stretch: float = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one kind of cell is made of; strengths vary from cell to cell.

    Attributes:
        diameter: Median in um; of a CTC, in units of the patient's CTC median.
        spread: Standard deviation of the log diameter.
        nucleus: Plan of the nucleus, or None.
        rough: Height of the outline's waves over the radius, standard deviation of the coarsest.
        index: Refractive index above the medium's.
        grain: Phase of the granules in rad.
        absorbing: Amplitude lost in the middle of the cell, relative.
        dna: DNA that DAPI stains, 1 is diploid.
        ck: CK, 1 is the patient's CTC level.
        cd45: CD45, 1 is the patient's lymphocyte level.
        glow: Autofluorescence in electrons per um of thickness, in the PE channel.
        sticky_ck: Probability that CK antibody sticks where no CK is.
        sticky_cd45: Probability that CD45 antibody, or a shred of a leukocyte, sticks.
    """

    diameter: float
    spread: float
    nucleus: Nucleus | None
    rough: float
    index: float
    grain: float
    absorbing: float = 0.012
    dna: float = 1.0
    ck: float = 0.0
    cd45: float = 0.0
    glow: float
    sticky_ck: float = 0.0
    sticky_cd45: float = 0.0


# Diameters [size] [blood]; one round nucleus, a kidney and 2 to 5 segments, large nuclei of CTCs, shrunken fragments of
# an apoptotic and a swollen nucleus of a necrotic cell, platelets of 2 to 3 um, dim CD45 of granulocytes, monocytes
# that bind antibody by their Fc receptors [textbook]; CD45 of granulocytes hardly seen [cellsearch]; glowing
# granulocytes [eosinophil]; all figures otherwise [assumed].
_CTC = Recipe(
    diameter=1.0,
    spread=0.15,
    nucleus=Nucleus(radius=0.80, reach=0.10, stretch=0.16),
    rough=0.072,
    index=0.039,
    grain=0.24,
    dna=1.25,
    ck=1.0,
    cd45=0.05,
    glow=9.0,
    sticky_cd45=0.20,
)
_BLAND_CTC = replace(
    _CTC, diameter=0.97, nucleus=Nucleus(radius=0.72, reach=0.10, stretch=0.10), rough=0.030, index=0.033, ck=0.8
)
_MARKER_LOW_CTC = replace(_CTC, ck=0.08)
_APOPTOTIC_NUCLEUS = Nucleus(lobes=(3, 6), radius=0.19, spread=0.30, reach=0.34, step=2.2, stretch=0.15)
RECIPES: Mapping[str, Recipe] = {
    "ctc": _CTC,
    "ctc_bland": _BLAND_CTC,
    "ctc_marker_low": _MARKER_LOW_CTC,
    "ctc_apoptotic": replace(
        _CTC, diameter=0.88, nucleus=_APOPTOTIC_NUCLEUS, rough=0.045, index=0.038, grain=0.5, dna=1.0, ck=0.7
    ),
    "lymphocyte": Recipe(
        diameter=7.8,
        spread=0.09,
        nucleus=Nucleus(radius=0.87, reach=0.05),
        rough=0.018,
        index=0.027,
        grain=0.14,
        ck=0.03,
        cd45=1.0,
        glow=6.0,
        sticky_ck=0.08,
    ),
    "granulocyte": Recipe(
        diameter=10.0,
        spread=0.10,
        nucleus=Nucleus(lobes=(2, 5), radius=0.26, spread=0.12, reach=0.46, step=1.2, stretch=0.18),
        rough=0.020,
        index=0.027,
        grain=0.40,
        ck=0.06,
        cd45=0.12,
        glow=18.0,
        sticky_ck=0.22,
    ),
    "monocyte": Recipe(
        diameter=10.8,
        spread=0.12,
        nucleus=Nucleus(lobes=(4, 4), radius=0.36, spread=0.06, reach=0.42, step=0.80, stretch=0.06),
        rough=0.028,
        index=0.026,
        grain=0.24,
        ck=0.06,
        cd45=0.45,
        glow=14.0,
        sticky_ck=0.27,
    ),
    "apoptotic": Recipe(
        diameter=7.2,
        spread=0.12,
        nucleus=_APOPTOTIC_NUCLEUS,
        rough=0.040,
        index=0.035,
        grain=0.50,
        dna=0.8,
        ck=0.12,
        cd45=0.45,
        glow=18.0,
        sticky_ck=0.35,
    ),
    "dead": Recipe(
        diameter=10.4,
        spread=0.14,
        nucleus=Nucleus(radius=0.70, reach=0.14, stretch=0.14),
        rough=0.040,
        index=0.015,
        grain=0.28,
        absorbing=0.03,
        dna=0.45,
        ck=0.30,
        cd45=0.40,
        glow=28.0,
        sticky_ck=0.50,
        sticky_cd45=0.40,
    ),
    "debris": Recipe(
        diameter=4.5,
        spread=0.35,
        nucleus=None,
        rough=0.120,
        index=0.032,
        grain=0.30,
        absorbing=0.03,
        ck=0.5,
        cd45=0.20,
        glow=20.0,
    ),
    "bleb": Recipe(
        diameter=1.0, spread=0.0, nucleus=None, rough=0.02, index=0.026, grain=0.05, ck=0.15, cd45=0.2, glow=10.0
    ),
    "platelet": Recipe(
        diameter=2.5, spread=0.15, nucleus=None, rough=0.06, index=0.030, grain=0.10, glow=4.0, sticky_cd45=0.05
    ),
}
SINGLE_CTCS = ("ctc", "ctc_bland", "ctc_marker_low")
SINGLE_LEUKOCYTES = ("lymphocyte", "granulocyte", "monocyte")

# That apoptotic CTCs, clusters and CTCs with leukocytes occur: [morphology]. Enrichment keeps many large leukocytes;
# how many of each kind is [assumed].
CTC_SHARES: Mapping[str, float] = {
    "ctc": 0.48,
    "ctc_bland": 0.12,
    "ctc_marker_low": 0.22,
    "ctc_apoptotic": 0.04,
    "ctc_cluster": 0.07,
    "ctc_leukocyte": 0.07,
}
LEUKOCYTE_SHARES: Mapping[str, float] = {
    "lymphocyte": 0.29,
    "granulocyte": 0.25,
    "monocyte": 0.18,
    "doublet": 0.09,
    "debris": 0.06,
    "dead": 0.07,
    "apoptotic": 0.06,
}


def pick(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """One key, as often as its share says; the shares need not sum to 1."""
    edges = list(itertools.accumulate(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
