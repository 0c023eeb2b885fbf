"""Cells through decoding and engine, two batches at a time: one is decoded while the other is computed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cell_reader import Evidence, Reader
from edge_ctc.cells import Cell
from edge_ctc.engine.seam import Engine


@dataclass(frozen=True, slots=True)
class ScoredCell:
    """The evidence of one cell and what the engine makes of it.

    Attributes:
        evidence: of its files.
        score: logit, the shortest decimal that is the engine's float32; None where there is a problem.
        features: float32 (D,), of the engine; None where there is a problem.
    """

    evidence: Evidence
    score: float | None
    features: NDArray[np.float32] | None


def evaluate(cells: Sequence[Cell], reader: Reader, engine: Engine) -> Iterator[list[ScoredCell]]:
    """Scores of all cells, batch by batch in their order; memory does not grow with their number.

    Two batches are under way, one in each of the engine's input buffers: while one is computed, the other is
    decoded. Each buffer has its own thread that decodes and then infers, so that no core waits for another.
    One thread decodes at a time: two would pass Python's lock to and fro at every system call.

    Raises:
        RunUnreadableError: the disk failed or a file changed: no row may come of this run now.
        EngineError: the engine failed.
    """
    batches = [cells[first : first + engine.max_batch] for first in range(0, len(cells), engine.max_batch)]
    slots = len(engine.inputs)
    decoding = Lock()
    with ThreadPoolExecutor(slots, "slot") as pool:
        under_way = deque(
            pool.submit(_score, batch, reader, engine, slot, decoding) for slot, batch in enumerate(batches[:slots])
        )
        for index in range(len(batches)):
            scored = under_way.popleft().result()
            # The buffer of the batch just finished is the one that is free.
            if index + slots < len(batches):
                under_way.append(pool.submit(_score, batches[index + slots], reader, engine, index % slots, decoding))
            yield scored


def _score(cells: Sequence[Cell], reader: Reader, engine: Engine, slot: int, decoding: Lock) -> list[ScoredCell]:
    with decoding:
        evidence = [reader.read(cell, place) for cell, place in zip(cells, engine.inputs[slot], strict=False)]
    if all(one.problem for one in evidence):
        return [ScoredCell(one, None, None) for one in evidence]
    scores = engine.infer(slot, len(evidence))
    return [
        ScoredCell(one, None, None) if one.problem else ScoredCell(one, float(str(logit)), features)
        for one, logit, features in zip(evidence, scores.logits, scores.features, strict=True)
    ]
