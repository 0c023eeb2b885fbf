"""The power goes while runs are called: afterwards old or new, never a mix, and nothing called is lost."""

from pathlib import Path

import pytest

from tests.system.kills import Tally
from tests.system.powercut import cut_trial
from tests.system.scans import Archive
from tests.system.tools import missing

pytestmark = pytest.mark.timeout(900)
CUTS = 20


def test_twenty_power_cuts_leave_old_or_new(room: Path, small: Path) -> None:
    if sentence := missing("mkfs.ext4", "losetup", "fusermount3"):
        pytest.fail(sentence)
    archive, tally = Archive(room / "archive", small), Tally()
    for seed in range(CUTS):
        tally += cut_trial(seed, room, archive)
    assert tally.faults == []
    assert tally.kills == CUTS
    # Some before anything was called, some after.
    assert len(tally.landed) >= 2
