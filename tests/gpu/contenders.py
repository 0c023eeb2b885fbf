"""Those whose throughput is measured side by side: our engines, torch in three ways, ONNX Runtime on the GPU.

Each takes float32 cells from host memory, pinned where there is a GPU, and gives logits and features back into host
memory: what an inference costs the product. All compute the same network.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ctc.engine.cuda import Gpu
from edge_ctc.engine.seam import Engine
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision
from tests.gpu.bench import Bench
from tests.gpu.net import Net, torch_or_not_run
from tests.gpu.section import NotRunError

Cells = NDArray[np.float32]
Device = Literal["cpu", "cuda"]
CUDA_PROVIDER = "CUDAExecutionProvider"


class Contender(Protocol):
    """Ready to compute.

    Attributes:
        precision: of its arithmetic, by which its answers are judged.
    """

    precision: Precision

    def put(self, cells: Cells) -> None:
        """Fill its input buffer, (64, C, H, W)."""

    def infer(self, n: int) -> NDArray[np.float32]:
        """Logits of the first `n` cells of the buffer, (n,); features are computed and brought back too."""


class OfEngine:
    """One of our engines, as the product uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.precision: Precision = engine.precision

    def put(self, cells: Cells) -> None:
        self._engine.inputs[0][:] = cells

    def infer(self, n: int) -> NDArray[np.float32]:
        return self._engine.infer(0, n).logits


@dataclass(frozen=True, slots=True)
class TorchWay:
    """How torch computes.

    Attributes:
        precision: fp16 comes with channels last.
        compiled: torch.compile's mode; None: eager.
    """

    precision: Precision
    compiled: Literal["default", "reduce-overhead"] | None = None


class OfTorch:
    """The network in torch, its batch norms not folded, in eval and inference mode."""

    def __init__(self, torch: Any, model: Any, way: TorchWay, shape: tuple[int, ...], device: Device) -> None:
        self._torch, self.precision, self._device = torch, way.precision, device
        self._half = way.precision == "fp16"
        moved = model.to(device)
        moved = moved.to(dtype=torch.float16, memory_format=torch.channels_last) if self._half else moved
        self._model = moved if way.compiled is None else torch.compile(moved, mode=way.compiled, dynamic=False)
        self._cells = torch.zeros(shape, pin_memory=device == "cuda")
        with torch.inference_mode():
            self._results = [
                torch.zeros(one.shape, pin_memory=device == "cuda") for one in moved(self._on_device(shape[0]))
            ]

    def put(self, cells: Cells) -> None:
        self._cells.numpy()[:] = cells

    def _on_device(self, n: int) -> Any:
        moved = self._cells[:n].to(self._device, non_blocking=True)
        return moved.to(self._torch.float16, memory_format=self._torch.channels_last) if self._half else moved

    def infer(self, n: int) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            for place, found in zip(self._results, self._model(self._on_device(n)), strict=True):
                place[:n].copy_(found.float(), non_blocking=True)
            if self._device == "cuda":
                self._torch.cuda.synchronize()
            logits: NDArray[np.float32] = self._results[0][:n].numpy().copy()
            self._results[1][:n].numpy().copy()
        return logits


class OfOnnxRuntimeOnGpu:
    """ONNX Runtime's CUDA provider, its inputs and outputs bound to pinned memory."""

    def __init__(self, net: Net, precision: Precision, gpu: Gpu) -> None:
        runtime = importlib.import_module("onnxruntime")
        provider = (CUDA_PROVIDER, {"use_tf32": "0"})
        self._session = runtime.InferenceSession(net.checkpoint.models[precision], providers=[provider])
        if self._session.get_providers()[0] != CUDA_PROVIDER:
            # It falls back to the CPU with no more than a line in its log.
            raise NotRunError(f"{CUDA_PROVIDER} is in this onnxruntime, but does not start")
        self.precision: Precision = precision
        batch = len(net.cells)
        shapes = (net.cells.shape, (batch,), (batch, net.checkpoint.reference.features.shape[1]))
        with gpu.current("pinned memory"):
            self._cells, *self._results = (gpu.pinned(shape) for shape in shapes)

    def put(self, cells: Cells) -> None:
        self._cells[:] = cells

    def infer(self, n: int) -> NDArray[np.float32]:
        binding = self._session.io_binding()
        self._bind(binding.bind_input, INPUT_NAME, self._cells[:n])
        for name, place in zip(OUTPUT_NAMES, self._results, strict=True):
            self._bind(binding.bind_output, name, place[:n])
        self._session.run_with_iobinding(binding)
        logits, _ = (place[:n].copy() for place in self._results)
        return logits

    def _bind(self, bind: Callable[..., None], name: str, memory: NDArray[np.float32]) -> None:
        bind(name, "cpu", 0, np.float32, memory.shape, memory.ctypes.data)


@contextlib.contextmanager
def torch_contender(bench: Bench, way: TorchWay, device: Device) -> Iterator[Contender]:
    """Raises NotRunError where torch, the trainer's packages or torch's CUDA are missing."""
    torch = torch_or_not_run()
    if device == "cuda" and not torch.cuda.is_available():
        raise NotRunError(f"torch {torch.__version__} sees no GPU")
    net = bench.net
    if net.model is None:
        raise NotRunError(net.without_torch)
    # As our fp32 plan: TF32 would compute with 10 bits of a factor. And let cuDNN choose its fastest way.
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        yield OfTorch(torch, net.fresh_model(), way, net.cells.shape, device)


@contextlib.contextmanager
def onnx_runtime_contender(bench: Bench, precision: Precision) -> Iterator[Contender]:
    """Raises NotRunError where this onnxruntime has no CUDA provider."""
    if CUDA_PROVIDER not in importlib.import_module("onnxruntime").get_available_providers():
        raise NotRunError("this onnxruntime has no CUDA provider (it is in the package onnxruntime-gpu)")
    yield OfOnnxRuntimeOnGpu(bench.net, precision, Gpu())
