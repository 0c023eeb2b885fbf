"""Hold an engine against its checkpoint: the only replay of reference cells, the only comparison of two engines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cells import Verdict
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.decision import Cuts, decide
from edge_ctc.description import Thresholds
from edge_ctc.engine.seam import Engine, Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import Precision
from edge_ctc.novelty import Novelty
from edge_ctc.preprocess import prepare

REVIEW_FLIPS_ALLOWED = 0.001
"""Share of cells. A CTC that turns into REVIEW, or back, is looked at either way: rounding beside a cut, no more."""

OOD_TOLERANCE = 0.02
"""Of an out-of-distribution score, relative; fp16 against fp32 on the CPU differs by 0.5 % at most, of 1,200 simulated
cells."""


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
        EngineError: a logit, or an out-of-distribution score, is further off than allowed: the engine may call no cell.
    """
    reference, found = checkpoint.reference, reference_scores(engine, checkpoint)
    difference = float(np.abs(found.logits - reference.logits).max())
    parity = Parity(len(found.logits), difference, reference.tolerances[engine.precision])
    # np.max keeps a NaN, and the comparison is written so that it fails.
    if not parity.largest_difference <= parity.tolerance:
        raise EngineError(
            f"{engine.description}: a reference cell of {checkpoint.name} is off by {parity.largest_difference:.3g}, "
            f"allowed {parity.tolerance:.3g}; nothing may be called with it"
        )
    if faults := ood_faults(*(reference_ood_scores(checkpoint, one.features) for one in (reference, found))):
        raise EngineError(f"{engine.description}: {'; '.join(faults)}; nothing may be called with it")
    return parity


