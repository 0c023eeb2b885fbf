"""Write the checkpoint folder: whole, proven by the product itself, then renamed into its place."""

import contextlib
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from edge_ctc.checkpoint import DESCRIPTION, open_checkpoint
from edge_ctc.description import Description
from edge_ctc.durable import sync_folder, write_bytes
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.errors import ResultsError
from edge_ctc.network import Precision
from edge_ctc.parity import Parity, replay


def refuse_existing(out: Path) -> None:
    """Refuse a place that holds something: a checkpoint is never overwritten.

    Raises:
        ResultsError: `out` exists and is not an empty folder.
    """
    try:
        taken = os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise ResultsError(f"{out}: cannot be looked at ({error.strerror}); name another --out") from error
    if taken:
        raise ResultsError(f"{out}: holds something already; a checkpoint is never overwritten, name another --out")


def hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    """The sha256 of each content."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def publish(out: Path, description: Description, contents: Mapping[str, bytes]) -> dict[Precision, Parity]:
    """Let the checkpoint appear at `out`, after the product opened it and replayed it at both precisions.

    Args:
        out: absent or an empty folder.
        description: checkpoint.json, with the hashes of `contents`.
        contents: the other files, by name.

    Raises:
        ResultsError: it cannot be written.
        CheckpointError: the product does not open what was written.
        EngineError: the replay is out of tolerance.
    """
    temp = out.with_name(f".{out.name}.tmp-{secrets.token_hex(4)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for left in out.parent.glob(f".{glob.escape(out.name)}.tmp-*"):
            shutil.rmtree(left)
        temp.mkdir()
        for name, content in {**contents, DESCRIPTION: description.model_dump_json(indent=1).encode()}.items():
            write_bytes(temp / name, content)
        parities = _proven(temp)
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()
        temp.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written ({error.strerror}); name another --out") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return parities


def _proven(folder: Path) -> dict[Precision, Parity]:
    checkpoint = open_checkpoint(folder)
    parities: dict[Precision, Parity] = {}
    for precision in checkpoint.models:
        with OnnxCpuEngine(checkpoint, precision) as engine:
            parities[precision] = replay(engine, checkpoint)
    return parities
