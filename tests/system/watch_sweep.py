"""Every single request of the daemon to change something on the disk, killed or failed, one after another."""

import os
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.system.daemon import Daemon, Site, make_site
from tests.system.pointfs import Change, Mounted
from tests.system.processes import How, forked, wait_stopped
from tests.system.promises import broken, committed, litter, mixed
from tests.system.scans import Archive
from tests.system.sweep import Fault

Area = Literal["exports", "state"]
_CANNOT_WRITE = 73
Story = Literal["first", "growing", "again"]
"""A whole run; one whose table comes after its partial calls; one with complete calls in which a file changed since."""


@dataclass(frozen=True)
class Trial:
    """One daemon's folders on the failing file system, and behind it."""

    site: Site
    behind: Path
    run: Path
    area: str

    @property
    def seen(self) -> Path:
        """The run, past the failing file system."""
        return self.behind / "exports" / "run"


class WatchBench:
    """Lets a daemon call one small run again and again. Threads may share it."""

    def __init__(self, folder: Path, mounted: Mounted, archive: Archive, story: Story) -> None:
        self.story: Story = story
        self._folder = folder
        self._mounted = mounted
        self._archive = archive
        self._scan = archive.scan(0)
        self._trials = 0
        self._lock = threading.Lock()
        self._kept = folder / "kept"
        self._kept.mkdir(parents=True)
        run = self._scan.copy(self._kept / "run", table=story != "growing")
        if story == "again":
            log = folder / "log"
            command = ["classify-run", run, "--profile", "flat", "--checkpoint", archive.checkpoint, "--engine", "cpu"]
            assert forked(command, log).wait(60) == 0, log.read_text()
            os.utime(run / "Images" / "0003_PE.tif", (1_700_000_000, 1_700_000_000))

    def changes(self, area: Area) -> list[Change]:
        """Every request in one area, from start to complete calls."""
        trial = self._trial()
        with trial.site.fork() as daemon:
            self._until_complete(trial, daemon)
            found = self._mounted.changes(f"{trial.area}/{area}")
            daemon.stop()
        assert self._broken(trial) + self._litter(trial) == []
        return found

    def faults(self, area: Area, change: Change, fault: Fault) -> list[str]:
        """What does not hold after `fault` at `change`: killed, one restart mends all; failed, the daemon itself does.

        Where the request did not come this time, that is said, too.
        """
        trial, restarted = self._trial(), fault == "SIGKILL"
        try:
            with trial.site.fork(How(stopped=True)) as daemon:
                wait_stopped(daemon.pid)
                self._mounted.order(f"{trial.area}/{area}", change.nth, fault, daemon.pid)
                daemon.send(signal.SIGCONT)
                if fault == "SIGKILL":
                    self._until_killed(trial, daemon)
                elif area == "state" and daemon.ended(0.3) == _CANNOT_WRITE:
                    # Without a state folder it does not start: systemd tries again.
                    restarted = True
                else:
                    self._until_complete(trial, daemon)
                    daemon.stop()
            found = mixed(trial.seen)
            if not restarted:
                found += self._broken(trial)
            if restarted or self._litter(trial):
                with trial.site.fork() as daemon:
                    self._until_complete(trial, daemon)
                    daemon.stop()
                found += self._broken(trial)
            found += self._litter(trial)
        except AssertionError as error:
            found = [str(error)]
        if not any(one.what == "HIT" for one in self._mounted.changes(f"{trial.area}/{area}")):
            found.append("not hit")
        if not found:
            shutil.rmtree(trial.behind)
            shutil.rmtree(trial.site.folder)
        return [f"{self.story}, {fault} at {area} {change.nth} ({change.what}): {one}" for one in found]

    def _trial(self) -> Trial:
        with self._lock:
            self._trials += 1
            name = f"{self._folder.name}-{self._trials}"
        behind, mount = self._mounted.behind / name, self._mounted.mount / name
        shutil.copytree(self._kept, behind / "exports")
        (behind / "state").mkdir()
        site = make_site(
            self._folder / name,
            self._archive.checkpoint,
            exports=mount / "exports",
            state=mount / "state",
            mount="local",
        )
        return Trial(site, behind, site.exports / "run", f"/{name}")

    def _until_complete(self, trial: Trial, daemon: Daemon) -> None:
        if self.story == "growing" and not (trial.seen / "cells.csv").exists():
            partial = trial.seen.with_name("run.ctc-run.json")
            daemon.wait_for(partial.exists, "partial calls")
            self._complete(trial)
        daemon.wait_for(lambda: self._is_over(trial), "complete calls")

    def _until_killed(self, trial: Trial, daemon: Daemon) -> None:
        """Give the growing run its table as soon as there are partial calls, if the kill has not come by then."""
        while (code := daemon.ended(0.01)) is None:
            partial = trial.seen.with_name("run.ctc-run.json")
            if self.story == "growing" and partial.exists() and not (trial.seen / "cells.csv").exists():
                self._complete(trial)
            if self._is_over(trial) and daemon.ended(3) is None:
                daemon.kill()
                return
        assert code == -signal.SIGKILL, f"ended with {code} by itself\n{daemon.tail()}"

    def _complete(self, trial: Trial) -> None:
        """The table appears whole, as from the other side."""
        temporary = trial.behind / "cells.csv"
        shutil.copy(self._scan.run / "cells.csv", temporary)
        temporary.rename(trial.seen / "cells.csv")

    def _broken(self, trial: Trial) -> list[str]:
        return broken(trial.seen, self._scan.expected, superseded=1 if self.story == "again" else 0)

    def _litter(self, trial: Trial) -> list[str]:
        """What must not be there after a restart; a file that could not be removed may stay until then."""
        state = trial.behind / "state"
        return litter(trial.seen.parent) + [f"left over in the state folder: {path}" for path in state.rglob("*tmp*")]

    def _is_over(self, trial: Trial) -> bool:
        former = self._kept / "run.ctc-run.json"
        return committed(trial.seen) not in (None, former.read_bytes() if former.exists() else None)
