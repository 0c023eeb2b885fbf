"""Which engine runs, and what it is called, without loading its runtime."""

from importlib.metadata import version

from edge_ctc.checkpoint import Precision


def description(precision: Precision) -> str:
    """Runtime, its version, device and precision of the one engine there is: as it stands in every call."""
    return f"onnxruntime {version('onnxruntime')} cpu {precision}"
