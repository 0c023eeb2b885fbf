"""kill, ENOSPC, EIO and EACCES at every single state-changing call: one restart mends all, and 0 never lies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from tests.system import sweep, watch_sweep
from tests.system.pointfs import Mounted
from tests.system.scans import Archive
from tests.system.sweep import FAULTS, Bench, Fault
from tests.system.tools import missing
from tests.system.watch_sweep import Area, WatchBench

pytestmark = pytest.mark.timeout(900)
_AT_ONCE = 3


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    if sentence := missing("strace", "fusermount3"):
        pytest.fail(sentence)


@pytest.fixture
def archive(room: Path, small: Path) -> Archive:
    return Archive(room / "archive", small)


@pytest.fixture
def mounted(room: Path) -> Iterator[Mounted]:
    with Mounted(room / "points") as mounted:
        yield mounted


@pytest.mark.parametrize("story", get_args(sweep.Story))
def test_classify_run_survives_a_fault_at_every_call(room: Path, archive: Archive, story: sweep.Story) -> None:
    bench = Bench(room / story, archive, story)
    points = bench.points()
    assert len(points) >= 15
    assert bench.points() == points
    assert [one for fault in FAULTS for point in points for one in bench.faults(point, fault)] == []


@pytest.mark.parametrize(
    ("story", "fault"),
    [
        # The longest story with every fault belongs to the soak (`make soak`, docs/soak.md).
        (story, fault)
        for story in get_args(watch_sweep.Story)
        for fault in FAULTS
        if story != "growing" or fault == "SIGKILL"
    ],
)
def test_the_daemon_survives_a_fault_at_every_change_of_its_results(
    room: Path, mounted: Mounted, archive: Archive, story: watch_sweep.Story, fault: Fault
) -> None:
    bench = WatchBench(room / story, mounted, archive, story)
    assert _faults(bench, "exports", fault, at_least=12) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_daemon_survives_a_fault_at_every_change_of_its_state(
    room: Path, mounted: Mounted, archive: Archive, fault: Fault
) -> None:
    assert _faults(WatchBench(room / "first", mounted, archive, "first"), "state", fault, at_least=3) == []


def _faults(bench: WatchBench, area: Area, fault: Fault, at_least: int) -> list[str]:
    changes = bench.changes(area)
    assert len(changes) >= at_least
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [one for found in pool.map(lambda change: bench.faults(area, change, fault), changes) for one in found]
