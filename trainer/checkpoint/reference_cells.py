"""The reference cells of a checkpoint: raw validation cells with the outputs that every engine must give."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

from edge_ctc.engine.seam import Scores
from trainer.cells.dataset import LabelledCell
from trainer.learning.export import TOLERANCES

COUNT = 40
"""Both classes, half each where there are enough: many enough to show a wrong graph, a few hundred kilobytes."""


def reference_npz(cells: Sequence[LabelledCell], scores: Scores) -> bytes:
    """reference.npz.

    Args:
        cells: validation cells.
        scores: of these cells, in their order, by the fp32 graph.
    """
    chosen = _chosen(cells)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        images=np.stack([cells[index].counts for index in chosen]),
        logits=scores.logits[chosen],
        features=scores.features[chosen],
        tolerance_fp32=np.float64(TOLERANCES["fp32"]),
        tolerance_fp16=np.float64(TOLERANCES["fp16"]),
    )
    return stream.getvalue()


def _chosen(cells: Sequence[LabelledCell]) -> list[int]:
    """Indices of up to 40 cells of the most frequent image size, half of them CTC where there are so many."""
    (shape, _), *_ = Counter(cell.counts.shape for cell in cells).most_common(1)
    fitting = [index for index, cell in enumerate(cells) if cell.counts.shape == shape]
    ctcs = [index for index in fitting if cells[index].label.is_ctc]
    others = [index for index in fitting if not cells[index].label.is_ctc]
    wanted = min(len(ctcs), max(COUNT // 2, COUNT - len(others)))
    return sorted(ctcs[:wanted] + others[: COUNT - wanted])
