"""What one fold gave, as a file that appears whole and tells when it was changed."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from edge_ctc.description import Calibration, Promise, Sha256, Thresholds
from edge_ctc.durable import write_bytes
from edge_ctc.errors import DataError
from edge_ctc.toml_file import StrictModel
from trainer.learning.work_folder import Epoch

Row = tuple[int, int, str, str, str, str, float | None, float | None, str, float]
"""Of the out-of-fold table, in the order of its columns."""


class FoldResult(StrictModel):
    """What one fold of one seed gave.

    Attributes:
        fingerprint: sha256 of the experiment that it belongs to.
        seed: the repetition.
        fold: from 0.
        cells: CTCs and leukocytes by part: train, stopping, validation, held_out.
        thresholds: chosen on the validation patients.
        calibration: fitted on them; None where they are too few.
        promise: what could be promised from them; None where REVIEW goes by rank.
        epochs: of the training.
        rows: for every labelled cell of the held-out patients.
    """

    schema_version: Literal[1]
    fingerprint: Sha256
    seed: Annotated[int, Field(ge=0)]
    fold: Annotated[int, Field(ge=0)]
    cells: dict[str, tuple[int, int]]
    thresholds: Thresholds
    calibration: Calibration | None
    promise: Promise | None
    epochs: tuple[Epoch, ...]
    rows: tuple[Row, ...]


def write_result(path: Path, result: FoldResult) -> None:
    """Let `result` appear at `path`, its sha256 in the last line.

    Raises:
        ResultsError: it cannot be written.
    """
    content = result.model_dump_json().encode()
    write_bytes(path, content + f"\n{hashlib.sha256(content).hexdigest()}\n".encode())


def read_result(path: Path) -> FoldResult:
    """The result in `path`.

    Raises:
        DataError: it is not there, or not as it was written.
    """
    try:
        content, _, sha256 = path.read_bytes().rstrip(b"\n").rpartition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != sha256:
            raise DataError(f"{path}: changed since it was written; remove it, and the fold is trained anew")
        return FoldResult.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, and the fold is trained anew") from error
