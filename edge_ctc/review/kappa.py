"""Cohen's kappa of a table of counts, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_NORMAL_95 = 1.959963984540054
"""The 0.975 quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """How far two agree beyond chance: 1 always, 0 as often as chance would, below 0 more rarely.

    Attributes:
        value: -1..1.
        low: of the 95 % interval, not below -1; None where they never disagree, or one gave one class alone: the
            formula then has no width.
        high: of the same, not above 1.
    """

    value: float
    low: float | None
    high: float | None


def cohens_kappa(counts: Sequence[Sequence[int]]) -> Kappa | None:
    """Kappa of two raters; None where it is not defined: no cell, or both gave one and the same class to all.

    The value is Cohen's (Educational and Psychological Measurement 20:37, 1960), the interval that of the large-sample
    standard error of Fleiss, Cohen and Everitt (Psychological Bulletin 72:323, 1969, equation 13), which is too narrow
    below some tens of cells.

    Args:
        counts: (K, K) cells; rows are the first rater's classes, columns the second's in the same order.
    """
    total = sum(map(sum, counts))
    places = range(len(counts))
    rows = [sum(row) for row in counts]
    columns = [sum(row[place] for row in counts) for place in places]
    chance = sum(rows[place] * columns[place] for place in places)
    # In whole numbers: a share that rounding moves off 1 would give a kappa where there is none.
    if chance == total * total:
        return None
    expected = chance / total**2
    kappa = (sum(counts[place][place] for place in places) / total - expected) / (1 - expected)
    if sum(counts[place][place] for place in places) == total:
        return Kappa(1.0, None, None)
    # One of them gave one class alone: kappa is 0 whatever the other said, and its standard error, too.
    if total in (*rows, *columns):
        return Kappa(0.0, None, None)
    shares = [[count / total for count in row] for row in counts]
    error = _standard_error(shares, kappa, expected, total)
    return Kappa(kappa, max(-1.0, kappa - _NORMAL_95 * error), min(1.0, kappa + _NORMAL_95 * error))


def _standard_error(shares: Sequence[Sequence[float]], kappa: float, expected: float, total: int) -> float:
    places = range(len(shares))
    rows = [sum(row) for row in shares]
    columns = [sum(row[place] for row in shares) for place in places]
    agreed = sum(shares[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in places)
    apart = sum(shares[i][j] * (columns[i] + rows[j]) ** 2 for i in places for j in places if i != j)
    spread = agreed + (1 - kappa) ** 2 * apart - (kappa - expected * (1 - kappa)) ** 2
    return math.sqrt(max(spread, 0.0) / total) / (1 - expected)
