"""What every exported graph looks like from outside, at any precision and on any runtime.

Free of syntax and imports newer than Python 3.10, as all that `edge_ctc.engine.gpu_engine` rests on.
"""

from typing import Literal

INPUT_NAME = "cells"
"""float32 (N, C, H, W), N free."""

OUTPUT_NAMES = ("logits", "features")
"""float32 (N,) and (N, D)."""

Precision = Literal["fp32", "fp16"]
"""Of the arithmetic inside the graph; its input and outputs are float32 always."""
