"""Cross-validation: every labelled cell scored once per seed by a network that never saw its patient; resumable."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc import durable
from edge_ctc.errors import ConfigError, DataError, ResultsError
from tests.out_of_fold import table_of
from tests.trainer_cells import dataset_of
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.folds import Folds, Sample
from trainer.evaluation import crossval
from trainer.evaluation.crossval import cross_validate, read_results
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.learning.training import train_network
from trainer.recipe import Augmentation, Recipe, SplitRecipe

RECIPE = Recipe(
    schema_version=1,
    name="tiny",
    layer4=False,
    width=8,
    epochs=1,
    batch_size=32,
    accelerator="cpu",
    augmentation=Augmentation(shift_px=0.0),
)
FOLDS = Folds(folds=2, seeds=1)
DATASET = dataset_of(patients=6, cells=8, ctcs=3, left_out=1)


class KilledError(Exception):
    """Stands for a kill."""


@dataclass
class Listener:
    """A `Reporter` that may end the work after so many reports of one kind."""

    kills: tuple[str, int] | None = None
    heard: list[tuple[str, int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        del total, note
        self.heard.append((what, done))
        if self.kills == (what, done):
            raise KilledError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return DATASET


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation that has ended; never changed by a test."""
    out = tmp_path_factory.mktemp("finished")
    cross_validate(dataset, RECIPE, FOLDS, out, Listener()).write(out / "table.csv")
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_every_labelled_cell_has_one_row_and_a_cell_that_cannot_be_evaluated_one_without_a_score(
    finished: Path, dataset: Dataset
) -> None:
    table = OutOfFold.read(finished / "table.csv")
    labels = [*(cell.label for cell in dataset.cells), *(one.label for one in dataset.left_out)]
    found = set(zip(table.run_id, table.cell_id, table.patient, table.is_ctc, strict=True))
    assert found == {(one.run_id, one.cell_id, one.patient, one.is_ctc) for one in labels}
    assert len(table.seed) == len(labels)
    assert set(table.cell_id[~table.evaluable]) == {"000"}
    assert set(table.verdict[~table.evaluable]) == {"NOT_EVALUABLE"}


def test_a_patient_who_is_only_trained_on_has_no_row_and_is_in_every_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(parts, *rest):  # type: ignore[no-untyped-def]
        seen.append({cell.label.patient for cell in parts.train})
        return train_network(parts, *rest)

    monkeypatch.setattr(crossval, "train_network", spy)
    recipe = RECIPE.model_copy(update={"split": SplitRecipe(train_only=("p0",)), "patience": 1})
    table = cross_validate(dataset_of(patients=9, cells=6, ctcs=2), recipe, FOLDS, tmp_path, Listener())
    assert "p0" not in table.patient
    assert len(set(table.patient)) == 8
    assert len(seen) == 2
    assert all("p0" in patients for patients in seen)


