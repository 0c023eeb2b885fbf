"""What most tests need: the command line in this process, a small simulated run, a checkpoint to understand."""

import atexit
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from edge_ctc.cli import app, run_app
from edge_ctc.engine import cuda
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint

# They need root and real tools, and fail without: `make test-system` names them.
collect_ignore = [] if os.environ.get("EDGE_CTC_SYSTEM") else ["system"]

# A commit that passed passes again: `make search` looks for new examples.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


EdgeCtc = Callable[..., Finished]


@pytest.fixture(autouse=True)
def no_engines_of_this_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have built engines: without them, ONNX Runtime calls."""
    for name in ("EDGE_CTC_ENGINES", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state-of-nobody"))


@pytest.fixture(autouse=True, scope="module")
def the_gpus_context_goes_with_the_module() -> Iterator[None]:
    """The product holds it until its process ends, which tests of others share."""
    yield
    if cuda._primary_context.cache_info().currsize:
        context = cuda._primary_context()
        atexit.unregister(context.detach)
        context.detach()
        cuda._primary_context.cache_clear()


@pytest.fixture
def edge_ctc(capsys: pytest.CaptureFixture[str]) -> EdgeCtc:
    """Runs `edge-ctc` with the arguments given."""

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_app(app, "edge-ctc", [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of four channels; never changed by a test."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "means")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A flat run of 20 cells, 5 of them CTC."""
    folder = tmp_path / "exports" / "run"
    folder.parent.mkdir()
    write_run(folder, 20, 5, seed=1, layout=Layout.FLAT)
    return folder
