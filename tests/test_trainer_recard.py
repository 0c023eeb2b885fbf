"""`card`: a checkpoint's copy with the figures of its own recipe and patients, or a refusal that leaves nothing."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_ctc.checkpoint import open_checkpoint
from edge_ctc.cli import run_app
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.errors import CheckpointError, DataError, InputMissingError, ResultsError
from edge_ctc.parity import replay
from tests.checkpoints import write_checkpoint
from trainer.__main__ import PROG, app
from trainer.evaluate import FIGURES
from trainer.evaluation.figures import NAMES
from trainer.recard import recard
from trainer.recipe import Recipe

RECIPE = Recipe(schema_version=1, name="tiny", epochs=1, seed=4).model_dump(mode="json")
CELLS, START = "c" * 64, "5" * 64
TRAINING = {
    "recipe": RECIPE,
    "start": {"sha256": START, "said": []},
    "data_sha256": CELLS,
    "cells": {part: {"CTC": 2, "LEUKOCYTE": 3} for part in ("train", "stopping", "validation")},
    "data": ["images: 10 of 64 x 64 pixels"],
    "left_out": [{"run_id": "r", "cell_id": "1", "problem": "torn"}],
}
SPLIT = {"train": ["a"], "stopping": [], "validation": ["b"], "unused": []}


def evaluated(**changes: Any) -> dict[str, Any]:
    """figures.json as `evaluate` writes it."""
    figures = {
        name: {"name": name, "value": 0.25, "low": 0.125, "high": 0.5, "seed_sd": None, "undefined": 0}
        for name in NAMES
    }
    return {
        "schema_version": 1,
        "recipe": RECIPE | {"name": "arm", "seed": 0, "notice": "other words", "start": "elsewhere.pt"},
        "start_sha256": START,
        "data_sha256": CELLS,
        "folds": {"folds": 3, "seeds": 2, "sample": None},
        "assumed": {"prevalence": 0.01, "top": 20, "seed": 0},
        "patients": 2,
        "figures": figures,
        "runs": [{"run_id": "r", "patients": ["a"], "ctcs": 2}, {"run_id": "s", "patients": ["b"], "ctcs": 2}],
    } | changes


@dataclass(frozen=True)
class Place:
    """A checkpoint and an evaluation in a folder of the test's own."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint"

    @property
    def out(self) -> Path:
        return self.root / "copy"

    @property
    def figures(self) -> Path:
        return self.root / "evaluation" / FIGURES

    def recard(self) -> None:
        recard(self.checkpoint, self.figures.parent, self.out)

    def write(self, figures: dict[str, Any]) -> None:
        self.figures.write_text(json.dumps(figures))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    write_checkpoint(found.checkpoint, notice="a demonstration", training=TRAINING, split=SPLIT)
    found.figures.parent.mkdir()
    found.write(evaluated())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_copy_opens_and_replays_and_differs_in_its_card_alone(place: Place) -> None:
    before = contents(place.checkpoint)
    place.recard()
    copy = open_checkpoint(place.out)
    for precision in copy.models:
        with OnnxCpuEngine(copy, precision) as engine:
            assert replay(engine, copy).cells == 8
    after = contents(place.out)
    assert {name for name in after if after[name] != before[name]} == {"MODEL_CARD.md", "checkpoint.json"}
    was = open_checkpoint(place.checkpoint)
    assert copy.sha256 != was.sha256
    assert copy.description.model_copy(update={"files": was.description.files}) == was.description


def test_the_original_stays_as_it_was_and_nothing_else_is_left(place: Place) -> None:
    before = contents(place.checkpoint)
    place.recard()
    assert contents(place.checkpoint) == before
    assert place.names() == ["checkpoint", "copy", "evaluation"]


def test_the_card_begins_with_the_notice_and_tells_every_figure_with_its_interval(place: Place) -> None:
    figures = evaluated()["figures"]
    figures["f1_ctc"] |= {"value": 0.7774, "low": 0.7, "high": 0.8125}
    figures["precision_at_prevalence"] |= {"value": None, "low": None, "high": None}
    place.write(evaluated(figures=figures))
    place.recard()
    card = (place.out / "MODEL_CARD.md").read_text()
    assert card.splitlines()[0] == "a demonstration"
    assert "cross-validated by patient: 2 patients, 3 folds, 2 seeds" in card
    assert "| F1 of CTC, verdict CTC | 0.777 | 0.700 to 0.812 |" in card
    assert "| precision of verdict CTC where 0.01 of the cells are CTCs | none | none to none |" in card
    assert "| recall at 20 candidates per run, mean over runs with CTCs | 0.250 | 0.125 to 0.500 |" in card
    assert card.count("| 0.250 | 0.125 to 0.500 |") == len(NAMES) - 2
    assert "None: `python -m trainer evaluate`" not in card


