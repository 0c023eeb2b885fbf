"""Power cuts: a daemon on ext4, on a disk that forgets what was not flushed; afterwards old or new, never a mix."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.system.daemon import Site, make_site
from tests.system.kills import Tally
from tests.system.promises import broken, is_complete, litter, manifest_path, mixed
from tests.system.scans import Archive, Scan

_MEBIBYTES = 48
_RUNS = 4
_LONGEST_S = 2.5
"""After READY; the daemon has called all runs by then, mostly."""


class Disk:
    """An ext4 file system, mounted while the `with` lasts; after `cut`, what is left of it.

    Attributes:
        mount: where it is mounted.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.mount = folder / "mount"
        self._served = folder / "served"
        self._base, self._crash = folder / "base.img", folder / "crash.img"
        self._seed = seed
        self._loop = ""
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for one in (self.mount, self._served):
            one.mkdir(parents=True)
        with self._base.open("wb") as image:
            image.truncate(_MEBIBYTES << 20)
        _run("mkfs.ext4", "-q", "-F", str(self._base))
        names = [str(self._served), str(self._base), str(self._crash), str(self._seed)]
        self._server = subprocess.Popen([sys.executable, "-m", "tests.system.powerfs", *names])
        _await(lambda: os.path.ismount(self._served), "the disk is not served: it needs root and /dev/fuse")
        self._attach(self._served / "disk")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detach()

    def sync(self) -> None:
        """Everything that was written until now survives a power cut."""
        _run("sync", "-f", str(self.mount))

    def cut(self) -> None:
        """The power goes: every access fails."""
        assert self._server is not None
        self._server.send_signal(signal.SIGUSR1)
        # Python takes a signal between two requests: to ask for something is one.
        _await(lambda: (self._served / "power").exists() or self._crash.exists(), "the power cut left no image")

    def back(self) -> None:
        """The power comes back: `mount` shows what is left."""
        self._detach()
        self._attach(self._crash)

    def _attach(self, image: Path) -> None:
        found = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True)
        self._loop = found.stdout.strip()
        _run("mount", self._loop, str(self.mount))

    def _detach(self) -> None:
        while os.path.ismount(self.mount):
            _run("umount", "-l", str(self.mount))
        if self._loop:
            _run("losetup", "-d", self._loop)
            self._loop = ""
        if self._server is not None:
            subprocess.run(["umount", "-l", str(self._served)], check=False, capture_output=True)
            self._server.kill()
            self._server.wait(30)
            self._server = None


@dataclass(frozen=True)
class Known:
    """What somebody outside knew of a run before the cut: its journal said that it was called.

    Attributes:
        run: its name.
        run_state: complete or partial.
    """

    run: str
    run_state: str


def cut_trial(seed: int, room: Path, archive: Archive) -> Tally:
    """Some runs, called while the power goes; one restart afterwards."""
    rng, tally = random.Random(seed), Tally(trials=1)  # noqa: S311 - drawn again by the same seed
    folder = room / f"cut-{seed}"
    scans = {f"run{place}": archive.scan(seed + place) for place in range(_RUNS)}
    try:
        with Disk(folder / "disk", seed) as disk:
            site = make_site(
                folder, archive.checkpoint, exports=disk.mount / "exports", state=disk.mount / "state", mount="local"
            )
            known = _until_cut(disk, site, scans, rng)
            tally.landed[f"{len(known)} of {_RUNS} runs acknowledged"] += 1
            tally.kills += 1
            tally.faults += _after_cut(site, scans, known)
            tally.faults += _after_restart(site, scans)
    except AssertionError as error:
        tally.faults.append(str(error))
    tally.faults = [f"seed {seed}: {fault}" for fault in tally.faults]
    if not tally.faults:
        shutil.rmtree(folder)
    return tally


def _until_cut(disk: Disk, site: Site, scans: dict[str, Scan], rng: random.Random) -> list[Known]:
    """Start the daemon on runs that lie safely on the disk; half of them get their table later. Then cut."""
    late = [name for name in scans if rng.random() < 0.5]
    for name, scan in scans.items():
        scan.copy(site.exports / name, table=name not in late)
    disk.sync()
    with site.fork() as daemon:
        daemon.wait_ready()
        end = time.monotonic() + rng.uniform(0, _LONGEST_S)
        for name in late:
            time.sleep(max(0.0, min(rng.uniform(0, 0.8), end - time.monotonic())))
            _safely(disk, scans[name].run / "cells.csv", site.exports / name / "cells.csv")
        time.sleep(max(0.0, end - time.monotonic()))
        daemon.send(signal.SIGSTOP)
        known = acknowledged(site)
        disk.cut()
        daemon.kill()
    disk.back()
    return known


def _safely(disk: Disk, source: Path, to: Path) -> None:
    shutil.copy(source, to.with_name("cells.tmp"))
    to.with_name("cells.tmp").rename(to)
    disk.sync()


def acknowledged(site: Site) -> list[Known]:
    """The runs that the journal, which lies elsewhere, says were called."""
    last = {
        line["run"]: Known(line["run"], line["run_state"]) for line in site.lines() if line.get("event") == "called"
    }
    return list(last.values())


def _after_cut(site: Site, scans: dict[str, Scan], known: list[Known]) -> list[str]:
    found = [fault for name in scans for fault in mixed(site.exports / name)]
    for one in known:
        run = site.exports / one.run
        if (
            not manifest_path(run).exists()
            and not manifest_path(run).with_name(f".{one.run}.ctc-run.json.tmp-old").exists()
        ):
            found.append(f"{one.run}: called before the cut, and lost")
        elif one.run_state == "complete" and not is_complete(run):
            found.append(f"{one.run}: completely called before the cut, and lost")
    return found


def _after_restart(site: Site, scans: dict[str, Scan]) -> list[str]:
    for name, scan in scans.items():
        table = site.exports / name / "cells.csv"
        if not table.exists():
            shutil.copy(scan.run / "cells.csv", table)
    with site.fork() as daemon:
        daemon.wait_for(lambda: all(is_complete(site.exports / name) for name in scans), "complete calls")
        daemon.stop()
    found = [fault for name, scan in scans.items() for fault in broken(site.exports / name, scan.expected)]
    return found + litter(site.exports)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def _await(is_so: Callable[[], object], otherwise: str) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)
