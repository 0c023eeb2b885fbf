"""One training from labelled runs to a checkpoint: the one place that joins the trainer's skills."""

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from edge_ctc import __version__, durable
from edge_ctc.checkpoint import MODEL_CARD, MODEL_FP16, MODEL_FP32, REFERENCE
from edge_ctc.description import Description
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.preprocess import InputSpec
from trainer.card import write_card
from trainer.checkpoint_folder import hashes, publish, refuse_existing
from trainer.data import Dataset, LabelledCell, read_dataset
from trainer.export import Exported, export
from trainer.inputs import Inputs, input_spec, prepared
from trainer.labels import read_labels
from trainer.loop import train
from trainer.measure import Scored, calibration_of, figures_of, thresholds_of
from trainer.model import CellNet, seeded_model
from trainer.progress import Reporter
from trainer.recipe import Recipe
from trainer.reference_cells import reference_npz
from trainer.split import Split, make_split
from trainer.start import Start, apply_start, read_start, unfold_norms
from trainer.work_folder import WorkFolder

_CALIBRATION_CELLS = 256


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asks for.

    Attributes:
        runs: the folder whose subfolders are the runs.
        labels: CSV with run_id, cell_id, label, patient.
        out: where the checkpoint belongs; absent or empty.
        recipe: how to train.
        profile: how the runs are laid out; None: per run the built-in that accounts for every file.
    """

    runs: Path
    labels: Path
    out: Path
    recipe: Recipe
    profile: LoadedProfile | None = None


@dataclass(frozen=True, slots=True)
class _Material:
    """All that is settled before the first step."""

    recipe: Recipe
    dataset: Dataset
    split: Split
    start: Start
    spec: InputSpec

    def cells(self, patients: Sequence[str]) -> list[LabelledCell]:
        members = set(patients)
        return [cell for cell in self.dataset.cells if cell.label.patient in members]


def fit(order: Order, reporter: Reporter) -> Description:
    """Train, and write the checkpoint; a training that was killed goes on where its work folder stands.

    Returns:
        checkpoint.json, as written.

    Raises:
        InputMissingError: runs or labels are not there.
        RunError: a run cannot be read, or is none.
        DataError: labels or the work folder contradict what is there, or there is too little to train on.
        ConfigError: recipe or profile do not fit the runs.
        ResultsError: `order.out` holds something already, or cannot be written.
        EngineError: a graph differs from what was trained.
    """
    refuse_existing(order.out)
    began = time.monotonic()
    material = _material(order, reporter)
    work_path = order.out.with_name(f"{order.out.name}.work")
    work = WorkFolder(work_path, _fingerprint(material))
    with durable.sole_writer(work_path):
        model, said = _trained(material, work, reporter)
        reporter.say("exporting, and holding both graphs against torch")
        held_out = material.cells(material.split.validation)
        inputs = prepared(held_out, material.spec)
        exported = export(model, material.spec, inputs.cells)
        scored = Scored(exported.scores.logits, inputs.is_ctc)
        training = _training(material, said, exported, time.monotonic() - began)
        description, contents = _checkpoint(material, exported, scored, training)
        for precision, parity in publish(order.out, description, contents).items():
            reporter.say(
                f"replayed {parity.cells} reference cells at {precision}: largest difference "
                f"{parity.largest_difference:.2g}, allowed {parity.tolerance:.2g}"
            )
    work.remove()
    return description


def _material(order: Order, reporter: Reporter) -> _Material:
    recipe = order.recipe
    labels = read_labels(order.labels)
    start = read_start(recipe)
    dataset = read_dataset(order.runs, labels, order.profile, recipe.channels, reporter)
    split = make_split(dataset.cells, recipe.split, recipe.seed)
    split = split.with_unused({cell.label.patient for cell in dataset.left_out})
    reporter.say(f"training on patients {', '.join(split.train)}; validating on {', '.join(split.validation)}")
    train_cells = [cell for cell in dataset.cells if cell.label.patient in set(split.train)]
    return _Material(recipe, dataset, split, start, input_spec(train_cells, dataset, recipe))


def _fingerprint(material: _Material) -> str:
    """sha256 of all that decides the weights: recipe, start, split, cells with labels and files, torch."""
    cells = [
        (cell.label.run_id, cell.label.cell_id, cell.label.is_ctc, cell.label.patient, cell.sha256)
        for cell in material.dataset.cells
    ]
    facts = [material.recipe.model_dump(), material.start.sha256, material.spec.model_dump(), cells, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _trained(material: _Material, work: WorkFolder, reporter: Reporter) -> tuple[CellNet, tuple[str, ...]]:
    recipe = material.recipe
    inputs = prepared(material.cells(material.split.train), material.spec)
    model = seeded_model(len(material.dataset.channels), recipe)
    said = apply_start(model, material.start, recipe)
    said += unfold_norms(model, material.start, _some(inputs, recipe.seed))
    for line in said:
        reporter.say(line)
    train(model, inputs, recipe, work, reporter)
    return model, said


def _some(inputs: Inputs, seed: int) -> torch.Tensor:
    chosen = np.random.default_rng(seed).permutation(len(inputs.cells))[:_CALIBRATION_CELLS]
    return torch.from_numpy(inputs.cells[chosen])


def _training(material: _Material, said: tuple[str, ...], exported: Exported, seconds: float) -> dict[str, Any]:
    """For the record in checkpoint.json."""
    dataset = material.dataset
    return {
        "recipe": material.recipe.model_dump(mode="json"),
        "start": {"sha256": material.start.sha256, "said": said},
        "cells": {
            part: len(material.cells(patients))
            for part, patients in (("train", material.split.train), ("validation", material.split.validation))
        },
        "left_out": [
            {"run_id": cell.label.run_id, "cell_id": cell.label.cell_id, "problem": cell.problem}
            for cell in dataset.left_out
        ],
        "unlabelled": dataset.unlabelled,
        "largest_difference_from_torch": dict(exported.differences),
        "versions": {
            "edge_ctc": __version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        "seconds": round(seconds, 1),
    }


def _checkpoint(
    material: _Material, exported: Exported, scored: Scored, training: dict[str, Any]
) -> tuple[Description, dict[str, bytes]]:
    """checkpoint.json and the contents of the other files."""
    held_out = material.cells(material.split.validation)
    thresholds = thresholds_of(scored)
    draft = Description(
        schema_version=1,
        name=material.recipe.name,
        notice=material.recipe.notice,
        input=material.spec,
        classes=("LEUKOCYTE", "CTC"),
        calibration=calibration_of(scored),
        thresholds=thresholds,
        metrics=figures_of(scored, thresholds),
        training=training,
        split={
            "train": material.split.train,
            "validation": material.split.validation,
            "unused": material.split.unused,
        },
        files={},
    )
    card = write_card(draft, material.split, material.dataset.cells, material.dataset.left_out)
    contents = {
        MODEL_FP32: exported.graphs["fp32"],
        MODEL_FP16: exported.graphs["fp16"],
        REFERENCE: reference_npz(held_out, exported.scores),
        MODEL_CARD: card.encode(),
    }
    return draft.model_copy(update={"files": hashes(contents)}), contents