def refused(place: Place, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        place.recard()
    assert place.names() == ["checkpoint", "evaluation"]


def test_an_evaluation_of_another_recipe_is_refused_by_the_keys_that_differ(place: Place) -> None:
    place.write(evaluated(recipe=RECIPE | {"epochs": 2, "width": 32}))
    refused(place, DataError, r"evaluation: of a recipe that differs in epochs, width; name the evaluation")


def test_a_key_that_only_the_evaluation_has_is_another_recipe_too(place: Place) -> None:
    place.write(evaluated(recipe=RECIPE | {"mixup": 0.5}))
    refused(place, DataError, "differs in mixup")


@pytest.mark.parametrize(("key", "what"), [("data_sha256", "labelled cells"), ("start_sha256", "start")])
def test_an_evaluation_of_other_cells_or_from_another_start_is_refused(place: Place, key: str, what: str) -> None:
    place.write(evaluated(**{key: "d" * 64}))
    refused(place, DataError, rf"evaluation: of another {what} \(sha256 dddddddddddd, the checkpoint's")


@pytest.mark.parametrize("name", ["evaluation", "evaluation/figures.json"])
def test_an_evaluation_that_is_not_there_is_named(place: Place, name: str) -> None:
    path = place.root / name
    path.rename(place.root.parent / f"{place.root.name}-{path.name}")
    with pytest.raises(InputMissingError, match=r"figures\.json: no such file; name the folder that evaluate wrote"):
        place.recard()
    assert not place.out.exists()


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in evaluated().items() if name != key}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        json.dumps(evaluated()).encode()[:-9],
        json.dumps(evaluated(schema_version=2)).encode(),
        json.dumps(evaluated(figures={"f1_ctc": {"name": "f1_ctc", "value": "high"}})).encode(),
        json.dumps(evaluated(recipe=[])).encode(),
        *(without(key) for key in ("recipe", "folds", "assumed", "figures", "data_sha256", "start_sha256")),
    ],
)
def test_a_spoilt_evaluation_is_refused_with_the_way_out(place: Place, content: bytes) -> None:
    place.figures.write_bytes(content)
    refused(place, DataError, r"figures\.json: not as evaluate writes it .*; evaluate anew")


@pytest.mark.parametrize("changes", [{"data": None}, {"cells": {"train": 4}}, {"recipe": {"name": "tiny"}}])
def test_a_checkpoint_of_another_trainer_is_refused(place: Place, changes: dict[str, Any]) -> None:
    shutil.rmtree(place.checkpoint)
    write_checkpoint(place.checkpoint, training=TRAINING | changes, split=SPLIT)
    refused(place, DataError, "checkpoint: another version of the trainer made it, train again")


def test_a_spoilt_checkpoint_is_refused(place: Place) -> None:
    (place.checkpoint / "MODEL_CARD.md").write_text("other words")
    refused(place, CheckpointError, r"MODEL_CARD\.md: sha256")


def test_a_place_that_is_taken_is_refused_and_stays(place: Place) -> None:
    place.out.mkdir()
    (place.out / "notes.txt").write_text("mine")
    with pytest.raises(ResultsError, match="copy: holds something already"):
        place.recard()
    assert contents(place.out) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(("spoil", "code"), [(False, 0), (True, 65)])
def test_the_command_ends_as_it_went(
    place: Place, capsys: pytest.CaptureFixture[str], *, spoil: bool, code: int
) -> None:
    if spoil:
        place.figures.write_text("{")
    arguments = ["card", str(place.checkpoint), "--evaluation", str(place.figures.parent), "--out", str(place.out)]
    with pytest.raises(SystemExit) as ended:
        run_app(app, PROG, arguments)
    assert int(ended.value.code or 0) == code
    said = capsys.readouterr()
    assert ("checkpoint means" in said.out) is not spoil
    assert ("evaluate anew" in said.err) is spoil
