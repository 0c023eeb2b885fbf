"""Arms of a table in processes of their own: what they write, how they end, and that a killed one goes on."""

import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.durable import sole_writer
from edge_ctc.errors import ConfigError, DataError, EngineError, InputMissingError, ResultsHeldError
from edge_ctc.exports.profile import load_profile
from tests.listener import Listener
from trainer.ablate import OUT_OF_FOLD, ArmLines, Order, ablate
from trainer.cells.folds import Folds
from trainer.evaluation.figures import Asked, Figure, differences, figures_of
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.pages.ablation_report import SHOWN, Ablation, ArmFigures, markdown, picture, write_report
from trainer.recipe import Augmentation, Recipe, SplitRecipe
from trainer.table import Arm, Table
from trainer.trials.jurkat import Cells, write

PROFILE = Path(__file__).parents[1] / "trainer" / "recipes" / "jurkat-profile.toml"
RECIPE = Recipe(
    schema_version=1, name="tiny", channels=("BF",), layer4=False, width=8, epochs=1, batch_size=8, accelerator="cpu"
)
STILL = RECIPE.model_copy(update={"augmentation": Augmentation(shift_px=0, gain_sigma=0)})
ENDLESS = RECIPE.model_copy(update={"epochs": 10_000})
TABLE = Table("tiny cells", Folds(2, 1), "still", (Arm("still", STILL), Arm("moved", RECIPE)))
ASKED = Asked(prevalence=0.01, top=20)


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """48 cells of 8 px, each a patient of its own, every fourth a CTC, a little brighter; never changed."""
    folder = tmp_path_factory.mktemp("cells") / "jurkat"
    is_ctc = np.arange(48) % 4 == 0
    images = np.random.default_rng(0).integers(0, 2000, (48, 2, 8, 8), np.uint16) + 100 * is_ctc[:, None, None, None]
    write(Cells(images.astype(np.uint16), is_ctc, np.zeros(48, np.bool_)), folder)
    return Order(folder / "runs", folder / "labels-few.csv", load_profile(str(PROFILE)))


KILLED = """\
from pathlib import Path
from tests.test_trainer_ablate import *
if __name__ == "__main__":
    order = Order(Path({runs!r}), Path({labels!r}), load_profile(str(PROFILE)))
    ablate(order, replace(TABLE, folds=Folds(2, 60)), Path({out!r}), 1, Listener())
"""


@pytest.fixture(scope="module")
def killed(order: Order, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose process was killed while its first arm trained, after two folds; never changed by a test."""
    folder = tmp_path_factory.mktemp("killed")
    script, out = folder / "killed.py", folder / "out"
    script.write_text(KILLED.format(runs=str(order.runs), labels=str(order.labels), out=str(out)))
    root = str(Path(__file__).parents[1])
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": root})
    until((out / "still" / "parts" / "seed-0-fold-1.json").exists)
    parent.kill()
    parent.wait()
    return out


@pytest.fixture(scope="module")
def ablated(order: Order, killed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written table of two arms, gone on with after a kill; never changed by a test."""
    until(lambda: is_free(killed / "still" / "parts"))
    out = tmp_path_factory.mktemp("ablated") / "out"
    shutil.copytree(killed, out)
    listener = Listener()
    ablate(order, TABLE, out, 1, listener)
    assert listener.heard == ["still: done, 1 of 2 arms", "moved: done, 2 of 2 arms", "comparing the arms by bootstrap"]
    return out


def test_every_arm_leaves_its_scores_and_the_table_their_paired_differences(ablated: Path) -> None:
    still, moved = (OutOfFold.read(ablated / name / OUT_OF_FOLD) for name in ("still", "moved"))
    assert len(still.seed) == 48
    assert not np.array_equal(still.logit, moved.logit)
    written = json.loads((ablated / "table.json").read_bytes())
    assert [arm["name"] for arm in written["arms"]] == ["still", "moved"]
    assert written["scored"] == {"ctcs": 12, "leukocytes": 36, "patients": 48}
    first, second = written["arms"]
    assert first["to_baseline"] is None
    assert first["to_former"] is None
    expected = {figure.name: figure for figure in differences(still, moved, ASKED)}
    own = {figure.name: figure for figure in figures_of(moved, ASKED)}
    for name in SHOWN:
        for said, figure in ((second["to_baseline"], expected[name]), (second["figures"], own[name])):
            assert [said[name][part] for part in ("value", "low", "high")] == [figure.value, figure.low, figure.high]
    assert all(expected[name].value for name in ("f1_ctc", "average_precision"))
    assert second["to_former"] == second["to_baseline"]
    assert Recipe.model_validate(second["recipe"], strict=False) == RECIPE


def test_the_written_table_has_a_row_for_every_arm_and_difference(ablated: Path) -> None:
    text = (ablated / "table.md").read_text()
    assert text.startswith("# tiny cells\n\n12 CTCs and 36 leukocytes of 48 patients, each scored by")
    assert text.count("\n| still |") == 1
    assert text.count("\n| moved |") == 2
    assert (ablated / "table.png").read_bytes().startswith(b"\x89PNG")


def test_an_arms_error_is_the_users_and_ends_the_others(order: Order, tmp_path: Path) -> None:
    stranger = RECIPE.model_copy(update={"split": SplitRecipe(train_only=("nobody",))})
    arms = (Arm("endless", ENDLESS), Arm("stranger", stranger))
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"the recipe names \['nobody'\]"):
        ablate(order, Table("fails", Folds(2, 1), "endless", arms), tmp_path, 2, Listener())
    assert time.monotonic() - began < 60
    assert not (tmp_path / "table.md").exists()
    until(lambda: not multiprocessing.active_children())


