"""A checkpoint small enough to be understood: its logit is a weighted sum of each channel's mean."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_ctc.checkpoint import HASHED_FILES, MODEL_FP16, MODEL_FP32, NOVELTY
from edge_ctc.network import INPUT_NAME, OUTPUT_NAMES
from edge_ctc.preprocess import InputSpec, prepare

WEIGHTS = {"BF": 0.5, "DAPI": 1.0, "PE": 6.0, "APC": -5.0}


def write_checkpoint(
    folder: Path,
    channels: Sequence[str] = ("BF", "DAPI", "PE", "APC"),
    side_px: int = 64,
    dtype: str = "uint16",
    **changes: Any,
) -> Path:
    """Write a whole checkpoint; `changes` replace keys of checkpoint.json."""
    folder.mkdir(parents=True)
    high = 4095.0 if dtype == "uint16" else 255.0
    spec: dict[str, Any] = {
        "channels": [{"name": name, "range": [0.0, high]} for name in channels],
        "side_px": side_px,
        "dtype": dtype,
        "bits": "unknown",
        "pixel_size_um": "unknown",
    }
    spec |= changes.pop("input", {})
    for file, half in ((MODEL_FP32, False), (MODEL_FP16, True)):
        (folder / file).write_bytes(_graph(channels, side_px, half=half).SerializeToString())
    _write_reference(folder, InputSpec.model_validate_json(json.dumps(spec)))
    (folder / "MODEL_CARD.md").write_text("A sum of channel means, for tests.\n")
    description = {
        "schema_version": 1,
        "name": "means",
        "notice": "",
        "input": spec,
        "classes": ["LEUKOCYTE", "CTC"],
        "calibration": {"slope": 1.0, "intercept": 0.0, "prevalence": 0.1},
        "thresholds": {"ctc": 0.0, "review": -0.5},
        "metrics": {},
        "training": {},
        "split": {"train": ["a"], "validation": ["b"]},
    } | changes
    write_description(folder, description)
    return folder


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write checkpoint.json with the hashes of the files as they are."""
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (*HASHED_FILES, NOVELTY)
        if (folder / name).exists()
    }
    (folder / "checkpoint.json").write_text(json.dumps({"files": hashes} | description))


def _graph(channels: Sequence[str], side_px: int, *, half: bool) -> onnx.ModelProto:
    kind = np.float16 if half else np.float32
    weights = np.array([[WEIGHTS.get(name, 1.0)] for name in channels], kind)
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["typed"], to=TensorProto.FLOAT16 if half else TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["typed"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["logit"]),
        helper.make_node("Cast", ["logit"], [OUTPUT_NAMES[0]], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["means"], [OUTPUT_NAMES[1]], to=TensorProto.FLOAT),
    ]
    count = len(channels)
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", count, side_px, side_px])],
        [
            helper.make_tensor_value_info(OUTPUT_NAMES[0], TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info(OUTPUT_NAMES[1], TensorProto.FLOAT, ["batch", count]),
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _write_reference(folder: Path, spec: InputSpec) -> None:
    rng = np.random.default_rng(0)
    high = 255 if spec.dtype == "uint8" else 4095
    images = rng.integers(0, high, (8, *spec.shape)).astype(spec.dtype)
    cells = np.zeros((8, *spec.shape), np.float32)
    for place, image in zip(cells, images, strict=True):
        prepare(list(image), spec, place)
    features = cells.mean(axis=(2, 3))
    weights = np.array([WEIGHTS.get(name, 1.0) for name in spec.channel_names], np.float32)
    np.savez_compressed(
        folder / "reference.npz",
        images=images,
        logits=features @ weights,
        features=features,
        tolerance_fp32=1e-3,
        tolerance_fp16=5e-2,
    )
