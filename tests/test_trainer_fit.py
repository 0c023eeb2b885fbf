"""Trainings from labelled runs to a checkpoint, through the command and through `fit`."""

import csv
import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from edge_ctc import durable
from edge_ctc.checkpoint import MODEL_FP16, MODEL_FP32, open_checkpoint
from edge_ctc.cli import run_app
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.errors import DataError, ResultsError, ResultsHeldError
from edge_ctc.exports.profile import load_profile
from edge_ctc.parity import replay
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from tests.listener import KilledError, Listener
from trainer.__main__ import PROG, app
from trainer.cells import dataset as data
from trainer.cells.labels import Label
from trainer.checkpoint.folder import publish
from trainer.fit import Order, fit
from trainer.recipe import Recipe, load_recipe

PATIENTS = (21, 22, 23)
RECIPE = """\
schema_version = 1
name = "tiny"
notice = "learned from a handful of simulated cells"
layer4 = false
width = 8
epochs = 3
batch_size = 8
"""


@dataclass(frozen=True)
class Place:
    """Three patients' runs with their labels, and a recipe, in a folder of the test's own."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def labels(self) -> Path:
        return self.root / "labels.csv"

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    def rows(self) -> list[list[str]]:
        with self.labels.open(newline="") as file:
            return list(csv.reader(file))[1:]

    def relabel(self, rows: list[list[str]]) -> None:
        write_labels(self.labels, rows)

    def order(self, out: str = "checkpoint", **changes: object) -> Order:
        recipe = Recipe.model_validate(load_recipe(self.recipe).model_dump() | changes)
        return Order(self.runs, self.labels, self.root / out, recipe)


def write_labels(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["run_id", "cell_id", "label", "patient"], *rows])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of 16 cells, one of them in another layout; never changed by a test."""
    root = tmp_path_factory.mktemp("simulated")
    rows = []
    for seed in PATIENTS:
        run = root / "runs" / f"run{seed}"
        write_run(run, 16, 6, seed, Layout.MULTIPAGE if seed == PATIENTS[0] else Layout.FLAT)
        truth = read_truth(run.with_name(f"{run.name}.truth.csv"))
        rows += [[run.name, cell_id, label, f"patient {seed}"] for cell_id, label in truth.items()]
    write_labels(root / "labels.csv", rows)
    (root / "recipe.toml").write_text(RECIPE)
    return root


@pytest.fixture
def place(simulated: Path, tmp_path: Path) -> Place:
    shutil.copytree(simulated, tmp_path / "place")
    return Place(tmp_path / "place")


