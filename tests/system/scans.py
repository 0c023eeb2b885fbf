"""Small simulated runs, and what an undisturbed call makes of them."""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.checkpoints import write_checkpoint
from tests.system.processes import Process, forked
from tests.system.promises import Verdicts, verdicts_of

CELLS = 20
PATIENTS = 8
"""So many different runs there are; more would only cost time."""


def small_checkpoint(folder: Path, **changes: Any) -> Path:
    """A checkpoint that calls twenty cells in a few milliseconds, some of each verdict."""
    return write_checkpoint(folder, side_px=16, thresholds={"ctc": 0.75, "review": 0.4}, **changes)


@dataclass(frozen=True)
class Scan:
    """A run as it will be, and its calls.

    Attributes:
        run: the finished folder; never called where it lies.
        seed: that simulates the same run again.
        expected: the verdict of each cell.
    """

    run: Path
    seed: int
    expected: Verdicts

    def copy(self, to: Path, *, table: bool = True) -> Path:
        """The whole run at once, at `to`; without its table it is not complete."""
        shutil.copytree(self.run, to, ignore=None if table else shutil.ignore_patterns("cells.csv"))
        return to

    def write_slowly(self, to: Path, cells_per_second: float, log: Path) -> Process:
        """The simulator, as a scanner writes: some files whole, some bit by bit; the table last."""
        return forked(
            ["simulate", to, "--cells", CELLS, "--ctcs", 5, "--seed", self.seed, "--rate", cells_per_second], log
        )


class Archive:
    """Makes each patient's scan once. Threads may share it."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.checkpoint = checkpoint
        self._known: dict[int, Scan] = {}
        self._lock = threading.Lock()

    def scan(self, seed: int) -> Scan:
        """That of patient `seed`, of whom there are `PATIENTS`."""
        with self._lock:
            return self._known.setdefault(seed % PATIENTS, self._made(seed % PATIENTS))

    def _made(self, seed: int) -> Scan:
        if seed in self._known:
            return self._known[seed]
        self.folder.mkdir(parents=True, exist_ok=True)
        run, out, log = self.folder / f"patient-{seed}", self.folder / "calls", self.folder / "log"
        _done(forked(["simulate", run, "--cells", CELLS, "--ctcs", 5, "--seed", seed], log), log)
        _done(forked(["classify-run", run, "--checkpoint", self.checkpoint, "--out", out, "--engine", "cpu"], log), log)
        return Scan(run, seed, verdicts_of(run, out))


def _done(process: Process, log: Path) -> None:
    code = process.wait(60)
    assert code == 0, f"{code}: {log.read_text()}"
