"""kill -9 at random while a scanner writes: after the last restart each cell has one row, and nothing is left."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.kills import Tally, kill_trial
from tests.system.scans import Archive

pytestmark = pytest.mark.timeout(900)
KILLS = 100
_TRIALS = 15
_AT_ONCE = 3


def test_a_hundred_kills_lose_nothing(room: Path, small: Path) -> None:
    archive, tally = Archive(room / "archive", small), Tally()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in pool.map(lambda seed: kill_trial(seed, room, archive), range(_TRIALS)):
            tally += one
    assert tally.faults == []
    assert tally.kills >= KILLS * 0.9
    # Kills that all land in the same place would prove little.
    assert {"starting", "between", "reading or computing", "committing"} <= tally.landed.keys()
