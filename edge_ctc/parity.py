"""Replay a checkpoint's reference cells through an engine: the only replay there is."""

from dataclasses import dataclass

import numpy as np

from edge_ctc.checkpoint import Checkpoint
from edge_ctc.engine.seam import Engine
from edge_ctc.errors import EngineError
from edge_ctc.preprocess import prepare


@dataclass(frozen=True, slots=True)
class Parity:
    """How an engine answered the reference cells.

    Attributes:
        cells: how many were replayed.
        largest_difference: of any logit from the checkpoint's, absolute.
        tolerance: what the checkpoint allows at the engine's precision.
    """

    cells: int
    largest_difference: float
    tolerance: float


def replay(engine: Engine, checkpoint: Checkpoint) -> Parity:
    """Send the raw reference cells through preprocessing and engine, and compare with what they must give.

    Raises:
        EngineError: a logit is further off than the checkpoint's tolerance: the engine may call no cell.
    """
    reference = checkpoint.reference
    differences = [
        _largest_difference(engine, checkpoint, first) for first in range(0, len(reference.logits), engine.max_batch)
    ]
    parity = Parity(len(reference.logits), float(np.max(differences)), reference.tolerances[engine.precision])
    # np.max keeps a NaN, and the comparison is written so that it fails.
    if not parity.largest_difference <= parity.tolerance:
        raise EngineError(
            f"{engine.description}: a reference cell of {checkpoint.name} is off by {parity.largest_difference:.3g}, "
            f"allowed {parity.tolerance:.3g}; nothing may be called with it"
        )
    return parity


def _largest_difference(engine: Engine, checkpoint: Checkpoint, first: int) -> float:
    reference = checkpoint.reference
    expected = reference.logits[first : first + engine.max_batch]
    for place, images in zip(engine.inputs[0], reference.images[first:], strict=False):
        prepare(list(images), checkpoint.input, place)
    found = engine.infer(0, len(expected)).logits
    return float(np.abs(found - expected).max())
