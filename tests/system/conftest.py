"""What all tests with real faults need: root, a checkpoint of a few milliseconds, and a folder in memory."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.scans import small_checkpoint
from tests.system.tools import missing


@pytest.fixture(autouse=True, scope="session")
def root() -> None:
    """Without it nothing here can be tried, and a test that was not run must not pass."""
    if sentence := missing():
        pytest.fail(sentence)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that calls twenty cells in a few milliseconds, some of each verdict."""
    return small_checkpoint(tmp_path_factory.mktemp("small") / "means")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder in memory: thousands of small runs flushed to a disk would take as long as all the rest."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="edge-ctc-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
