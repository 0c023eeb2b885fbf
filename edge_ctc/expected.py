"""How many CTCs a run may hold, by the calibrated probabilities of all its evaluable cells."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge_ctc.toml_file import StrictModel

_COVERAGE = 0.90


class Expected(StrictModel):
    """CTCs among cells each of which is one with its own probability, independently: Poisson binomial.

    The interval says what chance does where every probability is right; that the calibration may be off, or that
    p_ctc assumes the prevalence of the training, is not in it.

    Attributes:
        mean: sum of the probabilities.
        low: fewer have a probability of 5 % at most.
        high: more have a probability of 5 % at most.
    """

    mean: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    low: Annotated[int, Field(ge=0)]
    high: Annotated[int, Field(ge=0)]

    def sentence(self, candidates: int) -> str:
        """For people, beside the number of candidates: "4 candidates; expected 2.9, 90 % 1-5"."""
        noun = "candidate" if candidates == 1 else "candidates"
        return f"{candidates} {noun}; expected {self.mean:.1f}, {_COVERAGE:.0%} {self.low}-{self.high}".replace(
            "%", " %"
        )


def expected_ctcs(p_ctc: Sequence[float]) -> Expected:
    """The mean and the central 90 % interval of the number of CTCs.

    Args:
        p_ctc: calibrated probability 0..1 of every evaluable cell of the run; may be empty.

    Raises:
        ValueError: a probability is none, a mistake of the caller.
    """
    given = np.asarray(p_ctc, np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p_ctc: found {given.min()} to {given.max()}, expected probabilities 0..1")
    mean = math.fsum(given)
    tail = (1 - _COVERAGE) / 2
    up_to = np.cumsum(counts_distribution(given, _most(mean, tail)))
    # Rounding may leave the sum a last bit short of what it reaches.
    low, high = (int(np.searchsorted(up_to, share - 1e-12)) for share in (tail, 1 - tail))
    return Expected(mean=mean, low=low, high=high)


def _most(mean: float, tail: float) -> int:
    """A count above which less than `tail` lies: Cantelli's inequality, the variance being below the mean."""
    return math.ceil(mean + math.sqrt(mean * (1 - tail) / tail)) + 1


def counts_distribution(p: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Probabilities of 0, 1, ... `most` successes among independent trials with probabilities `p`, exact.

    One trial after the other is convolved in (Hong, Comput Stat Data Anal 59:41, 2013, recalls it beside faster, less
    exact ways). What is above `most` never comes back below, so that leaving it out changes nothing that is kept.
    """
    probabilities = np.zeros(most + 1)
    probabilities[0] = 1.0
    for one in p[p > 0]:
        moved = probabilities[:-1] * one
        probabilities *= 1 - one
        probabilities[1:] += moved
    return probabilities
