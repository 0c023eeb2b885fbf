"""The real command with an engine that turns bad after its first batches: `python -m tests.broken_engine HOW AFTER …`.

HOW is hang (in a call that never comes back), error, nan, or garbage (finite answers that are not the network's).
"""

import os
import sys
import threading

import numpy as np

from edge_ctc.cli import main
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.engine.seam import Scores
from edge_ctc.errors import EngineError

_HOW, _AFTER = sys.argv[1], int(sys.argv[2])
_sound_infer = OnnxCpuEngine.infer
_asked = 0
_counting = threading.Lock()


def _infer(self: OnnxCpuEngine, slot: int, n: int) -> Scores:
    global _asked  # noqa: PLW0603 - one process, one engine
    with _counting:
        _asked += 1
        is_sound = _asked <= _AFTER
    scores = _sound_infer(self, slot, n)
    if is_sound:
        return scores
    if _HOW == "hang":
        os.read(os.pipe()[0], 1)
    if _HOW == "error":
        raise EngineError("CUDA error 700: an illegal memory access was encountered")
    shift = np.float32(np.nan if _HOW == "nan" else 3.0)
    return Scores(scores.logits + shift, scores.features)


OnnxCpuEngine.infer = _infer  # type: ignore[method-assign]
sys.argv = ["edge-ctc", *sys.argv[3:]]
main()
