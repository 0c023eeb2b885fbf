"""`make soak`: thousands of kills, hundreds of power cuts, every point of the sweep; results go into docs/soak.md."""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tests.system import sweep, watch_sweep
from tests.system.kills import Tally, kill_trial
from tests.system.pointfs import Mounted
from tests.system.powercut import cut_trial
from tests.system.scans import Archive, small_checkpoint
from tests.system.sweep import FAULTS, Bench
from tests.system.tools import missing
from tests.system.watch_sweep import Area, WatchBench

_ROOT = Path(__file__).parents[2]
DOCUMENT = _ROOT / "docs" / "soak.md"
Trial = Callable[[int, Path, Archive], Tally]


@dataclass(frozen=True)
class Part:
    """One part of the soak, done."""

    name: str
    unit: str
    tally: Tally
    seconds: float


def main() -> int:
    """Run all parts. Ends with 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=1_000)
    parser.add_argument("--at-once", type=int, default=3, help="trials at the same time")
    parser.add_argument("--no-sweep", action="store_true")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    asked = parser.parse_args()
    if sentence := missing("strace", "fusermount3", "mkfs.ext4", "losetup"):
        sys.exit(sentence)
    room = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="edge-ctc-soak-"))
    parts = []
    archive = Archive(room / "archive", small_checkpoint(room / "means"))
    seeds = itertools.count(asked.first_seed)
    if asked.kills:
        parts.append(
            _part("kill -9 while a scanner writes", "kills", asked.kills, kill_trial, seeds, room, archive, asked)
        )
    if asked.cuts:
        parts.append(
            _part("power cut while runs are called", "cuts", asked.cuts, cut_trial, seeds, room, archive, asked)
        )
    if not asked.no_sweep:
        parts.append(_sweep(room, archive, asked.at_once))
    asked.out.write_text(_report(parts, sys.argv[1:]), encoding="utf-8")
    faults = [fault for part in parts for fault in part.tally.faults]
    if not faults:
        shutil.rmtree(room)
    _say(f"{len(faults)} promises not kept; {asked.out}")
    return 1 if faults else 0


def _part(  # noqa: PLR0917
    name: str,
    unit: str,
    wanted: int,
    trial: Trial,
    seeds: Iterator[int],
    room: Path,
    archive: Archive,
    asked: argparse.Namespace,
) -> Part:
    """Trials until there were so many kills, some at the same time."""
    began = told = time.monotonic()
    tally, under_way = Tally(), set[Future[Tally]]()
    with ThreadPoolExecutor(asked.at_once) as pool:
        while tally.kills < wanted or under_way:
            while tally.kills < wanted and len(under_way) < asked.at_once:
                under_way.add(pool.submit(trial, next(seeds), room, archive))
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                tally += one.result()
                for fault in one.result().faults:
                    _say(f"NOT KEPT: {fault}")
            if time.monotonic() - told > 30:
                told = time.monotonic()
                _say(f"{name}: {tally.kills} of {wanted} {unit}, {told - began:.0f} s, {len(tally.faults)} faults")
    return Part(name, unit, tally, time.monotonic() - began)


def _sweep(room: Path, archive: Archive, at_once: int) -> Part:
    """Every fault at every point, of both commands and all stories."""
    began, tally = time.monotonic(), Tally()
    for story in get_args(sweep.Story):
        bench = Bench(room / f"calls-{story}", archive, story)
        for fault, point in itertools.product(FAULTS, bench.points()):
            tally.faults += bench.faults(point, fault)
            tally.landed[f"classify-run, {story}, {fault}"] += 1
    with Mounted(room / "points") as mounted, ThreadPoolExecutor(at_once) as pool:
        places: list[tuple[watch_sweep.Story, Area]] = [(story, "exports") for story in get_args(watch_sweep.Story)]
        for story, area in [*places, ("first", "state")]:
            watched = WatchBench(room / f"watch-{story}-{area}", mounted, archive, story)
            changes = watched.changes(area)
            for fault in FAULTS:
                found = pool.map(lambda change, w=watched, a=area, f=fault: w.faults(a, change, f), changes)
                tally.faults += itertools.chain.from_iterable(found)
                tally.landed[f"watch, {story}, {area}, {fault}"] += len(changes)
                _say(f"sweep: watch, {story}, {area}, {fault}: {len(changes)} points, {len(tally.faults)} faults")
    tally.kills = tally.trials = tally.landed.total()
    for fault_ in tally.faults:
        _say(f"NOT KEPT: {fault_}")
    return Part("a fault at every state-changing call", "points", tally, time.monotonic() - began)


def _report(parts: list[Part], arguments: list[str]) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    lines = [
        "# What the daemon outlived",
        "",
        f"Written by `python -m tests.system.soak {' '.join(arguments)}`".rstrip()
        + f" at commit {commit.stdout.strip()}.",
        "After each trial: every cell exactly one row, sums that close, the bytes called are the last bytes on disk,",
        "the verdicts of an undisturbed run, nothing left over (`tests/system/promises.py`).",
        "",
        "| part | done | trials | promises not kept | seconds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {part.name} | {done.kills} {part.unit} | {done.trials} | {len(done.faults)} | {part.seconds:.0f} |"
        for part in parts
        for done in (part.tally,)
    ]
    for part in parts:
        lines += ["", f"## {part.name}", "", "| where it landed | how often |", "|---|---|"]
        lines += [f"| {place} | {count} |" for place, count in sorted(part.tally.landed.items())]
        lines += [f"- not kept: {json.dumps(fault)}" for fault in part.tally.faults]
    return "\n".join(lines) + "\n"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
