"""The daemon's figures: `python -m tests.benchmarks.daemon` writes docs/benchmarks-daemon.md, in ten minutes, as root.

The real command in a process of its own. Where a claim is about the processor, its time is measured and not the
clock's, since the machine is shared.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime

from edge_ctc.cli import collect_rarely
from tests.benchmarks.daemon_crowd import Crowd, Idle, crowd, idle, looks
from tests.benchmarks.daemon_latency import latencies
from tests.benchmarks.daemon_memory import month
from tests.system.scans import small_checkpoint

ROUNDS = 5


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (smallest to largest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _latency(folder: Path) -> list[str]:
    lines = [
        "| 1,000 cells x 4 channels, shipped reference | last byte to calls | inference alone | the last call "
        "| beyond settle time and inference alone | beyond settle time and the last call |",
        "|---|---|---|---|---|---|",
    ]
    for how, runs in latencies(folder, ROUNDS).items():
        columns = (
            [one.wall for one in runs],
            [one.alone for one in runs],
            [one.computing for one in runs],
            [one.beyond for one in runs],
            [one.wall - one.computing - 2.0 for one in runs],
        )
        lines.append(f"| arrives {how} | " + " | ".join(f"{spread(column)} s" for column in columns) + " |")
    return lines


def _idle_rows(local: Idle, share: Idle | None) -> list[str]:
    lines = [
        "| nothing to do | of one core | one look at all files of all runs | looked into all after "
        "| a new run of 100 cells meanwhile | resident memory |",
        "|---|---|---|---|---|---|",
    ]
    for what, one in (("200 runs of 5,000 files, local disk", local), ("25 of them, as a share", share)):
        if one is not None:
            lines.append(
                f"| {what} | **{spread(one.percent)} %** | {one.recheck_s:.1f} core-s | {one.checked_s:.0f} s "
                f"| {one.new_s:.1f} s | {one.rss_mb:.0f} MB |"
            )
    return lines


def _crowd_rows(crowds: dict[str, Crowd]) -> list[str]:
    lines = [
        "| as fast as links are made, small checkpoint | last byte to calls | processor | memory before | peak "
        "| longest gap of beats |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {what} | {one.wall_s:.1f} s | {one.cpu_s:.1f} core-s | {one.rss_mb:.0f} MB | **{one.peak_mb:.0f} MB** "
        f"| {one.gap_s:.1f} s |"
        for what, one in crowds.items()
    ]
    return lines


def main() -> None:
    """Measure, and write the page."""
    collect_rarely()
    began, load = time.monotonic(), [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="edge-ctc-bench-") as name:
        folder = Path(name)
        small = small_checkpoint(folder / "small")
        parts = [_latency(folder / "latency")]
        load.append(os.getloadavg()[0])
        local = idle(folder / "archive", small, 200, (40.0, 40.0, 40.0))
        share = idle(folder / "share", small, 25, (30.0,), "share") if os.geteuid() == 0 else None
        parts.append(_idle_rows(local, share))
        load.append(os.getloadavg()[0])
        took = looks(folder / "looks", 3)
        parts.append(
            ["| one look at a growing run of 100,000 files | core-seconds |", "|---|---|"]
            + [f"| {what} | {spread(values)} |" for what, values in took.items()]
        )
        sizes = {
            "50 runs of 40 cells": (50, 40),
            "10,000 cells": (1, 10_000),
            "25,000 cells, 100,000 files": (1, 25_000),
        }
        crowds = {
            what: crowd(folder / f"crowd-{number}", small, *size) for number, (what, size) in enumerate(sizes.items())
        }
        parts.append(_crowd_rows(crowds))
        load.append(os.getloadavg()[0])
        rss = month(folder / "month", small)
        sockets = [*local.listening, *(line for one in crowds.values() for line in one.listening)]
    text = REPORT.format(
        date=datetime.now(UTC).date(),
        cores=len(os.sched_getaffinity(0)),
        low=min(load),
        high=max(load),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        rounds=ROUNDS,
        tables="\n\n".join("\n".join(part) for part in parts),
        first=rss.rss_mb[9],
        last=rss.rss_mb[-1],
        growth=rss.growth_percent,
        sockets=", ".join(sockets) or "none",
        minutes=(time.monotonic() - began) / 60,
    )
    Path("docs/benchmarks-daemon.md").write_text(text)
    sys.stdout.write(text)


REPORT = """# Benchmark of the daemon

Written by `python -m tests.benchmarks.daemon` on {date} in {minutes:.0f} minutes: {cores} cores shared with other work
(load {low:.1f} to {high:.1f}), no GPU, Python {python}, ONNX Runtime {onnxruntime}, fp32, local ext4. The real command
with the default settings: a look a second, 2 s to settle. Medians of {rounds} rounds (smallest to largest) where there
is a spread.

{tables}

A run that arrives slowly comes at 100 cells a second, so that its partial call falls about its last byte: the
daemon does not look while it calls, and the last files settle from the next look on.

A month: 90 runs of 400 cells one after another. Resident memory after run 10 {first:.1f} MB, after run 90
{last:.1f} MB; by a straight line through all of them **{growth:+.1f} %**.

Listening sockets while it ran: **{sockets}**.

Wanted: calls within settle time + 0.5 s beyond inference; idle under 1 % of a core with 200 finished runs of 5,000
files (to which one look at all files in 30 minutes is to be added: its core-seconds over 18); a look under 0.5 s;
memory bounded, and flat within 5 % over the month; a beat every second, which may not stop for 15; no listening
socket.
"""

if __name__ == "__main__":
    main()
