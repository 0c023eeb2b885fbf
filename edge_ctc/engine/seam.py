"""The seam between the product and whatever computes: one protocol, made once for all runtimes.

Free of syntax and imports newer than Python 3.10, as all that `edge_ctc.engine.gpu_engine` rests on.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import EngineError
from edge_ctc.network import Precision


@dataclass(frozen=True, slots=True)
class Scores:
    """What an engine says of n cells; the caller's own copies.

    Attributes:
        logits: float32 (n,), finite; larger is more like a CTC.
        features: float32 (n, D), finite; what the last layer saw.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.logits)
        if self.logits.shape != (n,) or self.features.ndim != 2 or len(self.features) != n:
            raise EngineError(f"engine gave logits {self.logits.shape} and features {self.features.shape}")
        if not (np.isfinite(self.logits).all() and np.isfinite(self.features).all()):
            raise EngineError("engine gave values that are not finite; no call may come of them")


class Engine(Protocol):
    """A checkpoint made ready on one runtime.

    The engine owns two input buffers, so that decoding writes into one while the other is computed. `infer` may be
    called for both at once, each from its own thread; an engine that cannot compute two batches takes turns itself.

    Attributes:
        description: runtime, its version, device, precision: as it stands in every call.
        precision: of the graph.
        max_batch: cells per `infer` at most.
        inputs: two float32 arrays (max_batch, C, H, W), allocated once.
    """

    description: str
    precision: Precision
    max_batch: int
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]]

    def infer(self, slot: int, n: int) -> Scores:
        """Scores of the first `n` cells of `inputs[slot]`, 1 <= n <= max_batch.

        Raises:
            EngineError: the runtime failed or gave values that are not finite.
        """
        ...

    def __enter__(self) -> "Engine": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
