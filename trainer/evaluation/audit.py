"""The shortcut audit: how much size alone and light alone tell of the class, and what a network tells without size.

In the published sets CTCs are larger than leukocytes, or were stained and taken on other days: a network that learns
only that scores well at home and fails at the next site. An audit cannot prove that a network looks at more than size;
it shows how well it could do without, and how well it does where size tells nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from edge_ctc.appearance import Appearances

_STRATA = 5
_LIGHT = ("brightness", "background")


@dataclass(frozen=True, slots=True)
class Alone:
    """How well one figure alone ranks the cells.

    Attributes:
        measure: what, such as `diameter_px` or `brightness of DAPI`.
        auc: area under the ROC curve of the better direction, 0.5..1.
        larger_in_ctc: that direction: whether CTCs have the larger values.
    """

    measure: str
    auc: float
    larger_in_ctc: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a network ranks cells of both classes.

    Attributes:
        ctc: how many CTCs.
        leukocyte: how many leukocytes.
        auc: area under the ROC curve.
        average_precision: at these cells' own prevalence, which is the level of a network that knows nothing.
    """

    ctc: int
    leukocyte: int
    auc: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """Cells of like size: diameters from `low_px` to `high_px`; `size_auc` is what diameter still tells among them."""

    low_px: float
    high_px: float
    size_auc: float
    network: Ranking


