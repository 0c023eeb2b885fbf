"""Many files and many runs: looks, calls, memory, the beat; and what a daemon costs that has nothing to do."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.daemon.settling import Rules, Settling, fingerprint
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import load_profile
from edge_ctc.exports.runs import rests_on
from tests.benchmarks.daemon_process import Measured, site_for
from tests.benchmarks.daemon_runs import Scanner, lay_archive

CELLS_OF_100_000_FILES = 25_000
CELLS_OF_5_000_FILES = 1_250


@dataclass(frozen=True)
class Crowd:
    """What came at once, and how it was borne.

    Attributes:
        wall_s: from the last byte to the last run's calls.
        cpu_s: of all threads, since the first byte.
        rss_mb: before the first byte.
        peak_mb: the most.
        gap_s: the longest between two beats.
        listening: sockets on which somebody could connect.
    """

    wall_s: float
    cpu_s: float
    rss_mb: float
    peak_mb: float
    gap_s: float
    listening: tuple[str, ...]


def crowd(folder: Path, checkpoint: Path, runs: int, cells: int) -> Crowd:
    """`runs` runs of `cells` cells, as fast as links are made."""
    site = site_for(folder / "site", checkpoint)
    scanner = Scanner(folder / "images")
    with Measured(site) as daemon:
        before = daemon.use()
        came = [scanner.whole(site.exports / f"run-{number:02d}", cells) for number in range(runs)]
        wall_s = daemon.until_called(*came, within_s=400)
        now = daemon.use()
        return Crowd(
            wall_s,
            now.cpu_s - before.cpu_s,
            before.rss_mb,
            now.peak_mb,
            daemon.longest_gap_s(before.at),
            tuple(daemon.listening()),
        )


def looks(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of one look at a growing run of 100,000 files: the first, and with all files known."""
    run = Scanner(folder / "images").whole(folder / "run", CELLS_OF_100_000_FILES)
    rules = Rules(rests_on(load_profile("flat").profile), lambda _: False)
    took: dict[str, list[float]] = {"first": [], "settles": [], "all known": []}
    for _ in range(rounds):
        settling = Settling(2.0, rules, 0.0)
        for what, now in (("first", 0.0), ("settles", 3.0), ("all known", 4.0)):
            began = time.process_time()
            settling.look(list_files(run, settling.known), now, now)
            took[what].append(time.process_time() - began)
    return took


@dataclass(frozen=True)
class Idle:
    """A daemon before an archive of finished runs.

    Attributes:
        checked_s: from READY until it has looked into every run.
        new_s: from the last byte of a run of 100 cells that comes meanwhile to its calls.
        percent: of one core, several times over, when it has come to rest.
        recheck_s: processor seconds for one look at all files of all runs, by fifty of them.
        rss_mb: then.
        listening: sockets on which somebody could connect.
    """

    checked_s: float
    new_s: float
    percent: tuple[float, ...]
    recheck_s: float
    rss_mb: float
    listening: tuple[str, ...]


def idle(folder: Path, checkpoint: Path, runs: int, seconds: tuple[float, ...], mount: str = "auto") -> Idle:
    """`runs` finished runs of 5,000 files; `seconds` are the times over which it is watched."""
    scanner = Scanner(folder / "images")
    exports = folder / "exports"
    with _bound(exports, folder / "seen", is_wanted=mount == "share") as seen:
        lay_archive(scanner, checkpoint, exports, runs, CELLS_OF_5_000_FILES)
        site = site_for(folder / "site", checkpoint, seen, mount=mount)
        with Measured(site) as daemon:
            new = scanner.whole(exports / "new", 100)
            new_s = daemon.until_called(new)
            daemon.until(lambda: daemon.counted("complete") == runs + 1, "all runs looked into", 400)
            checked_at = time.monotonic()
            daemon.until_rests()
            percent = tuple(after.share_since(before) for before, after in map(daemon.use_over, seconds))
            return Idle(
                checked_at - (daemon.ready_at or 0.0),
                new_s,
                percent,
                runs * _look_at_all_files_s(exports),
                daemon.use().rss_mb,
                tuple(daemon.listening()),
            )


def _look_at_all_files_s(exports: Path) -> float:
    """Of one run."""
    sample = sorted(exports.glob("archive-*/"))[:50]
    began = time.process_time()
    for run in sample:
        fingerprint(list_files(run))
    return (time.process_time() - began) / len(sample)


@contextmanager
def _bound(folder: Path, point: Path, *, is_wanted: bool) -> Iterator[Path]:
    """`folder` mounted at `point`, as a share would be, for root alone; else `folder` itself."""
    folder.mkdir(parents=True)
    if not is_wanted:
        yield folder
        return
    point.mkdir()
    subprocess.run(["/bin/mount", "--bind", folder, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["/bin/umount", point], check=True)
