"""What a user does, on the real card: build an engine, verify it, call with it. Skipped with the reason elsewhere."""

import functools
import subprocess
from pathlib import Path

import pytest

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.engine.places import find_engines
from edge_ctc.results.calls import read_calls
from edge_ctc.simulate import Layout, write_run
from tests.gpu.bench import CHECKOUT, GPU_TARGETS, Target, edge_ctc, python

CHECKPOINT = shipped_checkpoints() / "reference"
_ASK = """
import sys
from edge_ctc.engine.runtimes import this_machine
from edge_ctc.engine.bindings import load_package
from edge_ctc.errors import UnavailableError
try:
    this_machine(sys.argv[1])
    load_package(sys.argv[1])
except UnavailableError as error:
    sys.exit(str(error))
"""


@functools.cache
def lacking(runtime: str) -> str:
    """Why `runtime` cannot run here; empty where it can. A process of its own: ours may carry stand-ins for a GPU."""
    asked = subprocess.run(python("-c", _ASK, runtime), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return asked.stderr.strip() if asked.returncode else ""


@pytest.fixture(params=GPU_TARGETS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    wanted: Target = request.param
    if reason := lacking(wanted.runtime):
        pytest.skip(reason)
    return wanted


@pytest.mark.timeout(600)
def test_an_engine_is_built_verified_and_calls_as_onnx_runtime_does(target: Target, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run, 200, 20, seed=48_000, layout=Layout.FLAT)
    options = ("--runtime", target.runtime, "--precision", target.precision, "--out", tmp_path / "engines")
    built = edge_ctc("build-engine", CHECKPOINT, *options, "--check", run)
    assert built.returncode == 0, built.stderr
    (engine,) = find_engines(tmp_path / "engines")
    assert edge_ctc("engine", "verify", engine).returncode == 0
    for name in (engine, "cpu"):
        called = edge_ctc("classify-run", run, "--engine", name, "--out", tmp_path / Path(name).name)
        assert called.returncode == 0, called.stderr
    found, expected = (
        {call.cell_id: call.verdict for call in read_calls(tmp_path / name / "run.ctc-calls.csv")}
        for name in (engine.name, "cpu")
    )
    assert found == expected
