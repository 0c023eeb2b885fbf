"""What the validation cells choose: calibration, thresholds and promise, for `fit` and for every fold alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.cells.dataset import LabelledCell
from trainer.cells.labels import Label
from trainer.cells.selection import truth_of
from trainer.decision.measure import DecisionRule, Scored, decision_rule_of
from trainer.decision.promise import patients_with_ctcs
from trainer.recipe import Recipe


def rule_from(
    cells: Sequence[LabelledCell], logits: NDArray[np.float32], left_out: Sequence[Label], recipe: Recipe
) -> DecisionRule:
    """The rule that the validation patients choose, and nobody else.

    Args:
        cells: theirs that can be evaluated.
        logits: float32 (N,), finite, of `cells`.
        left_out: theirs that cannot: a CTC among them is missed at every cut.
        recipe: says prevalence, alpha and review_top.
    """
    truth = truth_of(cells)
    everyone = [*(cell.label for cell in cells), *left_out]
    with_ctcs = patients_with_ctcs(
        [label.patient for label in everyone],
        np.array([label.is_ctc for label in everyone], np.bool_),
        np.concatenate([logits, np.full(len(left_out), np.nan, np.float32)]),
    )
    return decision_rule_of(Scored(logits, truth), with_ctcs, recipe)
