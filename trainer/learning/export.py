"""Network to ONNX at both precisions, each held against torch before anything is written."""

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edge_ctc.engine.seam import Scores
from edge_ctc.errors import EngineError
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES, Precision
from edge_ctc.preprocess import InputSpec
from trainer.learning.model import CellNet
from trainer.learning.torchvision_on_cpu import FrozenBatchNorm2d

TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 0.05}
"""Largest absolute difference of any logit. A logit that moves by d moves the probability by d / 4 at most:
fp32 by 0.00025, which only a wrong graph exceeds; fp16 by 0.0125, its rounding (2**-11 per step) and no more."""

_OPSET = 18
_CONVOLUTION_AND_NORM = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))
"""Names of neighbours in torchvision's blocks and shortcuts."""
_BATCH = 64
_TORCH_ON_ITSELF = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
"""torch 2.13's exporter warns of its own code; nothing here can heed it."""


class _HalfInside(nn.Module):
    """Computes in float16, takes and gives float32: precision lives in the graph."""

    def __init__(self, model: CellNet) -> None:
        super().__init__()
        self.model = _folded(model).half()

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.model(cells.half())
        return logits.float(), features.float()


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as graphs, and what they say of the validation cells.

    Attributes:
        graphs: ONNX files, whole, by precision.
        scores: of the validation cells by the fp32 graph.
        differences: largest absolute difference of any logit from torch's, by precision.
    """

    graphs: Mapping[Precision, bytes]
    scores: Scores
    differences: Mapping[Precision, float]


def export(model: CellNet, spec: InputSpec, cells: NDArray[np.float32]) -> Exported:
    """Export a network in eval mode and check it on `cells`, float32 (N, C, H, W).

    Raises:
        EngineError: a graph differs from torch by more than its tolerance, or gives values that are not finite.
    """
    graphs: dict[Precision, bytes] = {"fp32": _graph(model, spec), "fp16": _graph(_HalfInside(model), spec)}
    expected = torch_scores(model, cells)
    found = {precision: onnx_scores(graph, cells) for precision, graph in graphs.items()}
    differences = {
        precision: float(np.abs(scores.logits - expected.logits).max()) for precision, scores in found.items()
    }
    for precision, difference in differences.items():
        # Written so that NaN fails too.
        if not difference <= TOLERANCES[precision]:
            raise EngineError(
                f"{precision} graph: a logit is off torch's by {difference:.3g}, allowed {TOLERANCES[precision]:.3g}; "
                "no checkpoint is written: take range percentile, or fewer epochs"
            )
    return Exported(graphs, found["fp32"], differences)


def _folded(model: CellNet) -> CellNet:
    """A copy with its batch norms folded into their convolutions, in float32.

    Left to the exporter, convolution and norm are rounded to float16 one by one: logits of Jurkat cells
    were off by up to 0.064 then, and by 0.012 once they were folded first.
    """
    folded = deepcopy(model)
    for parent in folded.modules():
        for conv_name, norm_name in _CONVOLUTION_AND_NORM:
            conv, norm = getattr(parent, conv_name, None), getattr(parent, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d)):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return folded


def _graph(model: nn.Module, spec: InputSpec) -> bytes:
    """The ONNX file of a model, batch free, weights inside."""
    example = torch.zeros((2, *spec.shape))
    batch = torch.export.Dim("batch", min=1, max=_BATCH)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _TORCH_ON_ITSELF, FutureWarning)
        program = torch.onnx.export(
            model.eval(),
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            dynamic_shapes=({0: batch},),
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            verbose=False,
        )
    if program is None:
        raise EngineError("torch.onnx.export gave no program; install the torch that constraints.txt names")
    content: bytes = _without_traces(program.model_proto).SerializeToString(deterministic=True)
    return content


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The exporter writes the source lines that each node came from, with their paths on this machine."""
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        part.ClearField("metadata_props")
    for part in (*proto.graph.input, *proto.graph.output, proto.graph, proto):
        part.ClearField("metadata_props")
    return proto


def torch_scores(model: CellNet, cells: NDArray[np.float32]) -> Scores:
    """What torch says of cells, float32 (N, C, H, W)."""
    with torch.inference_mode():
        parts = [model(part) for part in torch.split(torch.from_numpy(cells), _BATCH)]
    logits, features = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return Scores(logits, features)


def onnx_scores(graph: bytes, cells: NDArray[np.float32]) -> Scores:
    """What ONNX Runtime says of cells, float32 (N, C, H, W)."""
    # An interrupt that reaches ONNX Runtime in the main thread, which alone hears it, has aborted the process.
    with ThreadPoolExecutor(1, "onnxruntime") as apart:
        return apart.submit(_onnx_scores, graph, cells).result()


def _onnx_scores(graph: bytes, cells: NDArray[np.float32]) -> Scores:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    batches = [cells[first : first + _BATCH] for first in range(0, len(cells), _BATCH)]
    parts = [session.run(OUTPUT_NAMES, {INPUT_NAME: batch}) for batch in batches]
    logits, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Scores(logits, features)
