"""`evaluate`, from labelled runs to the report: whole or not at all, and nothing of another experiment."""

import csv
import errno
import json
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from edge_ctc import durable
from edge_ctc.errors import DataError, ResultsError
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from trainer.cells.folds import Folds
from trainer.evaluate import FIGURES, OUT_OF_FOLD, REPORT, evaluate
from trainer.evaluation import crossval
from trainer.evaluation.figures import NAMES
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.fit import Order
from trainer.recipe import Recipe

FOLDS = Folds(folds=2, seeds=1)
RECIPE = Recipe(
    schema_version=1, name="tiny", layer4=False, width=8, epochs=1, batch_size=32, side_px=40, accelerator="cpu"
)
PATIENTS = (31, 32, 33, 34)
PICTURES = ("training_curves.png", "precision_recall.png", "confusion.png", "worst_errors.png")


class Silent:
    """A `Reporter` that keeps nothing."""

    def say(self, text: str) -> None:
        pass

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        pass


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four patients with their labels, one cell torn; never changed by a test."""
    root = tmp_path_factory.mktemp("material")
    rows = [["run_id", "cell_id", "label", "patient"]]
    for seed in PATIENTS:
        run = root / "runs" / f"run{seed}"
        write_run(run, 16, 6, seed, Layout.FLAT)
        truth = read_truth(run.with_name(f"{run.name}.truth.csv"))
        rows += [[run.name, cell_id, label, f"patient {seed}"] for cell_id, label in truth.items()]
    torn = next(row for row in rows if row[2] == "CTC")
    image = next(path for path in sorted((root / "runs" / torn[0]).rglob("*.tif")) if torn[1] in path.name)
    image.write_bytes(image.read_bytes()[:100])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def order(material: Path, out: Path, labels: Path | None = None, recipe: Recipe = RECIPE) -> Order:
    return Order(material / "runs", labels or material / "labels.csv", out, recipe)


@pytest.fixture(scope="module")
def finished(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that has ended; never changed by a test."""
    out = tmp_path_factory.mktemp("evaluations") / "ours"
    evaluate(order(material, out), FOLDS, Silent())
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_all_files_are_there_and_nothing_else(finished: Path) -> None:
    found = {path.name for path in finished.iterdir()}
    assert found.difference({"reliability.png"}) == {OUT_OF_FOLD, FIGURES, REPORT, *PICTURES, "parts"}
    for name in PICTURES:
        with Image.open(finished / name) as picture:
            picture.verify()


def test_the_table_holds_every_label_and_the_torn_ctc_counts_as_missed(finished: Path, material: Path) -> None:
    table = OutOfFold.read(finished / OUT_OF_FOLD)
    with (material / "labels.csv").open(newline="") as file:
        labels = {(row["run_id"], row["cell_id"]): row["label"] for row in csv.DictReader(file)}
    said = {True: "CTC", False: "LEUKOCYTE"}
    assert {
        (run, cell): said[is_ctc]
        for run, cell, is_ctc in zip(table.run_id, table.cell_id, table.is_ctc.tolist(), strict=True)
    } == labels
    assert table.is_ctc[~table.evaluable].tolist() == [True]
    figures = json.loads((finished / FIGURES).read_text())
    assert figures["confusion"]["NOT_EVALUABLE"] == {"CTC": 1.0, "LEUKOCYTE": 0.0}
    assert sum(run["not_evaluable"] for run in figures["runs"]) == 1


