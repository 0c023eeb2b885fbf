"""A checkpoint with a card that tells the out-of-fold figures of its recipe."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_ctc.checkpoint import MODEL_CARD, MODEL_FP16, MODEL_FP32, REFERENCE, open_checkpoint
from edge_ctc.description import Description
from edge_ctc.errors import DataError, InputMissingError
from trainer.checkpoint.folder import hashes, publish, refuse_existing
from trainer.evaluate import FIGURES
from trainer.evaluation.figures import Asked
from trainer.pages.card import write_card
from trainer.pages.report import titles
from trainer.recipe import Recipe

_OWN = ("seed", "name", "notice", "start")
"""Keys of a recipe in which an evaluation may differ: it draws its own seeds, a name changes no figure, and weights to
start from are compared by their content."""
_ANOTHER_TRAINER = "another version of the trainer made it, train again"


class _Part(BaseModel):
    """What is read of a file that says more."""

    model_config = ConfigDict(frozen=True, strict=True)


class _Figure(_Part):
    name: str
    value: float | None
    low: float | None
    high: float | None


class _Folds(_Part):
    folds: int
    seeds: int


class _Assumed(_Part):
    prevalence: float
    top: int


class _Evaluation(_Part):
    """figures.json."""

    schema_version: Literal[1]
    recipe: dict[str, Any]
    start_sha256: str
    data_sha256: str
    patients: int
    folds: _Folds
    assumed: _Assumed
    figures: dict[str, _Figure]


class _StartRecord(_Part):
    sha256: str


class _Record(_Part):
    """What the card tells of a training."""

    recipe: dict[str, Any]
    start: _StartRecord
    data_sha256: str
    cells: dict[Literal["train", "stopping", "validation"], dict[Literal["CTC", "LEUKOCYTE"], int]]
    data: list[str]
    left_out: list[dict[str, str]]


def recard(folder: Path, evaluation: Path, out: Path) -> Description:
    """Copy the checkpoint in `folder` to `out` with a card that tells the figures in `evaluation`.

    Returns:
        checkpoint.json of the copy: its hash of the card differs, and so does its own sha256.

    Raises:
        InputMissingError: there is no such checkpoint or evaluation.
        CheckpointError: the checkpoint is spoilt.
        DataError: the evaluation is of another recipe, other weights to start from or other cells, or spoilt, or
            another version of the trainer made the checkpoint.
        ResultsError: `out` holds something already, or cannot be written.
    """
    refuse_existing(out)
    checkpoint = open_checkpoint(folder)
    description = checkpoint.description
    record = _record_of(description, folder)
    found = _read(evaluation / FIGURES)
    _check_recipe(record.recipe, found.recipe, evaluation)
    _check_same("start", record.start.sha256, found.start_sha256, evaluation)
    _check_same("labelled cells", record.data_sha256, found.data_sha256, evaluation)
    contents = {
        MODEL_FP32: checkpoint.models["fp32"],
        MODEL_FP16: checkpoint.models["fp16"],
        REFERENCE: (folder / REFERENCE).read_bytes(),
        MODEL_CARD: write_card(description, _lines(found)).encode(),
    }
    copy = description.model_copy(update={"files": hashes(contents)})
    publish(out, copy, contents)
    return copy


def _record_of(description: Description, folder: Path) -> _Record:
    try:
        record = _Record.model_validate(description.training)
    except ValidationError as error:
        raise DataError(f"{folder}: {_ANOTHER_TRAINER} ({_first(error)})") from error
    if lacking := sorted(set(Recipe.model_fields).difference(record.recipe)):
        raise DataError(f"{folder}: {_ANOTHER_TRAINER} (its recipe lacks {', '.join(lacking)})")
    return record


def _read(path: Path) -> _Evaluation:
    try:
        return _Evaluation.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{path}: no such file; name the folder that evaluate wrote") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); evaluate anew") from error
    except ValidationError as error:
        raise DataError(f"{path}: not as evaluate writes it ({_first(error)}); evaluate anew") from error


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    return f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ")


def _check_recipe(trained: dict[str, Any], evaluated: dict[str, Any], evaluation: Path) -> None:
    keys = sorted({*trained, *evaluated}.difference(_OWN))
    differing = [key for key in keys if trained.get(key) != evaluated.get(key)]
    if differing:
        raise DataError(
            f"{evaluation}: of a recipe that differs in {', '.join(differing)}; name the evaluation of the recipe that "
            "the checkpoint was trained by"
        )


def _check_same(what: str, trained: str, evaluated: str, evaluation: Path) -> None:
    if trained != evaluated:
        raise DataError(
            f"{evaluation}: of another {what} (sha256 {evaluated[:12] or 'none'}, the checkpoint's "
            f"{trained[:12] or 'none'}); name the evaluation of what the checkpoint was trained with"
        )


def _lines(found: _Evaluation) -> list[str]:
    """The figures as a table in Markdown."""
    folds, names = found.folds, titles(Asked(found.assumed.prevalence, found.assumed.top))
    said = (
        f"The same recipe, cross-validated by patient: {found.patients} patients, {folds.folds} folds, "
        f"{folds.seeds} seeds; 95 % intervals by bootstrap over patients."
    )
    rows = [
        f"| {names.get(one.name, one.name)} | {_number(one.value)} | {_number(one.low)} to {_number(one.high)} |"
        for one in found.figures.values()
    ]
    return [said, "", "| figure | mean of the seeds | 95 % interval |", "|---|---|---|", *rows]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
