"""How unlike the cells that a network learned from a cell is, by what the network itself sees of it.

The method was chosen by measurement on near shifts; docs/results.md has the figures, and what it does not see.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import CheckpointError

_DIGITS = 4
"""Significant: engines of another precision differ beyond them."""

_NO_NOVELTY = (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)
"""What numpy and zipfile raise on a file that is no archive of arrays."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Mahalanobis distance to the nearer class, all classes sharing one covariance (Lee et al., NeurIPS 2018).

    Attributes:
        centres: float32 (2, D), mean features of LEUKOCYTE and CTC.
        whitening: float32 (D, D); features times it have the identity as covariance within a class.
        cut: above it a cell is out of distribution.
    """

    centres: NDArray[np.float32]
    whitening: NDArray[np.float32]
    cut: float

    def score(self, features: NDArray[np.float32]) -> float:
        """The distance of one cell, float32 (D,); four significant digits, at least 0."""
        return float(f"{self.scores(features[None])[0]:.{_DIGITS}g}")

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The distances (N,) of cells, float32 (N, D)."""
        apart = (features[:, None, :] - self.centres) @ self.whitening
        distances: NDArray[np.float64] = np.sqrt(np.square(apart, dtype=np.float64).sum(axis=-1)).min(axis=1)
        return distances

    def content(self) -> bytes:
        """As it stands in a checkpoint."""
        out = io.BytesIO()
        np.savez_compressed(out, centres=self.centres, whitening=self.whitening, cut=np.float64(self.cut))
        return out.getvalue()


def read_novelty(content: bytes, path: Path, features: int) -> Novelty:
    """What `Novelty.content` gave.

    Args:
        content: of the file.
        path: where it lies, for the message.
        features: D of the network.

    Raises:
        CheckpointError: it is no such file, or of another network.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            novelty = Novelty(np.asarray(arrays["centres"]), np.asarray(arrays["whitening"]), float(arrays["cut"]))
    except _NO_NOVELTY as error:
        raise CheckpointError(f"{path}: not the arrays of the novelty score ({error}); train again") from error
    arrays_ = (novelty.centres, novelty.whitening)
    sound = (
        [one.shape for one in arrays_] == [(2, features), (features, features)]
        and all(one.dtype == np.float32 and bool(np.isfinite(one).all()) for one in arrays_)
        and 0 < novelty.cut < np.inf
    )
    if not sound:
        raise CheckpointError(
            f"{path}: centres {arrays_[0].shape}, whitening {arrays_[1].shape}, cut {novelty.cut} do not fit a network "
            f"with {features} features; train again"
        )
    return novelty