@dataclass(frozen=True, slots=True)
class Matched:
    """The network overall and among cells of like size.

    Attributes:
        overall: all cells.
        strata: those bins of the diameter that hold both classes.
        left_out: cells in bins of one class alone.
        auc: mean of the strata's, weighted by their CTC-leukocyte pairs: the share of pairs of like size that the
            network ranks rightly.
        average_precision: mean of the strata's, weighted by their CTCs.
        chance: what `average_precision` would be without any knowledge: the strata's prevalence, weighted likewise.
        size_auc: what diameter still tells inside the strata, weighted as `auc`.
    """

    overall: Ranking
    strata: tuple[Stratum, ...]
    left_out: int
    auc: float
    average_precision: float
    chance: float
    size_auc: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes:
        alone: what each measure tells, diameter first.
        matched: what the network tells; None without its logits, or where no bin of diameters holds both classes.
    """

    alone: tuple[Alone, ...]
    matched: Matched | None


def audit(
    looks: Appearances,
    is_ctc: NDArray[np.bool_],
    channels: Sequence[str],
    logits: NDArray[np.float32] | None = None,
) -> Audit:
    """Audit N cells of both classes.

    Args:
        looks: what they look like.
        is_ctc: (N,) what they are.
        channels: names of the C channels of `looks`.
        logits: (N,) out-of-fold scores of a network, finite; None: there is none yet.

    Raises:
        ValueError: a class is missing, or the lengths differ.
    """
    if not 0 < is_ctc.sum() < len(is_ctc) or len(is_ctc) != len(looks.diameter_px):
        raise ValueError(
            f"{is_ctc.sum()} CTCs of {len(is_ctc)} for {len(looks.diameter_px)} cells; expected both classes"
        )
    measures = {"diameter_px": looks.diameter_px}
    measures |= {
        f"{name} of {channel}": getattr(looks, name)[:, place]
        for name in _LIGHT
        for place, channel in enumerate(channels)
    }
    alone = tuple(_alone(measure, values, is_ctc) for measure, values in measures.items())
    return Audit(alone, None if logits is None else matched_by_size(looks.diameter_px, is_ctc, logits))


def _alone(measure: str, values: NDArray[np.float64], is_ctc: NDArray[np.bool_]) -> Alone:
    auc = float(roc_auc_score(is_ctc, values))
    return Alone(measure, max(auc, 1 - auc), auc >= 0.5)


def matched_by_size(
    diameter_px: NDArray[np.float64], is_ctc: NDArray[np.bool_], logits: NDArray[np.float32]
) -> Matched | None:
    """The network's figures inside fifths of the CTCs' diameters, and their means.

    The cuts are quantiles of the CTCs' diameters, as leukocytes are a hundred times as many: quantiles of all cells
    would leave most bins without a CTC. The outermost bins are open. None where no bin holds both classes.
    """
    cuts = np.unique(np.quantile(diameter_px[is_ctc], np.linspace(0, 1, _STRATA + 1)[1:-1]))
    bins = np.digitize(diameter_px, cuts)
    members = [bins == place for place in range(len(cuts) + 1)]
    mixed = [inside for inside in members if len(np.unique(is_ctc[inside])) == 2]
    if not mixed:
        return None
    strata = tuple(_stratum(diameter_px[inside], is_ctc[inside], logits[inside]) for inside in mixed)
    rankings = [stratum.network for stratum in strata]
    ctcs = np.array([one.ctc for one in rankings])
    pairs = ctcs * np.array([one.leukocyte for one in rankings])
    prevalence = [one.ctc / (one.ctc + one.leukocyte) for one in rankings]
    return Matched(
        overall=_ranking(is_ctc, logits),
        strata=strata,
        left_out=len(is_ctc) - sum(int(inside.sum()) for inside in mixed),
        auc=float(np.average([one.auc for one in rankings], weights=pairs)),
        average_precision=float(np.average([one.average_precision for one in rankings], weights=ctcs)),
        chance=float(np.average(prevalence, weights=ctcs)),
        size_auc=float(np.average([stratum.size_auc for stratum in strata], weights=pairs)),
    )


def _stratum(diameter_px: NDArray[np.float64], is_ctc: NDArray[np.bool_], logits: NDArray[np.float32]) -> Stratum:
    return Stratum(
        low_px=float(diameter_px.min()),
        high_px=float(diameter_px.max()),
        size_auc=float(roc_auc_score(is_ctc, diameter_px)),
        network=_ranking(is_ctc, logits),
    )


def _ranking(is_ctc: NDArray[np.bool_], logits: NDArray[np.float32]) -> Ranking:
    ctcs = int(is_ctc.sum())
    return Ranking(
        ctc=ctcs,
        leukocyte=len(is_ctc) - ctcs,
        auc=float(roc_auc_score(is_ctc, logits)),
        average_precision=float(average_precision_score(is_ctc, logits)),
    )


def audit_markdown(found: Audit) -> tuple[str, ...]:
    """The audit as lines of markdown: one table of single measures, one of sizes."""
    lines = ["| alone | ROC AUC | in CTCs |", "|---|---|---|"]
    lines += [f"| {one.measure} | {one.auc:.3f} | {_direction(one)} |" for one in found.alone]
    if found.matched is None:
        return tuple(lines)
    matched = found.matched
    lines += ["", "| diameter (px) | CTC | LEUKOCYTE | ROC AUC | average precision | AUC of diameter alone |"]
    lines += ["|---|---|---|---|---|---|", _row("all", matched.overall, found.alone[0].auc)]
    lines += [_row(f"{one.low_px:.1f} to {one.high_px:.1f}", one.network, one.size_auc) for one in matched.strata]
    lines += [
        f"| matched | | | {matched.auc:.3f} | {matched.average_precision:.3f} | {matched.size_auc:.3f} |",
        "",
        f"Matched: AUC weighted by pairs, average precision by CTCs (chance: {matched.chance:.3f}). {matched.left_out} "
        "cells have no cell of the other class and a like size.",
    ]
    return tuple(lines)


def _direction(one: Alone) -> str:
    return "larger" if one.larger_in_ctc else "smaller"


def _row(what: str, ranking: Ranking, size_auc: float) -> str:
    return (
        f"| {what} | {ranking.ctc} | {ranking.leukocyte} | {ranking.auc:.3f} | {ranking.average_precision:.3f} "
        f"| {size_auc:.3f} |"
    )
