"""Open and hash a checkpoint: the folder that the trainer writes and that engines are built from.

The README specifies the folder. Nothing in it is a pickle, nothing in it is executed but the ONNX graph.
"""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_ctc.description import Description
from edge_ctc.errors import CheckpointError, InputMissingError
from edge_ctc.network import Precision
from edge_ctc.novelty import Novelty, read_novelty
from edge_ctc.preprocess import InputSpec

SCHEMA_VERSION = 1
DESCRIPTION = "checkpoint.json"
MODEL_FP32 = "model.onnx"
MODEL_FP16 = "model.fp16.onnx"
REFERENCE = "reference.npz"
MODEL_CARD = "MODEL_CARD.md"
NOVELTY = "novelty.npz"
HASHED_FILES = (MODEL_FP32, MODEL_FP16, REFERENCE, MODEL_CARD)
"""And `NOVELTY` where the training had the cells for it."""

_MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Reference:
    """Raw cells and the outputs that every engine must give for them.

    Attributes:
        images: uint8 or uint16 (K, C, H, W), counts.
        logits: float32 (K,), of the fp32 graph.
        features: float32 (K, D), of the fp32 graph.
        tolerances: largest absolute difference allowed to any logit, by precision of the engine.
    """

    images: NDArray[Any]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    tolerances: Mapping[Precision, float]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint, every byte of it hashed.

    Attributes:
        folder: where it lies.
        sha256: of checkpoint.json, which holds the hashes of all other files: it names the whole.
        description: checkpoint.json, validated.
        models: the ONNX graphs, as hashed, by precision.
        reference: the reference cells.
        novelty: how a cell is known that is like none of the training; None: not known.
    """

    folder: Path
    sha256: str
    description: Description
    models: Mapping[Precision, bytes]
    reference: Reference
    novelty: Novelty | None

    @property
    def name(self) -> str:
        """As checkpoint.json says."""
        return self.description.name

    @property
    def input(self) -> InputSpec:
        """What the network takes."""
        return self.description.input


def shipped_checkpoints() -> Path:
    """The folder of the shipped reference checkpoints: package data in a wheel, `engines/` in a checkout."""
    packaged = Path(__file__).parent / "shipped"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "engines"


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read, hash and check the whole checkpoint.

    Raises:
        InputMissingError: there is no such folder.
        CheckpointError: a file is missing or unreadable, a hash differs, the schema is unknown, or the
            reference cells do not fit the InputSpec. The message names the file.
    """
    if not os.path.isdir(folder):
        raise InputMissingError(f"{folder}: no such folder; name a checkpoint as the trainer writes it")
    raw = _read(folder / DESCRIPTION)
    description = _describe(raw, folder / DESCRIPTION)
    beside = (NOVELTY,) if NOVELTY in description.files else ()
    contents = {name: _read(folder / name) for name in (*HASHED_FILES, *beside)}
    _check_hashes(folder, contents, description.files)
    reference = _reference(contents[REFERENCE], folder / REFERENCE, description.input)
    features = reference.features.shape[1]
    return Checkpoint(
        folder=folder,
        sha256=hashlib.sha256(raw).hexdigest(),
        description=description,
        models={"fp32": contents[MODEL_FP32], "fp16": contents[MODEL_FP16]},
        reference=reference,
        novelty=read_novelty(contents[NOVELTY], folder / NOVELTY, features) if beside else None,
    )


def read_description(folder: Path) -> Description:
    """checkpoint.json alone, its files not hashed: to choose a checkpoint, not to use one.

    Raises:
        CheckpointError: it cannot be read or is not valid.
    """
    return _describe(_read(folder / DESCRIPTION), folder / DESCRIPTION)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); expected a checkpoint folder as the trainer writes it"
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: larger than {_MAX_FILE_BYTES} bytes, expected a model of ours")
    return content


def _describe(raw: bytes, path: Path) -> Description:
    try:
        found = json.loads(raw)
        version = found.get("schema_version") if isinstance(found, dict) else None
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"{path}: schema_version {version!r}, this edge_ctc reads {SCHEMA_VERSION}; "
                "use the edge_ctc that the checkpoint was made for"
            )
        return Description.model_validate_json(raw)
    except (ValidationError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a valid description ({error}); copy the checkpoint again") from error


def _check_hashes(folder: Path, contents: Mapping[str, bytes], hashes: Mapping[str, str]) -> None:
    if sorted(hashes) != sorted(contents):
        raise CheckpointError(f"{folder / DESCRIPTION}: hashes {sorted(hashes)}, expected {sorted(contents)}")
    for name, content in contents.items():
        found = hashlib.sha256(content).hexdigest()
        if found != hashes[name]:
            raise CheckpointError(
                f"{folder / name}: sha256 {found[:12]}…, expected {hashes[name][:12]}…; "
                "the file changed since training: copy the checkpoint again"
            )


_NO_REFERENCE = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise on a file that is no archive of arrays."""


def _reference(content: bytes, path: Path, spec: InputSpec) -> Reference:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            reference = Reference(
                images=np.asarray(arrays["images"]),
                logits=np.asarray(arrays["logits"]),
                features=np.asarray(arrays["features"]),
                tolerances={
                    "fp32": float(arrays["tolerance_fp32"]),
                    "fp16": float(arrays["tolerance_fp16"]),
                },
            )
    except _NO_REFERENCE as error:
        raise CheckpointError(f"{path}: not reference cells ({error}); train again") from error
    _check_reference(reference, path, spec)
    return reference


def _check_reference(reference: Reference, path: Path, spec: InputSpec) -> None:
    images, logits, features = reference.images, reference.logits, reference.features
    sound = (
        (logits.ndim, features.ndim, images.ndim) == (1, 2, 4)
        and len(logits) == len(features) == len(images)
        and images.shape[1] == len(spec.channels)
        and images.size > 0
        and images.dtype == spec.dtype
        and logits.dtype == features.dtype == np.float32
        and bool(np.isfinite(logits).all() and np.isfinite(features).all())
        and all(0 < tolerance < np.inf for tolerance in reference.tolerances.values())
    )
    if not sound:
        raise CheckpointError(
            f"{path}: images {images.dtype} {images.shape}, logits {logits.shape}, features {features.shape}, "
            f"tolerances {dict(reference.tolerances)} do not fit {spec.channel_names}; train again"
        )
