"""Files that are not there yet, not whole, not readable, or written anew: never called from partial bytes."""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.arrivals import OLD, WAYS, Way, append, write_at
from tests.system.daemon import Daemon, Site, make_site
from tests.system.promises import Witness, broken, calls_of, committed, is_complete, litter, manifest_path, verdicts_of
from tests.system.scans import Archive, Scan
from tests.system.tools import missing

pytestmark = pytest.mark.timeout(300)
_PAUSE_S = 0.25
"""Between two steps of a file: less than the settling time, as of a scanner at work."""
_SETTLE_S = 0.8


@pytest.fixture
def scan(room: Path, small: Path) -> Scan:
    return Archive(room / "archive", small).scan(0)


@pytest.fixture
def site(room: Path, small: Path) -> Site:
    return make_site(room / "site", small, settle_s=_SETTLE_S)


def assert_called(site: Site, scan: Scan, daemon: Daemon, witness: Witness, superseded: int = 0) -> None:
    run = site.exports / "run"
    daemon.wait_for(witness.sees_complete, "complete calls", 30)
    daemon.stop()
    assert broken(run, scan.expected, superseded=superseded) + litter(site.exports) + witness.premature() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_called_from_its_last_bytes_alone(site: Site, scan: Scan, way: Way) -> None:
    """Cell after cell, so that some are called while others are being written; then the table."""
    run = site.exports / "run"
    witness = Witness(run)
    (run / "Images").mkdir(parents=True)
    with site.fork() as daemon:
        daemon.wait_ready()
        for cells in ("000", "001", "002"):
            files = [path for path in sorted((scan.run / "Images").iterdir()) if path.name.startswith(cells)]
            steps = [way(run / "Images" / path.name, path.read_bytes()) for path in files]
            for now in zip(*steps, strict=True):
                for step in now:
                    step()
                _watch_for(_PAUSE_S, witness)
            _watch_for(1.5 * _SETTLE_S, witness)
        append(run / "cells.csv", (scan.run / "cells.csv").read_bytes())
        assert_called(site, scan, daemon, witness)
    assert witness.looks > 0


def test_a_torn_image_waits_longer_than_it_settles(site: Site, scan: Scan) -> None:
    """Half an image that stands still is no image while the run grows."""
    run = scan.copy(site.exports / "run", table=False)
    witness, torn = Witness(run), run / "Images" / "0003_PE.tif"
    content = torn.read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    with site.fork() as daemon:
        daemon.wait_for(manifest_path(run).exists, "partial calls")
        _watch_for(3 * _SETTLE_S, witness)
        assert "0003" not in verdicts_of(run)
        torn.write_bytes(content)
        append(run / "cells.csv", (scan.run / "cells.csv").read_bytes())
        assert_called(site, scan, daemon, witness)


def test_an_image_written_anew_while_the_run_grows_is_called_again(site: Site, scan: Scan) -> None:
    run = scan.copy(site.exports / "run", table=False)
    with site.fork() as daemon:
        daemon.wait_for(lambda: manifest_path(run).exists() and "0003" in verdicts_of(run), "partial calls")
        image, other = run / "Images" / "0003_PE.tif", run / "Images" / "0004_PE.tif"
        first = image.read_bytes()
        write_at(image, 0, other.read_bytes())
        _watch_for(3 * _SETTLE_S, Witness(run))
        write_at(image, 0, first)
        append(run / "cells.csv", (scan.run / "cells.csv").read_bytes())
        assert_called(site, scan, daemon, Witness(run))


def test_an_image_written_anew_under_its_old_time_is_noticed_at_the_runs_end(site: Site, scan: Scan) -> None:
    """Same name, size and time: only its bytes tell."""
    run = scan.copy(site.exports / "run", table=False)
    image = run / "Images" / "0003_PE.tif"
    last = image.read_bytes()
    image.write_bytes((run / "Images" / "0004_PE.tif").read_bytes())
    os.utime(image, (OLD, OLD))
    with site.fork() as daemon:
        daemon.wait_for(lambda: manifest_path(run).exists() and "0003" in verdicts_of(run), "partial calls")
        image.write_bytes(last)
        os.utime(image, (OLD, OLD))
        append(run / "cells.csv", (scan.run / "cells.csv").read_bytes())
        daemon.wait_for(lambda: is_complete(run), "complete calls", 30)
        daemon.stop()
    assert broken(run, scan.expected) + litter(site.exports) == []


def test_an_image_written_anew_after_the_run_was_over_makes_a_new_generation(site: Site, scan: Scan) -> None:
    run = scan.copy(site.exports / "run")
    with site.fork() as daemon:
        daemon.wait_for(lambda: is_complete(run), "complete calls")
        before, former = calls_of(run).read_bytes(), committed(run)
        image = run / "Images" / "0003_PE.tif"
        write_at(image, 0, image.read_bytes())
        daemon.wait_for(lambda: committed(run) not in (None, former), "new calls", 30)
        daemon.stop()
    assert broken(run, scan.expected, superseded=1) + litter(site.exports) == []
    (kept,) = run.parent.glob("run.ctc-calls.*.csv")
    assert kept.read_bytes() == before


def test_a_file_without_rights_is_waited_for(site: Site, scan: Scan) -> None:
    """Root has all rights, unless it gives up the capability for that."""
    if sentence := missing("setpriv"):
        pytest.fail(sentence)
    run = scan.copy(site.exports / "run")
    held = run / "Images" / "0003_PE.tif"
    held.chmod(0)
    with site.start("setpriv", "--bounding-set", "-dac_override,-dac_read_search") as daemon:
        _assert_held_then_called(site, scan, daemon, lambda: held.chmod(0o644))


def test_a_file_that_its_writer_holds_for_itself_is_waited_for(site: Site, scan: Scan) -> None:
    """A write lease, as a file server takes for its client: others' opening blocks or fails until it is given up."""
    run = scan.copy(site.exports / "run")
    former = signal.signal(signal.SIGIO, signal.SIG_IGN)
    handle = os.open(run / "Images" / "0003_PE.tif", os.O_WRONLY)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with site.fork() as daemon:
            _assert_held_then_called(site, scan, daemon, lambda: fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK))
    finally:
        os.close(handle)
        signal.signal(signal.SIGIO, former)


def _assert_held_then_called(site: Site, scan: Scan, daemon: Daemon, give_up: Callable[[], object]) -> None:
    """The daemon stays, says what it waits for, calls no complete run; then, within 10 s, it does."""
    run = site.exports / "run"
    daemon.wait_for(lambda: "cannot be read" in str(site.status().get("waits")), "wait in its status", 15)
    assert not is_complete(run)
    give_up()
    daemon.wait_for(lambda: is_complete(run), "complete calls", 10)
    assert_called(site, scan, daemon, Witness(run))


def _watch_for(seconds: float, witness: Witness) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        witness.look()
        time.sleep(0.01)