def reference_scores(engine: Engine, checkpoint: Checkpoint, batch: int | None = None) -> Scores:
    """What an engine says of the K raw reference cells.

    Args:
        engine: to be asked.
        checkpoint: whose cells.
        batch: cells per inference, all of them full: the cells are repeated where there are too few. None: as many as
            the engine takes, each cell once.

    Raises:
        EngineError: the engine failed.
    """
    images = checkpoint.reference.images
    count = len(images)
    wanted = count if batch is None else -(-count // batch) * batch
    step = batch or engine.max_batch
    parts: list[Scores] = []
    for first in range(0, wanted, step):
        places = range(first, min(first + step, wanted))
        for place, index in zip(engine.inputs[0], places, strict=False):
            prepare(list(images[index % count]), checkpoint.input, place)
        parts.append(engine.infer(0, len(places)))
    return Scores(
        np.concatenate([part.logits for part in parts])[:count],
        np.concatenate([part.features for part in parts])[:count],
    )


@dataclass(frozen=True, slots=True)
class Flip:
    """A cell whose verdict another engine changes.

    Attributes:
        cell: which.
        expected: its score on ONNX Runtime at fp32.
        found: its score on the engine.
        before: verdict of `expected`.
        after: verdict of `found`.
        to_cut: from `expected` to the nearest threshold, in logits.
    """

    cell: str
    expected: float
    found: float
    before: Verdict
    after: Verdict
    to_cut: float

    @property
    def concerns_review(self) -> bool:
        """Whether one of both verdicts is REVIEW: a physician looks at the cell either way."""
        return Verdict.REVIEW in (self.before, self.after)


@dataclass(frozen=True, slots=True)
class Comparison:
    """An engine held against ONNX Runtime at fp32 on the same cells.

    Attributes:
        cells: how many had a score.
        largest_difference: of any logit, absolute.
        tolerance: what the checkpoint allows at the engine's precision.
        flips: cells whose verdict changes, those between CTC and LEUKOCYTE first.
    """

    cells: int
    largest_difference: float
    tolerance: float
    flips: tuple[Flip, ...]

    @property
    def review_flips(self) -> int:
        """Flips to or from REVIEW."""
        return sum(flip.concerns_review for flip in self.flips)

    def faults(self) -> tuple[str, ...]:
        """Why the engine may not be installed; nothing where it may."""
        faults = []
        # Written so that a NaN is a fault.
        if not self.largest_difference <= self.tolerance:
            faults.append(f"a logit is off by {self.largest_difference:.3g}, allowed {self.tolerance:.3g}")
        if hard := len(self.flips) - self.review_flips:
            faults.append(f"{hard} cells change between CTC and LEUKOCYTE, allowed none")
        if self.review_flips > REVIEW_FLIPS_ALLOWED * self.cells:
            faults.append(f"{self.review_flips} of {self.cells} cells change to or from REVIEW, allowed 0.1 %")
        if far := sum(flip.to_cut > self.tolerance for flip in self.flips):
            faults.append(f"{far} cells change that lie further from a cut than {self.tolerance:.3g}")
        return tuple(faults)


def compare(
    expected: Mapping[str, float],
    found: Mapping[str, float],
    checkpoint: Checkpoint,
    precision: Precision,
    cuts: Cuts | None = None,
) -> Comparison:
    """Compare the scores of the same cells, at least one, from two engines.

    Args:
        expected: by cell, on ONNX Runtime at fp32.
        found: by cell, on the engine.
        checkpoint: of both; its thresholds and tolerances decide.
        precision: of the engine.
        cuts: of the run that the cells are; None: they are of no one run, or of several. REVIEW by rank ends at
            another score in each run, so that then the CTC cut alone decides, and every cell below it counts as REVIEW.

    Raises:
        EngineError: they did not answer the same cells.
    """
    if expected.keys() != found.keys():
        raise EngineError(f"{len(expected)} cells answered by one engine, {len(found)} by the other; compare again")
    cuts = cuts or _cuts_of_any_run(checkpoint.description.thresholds)
    flips = [flip for cell in expected if (flip := _flip(cell, expected[cell], found[cell], cuts)) is not None]
    return Comparison(
        cells=len(expected),
        largest_difference=float(np.max([abs(found[cell] - expected[cell]) for cell in expected])),
        tolerance=checkpoint.reference.tolerances[precision],
        flips=tuple(sorted(flips, key=lambda flip: flip.concerns_review)),
    )


def ood_faults(expected: Mapping[str, float], found: Mapping[str, float]) -> tuple[str, ...]:
    """Why an engine may not say what is out of distribution; nothing where it may.

    Args:
        expected: scores of the same cells on ONNX Runtime at fp32; none where the checkpoint has no such score.
        found: on the engine.
    """
    # Written so that a NaN is a fault.
    far = [cell for cell in expected if not abs(found[cell] - expected[cell]) <= OOD_TOLERANCE * expected[cell]]
    if not far:
        return ()
    worst = max(far, key=lambda cell: abs(found[cell] - expected[cell]))
    return (
        f"the out-of-distribution score of {len(far)} cells is off by more than {OOD_TOLERANCE:.0%}: of {worst} "
        f"{found[worst]:.4g}, expected {expected[worst]:.4g}",
    )


def reference_cells(checkpoint: Checkpoint) -> list[str]:
    """What the reference cells are called."""
    return [f"reference cell {number}" for number in range(1, len(checkpoint.reference.logits) + 1)]


def reference_ood_scores(checkpoint: Checkpoint, features: NDArray[np.float32]) -> dict[str, float]:
    """Of the reference cells by their features (K, D); none where the checkpoint has no such score."""
    return ood_scores(checkpoint.novelty, reference_cells(checkpoint), features)


def ood_scores(novelty: Novelty | None, cells: Sequence[str], features: NDArray[np.float32]) -> dict[str, float]:
    """By cell, of features (N, D); none where the checkpoint has no such score."""
    if novelty is None:
        return {}
    return {cell: float(score) for cell, score in zip(cells, novelty.scores(features), strict=True)}


def _cuts_of_any_run(thresholds: Thresholds) -> Cuts:
    review = -math.inf if thresholds.review is None else thresholds.review
    return Cuts(thresholds.ctc, review, thresholds.review_top)


def _flip(cell: str, expected: float, found: float, cuts: Cuts) -> Flip | None:
    before, after = (decide(score, cuts, None).verdict for score in (expected, found))
    if before == after:
        return None
    to_cut = min(abs(expected - cut) for cut in (cuts.ctc, cuts.review))
    return Flip(cell, expected, found, before, after, to_cut)