def test_thresholds_do_not_change_with_the_labels_of_the_held_out(
    dataset: Dataset, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = OutOfFold.read(finished / "table.csv")
    outside = sorted(set(table.patient[table.fold == 0]))
    monkeypatch.setattr(
        crossval, "held_out_folds", lambda *_: (tuple(outside), tuple(sorted({*table.patient}.difference(outside))))
    )

    def flipped(cell: LabelledCell) -> LabelledCell:
        label = cell.label
        return replace(cell, label=replace(label, is_ctc=not label.is_ctc)) if label.patient in outside else cell

    other = replace(dataset, cells=tuple(flipped(cell) for cell in dataset.cells))
    lied = cross_validate(other, RECIPE, FOLDS, tmp_path, Listener())
    held_out = table.fold == 0
    assert np.array_equal(lied.logit[held_out], table.logit[held_out], equal_nan=True)
    assert np.array_equal(lied.verdict[held_out], table.verdict[held_out])
    assert read_results(tmp_path, FOLDS)[0].thresholds == read_results(finished, FOLDS)[0].thresholds


def test_a_second_call_trains_nothing_and_gives_the_same_table(
    copy: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(crossval, "train_network")
    table = cross_validate(dataset, RECIPE, FOLDS, copy, Listener())
    assert table.to_csv() == (copy / "table.csv").read_bytes()


def test_seeds_can_be_added_to_what_is_finished(copy: Path, dataset: Dataset) -> None:
    listener = Listener()
    table = cross_validate(dataset, RECIPE, Folds(folds=2, seeds=2), copy, listener)
    assert table.seeds == (0, 1)
    assert table.of_seed(0).to_csv() == (copy / "table.csv").read_bytes()
    assert sum(what == "epoch" for what, _ in listener.heard) == 2
    named = [text for text in listener.said if text.startswith("seed ")]
    assert named == ["seed 1, fold 0", "seed 1, fold 1"]
    assert listener.said[0] == named[0]


def test_what_was_killed_between_two_epochs_of_a_fold_goes_on_there(dataset: Dataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 2})
    whole = cross_validate(dataset, recipe, FOLDS, tmp_path / "whole", Listener())
    with pytest.raises(KilledError):
        cross_validate(dataset, recipe, FOLDS, tmp_path / "cut", Listener(kills=("epoch", 1)))
    assert (tmp_path / "cut" / "parts" / "seed-0-fold-0.work").is_dir()
    listener = Listener()
    table = cross_validate(dataset, recipe, FOLDS, tmp_path / "cut", listener)
    assert [done for what, done in listener.heard if what == "epoch"] == [2, 1, 2]
    assert table.to_csv() == whole.to_csv()
    assert sorted(path.name for path in (tmp_path / "cut" / "parts").iterdir()) == [
        "seed-0-fold-0.json",
        "seed-0-fold-1.json",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": RECIPE.model_copy(update={"epochs": 2})},
        {"folds": Folds(2, 1, Sample(2, 2))},
        {"dataset": dataset_of(patients=6, cells=8, ctcs=4, left_out=1)},
        {"dataset": replace(DATASET, left_out=DATASET.left_out[1:])},
    ],
    ids=["recipe", "sample", "labels", "left out"],
)
def test_parts_of_another_experiment_are_refused(copy: Path, dataset: Dataset, other: dict[str, object]) -> None:
    before = {path.name: path.read_bytes() for path in (copy / "parts").iterdir()}
    asked: dict[str, object] = {"dataset": dataset, "recipe": RECIPE, "folds": FOLDS, **other}
    with pytest.raises(DataError, match=r"seed-0-fold-0.json: of another recipe.*name another --out"):
        cross_validate(**asked, out=copy, reporter=Listener())  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in (copy / "parts").iterdir()} == before


