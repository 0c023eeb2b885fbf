"""Which cells of an out-of-fold table are called, by the rules that the figures rest on."""

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cells import Verdict
from trainer.evaluation.out_of_fold import OutOfFold


def called_ctc(table: OutOfFold) -> NDArray[np.bool_]:
    """Bool (N,), the verdict is CTC; that of a cell without a score never is."""
    called: NDArray[np.bool_] = table.verdict == Verdict.CTC.value
    return called


def called_at_half(table: OutOfFold) -> NDArray[np.bool_]:
    """Bool (N,), CTC is likelier than not, if the cells that the network learned from are a fair draw.

    The training weighs both classes alike, so a logit of 0 is even odds where half of the cells are CTCs; the log odds
    of the learned share bring it back to theirs. No validation label plays a part.
    """
    with np.errstate(invalid="ignore"):
        called: NDArray[np.bool_] = table.logit + np.log(table.learned_share / (1 - table.learned_share)) >= 0
    return called


def found_in_run(table: OutOfFold, top: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which CTCs stand among the `top` best cells of their run, and what share of the run's CTCs each is.

    The mean of a run's recall over the runs with CTCs is the sum of `found * share` over that of `share`. The ranking
    is that of the whole run, as a reader would see it, whoever's cells it holds.

    Args:
        table: every cell once.
        top: candidates per run.

    Returns:
        Bool (N,), CTCs that are found; one without a score never is. Float64 (N,), 1 / CTCs of its run; 0 for others.
    """
    _, run = np.unique(table.run_id, return_inverse=True)
    score = np.where(table.evaluable, table.logit, -np.inf)
    # Of cells with one score, leukocytes come first: a tie is no find.
    order = np.lexsort((table.is_ctc, -score, run))
    first = np.searchsorted(run[order], run[order])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - first
    found = table.is_ctc & table.evaluable & (place < top)
    share = np.where(table.is_ctc, 1 / np.maximum(np.bincount(run, table.is_ctc), 1)[run], 0.0)
    return found, share
