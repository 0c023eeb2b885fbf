"""What the tests of built engines share: changed checkpoints, engines made of any bytes, and what lies on the disk."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_ctc.build import Order
from edge_ctc.checkpoint import MODEL_FP16, MODEL_FP32, NOVELTY, REFERENCE, Checkpoint, open_checkpoint
from edge_ctc.engine.installed import install
from edge_ctc.engine.places import engine_folder
from edge_ctc.engine.record import EngineRecord, GateRecord
from edge_ctc.engine.runtimes import Machine, this_machine
from edge_ctc.novelty import Novelty
from tests.checkpoints import WEIGHTS, write_checkpoint, write_description

NAME = "means"
"""Of the checkpoint that tests/checkpoints.py writes."""

Change = Callable[[onnx.ModelProto], None]


class Silent:
    """An `edge_ctc.engine_choice.Reporter` that says nothing, and counts."""

    def __init__(self) -> None:
        self.compiled = 0
        self.to_compare = 0
        self.compared = 0

    def compiling(self, _order: Order, _machine: Machine) -> None:
        self.compiled += 1

    def phase(self, _name: str) -> None:
        pass

    def comparing(self, cells: int) -> None:
        self.to_compare = cells

    def advanced(self, cells: int) -> None:
        self.compared += cells

    def stale(self, _folder: Path, _mismatches: tuple[str, ...], _instead: Path | None) -> None:
        pass


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def describe(folder: Path, **changes: Any) -> None:
    """Write checkpoint.json again, with the hashes of the files as they now are."""
    description = json.loads((folder / "checkpoint.json").read_text())
    del description["files"]
    write_description(folder, description | changes)


def copy_of(checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """The checkpoint once more, in another folder, with keys of checkpoint.json replaced."""
    shutil.copytree(checkpoint, folder)
    describe(folder, **changes)
    return folder


def change_graph(folder: Path, change: Change, *files: str) -> Path:
    """Change graphs of a checkpoint, and let its hashes agree."""
    for file in files:
        model = onnx.load_from_string((folder / file).read_bytes())
        change(model)
        (folder / file).write_bytes(model.SerializeToString())
    describe(folder)
    return folder


def weight(value: float) -> Change:
    """The first weight is `value`."""

    def change(model: onnx.ModelProto) -> None:
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "weights")
        weights = numpy_helper.to_array(tensor).copy()
        weights[0] = value
        tensor.CopyFrom(numpy_helper.from_array(weights, "weights"))

    return change


def altered(output: str, operation: str, value: float) -> Change:
    """What the graph gives as `output` goes through one operation more, with `value`, in single precision."""

    def change(model: onnx.ModelProto) -> None:
        nodes = model.graph.node
        (last,) = (node for node in nodes if node.output[0] == output)
        last.output[0] = f"right {output}"
        nodes.append(helper.make_node(operation, [f"right {output}", f"{operation} by"], [output]))
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), f"{operation} by"))

    return change


def bias(value: float) -> Change:
    """`value` is added to every logit."""
    return altered("logits", "Add", value)


def with_novelty(folder: Path) -> Path:
    """The checkpoint with an out-of-distribution score: the length of its features."""
    with np.load(folder / REFERENCE) as arrays:
        count = arrays["features"].shape[1]
    novelty = Novelty(np.zeros((2, count), np.float32), np.eye(count, dtype=np.float32), 100.0)
    (folder / NOVELTY).write_bytes(novelty.content())
    describe(folder)
    return folder


def fp16_is_fp32_and(folder: Path, value: float) -> Path:
    """Let the graph of fp16 give the fp32 graph's logits, each off by exactly `value`."""
    shutil.copyfile(folder / MODEL_FP32, folder / MODEL_FP16)
    return change_graph(folder, bias(value), MODEL_FP16)


def with_flips(folder: Path, flips: int, *, cells: int, hard: bool = False) -> Path:
    """A checkpoint of so many reference cells, so many of which another verdict comes for at fp16: all CTC then.

    They were REVIEW before, or LEUKOCYTE where `hard`.
    """
    write_checkpoint(folder, ("BF", "PE"), 8)
    images = np.random.default_rng(cells).integers(0, 4096, (cells, 2, 8, 8)).astype(np.uint16)
    features = (images.astype(np.float64) / 4095).mean(axis=(2, 3)).astype(np.float32)
    logits = features @ np.array([WEIGHTS["BF"], WEIGHTS["PE"]], np.float32)
    np.savez(
        folder / REFERENCE,
        images=images,
        logits=logits,
        features=features,
        tolerance_fp32=1e-3,
        tolerance_fp16=5e-2,
    )
    from_top = np.sort(logits.astype(np.float64))[::-1]
    cut = float(from_top[0]) + 1e-4
    shift = cut - float(from_top[flips - 1] + from_top[flips]) / 2 if flips else 0.0
    describe(folder, thresholds={"ctc": cut, "review": cut if hard else -10.0})
    return fp16_is_fp32_and(folder, shift)


def record_of(plan: bytes, checkpoint: Path, timing_cache: bytes | None = None, **changes: Any) -> EngineRecord:
    """A record that fits `plan`, the checkpoint in the folder and this machine, still without a seal."""
    opened = open_checkpoint(checkpoint)
    machine = this_machine("onnxruntime")
    fields: dict[str, Any] = {
        "schema_version": 1,
        "checkpoint": opened.name,
        "checkpoint_folder": str(checkpoint),
        "checkpoint_sha256": opened.sha256,
        "onnx_sha256": hashlib.sha256(opened.models["fp32"]).hexdigest(),
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "timing_cache_sha256": None if timing_cache is None else hashlib.sha256(timing_cache).hexdigest(),
        "runtime": machine.runtime,
        "runtime_version": machine.runtime_version,
        "cuda_version": None,
        "driver_version": None,
        "gpu_name": None,
        "compute_capability": None,
        "precision": "fp32",
        "max_batch": 64,
        "parity": GateRecord(cells=8, runs=0, largest_difference=0.0, tolerance=1e-3, flips=0, review_flips=0),
        "state": "proved",
        "built_at_utc": "2026-01-02T03:04:05.000006Z",
        "rebuilt_because": (),
        "software_version": "0",
        "command": None,
        "seal": "",
    }
    return EngineRecord.model_validate(fields | changes)


UNPROVEN: dict[str, Any] = {"state": "unproven", "parity": None}


def put_engine(engines: Path, checkpoint: Path, timing_cache: bytes | None = None, **changes: Any) -> Path:
    """Install the checkpoint's own graph with a record that says what `changes` say; returns its folder."""
    opened: Checkpoint = open_checkpoint(checkpoint)
    plan = opened.models["fp32"]
    record = record_of(plan, checkpoint, timing_cache, **changes)
    folder = engine_folder(engines, opened.name, record.machine, record.precision)
    folder.parent.mkdir(parents=True, exist_ok=True)
    install(folder, record, plan, timing_cache)
    return folder