@pytest.fixture(scope="module")
def trained(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint trained without interruption; never changed by a test."""
    out = tmp_path_factory.mktemp("trained") / "checkpoint"
    fit(Order(simulated / "runs", simulated / "labels.csv", out, load_recipe(simulated / "recipe.toml")), Listener())
    return out


Trainer = Callable[..., int]


@pytest.fixture
def trainer() -> Trainer:
    """Runs `python -m trainer fit` on a place; the exit code."""

    def run(place: Place, out: str = "checkpoint", **options: object) -> int:
        given = {"runs": place.runs, "labels": place.labels, "out": place.root / out, "recipe": place.recipe}
        arguments = [str(part) for name, value in (given | options).items() for part in (f"--{name}", value)]
        with pytest.raises(SystemExit) as ended:
            run_app(app, PROG, ["fit", *arguments])
        return int(ended.value.code or 0)

    return run


def nothing_left(place: Place) -> bool:
    return sorted(path.name for path in place.root.iterdir()) == ["labels.csv", "recipe.toml", "runs"]


def test_a_checkpoint_opens_and_replays_at_both_precisions(trained: Path) -> None:
    checkpoint = open_checkpoint(trained)
    for precision in checkpoint.models:
        with OnnxCpuEngine(checkpoint, precision) as engine:
            assert replay(engine, checkpoint).cells == 16
    assert sorted(path.name for path in trained.parent.iterdir()) == ["checkpoint"]


def test_a_checkpoint_tells_its_split_its_figures_and_its_recipe(trained: Path) -> None:
    description = open_checkpoint(trained).description
    named = [patient for part in description.split.values() for patient in part]
    assert sorted(named) == [f"patient {seed}" for seed in PATIENTS]
    assert description.metrics["validation_ctc"] == 6
    assert description.calibration is None
    assert description.training["recipe"]["epochs"] == 3
    assert description.training["cells"] == {
        "train": {"CTC": 12, "LEUKOCYTE": 20},
        "stopping": {"CTC": 0, "LEUKOCYTE": 0},
        "validation": {"CTC": 6, "LEUKOCYTE": 10},
    }
    assert description.thresholds.review_top == 20
    assert description.promise is None
    assert description.fingerprint is not None
    assert description.fingerprint.patients == 3
    assert description.input.channel_names == ("BF", "DAPI", "PE", "APC")


def test_the_card_begins_with_the_notice(trained: Path) -> None:
    assert (trained / "MODEL_CARD.md").read_text().splitlines()[0] == "learned from a handful of simulated cells"


def test_a_training_resumed_after_a_kill_equals_an_unbroken_one_bit_for_bit(place: Place, trained: Path) -> None:
    for epoch in (1, 2):
        with pytest.raises(KilledError):
            fit(place.order(), Listener(killed_after=epoch))
        assert not (place.root / "checkpoint").exists()
    listener = Listener()
    fit(place.order(), listener)
    assert "going on after epoch 2 of 3" in listener.heard
    for graph in (MODEL_FP32, MODEL_FP16):
        assert (place.root / "checkpoint" / graph).read_bytes() == (trained / graph).read_bytes()
    assert not (place.root / "checkpoint.work").exists()


def test_the_work_folder_of_another_recipe_is_refused(place: Place) -> None:
    with pytest.raises(KilledError):
        fit(place.order(), Listener(killed_after=1))
    with pytest.raises(DataError, match=r"checkpoint\.work: begun with another recipe.*to begin anew"):
        fit(place.order(seed=5), Listener())


@pytest.mark.parametrize("name", ["state.json", "epoch-1.safetensors"])
def test_a_spoilt_work_folder_is_refused_with_the_way_out(place: Place, name: str) -> None:
    with pytest.raises(KilledError):
        fit(place.order(), Listener(killed_after=1))
    path = place.root / "checkpoint.work" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"checkpoint\.work.*to begin anew"):
        fit(place.order(), Listener())


def test_a_second_training_into_the_same_place_is_refused_while_one_runs(place: Place) -> None:
    class Second(Listener):
        def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
            super().advanced(what, done, total, note)
            if what == "epoch":
                with pytest.raises(ResultsHeldError):
                    fit(place.order(), Listener())
                raise KilledError

    with pytest.raises(KilledError):
        fit(place.order(), Second())


def test_one_patient_ends_with_65_and_no_checkpoint(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    place.relabel([row for row in place.rows() if row[0] == "run22"])
    assert trainer(place) == 65
    assert "are of one patient (patient 22)" in capsys.readouterr().err
    assert nothing_left(place)


def test_one_class_ends_with_65_and_no_checkpoint(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    place.relabel([row for row in place.rows() if row[2] == "CTC"])
    assert trainer(place) == 65
    assert "expected both classes" in capsys.readouterr().err
    assert nothing_left(place)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["run24", "0001", "CTC", "p"], "run run24: 1 labels, but no such folder"),
        (["run22", "1", "CTC", "p"], "cell 1 of run run22: labelled, but the run holds no such cell"),
        (["..", "1", "CTC", "p"], "run ..: 1 labels, but no such folder"),
    ],
)
def test_a_label_for_what_does_not_exist_ends_with_65(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str], row: list[str], said: str
) -> None:
    place.relabel([*place.rows(), row])
    assert trainer(place) == 65
    assert said in capsys.readouterr().err
    assert nothing_left(place)


def test_missing_runs_or_labels_end_with_66(place: Place, trainer: Trainer) -> None:
    assert trainer(place, labels=place.root / "no.csv") == 66
    assert trainer(place, runs=place.root / "no") == 66


def test_a_misspelt_recipe_key_ends_with_78_and_the_key_that_was_meant(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    place.recipe.write_text(RECIPE + "epoch = 3\n")
    assert trainer(place) == 78
    assert 'epoch: unknown key (did you mean "epochs"?)' in capsys.readouterr().err


def test_an_existing_folder_is_refused_before_anything_is_read(place: Place, trainer: Trainer) -> None:
    kept = place.root / "checkpoint" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    shutil.rmtree(place.runs)
    assert trainer(place) == 73
    assert kept.read_text() == "mine"


def test_a_missing_option_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        run_app(app, PROG, ["fit", "--runs", "x"])
    assert ended.value.code == 64


def test_a_torn_labelled_cell_is_left_out_and_said(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = place.runs / "run22" / "Images" / "0003_PE.tif"
    torn.write_bytes(torn.read_bytes()[:200])
    (place.runs / "run23" / "Images" / "0004_BF.tif").unlink()
    assert trainer(place) == 0
    said = capsys.readouterr().err
    assert "left out: 2 labelled cells that cannot be evaluated" in said
    assert "run22 cell 0003: Images/0003_PE.tif" in said
    assert "run23 cell 0004: channel BF is missing" in said
    assert "no miss rate is promised: the scores cannot be calibrated, and REVIEW goes by rank" in said
    training = json.loads((place.root / "checkpoint" / "checkpoint.json").read_text())["training"]
    assert [(one["run_id"], one["cell_id"]) for one in training["left_out"]] == [("run22", "0003"), ("run23", "0004")]


def read(place: Place, listener: Listener, wanted: tuple[str, ...] = ("BF",)) -> data.Dataset:
    return data.read_dataset(place.runs, data_labels(place), None, data.Wanted(wanted), listener)


def data_labels(place: Place) -> list[Label]:
    return [Label(run_id, cell_id, label == "CTC", patient) for run_id, cell_id, label, patient in place.rows()]


def test_cells_without_a_label_are_counted_and_not_used(place: Place) -> None:
    place.relabel(place.rows()[5:])
    listener = Listener()
    assert read(place, listener).unlabelled == 5
    assert "not used: 5 cells without a label" in listener.heard


def test_a_torn_image_of_a_channel_that_is_not_wanted_leaves_no_cell_out(place: Place) -> None:
    (place.runs / "run22" / "Images" / "0003_PE.tif").write_bytes(b"torn")
    assert read(place, Listener()).left_out == ()


def test_channels_of_two_sizes_leave_a_cell_out(place: Place) -> None:
    path = place.runs / "run22" / "Images" / "0003_PE.tif"
    tifffile.imwrite(path, np.zeros((32, 32), np.uint16), photometric="minisblack", metadata=None)
    (left_out,) = read(place, Listener(), ("BF", "PE")).left_out
    assert "another channel of this cell has (64, 64)" in left_out.problem


def test_images_of_two_depths_are_refused(place: Place) -> None:
    for path in (place.runs / "run22" / "Images").glob("*_BF.tif"):
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(DataError, match=r"images of \['uint16', 'uint8'\]"):
        read(place, Listener())


def test_a_channel_without_contrast_is_refused_by_name(place: Place) -> None:
    place.relabel([row for row in place.rows() if row[0] != "run21"])
    for path in place.runs.glob("*/Images/*_PE.tif"):
        tifffile.imwrite(path, np.full((64, 64), 7, np.uint16), photometric="minisblack", metadata=None)
    with pytest.raises(DataError, match="channel PE: nearly all pixels of the training cells show 7 counts"):
        fit(place.order(), Listener())
    assert nothing_left(place)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    description = open_checkpoint(trained).description
    contents = {name: (trained / name).read_bytes() for name in description.files}
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ResultsError, match="cannot be written"):
        publish(blocked / "checkpoint", description, contents)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_training_that_is_read_in_another_way_does_not_go_on(place: Place) -> None:
    profile = load_profile("flat")
    place.relabel([row for row in place.rows() if row[0] != "run21"])
    order = replace(place.order(), profile=profile)
    with pytest.raises(KilledError):
        fit(order, Listener(killed_after=1))
    deeper = replace(profile, profile=profile.profile.model_copy(update={"bits": 12}))
    with pytest.raises(DataError, match="begun with another recipe"):
        fit(replace(order, profile=deeper), Listener())


def test_the_state_of_another_version_is_refused_with_the_way_out(place: Place) -> None:
    with pytest.raises(KilledError):
        fit(place.order(), Listener(killed_after=1))
    path = place.root / "checkpoint.work" / "state.json"
    state = json.loads(path.read_bytes())
    path.write_text(json.dumps({**state, "epochs": 1}))
    with pytest.raises(
        DataError,
        match=r"checkpoint\.work/state\.json: not as this version writes it .epochs: Input should.*to begin anew",
    ):
        fit(place.order(), Listener())


def test_a_full_disk_after_an_epoch_ends_with_73_and_what_stood_stays(
    place: Place, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        fit(place.order(), Listener(killed_after=1))
    before = {path.name: path.read_bytes() for path in (place.root / "checkpoint.work").iterdir()}

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "_write_synced", full)
        assert trainer(place) == 73
    assert "epoch-2.safetensors: cannot be written (No space left on device)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (place.root / "checkpoint.work").iterdir()} == before
    assert not (place.root / "checkpoint").exists()


def test_a_recipe_that_is_none_of_the_built_in_ones_ends_with_78_and_the_one_that_was_meant(
    place: Place, trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trainer(place, recipe="papers") == 78
    assert "recipe 'papers': no built-in of that name (did you mean \"paper\"?)" in capsys.readouterr().err
    assert nothing_left(place)
