"""A month of a lab, three runs a day one after another as fast as they are called: does memory stay flat?"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.daemon_process import Measured, site_for
from tests.benchmarks.daemon_runs import Scanner

RUNS = 90
CELLS = 400
WARM = 10
"""Runs before memory counts: engine and buffers are allocated by the first."""


@dataclass(frozen=True)
class Month:
    """Resident memory in MB after each run."""

    rss_mb: tuple[float, ...]

    @property
    def growth_percent(self) -> float:
        """From run 10 to the last, by a straight line through all points between."""
        runs = np.arange(WARM, len(self.rss_mb) + 1)
        slope, start = np.polyfit(runs, self.rss_mb[WARM - 1 :], 1)
        return float(100 * slope * (runs[-1] - runs[0]) / (start + slope * runs[0]))


def month(folder: Path, checkpoint: Path, runs: int = RUNS) -> Month:
    """Runs of 400 cells, each left where it is once it is called."""
    quick: dict[str, Any] = {"look_every_s": 0.1, "settle_s": 0.2, "quiet_s": 1.0, "partial_every_s": 0.2}
    site = site_for(folder / "site", checkpoint, **quick)
    scanner = Scanner(folder / "images")
    rss_mb = []
    with Measured(site) as daemon:
        for number in range(runs):
            daemon.until_called(scanner.whole(site.exports / f"run-{number:03d}", CELLS))
            rss_mb.append(daemon.use().rss_mb)
    return Month(tuple(rss_mb))


if __name__ == "__main__":
    measured = month(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(f"{measured.rss_mb}\n{measured.growth_percent:+.1f} %\n")
