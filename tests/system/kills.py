"""kill -9 at random while a simulated scanner writes: again and again, until the last daemon may finish the run."""

import contextlib
import ctypes
import os
import random
import select
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.system.daemon import Daemon, Site, make_site
from tests.system.promises import Witness, broken, litter, mixed
from tests.system.scans import CELLS, Archive

Moment = Literal["start", "ready", "reading", "writing"]
"""What a kill waits for: nothing, READY, the daemon reading an image, the daemon touching a results file."""

_MOMENTS: tuple[Moment, ...] = ("start", "ready", "reading", "writing")
_WEIGHTS = (2, 1, 3, 6)
_LATEST = {"start": 0.15, "ready": 0.5, "reading": 0.004, "writing": 0.001}
"""Seconds after that, drawn evenly."""
_PATIENCE_S = 0.6
_ONE_EVENT = 128
"""Bytes that hold an event and its name, and hardly more."""
_FINISH_S = 60.0
_LIBC = ctypes.CDLL(None, use_errno=True)
_IN_ACCESS, _IN_CHANGES = 0x1, 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200


class Events:
    """inotify, on the folder of the results and on the run's images."""

    def __init__(self, results: Path) -> None:
        self._handle = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watch(results, _IN_CHANGES)
        self._watched: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def _watch(self, folder: Path, mask: int) -> None:
        _LIBC.inotify_add_watch(self._handle, os.fsencode(folder), mask)

    def wait(self, wanted: bytes, images: Path, within_s: float, times: int = 1) -> bool:
        """Until files whose name holds `wanted` were touched so many times."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            if images not in self._watched and images.exists():
                self._watch(images, _IN_ACCESS)
                self._watched.add(images)
            if select.select([self._handle], [], [], min(left, 0.05))[0]:
                times -= os.read(self._handle, _ONE_EVENT if times > 1 else 1 << 16).count(wanted)
                if times <= 0:
                    return True
        return False

    def forget(self) -> None:
        """All that happened so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._handle, 1 << 20)


@dataclass
class Tally:
    """What became of the trials.

    Attributes:
        kills: so many processes were killed.
        landed: where.
        faults: promises not kept, each with the seed that draws the trial again.
        trials: runs that were finished in the end.
    """

    kills: int = 0
    trials: int = 0
    landed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Tally") -> Self:
        self.kills += other.kills
        self.trials += other.trials
        self.landed += other.landed
        self.faults += other.faults
        return self


def kill_trial(seed: int, room: Path, archive: Archive) -> Tally:
    """One run, scanned once, with several kills; its folder goes where nothing was found."""
    rng, tally = random.Random(seed), Tally(trials=1)  # noqa: S311 - drawn again by the same seed
    scan = archive.scan(seed)
    site = make_site(room / f"trial-{seed}", archive.checkpoint)
    run = site.exports / "run"
    kills = rng.randint(5, 9)
    # The scan goes on for about as long as there are kills.
    rate = CELLS / (kills * rng.uniform(0.3, 0.6))
    scanner = scan.write_slowly(run, rate, site.folder / "scanner")
    witness = Witness(run)
    try:
        with Events(site.exports) as events:
            for _ in range(kills):
                with site.fork() as daemon:
                    tally.landed[_kill(daemon, rng, events, run)] += 1
                    tally.kills += 1
                tally.faults += mixed(run)
                witness.look()
        with site.fork() as daemon:
            assert scanner.wait(_FINISH_S) == 0, "the scanner failed"
            daemon.wait_for(witness.sees_complete, "complete calls", _FINISH_S)
            daemon.stop()
        tally.faults += broken(run, scan.expected) + litter(site.exports) + witness.premature()
        tally.faults += [f"left over in the state folder: {path}" for path in site.state.rglob("*tmp*")]
    except AssertionError as error:
        tally.faults.append(str(error))
    tally.faults = [f"seed {seed}: {fault}" for fault in tally.faults]
    if not tally.faults:
        shutil.rmtree(site.folder)
    return tally


def _kill(daemon: Daemon, rng: random.Random, events: Events, run: Path) -> str:
    """Kill it at a moment drawn by `rng`, and say where that was."""
    (moment,) = rng.choices(_MOMENTS, _WEIGHTS)
    delay = rng.uniform(0, _LATEST[moment])
    came = True
    if moment != "start":
        came = _soon(lambda: daemon.has_started, 10)
        events.forget()
    if moment == "reading":
        came = events.wait(b".tif", run / "Images", _PATIENCE_S)
    elif moment == "writing":
        came = events.wait(b"ctc-", run / "Images", _PATIENCE_S, rng.randint(1, 25))
    time.sleep(delay)
    code = daemon.kill()
    assert code == -9, f"ended by itself with {code}:\n{daemon.tail()}"
    if not daemon.has_started:
        return "starting"
    if _is_torn(daemon.site, run):
        return "committing"
    if (moment == "reading" and came) or daemon.site.status().get("state") == "calling":
        return "reading or computing"
    return "between"


def _is_torn(site: Site, run: Path) -> bool:
    """Whether results stand there that are not done."""
    names = {entry.name for entry in site.exports.iterdir()}
    pair = {f"{run.name}.ctc-calls.csv", f"{run.name}.ctc-run.json"}
    return any("tmp" in name for name in names) or len(names & pair) == 1


def _soon(is_so: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
