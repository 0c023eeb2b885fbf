"""Patients: what all cells of one sample share, whatever instrument looks at them. Sources: `edge_ctc.simulate`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_ctc.simulate.kinds import CTC_SHARES, LEUKOCYTE_SHARES

# A tumour's CTCs are more of one sort than blood's leukocytes are: the smaller, the more patients differ [assumed].
_CTC_LIKENESS, _LEUKOCYTE_LIKENESS = 40, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The tumour, the blood and the staining of one sample.

    Attributes:
        ctc_um: Median CTC diameter [size].
        ctc_shares: How often each kind occurs among the CTCs, sum 1.
        leukocyte_shares: The same among everything else.
        refraction: Factor on the refractive index above the medium's [assumed], as all that follow.
        roughness: Factor on the waves of the CTCs' outlines.
        dapi: Electrons that DAPI in a diploid nucleus gives, summed over its pixels.
        ck: Electrons per pixel in the middle of a CTC.
        cd45: Electrons per pixel on a lymphocyte.
        stickiness: Factor on how often antibody sticks where its target is not.
        platelets: Probability that platelets sit on a cell, of whatever kind.
    """

    ctc_um: float
    ctc_shares: Mapping[str, float]
    leukocyte_shares: Mapping[str, float]
    refraction: float
    roughness: float
    dapi: float
    ck: float
    cd45: float
    stickiness: float
    platelets: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw one patient."""
        return cls(
            ctc_um=rng.uniform(7.5, 12.4),
            ctc_shares=_mix(CTC_SHARES, _CTC_LIKENESS, rng),
            leukocyte_shares=_mix(LEUKOCYTE_SHARES, _LEUKOCYTE_LIKENESS, rng),
            refraction=rng.lognormal(0, 0.02),
            roughness=rng.lognormal(0, 0.12),
            dapi=155_000 * rng.lognormal(0, 0.18),
            ck=1300 * rng.lognormal(0, 0.25),
            cd45=1120 * rng.lognormal(0, 0.22),
            stickiness=rng.lognormal(0, 0.25),
            platelets=rng.uniform(0.05, 0.25),
        )


def _mix(shares: Mapping[str, float], likeness: float, rng: np.random.Generator) -> Mapping[str, float]:
    drawn = rng.dirichlet(likeness * np.array(list(shares.values())))
    return dict(zip(shares, drawn.tolist(), strict=True))