@pytest.mark.parametrize("spoil", ["cut", "changed", "no JSON"])
def test_a_spoilt_part_is_refused_with_what_to_do(copy: Path, dataset: Dataset, spoil: str) -> None:
    part = copy / "parts" / "seed-0-fold-1.json"
    content = part.read_bytes()
    changed = content.replace(b'"LEUKOCYTE"', b'"CTC"', 1)
    part.write_bytes({"cut": content[: len(content) // 2], "changed": changed, "no JSON": b"\x00"}[spoil])
    with pytest.raises(DataError, match=r"seed-0-fold-1.json: .*remove it, and the fold is trained anew"):
        cross_validate(dataset, RECIPE, FOLDS, copy, Listener())


def test_a_full_disk_leaves_no_part_and_the_next_call_goes_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise ResultsError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(crossval, "write_result", full)
        with pytest.raises(ResultsError, match="no space left"):
            cross_validate(dataset, RECIPE, FOLDS, tmp_path, Listener())
    assert not list((tmp_path / "parts").glob("*.json"))
    listener = Listener()
    cross_validate(dataset, RECIPE, FOLDS, tmp_path, listener)
    # The first fold had ended its only epoch: the second alone is trained.
    assert [done for what, done in listener.heard if what == "epoch"] == [1]


def test_two_cannot_write_one_experiment(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    with durable.sole_writer(tmp_path / "parts"), pytest.raises(ResultsError.__base__, match="another"):  # type: ignore[arg-type]
        cross_validate(dataset, RECIPE, FOLDS, tmp_path, Listener())


def test_more_folds_than_patients_with_ctcs_are_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"7 folds, but only 6 patients.*have a CTC.*fewer folds"):
        cross_validate(dataset, RECIPE, Folds(folds=7, seeds=1), tmp_path / "out", Listener())
    assert not (tmp_path / "out").exists()


def test_a_part_without_a_class_in_a_later_seed_is_refused_before_the_first_training(tmp_path: Path) -> None:
    """Four patients have CTCs: two held out, two to train and validate on; the one sample of all is too large."""
    listener = Listener()
    with pytest.raises(DataError, match=r"seed 0, fold 0: \d+ CTCs to learn from, the sample wants 99"):
        cross_validate(DATASET, RECIPE, Folds(2, 1, Sample(99, 4)), tmp_path / "out", listener)
    assert not (tmp_path / "out").exists()
    uneven = replace(DATASET, cells=tuple(cell for cell in DATASET.cells if keeps(cell)), left_out=())
    with pytest.raises(DataError, match=r"seed \d+, fold \d: split"):
        cross_validate(uneven, RECIPE, Folds(2, 8), tmp_path / "out", listener)
    assert listener.heard == []
    assert not (tmp_path / "out").exists()


def keeps(cell: LabelledCell) -> bool:
    """CTCs of three patients only: some draw holds two of them out."""
    return not cell.label.is_ctc or cell.label.patient in {"p0", "p1", "p2"}


def test_a_recipe_that_names_validation_patients_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"split": SplitRecipe(validation=("p0",))})
    with pytest.raises(ConfigError, match="cross-validation holds each out once"):
        cross_validate(dataset, recipe, FOLDS, tmp_path, Listener())


def test_a_network_learns_from_the_sample_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []

    def spy(parts, *rest):  # type: ignore[no-untyped-def]
        cells = [*parts.train, *parts.stopping]
        learned.append((sum(cell.label.is_ctc for cell in cells), sum(not cell.label.is_ctc for cell in cells)))
        return train_network(parts, *rest)

    monkeypatch.setattr(crossval, "train_network", spy)
    recipe = RECIPE.model_copy(update={"patience": 1})
    dataset = dataset_of(patients=12, cells=6, ctcs=3)
    table = cross_validate(dataset, recipe, Folds(2, 1, Sample(6, 4)), tmp_path, Listener())
    assert learned == [(6, 4), (6, 4)]
    assert len(table.seed) == 72


def test_the_learned_share_is_that_of_the_cells_trained_on(finished: Path) -> None:
    table = OutOfFold.read(finished / "table.csv")
    for result in read_results(finished, FOLDS):
        ctcs, leukocytes = result.cells["train"]
        assert set(table.learned_share[table.fold == result.fold]) == {ctcs / (ctcs + leukocytes)}


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    table = table_of(not_evaluable=0.1)
    table.write(tmp_path / "table.csv")
    assert OutOfFold.read(tmp_path / "table.csv").to_csv() == table.to_csv()
    assert np.array_equal(OutOfFold.read(tmp_path / "table.csv").logit, table.logit, equal_nan=True)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("fold", "9", "out in two folds"),
        ("cell_id", "0001", "has a cell twice"),
        ("patient", "p5", "two folds|not of the same cells"),
        ("logit", "inf", "logit that is not finite"),
        ("logit", "", "NOT_EVALUABLE with a logit, or none without"),
        ("p_ctc", "1.5", "p_ctc outside 0 to 1"),
        ("verdict", "MAYBE", "a verdict other than"),
        ("label", "cell", "labels"),
        ("learned_share", "0", "learned_share outside 0 to 1"),
        ("seed", "x", "evaluate anew"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(column: str, value: str, fault: str) -> None:
    header, first, *rest = table_of().to_csv().decode().splitlines()
    fields = first.split(",")
    fields[header.split(",").index(column)] = value
    with pytest.raises(DataError, match=fault):
        OutOfFold.parse("\n".join([header, ",".join(fields), *rest]).encode())


@pytest.mark.parametrize("content", [b"", b"\xff", b"seed,fold\n1,2\n"])
def test_what_is_no_table_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="out-of-fold table"):
        OutOfFold.parse(content)


def test_the_parts_are_json_that_anyone_can_read(finished: Path) -> None:
    first, sha256 = (finished / "parts" / "seed-0-fold-0.json").read_text().splitlines()
    assert json.loads(first)["seed"] == 0
    assert len(sha256) == 64
