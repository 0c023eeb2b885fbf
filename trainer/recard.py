"""A checkpoint with a card that tells the out-of-fold figures of its recipe."""

import json
import math
from pathlib import Path
from typing import Any

from edge_ctc.checkpoint import MODEL_CARD, MODEL_FP16, MODEL_FP32, REFERENCE, open_checkpoint
from edge_ctc.description import Description
from edge_ctc.errors import DataError, InputMissingError
from trainer.checkpoint.folder import hashes, publish, refuse_existing
from trainer.evaluate import FIGURES
from trainer.evaluation.figures import Asked
from trainer.pages.card import write_card
from trainer.pages.report import titles

_OWN = ("seed", "name", "notice")
"""Keys of a recipe in which an evaluation may differ: it draws its own seeds, and a name changes no figure."""


def recard(folder: Path, evaluation: Path, out: Path) -> Description:
    """Copy the checkpoint in `folder` to `out` with a card that tells the figures in `evaluation`.

    Returns:
        checkpoint.json of the copy: its hash of the card differs, and so does its own sha256.

    Raises:
        InputMissingError: there is no such checkpoint or evaluation.
        CheckpointError: the checkpoint is spoilt.
        DataError: the evaluation is of another recipe, or spoilt.
        ResultsError: `out` holds something already, or cannot be written.
    """
    refuse_existing(out)
    checkpoint = open_checkpoint(folder)
    description = checkpoint.description
    figures = _read(evaluation / FIGURES)
    _check_recipe(description.training["recipe"], figures["recipe"], evaluation)
    contents = {
        MODEL_FP32: checkpoint.models["fp32"],
        MODEL_FP16: checkpoint.models["fp16"],
        REFERENCE: (folder / REFERENCE).read_bytes(),
        MODEL_CARD: write_card(description, _lines(figures)).encode(),
    }
    copy = description.model_copy(update={"files": hashes(contents)})
    publish(out, copy, contents)
    return copy


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissingError(f"{path}: no such file; name the folder that evaluate wrote") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); evaluate anew") from error
    return found


def _check_recipe(trained: dict[str, Any], evaluated: dict[str, Any], evaluation: Path) -> None:
    differing = [key for key in trained if key not in _OWN and trained[key] != evaluated.get(key)]
    if differing:
        raise DataError(
            f"{evaluation}: of a recipe that differs in {', '.join(differing)}; name the evaluation of the recipe that "
            "the checkpoint was trained by"
        )


def _lines(figures: dict[str, Any]) -> list[str]:
    """The figures as a table in Markdown."""
    folds, names = figures["folds"], titles(Asked(**figures["assumed"]))
    said = (
        f"The same recipe, cross-validated by patient: {figures['patients']} patients, {folds['folds']} folds, "
        f"{folds['seeds']} seeds; 95 % intervals by bootstrap over patients."
    )
    rows = [
        f"| {names[one['name']]} | {_number(one['value'])} | {_number(one['low'])} to {_number(one['high'])} |"
        for one in figures["figures"].values()
    ]
    return [said, "", "| figure | mean of the seeds | 95 % interval |", "|---|---|---|", *rows]


def _number(value: float | None) -> str:
    return "none" if value is None or math.isnan(value) else f"{value:.3f}"
