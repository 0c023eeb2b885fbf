"""Engines: the only place that knows ONNX Runtime (and, later, TensorRT and CUDA)."""
