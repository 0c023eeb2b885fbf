"""What a lab installs: the program and its checkpoints, and nothing of the trainer."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_ctc.checkpoint import DESCRIPTION, HASHED_FILES, NOVELTY, shipped_checkpoints
from edge_ctc.plan import REFERENCE_NAMES

CHECKOUT = Path(__file__).parents[1]


def test_the_wheel_holds_profiles_and_checkpoints_and_no_trainer(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = (*HASHED_FILES, NOVELTY, DESCRIPTION)
    shipped = {f"edge_ctc/shipped/{name}/{file}" for name in REFERENCE_NAMES for file in files}
    profiles = {f"edge_ctc/exports/profiles/{name}.toml" for name in ("flat", "multipage")}
    assert shipped | profiles | {"edge_ctc/cli/app.py", "edge_ctc/shipped/systemd/edge-ctc.service"} <= names
    assert {name.split("/")[0] for name in names} == {"edge_ctc", wheel.name.split("-py3")[0] + ".dist-info"}


@pytest.mark.parametrize("first", ["edge_ctc.engine.onnx_cpu", "trainer.learning.export"])
def test_onnx_runtime_leaves_nothing_in_the_home_of_the_user(tmp_path: Path, first: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    graph = shipped_checkpoints() / "reference" / "model.onnx"
    code = f"import {first}, onnxruntime; onnxruntime.InferenceSession({str(graph)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment | {"HOME": str(tmp_path)})
    assert [path.name for path in tmp_path.rglob("*") if "icrosoft" in str(path)] == []