def test_the_figures_are_json_without_nan_and_with_every_name(finished: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    figures = json.loads((finished / FIGURES).read_text(), parse_constant=refuse)
    assert tuple(figures["figures"]) == NAMES
    assert figures["figures"]["f1_ctc"]["seed_sd"] is None
    assert figures["assumed"] == {"prevalence": 0.01, "top": 20, "seed": 0}
    assert figures["patients"] == 4
    assert figures["folds"] == {"folds": 2, "seeds": 1, "sample": None}


def test_the_report_tells_figures_runs_choices_data_shortcuts_and_its_own_limits(finished: Path) -> None:
    report = (finished / REPORT).read_text()
    for text in (
        "# Evaluation of tiny",
        "of 4 patients, 2 folds, 1 seeds",
        "| average precision, scores of all folds in one ranking |",
        "| average precision, mean over the folds of each network's own |",
        "recall at 20 candidates per run",
        "precision of verdict CTC where 0.01 of the cells are CTCs",
        "Only 4 patients",
        "Specificity 0.999 cannot be told from 1",
        "| run33 | patient 33 |",
        "chosen in each fold, on its validation patients",
        "## Shortcuts",
        "diameter_px",
        "4 of 4 runs with CTCs have no more than 20 cells with a score: there every CTC",
        "## Data\n\n- patients: 4\n  - patient 31: 5 CTC, 10 LEUKOCYTE\n  - ",
        "## Cells that cannot be evaluated\n\n| run |",
    ):
        assert text in report, text
    named = {line.split("](")[1].rstrip(")") for line in report.splitlines() if line.startswith("![")}
    assert named == {path.name for path in finished.glob("*.png")}


def test_the_same_evaluation_is_the_same_to_the_byte(material: Path, finished: Path, tmp_path: Path) -> None:
    evaluate(order(material, tmp_path / "again"), FOLDS, Silent())
    assert contents(tmp_path / "again") == contents(finished)


def test_an_evaluation_that_has_ended_writes_its_report_anew_without_a_training(
    material: Path, copy: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(crossval, "train_network")
    for name in (REPORT, FIGURES, *PICTURES):
        (copy / name).unlink()
    (copy / f".{REPORT}.tmp-0123abcd").write_bytes(b"left by a kill")
    evaluate(order(material, copy), FOLDS, Silent())
    assert contents(copy) == contents(finished)


def test_a_folder_with_something_else_is_refused(material: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ResultsError, match="holds something that is no evaluation; name another --out"):
        evaluate(order(material, tmp_path), FOLDS, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(material: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ResultsError, match="no evaluation"):
        evaluate(order(material, tmp_path / "out"), FOLDS, Silent())


def test_another_recipe_is_refused_and_what_stood_there_still_stands(material: Path, copy: Path) -> None:
    before = contents(copy)
    with pytest.raises(DataError, match=r"of another recipe.*name another --out"):
        evaluate(order(material, copy, recipe=RECIPE.model_copy(update={"epochs": 2})), FOLDS, Silent())
    assert contents(copy) == before


def test_a_full_disk_at_the_last_file_leaves_the_former_report_whole(
    material: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / REPORT).write_text("the former report")
    before = contents(copy)
    writing = durable.writing
    written: list[int] = []

    def filling(content: bytes):  # type: ignore[no-untyped-def]
        def write(file: BinaryIO) -> None:
            written.append(len(content))
            if len(written) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            writing(content)(file)

        return write

    monkeypatch.setattr(durable, "writing", filling)
    with pytest.raises(ResultsError, match="No space left on device"):
        evaluate(order(material, copy), FOLDS, Silent())
    assert len(written) == 4
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("patients", "kinds", "fault"),
    [
        (PATIENTS[:1], ("CTC", "LEUKOCYTE"), r"2 folds, but only 1 patients .* have a CTC"),
        (PATIENTS, ("LEUKOCYTE",), r"2 folds, but only 0 patients .* have a CTC"),
        (PATIENTS, ("CTC",), r"2 folds, but only 0 patients .* have a LEUKOCYTE"),
        (PATIENTS[:2], ("CTC", "LEUKOCYTE"), r"seed 0, fold 0: all \d+ cells are of one patient"),
    ],
    ids=["one patient", "no CTC", "no leukocyte", "two patients"],
)
def test_too_few_labels_are_refused_with_what_to_do_and_no_report(
    material: Path, tmp_path: Path, patients: tuple[int, ...], kinds: tuple[str, ...], fault: str
) -> None:
    with (material / "labels.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if row[2] in kinds and row[3] in {f"patient {seed}" for seed in patients}]
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    with pytest.raises(DataError, match=fault):
        evaluate(order(material, tmp_path / "out", labels), FOLDS, Silent())
    assert not list((tmp_path / "out").glob("*.*"))
