"""The inference loop on PyCUDA alone: contexts, pinned buffers, stream, NaN fill, refusals, without TensorRT.

`python -m tests.gpu.cuda_loop` runs the checks in a process of its own, whose end counts too: a CUDA context that is
still pushed when a process ends aborts it.
"""

import ctypes
import importlib
import json
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.engine.cuda import Gpu, find_device
from edge_ctc.engine.gpu_engine import ExecutionContext, GpuEngine, Shapes
from edge_ctc.errors import EngineError, UnavailableError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES
from tests.gpu.bench import CHECKOUT, python
from tests.gpu.section import Findings, Group, NotRunError

GROUP = Group(
    "PyCUDA alone",
    ("inferences", "round trip of 64 cells, p50", "GPU memory after 20 openings"),
    "The product's inference loop around a plan that only copies, so that it can be proved without TensorRT. "
    "Features are the cell itself and the logit is its first pixel, copied from device memory to device memory on the "
    "loop's stream; every batch of 1 to 64 in both buffers from two threads, bit for bit. A plan that computes "
    "nothing, one that says no and one that complains must each be refused, and the next good batch be answered. The "
    "buffers must be pinned. Twenty openings may cost no more than 16 MiB, and the process must end by itself with 0.",
)

CELL = (4, 64, 64)
MAX_BATCH = 64
_FLOAT = 4
_OPENINGS = 20
_GROWTH_ALLOWED_MIB = 16
_ROUND_TRIPS = 200


@dataclass(slots=True)
class CopyingContext:
    """An execution context that copies; what it leaves out or refuses can be set."""

    cuda: Any
    idle: bool = False
    pixel: int = 0
    accepts: bool = True
    _batch: int = 0
    _addresses: dict[str, int] = field(default_factory=dict)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._batch = shape[0]
        return name == INPUT_NAME and shape[1:] == CELL

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self.idle or not self.accepts:
            return self.accepts
        size = math.prod(CELL) * _FLOAT
        source, (logits, features) = self._addresses[INPUT_NAME], (self._addresses[name] for name in OUTPUT_NAMES)
        copies = [(features, source, self._batch * size)]
        copies += [
            (logits + cell * _FLOAT, source + self.pixel * _FLOAT + cell * size, _FLOAT) for cell in range(self._batch)
        ]
        return all(self._copied(*copy, stream_handle) for copy in copies)

    def _copied(self, to: int, origin: int, size: int, stream: int) -> bool:
        arguments = (ctypes.c_uint64(to), ctypes.c_uint64(origin), ctypes.c_size_t(size), ctypes.c_void_p(stream))
        return bool(self.cuda.cuMemcpyDtoDAsync_v2(*arguments) == 0)


class CopyingPlan:
    """A `edge_ctc.engine.gpu_engine.LoadablePlan`; PyCUDA has no copies on a stream given by its handle."""

    def __init__(self) -> None:
        self.context = CopyingContext(ctypes.CDLL("libcuda.so.1"))
        self.said = ""

    def load(self) -> tuple[ExecutionContext, Shapes]:
        return self.context, Shapes(CELL, math.prod(CELL), MAX_BATCH)

    def unload(self) -> None:
        """Nothing was loaded."""

    def complaints(self) -> str:
        said, self.said = self.said, ""
        return said


def opened(plan: CopyingPlan) -> GpuEngine:
    """The product's engine on it."""
    return GpuEngine(plan, "fp32", "a plan that copies")


def _cells(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, *CELL), np.float32)


def check_answers(engine: GpuEngine) -> int:
    """Every batch in both buffers from two threads; how many inferences."""

    def ask(slot: int) -> int:
        for n in range(1, MAX_BATCH + 1):
            cells = _cells(n, seed=2 * n + slot)
            engine.inputs[slot][:n] = cells
            scores = engine.infer(slot, n)
            if scores.features.tobytes() != cells.tobytes() or scores.logits.tobytes() != cells[:, 0, 0, 0].tobytes():
                raise ValueError(f"a batch of {n} in buffer {slot} came back changed")
        return MAX_BATCH

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(ask, (0, 1)))


def check_refusals(engine: GpuEngine, plan: CopyingPlan) -> None:
    """Old results are never given as new ones, and the loop goes on afterwards."""
    context = plan.context
    context.idle = True
    _expect_refusal(engine, "without a value")
    context.idle, context.accepts = False, False
    _expect_refusal(engine, "execute_async_v3")
    context.accepts, plan.said = True, "a complaint"
    _expect_refusal(engine, "a complaint")
    engine.infer(0, MAX_BATCH)


def _expect_refusal(engine: GpuEngine, words: str) -> None:
    try:
        engine.infer(0, MAX_BATCH)
    except EngineError as error:
        if words in str(error):
            return
        raise
    raise ValueError(f"an answer where a refusal was due ({words})")


def check_pinned(engine: GpuEngine) -> None:
    """Both buffers lie in memory that PyCUDA has pinned."""
    kind = importlib.import_module("pycuda.driver").PagelockedHostAllocation
    if not all(isinstance(buffer.base, kind) for buffer in engine.inputs):
        raise ValueError(f"a buffer is not pinned: {[type(buffer.base).__name__ for buffer in engine.inputs]}")


def memory_after_openings() -> float:
    """MiB by which the GPU's free memory shrank, the first opening not counted."""
    free = []
    for _ in range(_OPENINGS + 1):
        with opened(CopyingPlan()) as engine:
            engine.infer(0, MAX_BATCH)
        with Gpu().current("memory"):
            free.append(importlib.import_module("pycuda.driver").mem_get_info()[0])
    shrunk = (free[0] - free[-1]) / 2**20
    if shrunk > _GROWTH_ALLOWED_MIB:
        raise ValueError(f"{_OPENINGS} openings cost {shrunk:.0f} MiB of the GPU, allowed {_GROWTH_ALLOWED_MIB}")
    return float(shrunk)


def round_trip_ms(engine: GpuEngine) -> float:
    """Of 64 cells there and back, median."""
    found = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        engine.infer(0, MAX_BATCH)
        found.append((time.perf_counter() - began) * 1e3)
    return float(np.median(found))


def checked() -> dict[str, float]:
    """All checks in this process; the figures. Raises where one fails."""
    find_device()
    plan = CopyingPlan()
    with opened(plan) as engine:
        check_pinned(engine)
        inferences = check_answers(engine)
        check_refusals(engine, plan)
        round_trip = round_trip_ms(engine)
    return {"inferences": inferences, "round_trip_ms": round_trip, "memory_mib": memory_after_openings()}


def pycuda_alone() -> Findings:
    """The checks in a process of their own."""
    try:
        find_device()
    except UnavailableError as error:
        raise NotRunError(str(error)) from error
    ended = subprocess.run(
        python("-m", "tests.gpu.cuda_loop"), cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        return Findings((), faults=(f"ended with {ended.returncode}: {ended.stderr.strip()[-300:]}",))
    raw = json.loads(ended.stdout)
    return Findings((f"{raw['inferences']}", f"{raw['round_trip_ms']:.2f} ms", f"{raw['memory_mib']:+.0f} MiB"), raw)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(checked()))
