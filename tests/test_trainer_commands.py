"""`python -m trainer` itself: fast where it only talks, and plain where it is interrupted."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_ctc.cli import run_app
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from trainer import recard
from trainer.__main__ import PROG, app

RECIPE = 'schema_version = 1\nname = "long"\nlayer4 = false\nwidth = 8\nside_px = 40\nepochs = 10000\n'
TABLE = """\
schema_version = 1
name = "two"
recipe = "recipe.toml"
folds = 2
seeds = 1
baseline = "one"
[[arms]]
name = "one"
[[arms]]
name = "other"
recipe = { learning_rate = 0.01 }
"""
GOES_ON = "interrupted; the same command goes on where it stood"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four patients, their labels, a recipe without end and a table of it; never changed by a test."""
    root = tmp_path_factory.mktemp("material")
    rows = [["run_id", "cell_id", "label", "patient"]]
    for seed in (31, 32, 33, 34):
        run = root / "runs" / f"run{seed}"
        write_run(run, 8, 3, seed, Layout.FLAT)
        truth = read_truth(run.with_name(f"{run.name}.truth.csv"))
        rows += [[run.name, cell_id, label, f"patient {seed}"] for cell_id, label in truth.items()]
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "recipe.toml").write_text(RECIPE)
    (root / "arms.toml").write_text(TABLE)
    return root


def command(name: str, material: Path, out: Path) -> list[str]:
    given = {"--runs": material / "runs", "--labels": material / "labels.csv", "--out": out}
    given |= {"--table": material / "arms.toml"} if name == "ablate" else {"--recipe": material / "recipe.toml"}
    return [sys.executable, "-m", "trainer", name, *(str(part) for pair in given.items() for part in pair)]


@pytest.mark.parametrize("name", ["fit", "evaluate", "ablate"])
def test_an_interrupted_command_that_goes_on_says_so(name: str, material: Path, tmp_path: Path) -> None:
    more = ["--folds", "2"] if name == "evaluate" else []
    process = subprocess.Popen(
        [*command(name, material, tmp_path / "out"), *more], cwd=Path(__file__).parents[1], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 90
    while not any(tmp_path.rglob("state.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 130, said
    assert GOES_ON in said
    assert any(tmp_path.rglob("state.json"))


def test_another_command_does_not_say_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recard, "recard", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        run_app(app, PROG, ["card", "x", "--evaluation", "y", "--out", str(tmp_path / "z")])
    assert ended.value.code == 130
    assert "goes on" not in capsys.readouterr().err


TALKS = """\
import sys
from edge_ctc.cli import run_app
from trainer.__main__ import PROG, app
try:
    run_app(app, PROG, sys.argv[1:])
finally:
    heavy = {"torch", "sklearn", "scipy", "matplotlib", "lightning_fabric"}.intersection(sys.modules)
    assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("fit --help", 0),
        ("fit --runs no --labels no.csv --out no-out", 66),
        ("evaluate --runs no --labels no.csv --out no-out", 66),
        ("ablate --table no.toml --runs no --labels no.csv --out no-out", 66),
        ("fit --runs {runs} --labels {labels} --recipe no.toml --out no-out", 78),
        ("evaluate --runs {runs} --labels {labels} --recipe fst --out no-out", 78),
        ("fit --runs no --labels {labels} --out no-out", 66),
    ],
)
def test_help_and_a_mistyped_path_wait_for_no_training_library(
    material: Path, tmp_path: Path, arguments: str, code: int
) -> None:
    asked = arguments.format(runs=material / "runs", labels=material / "labels.csv").split()
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", TALKS, *asked],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
