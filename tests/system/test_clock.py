"""The wall clock jumps, files carry times that cannot be: the same calls."""

import datetime as dt
import itertools
import json
import os
import time
from pathlib import Path

import pytest

from tests.system.clocks import WallClock
from tests.system.daemon import make_site
from tests.system.promises import Witness, broken, is_complete, litter, manifest_path
from tests.system.scans import Archive, Scan
from tests.system.tools import missing

pytestmark = pytest.mark.timeout(300)
_FAT_NS = 2_000_000_000


@pytest.fixture
def scan(room: Path, small: Path) -> Scan:
    if sentence := missing("faketime"):
        pytest.fail(sentence)
    return Archive(room / "archive", small).scan(0)


@pytest.mark.parametrize("days", [30, -30])
def test_a_clock_that_jumps_while_a_run_grows_changes_no_call(room: Path, small: Path, scan: Scan, days: int) -> None:
    site, clock = make_site(room / "site", small), WallClock(room)
    run = site.exports / "run"
    witness = Witness(run)
    with site.start(env=clock.env) as daemon:
        daemon.wait_ready()
        scanner = scan.write_slowly(run, 5, room / "scanner")
        daemon.wait_for(manifest_path(run).exists, "partial calls")
        clock.jump(days)
        daemon.wait_for(witness.sees_complete, "complete calls")
        assert scanner.wait(10) == 0
        # The same run again, after the clock was put right: nothing is owed.
        former = manifest_path(run).read_bytes()
        clock.jump(0)
        time.sleep(1)
        daemon.stop()
    assert manifest_path(run).read_bytes() == former
    finished = dt.datetime.fromisoformat(json.loads(former)["finished_at_utc"])
    ahead = finished - dt.datetime.now(dt.UTC)
    assert abs(ahead - dt.timedelta(days=days)) < dt.timedelta(hours=1), "the clock did not jump"
    assert broken(run, scan.expected) + litter(site.exports) + witness.premature() == []


def test_a_clock_that_jumps_to_and_fro_all_the_time_changes_no_call(room: Path, small: Path, scan: Scan) -> None:
    site, clock = make_site(room / "site", small, quiet_s=30.0), WallClock(room)
    run = site.exports / "run"
    with site.start(env=clock.env) as daemon:
        daemon.wait_ready()
        scanner = scan.write_slowly(run, 5, room / "scanner")
        for days in itertools.cycle((30, -30, 0, 7000)):
            clock.jump(days)
            if scanner.wait(0.2) is not None:
                break
        daemon.wait_for(lambda: is_complete(run), "complete calls")
        daemon.stop()
    assert broken(run, scan.expected) + litter(site.exports) == []


@pytest.mark.parametrize("year", [1970, 1980, 2100, 2262])
def test_files_of_another_age_are_called_alike(room: Path, small: Path, scan: Scan, year: int) -> None:
    site = make_site(room / "site", small)
    run = site.exports / "run"
    with site.fork() as daemon:
        daemon.wait_ready()
        scan.copy(run, table=False)
        moment = dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()
        for place, path in enumerate(sorted(run.rglob("*.tif"))):
            os.utime(path, (moment + place, moment + place))
        (run / "cells.csv").write_bytes((scan.run / "cells.csv").read_bytes())
        os.utime(run / "cells.csv", (moment, moment))
        daemon.wait_for(lambda: is_complete(run), "complete calls", 10)
        daemon.stop()
    assert broken(run, scan.expected) + litter(site.exports) == []


def test_times_in_steps_of_two_seconds_as_fat_has_them_change_no_call(room: Path, small: Path, scan: Scan) -> None:
    """Files of their full size from the start, whose bytes change while their time stands still."""
    site = make_site(room / "site", small, settle_s=2.5)
    run = site.exports / "run"
    witness = Witness(run)
    files = [path.relative_to(scan.run) for path in sorted(scan.run.rglob("*.tif"))]
    (run / "Images").mkdir(parents=True)
    with site.fork() as daemon:
        daemon.wait_ready()
        for share in range(5):
            for name in files:
                content = (scan.run / name).read_bytes()
                written = content[: len(content) * share // 4]
                (run / name).write_bytes(written + bytes(len(content) - len(written)))
                _round_as_fat(run / name)
            witness.look()
            time.sleep(0.4)
        (run / "cells.csv").write_bytes((scan.run / "cells.csv").read_bytes())
        _round_as_fat(run / "cells.csv")
        daemon.wait_for(witness.sees_complete, "complete calls", 20)
        daemon.stop()
    assert broken(run, scan.expected) + litter(site.exports) + witness.premature() == []


def _round_as_fat(path: Path) -> None:
    rounded = path.stat().st_mtime_ns // _FAT_NS * _FAT_NS
    os.utime(path, ns=(rounded, rounded))
