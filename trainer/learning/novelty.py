"""The novelty score of a checkpoint: fitted on what it learned from, cut on patients that it did not learn from."""

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from edge_ctc.novelty import Novelty

FALSE_ALARMS = 0.01
"""Share of held-out cells that lie above the cut: each is a picture more that a physician looks at."""

LEAST_HELD_OUT = 100
"""Cells; with fewer, the cut would be the largest score of them all."""


def fit_novelty(
    features: NDArray[np.float32], is_ctc: NDArray[np.bool_], held_out: NDArray[np.float32]
) -> Novelty | None:
    """Fit centres and covariance, and lay the cut; None where too few cells are held out.

    The covariance is that of both classes about their own centres, shrunk (Ledoit and Wolf, J Multivar Anal 88:365,
    2004): features are many and partly never active.

    Args:
        features: float32 (N, D), of the cells that the network learned from.
        is_ctc: (N,), with both classes.
        held_out: float32 (M, D), of cells of other patients, without any augmentation.
    """
    if len(held_out) < LEAST_HELD_OUT:
        return None
    centres = np.stack([features[is_ctc == truth].mean(axis=0) for truth in (False, True)])
    about = features - centres[is_ctc.astype(np.intp)]
    precision = LedoitWolf(assume_centered=True).fit(about.astype(np.float64)).precision_
    whitening = np.linalg.cholesky(precision).astype(np.float32)
    cut = np.quantile(Novelty(centres, whitening, np.inf).scores(held_out), 1 - FALSE_ALARMS)
    return Novelty(centres, whitening, float(f"{cut:.4g}"))