def test_a_cell_that_stands_there_as_two_patients_is_refused_before_any_training(order: Order, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(order.runs, runs)
    for channel in ("BF", "PI"):
        shutil.copy(
            runs / "jurkat" / "Images" / f"0000_{channel}.tif", runs / "jurkat" / "Images" / f"0001_{channel}.tif"
        )
    with pytest.raises(DataError, match=r"cell 0000 of run jurkat and cell 0001 of run jurkat: the same image bytes"):
        ablate(replace(order, runs=runs), TABLE, tmp_path / "out", 1, Listener())
    assert not list(tmp_path.rglob("*.json"))


def test_an_arm_whose_process_dies_is_told_of(order: Order, tmp_path: Path) -> None:
    def kill() -> None:
        until(lambda: bool(multiprocessing.active_children()))
        for child in multiprocessing.active_children():
            child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    arms = (Arm("endless", ENDLESS), Arm("still", STILL))
    with pytest.raises(EngineError, match=r"ended suddenly.*start again to go on, with fewer --jobs"):
        ablate(order, Table("dies", Folds(2, 1), "endless", arms), tmp_path, 1, Listener())
    killer.join()


def test_no_process_outlives_a_killed_table(killed: Path) -> None:
    until(lambda: is_free(killed / "still" / "parts"))


def test_a_killed_table_goes_on_where_it_stood(killed: Path, ablated: Path) -> None:
    name = "still/parts/seed-0-fold-1.json"
    assert (ablated / name).stat().st_mtime_ns == (killed / name).stat().st_mtime_ns


def is_free(folder: Path) -> bool:
    try:
        with sole_writer(folder):
            return True
    except ResultsHeldError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_arm_is_begun_where_labels_or_weights_are_missing(order: Order, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputMissingError, match=r"no\.csv"):
        ablate(replace(order, labels=tmp_path / "no.csv"), TABLE, out, 1, Listener())
    started = Arm("started", RECIPE.model_copy(update={"start": "IMAGENET1K_V9"}))
    with pytest.raises(ConfigError, match="IMAGENET1K_V9"):
        ablate(order, replace(TABLE, arms=(*TABLE.arms, started)), out, 1, Listener())
    with pytest.raises(ConfigError, match="0 jobs, expected 1 or more"):
        ablate(order, TABLE, out, 0, Listener())
    assert not out.exists()


def test_an_arm_says_every_line_once_with_its_name_and_no_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ArmLines("moved")
    for fold in (1, 2):
        lines.say("start: random")
        lines.advanced("epoch", 1, 1, "loss 0.7")
        lines.advanced("folds", fold, 2)
    assert capsys.readouterr().err == "moved: start: random\nmoved: folds 1/2\nmoved: folds 2/2\n"


def ablation(value: float, seed_sd: float = 0.01) -> Ablation:
    figures = tuple(Figure(name, value, value - 0.1, value + 0.1, seed_sd, 0) for name in SHOWN)
    arms = (ArmFigures(TABLE.arms[0], figures, None, None), ArmFigures(TABLE.arms[1], figures, figures, figures))
    return Ablation(TABLE, arms, 12, 36, 48)


def test_a_difference_has_its_sign_and_a_figure_has_none() -> None:
    text = markdown(ablation(0.25))
    cell = "0.250 [0.150, 0.350], sd 0.010"
    signed = "+0.250 [+0.150, +0.350], sd 0.010"
    assert text.count(f"| moved | {cell} | {cell} | {cell} |") == 1
    assert text.count(f"| moved | {signed} | {signed} | {signed} |") == 1


def test_the_arm_before_is_told_where_it_is_not_the_baseline() -> None:
    two, third = ablation(0.25), Arm("third", RECIPE)
    assert "Less the arm before" not in markdown(two)
    figures = two.arms[1].figures
    table = replace(TABLE, arms=(*TABLE.arms, third))
    three = replace(two, table=table, arms=(*two.arms, ArmFigures(third, figures, figures, figures)))
    assert "Less the arm before it, paired:" in markdown(three)
    assert "Less the arm before" in markdown(replace(two, table=replace(TABLE, baseline="moved")))


def test_what_is_not_defined_is_a_dash_and_null(tmp_path: Path) -> None:
    write_report(ablation(math.nan, math.nan), tmp_path / "out")
    assert "| still | — | — | — |" in (tmp_path / "out" / "table.md").read_text()
    written = json.loads((tmp_path / "out" / "table.json").read_bytes())
    assert written["arms"][0]["figures"]["f1_ctc"] == {
        "value": None, "low": None, "high": None, "seed_sd": None, "undefined": 0
    }  # fmt: skip


def test_the_same_figures_give_the_same_picture_and_others_another() -> None:
    assert picture(ablation(0.25)) == picture(ablation(0.25))
    assert picture(ablation(0.25)) != picture(ablation(0.3))
