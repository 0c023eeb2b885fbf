"""The trainer: labelled runs in, a checkpoint out. Run from a checkout as `python -m trainer`; not in the wheel."""

# First of all: it keeps ONNX Runtime from reporting to its maker, which is decided when that is imported.
import edge_ctc as edge_ctc
