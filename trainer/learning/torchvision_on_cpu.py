"""torchvision's blocks and weights, also where its wheel and torch's do not fit: the only module that imports it.

torchvision's wheel from PyPI is a CUDA build. Beside a CPU build of torch its C++ operators cannot be
loaded, and its import fails with `operator torchvision::nms does not exist`, although nothing that is used
here needs them. Declaring the two operators that the import looks up mends models and norms. The plain
import is tried first, so that a torchvision that fits is used as it is.
"""

import importlib

import torch

_LIBRARY = "torchvision"
_LOOKED_UP_AT_IMPORT = ("nms", "qnms")


def _import_torchvision() -> torch.library.Library | None:
    """Import torchvision; the declared operators live as long as the library that is returned."""
    try:
        importlib.import_module(_LIBRARY)
    except RuntimeError as error:
        if f"operator {_LIBRARY}::" not in str(error):
            raise
        declared = torch.library.Library(_LIBRARY, "DEF")  # type: ignore[no-untyped-call]
        for name in _LOOKED_UP_AT_IMPORT:
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        importlib.import_module(_LIBRARY)
        return declared
    return None


_DECLARED = _import_torchvision()

from torchvision.models import get_model_weights  # noqa: E402 - only after the mend
from torchvision.models.resnet import BasicBlock, Bottleneck  # noqa: E402 - only after the mend
from torchvision.ops import FrozenBatchNorm2d  # noqa: E402 - only after the mend

__all__ = ["BasicBlock", "Bottleneck", "FrozenBatchNorm2d", "get_model_weights"]
