"""The results' disk is full: no half file, the daemon waits, says so, and finishes alone within 10 s of space."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, Site, make_site
from tests.system.full import fill, small_disk, take_all_inodes
from tests.system.promises import broken, committed, is_complete, litter
from tests.system.scans import Archive, Scan

pytestmark = pytest.mark.timeout(300)
Fill = Callable[[Path], Path]


@pytest.fixture
def scan(room: Path, small: Path) -> Scan:
    return Archive(room / "archive", small).scan(0)


def waits(site: Site) -> bool:
    status = site.status()
    return status.get("state") == "waiting" and any("No space left" in wait["reason"] for wait in status["waits"])


def free(ballast: Path) -> None:
    if ballast.is_dir():
        shutil.rmtree(ballast)
    else:
        ballast.unlink()


def assert_waits_then_finishes(daemon: Daemon, ballast: Path, run: Path, results: Path | None = None) -> None:
    daemon.wait_for(lambda: waits(daemon.site), "status that says it waits for space", 15)
    names = sorted(entry.name for entry in (results or run.parent).iterdir() if entry.name.startswith((".", "run.")))
    assert names == [], "a half file"
    free(ballast)
    daemon.wait_for(lambda: is_complete(run, results), "complete calls", 10)
    daemon.wait_for(lambda: daemon.site.status()["state"] == "watching", "status without a wait", 15)
    daemon.stop()


@pytest.mark.parametrize(("option", "filled"), [("size=1m", fill), ("nr_inodes=40", take_all_inodes)])
def test_a_full_folder_of_results_is_waited_for(room: Path, small: Path, scan: Scan, option: str, filled: Fill) -> None:
    with small_disk(room / "results", option) as results:
        site = make_site(room / "site", small, results=str(results))
        ballast = filled(results)
        run = scan.copy(site.exports / "run")
        with site.fork() as daemon:
            assert_waits_then_finishes(daemon, ballast, run, results)
        assert broken(run, scan.expected, results) + litter(site.exports, results) == []


def test_a_full_export_folder_is_waited_for(room: Path, small: Path, scan: Scan) -> None:
    with small_disk(room / "site" / "exports", "size=3m"):
        site = make_site(room / "site", small)
        run = scan.copy(site.exports / "run")
        ballast = fill(site.exports)
        with site.fork() as daemon:
            assert_waits_then_finishes(daemon, ballast, run)
        assert broken(run, scan.expected) + litter(site.exports) == []


def test_former_calls_stand_while_there_is_no_space_for_new_ones(room: Path, small: Path, scan: Scan) -> None:
    with small_disk(room / "site" / "exports", "size=3m"):
        site = make_site(room / "site", small)
        run = scan.copy(site.exports / "run")
        with site.fork() as daemon:
            daemon.wait_for(lambda: is_complete(run), "complete calls")
            before = committed(run)
            ballast = fill(site.exports)
            os.utime(run / "Images" / "0003_PE.tif", (1_700_000_000, 1_700_000_000))
            daemon.wait_for(lambda: waits(site), "status that says it waits for space", 15)
            assert committed(run) == before
            free(ballast)
            daemon.wait_for(lambda: committed(run) not in (None, before), "new calls", 10)
            daemon.stop()
        assert broken(run, scan.expected, superseded=1) + litter(site.exports) == []


def test_a_full_state_folder_holds_up_no_calls(room: Path, small: Path, scan: Scan) -> None:
    with small_disk(room / "site" / "state", "size=64k") as state:
        site = make_site(room / "site", small)
        with site.fork() as daemon:
            daemon.wait_ready()
            ballast = fill(state)
            run = scan.copy(site.exports / "run")
            daemon.wait_for(lambda: is_complete(run), "complete calls", 15)
            free(ballast)
            daemon.wait_for(lambda: site.status()["runs"]["complete"] == 1, "status of now", 15)
            daemon.stop()
        assert broken(run, scan.expected) + litter(site.exports) == []


def test_a_state_folder_that_is_full_at_the_start_holds_up_no_calls(room: Path, small: Path, scan: Scan) -> None:
    with small_disk(room / "site" / "state", "size=64k") as state:
        site = make_site(room / "site", small)
        ballast = fill(state)
        run = scan.copy(site.exports / "run")
        with site.fork() as daemon:
            daemon.wait_for(lambda: is_complete(run), "complete calls", 15)
            free(ballast)
            daemon.wait_for(lambda: site.status().get("state") == "watching", "status of now", 15)
            daemon.stop()
        assert broken(run, scan.expected) + litter(site.exports) == []
