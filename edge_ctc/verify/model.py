"""The checkpoint that called: found again, and every byte of it hashed."""

import hashlib
import os
from pathlib import Path

from edge_ctc.checkpoint import DESCRIPTION, Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.errors import CheckpointError, InputMissingError, RunUnreadableError
from edge_ctc.plan import REFERENCE_NAMES
from edge_ctc.results.manifest import Manifest
from edge_ctc.rows import intended_use
from edge_ctc.verify.findings import Finding, Status, judged

_NAME_IT = "name the folder of the checkpoint that called, or of a copy, with --checkpoint"


def find_checkpoint(named: Path | None, manifest: Manifest) -> tuple[Checkpoint | None, Finding]:
    """The checkpoint that called, None where it is not at hand or is another.

    It is looked for in the folder that is named; else in the one where it lay, and among those that are shipped.

    Raises:
        RunUnreadableError: the disk failed.
    """
    wanted = manifest.checkpoint
    folders = _where(named, manifest)
    if not folders:
        found = f"{wanted.name}, sha256 {wanted.sha256}, is not {f'in {wanted.folder}' if wanted.folder else 'shipped'}"
        return None, Finding("checkpoint", "unchecked", found, mend=_NAME_IT)
    folder = next((one for one in folders if _sha256(one) == wanted.sha256), folders[0])
    try:
        checkpoint = open_checkpoint(folder)
    except (CheckpointError, InputMissingError) as error:
        # A disk that fails says nothing of the checkpoint; a file that is not there does.
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError | NotADirectoryError):
            raise RunUnreadableError(str(error)) from error
        return None, Finding("checkpoint", _status(named, folder, wanted.sha256), str(error), mend=_NAME_IT)
    if checkpoint.sha256 != wanted.sha256:
        found = f"{folder}: {checkpoint.name}, sha256 {checkpoint.sha256}"
        expected, status = f"{wanted.name}, {wanted.sha256}", _status(named, folder, wanted.sha256)
        return None, Finding("checkpoint", status, found, expected=expected, mend=_NAME_IT)
    return checkpoint, _as_noted(checkpoint, manifest)


def _status(named: Path | None, folder: Path, wanted: str) -> Status:
    """Of a checkpoint that is not as it was: a fault where it is the one that called, or lies where that one lay.

    An option that names another says nothing of the run, nor does a folder without a checkpoint.
    """
    found = _sha256(folder)
    return "fault" if found and (named is None or found == wanted) else "unchecked"


def _where(named: Path | None, manifest: Manifest) -> list[Path]:
    """Folders that may hold it, the likeliest first."""
    if named is not None:
        return [named]
    noted = [Path(manifest.checkpoint.folder)] if manifest.checkpoint.folder else []
    shipped = [shipped_checkpoints() / name for name in REFERENCE_NAMES]
    return [folder for folder in noted if os.path.isdir(folder)] + [
        folder for folder in shipped if _sha256(folder) == manifest.checkpoint.sha256
    ]


def _sha256(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    except OSError:
        return ""


def _as_noted(checkpoint: Checkpoint, manifest: Manifest) -> Finding:
    """What the manifest says of the checkpoint, against the checkpoint itself."""
    description, noted, replay = checkpoint.description, manifest.checkpoint, manifest.replay
    pairs = [
        ("name", noted.name, description.name),
        ("input", noted.input, description.input),
        ("thresholds", noted.thresholds, description.thresholds),
        ("calibration", noted.calibration, description.calibration),
        ("intended_use", manifest.intended_use, intended_use(checkpoint)),
    ]
    if replay is not None:
        pairs.append(("replay.cells", replay.cells, len(checkpoint.reference.logits)))
        pairs.append(("replay.tolerance", replay.tolerance in checkpoint.reference.tolerances.values(), True))
        pairs.append(("replay within tolerance", replay.largest_difference <= replay.tolerance, True))
    return judged(
        "checkpoint",
        f"{checkpoint.folder}: {checkpoint.name}, sha256 {checkpoint.sha256}, every file of it as it was made",
        "things the manifest says otherwise than the checkpoint",
        [f"{what}: {found}, expected {wanted}" for what, found, wanted in pairs if found != wanted],
        "bring the calls and their manifest back from a copy, or call the run again",
    )
