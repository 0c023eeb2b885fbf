"""One training from labelled runs to a checkpoint: the one place that joins the trainer's skills."""

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from edge_ctc import __version__
from edge_ctc.checkpoint import MODEL_CARD, MODEL_FP16, MODEL_FP32, NOVELTY, REFERENCE
from edge_ctc.description import Description
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.novelty import Novelty
from trainer.cells.dataset import Dataset, LabelledCell, Wanted, read_dataset
from trainer.cells.fingerprint import DataReport, describe, fingerprint
from trainer.cells.identity import dataset_sha256
from trainer.cells.labels import read_labels
from trainer.cells.selection import cells_of, left_out_of, truth_of
from trainer.cells.split import Split, make_split, with_stopping
from trainer.checkpoint.folder import hashes, publish, refuse_existing
from trainer.checkpoint.reference_cells import reference_npz
from trainer.decision.measure import Scored, figures_of
from trainer.decision.validation import rule_from
from trainer.learning.export import Exported, export, onnx_scores
from trainer.learning.inputs import prepared
from trainer.learning.novelty import fit_novelty
from trainer.learning.start import Start, read_start
from trainer.learning.training import Parts, Trained, train_network
from trainer.learning.work_folder import WorkFolder
from trainer.pages.card import write_card
from trainer.progress import Reporter
from trainer.recipe import Recipe


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
    report: DataReport
    split: Split
    start: Start
    data_sha256: str

    def cells(self, patients: Sequence[str]) -> tuple[LabelledCell, ...]:
        return cells_of(self.dataset.cells, patients)


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
    work = WorkFolder(order.out.with_name(f"{order.out.name}.work"), _fingerprint(material))
    with work.held():
        parts = Parts(material.cells(material.split.train), material.cells(material.split.stopping))
        trained = train_network(parts, material.dataset, material.recipe, material.start, work, reporter)
        reporter.say("exporting, and holding both graphs against torch")
        held_out = material.cells(material.split.validation)
        exported = export(trained.model, trained.spec, prepared(held_out, trained.spec).cells)
        training = _training(material, trained, exported, time.monotonic() - began)
        description, contents = _checkpoint(material, trained, exported, training, reporter)
        for precision, parity in publish(order.out, description, contents).items():
            reporter.say(
                f"replayed {parity.cells} reference cells at {precision}: largest difference "
                f"{parity.largest_difference:.2g}, allowed {parity.tolerance:.2g}"
            )
    work.remove()
    return description


def _material(order: Order, reporter: Reporter) -> _Material:
    recipe = order.recipe
    start = read_start(recipe)
    dataset, report = described_dataset(order, reporter)
    split = make_split(dataset.cells, recipe.split, recipe.seed)
    if recipe.patience is not None:
        split = with_stopping(split, dataset.cells, recipe.split, recipe.seed)
    split = split.with_unused({cell.label.patient for cell in dataset.left_out})
    reporter.say(f"training on patients {', '.join(split.train)}; validating on {', '.join(split.validation)}")
    if split.stopping:
        reporter.say(f"stopping by patients {', '.join(split.stopping)}")
    return _Material(recipe, dataset, report, split, start, dataset_sha256(dataset))


def described_dataset(order: Order, reporter: Reporter) -> tuple[Dataset, DataReport]:
    """The labelled cells that `order` names, and what is to be known of them before a training.

    Raises:
        InputMissingError: runs or labels are not there.
        RunError: a run cannot be read, or is none.
        DataError: labels contradict what is there, or one cell is labelled as two patients'.
        ConfigError: recipe or profile do not fit the runs.
    """
    labels = read_labels(order.labels)
    wanted = Wanted(order.recipe.channels, order.recipe.auxiliary_channels)
    dataset = read_dataset(order.runs, labels.cells, order.profile, wanted, reporter)
    report = describe(dataset, labels.conflicts)
    for line in report.lines:
        reporter.say(line)
    return dataset, report


def _fingerprint(material: _Material) -> str:
    """sha256 of all that decides the weights: recipe, start, cells, torch."""
    facts = [material.recipe.model_dump(), material.start.sha256, material.data_sha256, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _training(material: _Material, trained: Trained, exported: Exported, seconds: float) -> dict[str, Any]:
    """For the record in checkpoint.json."""
    dataset, split = material.dataset, material.split
    parts = (("train", split.train), ("stopping", split.stopping), ("validation", split.validation))
    return {
        "recipe": material.recipe.model_dump(mode="json"),
        "start": {"sha256": material.start.sha256, "said": trained.said},
        "cells": {part: class_counts(material.cells(patients)) for part, patients in parts},
        "patients": {one.patient: {"CTC": one.ctc, "LEUKOCYTE": one.leukocyte} for one in material.report.patients},
        "data": material.report.cell_lines,
        "data_sha256": material.data_sha256,
        "left_out": [
            {"run_id": cell.label.run_id, "cell_id": cell.label.cell_id, "problem": cell.problem}
            for cell in dataset.left_out
        ],
        "unlabelled": dataset.unlabelled,
        "epochs": len(trained.epochs),
        "largest_difference_from_torch": dict(exported.differences),
        "versions": {
            "edge_ctc": __version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        "seconds": round(seconds, 1),
    }


def class_counts(cells: Sequence[LabelledCell]) -> dict[str, int]:
    """How many cells of each class."""
    ctcs = sum(cell.label.is_ctc for cell in cells)
    return {"CTC": ctcs, "LEUKOCYTE": len(cells) - ctcs}


def _checkpoint(
    material: _Material, trained: Trained, exported: Exported, training: dict[str, Any], reporter: Reporter
) -> tuple[Description, dict[str, bytes]]:
    """checkpoint.json and the contents of the other files."""
    held_out = material.cells(material.split.validation)
    logits = exported.scores.logits
    rule = rule_from(held_out, logits, left_out_of(material.dataset, material.split.validation), material.recipe)
    if rule.why_no_promise:
        reporter.say(f"no miss rate is promised: {rule.why_no_promise}")
    truth = truth_of(held_out)
    draft = Description(
        schema_version=1,
        name=material.recipe.name,
        notice=material.recipe.notice,
        input=trained.spec,
        classes=("LEUKOCYTE", "CTC"),
        calibration=rule.calibration,
        thresholds=rule.thresholds,
        promise=rule.promise,
        fingerprint=fingerprint(material.dataset),
        metrics=figures_of(Scored(logits, truth), rule.thresholds),
        training=training,
        split={
            "train": material.split.train,
            "stopping": material.split.stopping,
            "validation": material.split.validation,
            "unused": material.split.unused,
        },
        files={},
    )
    contents = {
        MODEL_FP32: exported.graphs["fp32"],
        MODEL_FP16: exported.graphs["fp16"],
        REFERENCE: reference_npz(held_out, exported.scores),
        MODEL_CARD: write_card(draft).encode(),
    }
    if (novelty := _novelty(material, trained, exported)) is not None:
        contents[NOVELTY] = novelty.content()
    return draft.model_copy(update={"files": hashes(contents)}), contents


def _novelty(material: _Material, trained: Trained, exported: Exported) -> Novelty | None:
    learned = material.cells(material.split.train)
    seen = onnx_scores(exported.graphs["fp32"], prepared(learned, trained.spec).cells).features
    return fit_novelty(seen, truth_of(learned), exported.scores.features)
