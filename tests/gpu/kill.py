"""SIGKILL in the middle: of `edge-ctc classify-run` while it computes, of `edge-ctc build-engine` while it compiles."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_ctc.engine.places import find_engines
from edge_ctc.plan import result_place
from edge_ctc.results.calls import Call, read_calls
from edge_ctc.results.commit import read_committed
from edge_ctc.simulate import Layout
from tests.gpu.bench import CHECKOUT, Bench, Target, edge_ctc, python, simulated_run
from tests.gpu.section import Findings, Group

CALLING = Group(
    "Killed while it calls",
    ("cells", "killed at", "results"),
    "`edge-ctc classify-run` gets SIGKILL when its progress bar shows the first cells, and again when it shows half of "
    "them; nothing may be committed then. Run again, its calls must be those of an undisturbed run, and no other file "
    "may lie beside them.",
)
BUILDING = Group(
    "Killed while it builds",
    ("killed after, s", "former engine"),
    "`edge-ctc build-engine` of an engine that is installed already gets SIGKILL at a tenth, half and nine tenths of "
    "the time that it takes; `edge-ctc engine verify` must find an engine whole and right each time, and a last build "
    "must pass and leave nothing behind.",
)

_FEWEST_CELLS = 600
"""Fewer are called before the progress bar is drawn."""
_SEED = 47_000
_ATTEMPTS = 3
_SHARES_OF_RUN = (0.0, 0.5)
_SHARES_OF_BUILD = (0.1, 0.5, 0.9)
_PROGRESS = re.compile(rb"(\d+)/(\d+)")
_DONE = 0


def killed_while_calling(bench: Bench, target: Target) -> Findings:
    """Kill it, run it again, compare with an undisturbed run."""
    cells = max(_FEWEST_CELLS, bench.scale.run_cells)
    folder = bench.folder / "killed" / target.name
    run = simulated_run(folder / "run", cells, _SEED, Layout.FLAT)
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    command = ("classify-run", run, "--engine", bench.engine(target).folder, "--stale-engine", "refuse", "--out")
    _expect_done("classify-run", *command, undisturbed)
    killed, faults = [], []
    for share in _SHARES_OF_RUN:
        seen = _killed_at(lambda: python("-m", "edge_ctc", *command, disturbed), share, disturbed)
        killed.append(f"{seen:,}")
        if read_committed(result_place(run, disturbed)) is not None:
            faults.append(f"killed at {seen} of {cells} cells, and yet calls are committed")
    _expect_done("classify-run after the kills", *command, disturbed)
    faults += _differences(run, undisturbed, disturbed)
    results = "as undisturbed" if not faults else "see above"
    return Findings((f"{cells:,}", " and ".join(killed), results), {"killed_at": killed, "cells": cells}, tuple(faults))


def _expect_done(what: str, *arguments: object) -> None:
    ended = edge_ctc(*arguments)
    if ended.returncode != _DONE:
        raise RuntimeError(f"{what} ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")


def _killed_at(command: Callable[[], list[str]], share: float, out: Path) -> int:
    """How many cells the progress bar showed when the process was killed."""
    for _ in range(_ATTEMPTS):
        seen = _kill_when(command(), share)
        if seen is not None:
            return seen
        shutil.rmtree(out, ignore_errors=True)
    raise RuntimeError(f"the command ended {_ATTEMPTS} times before its progress showed {share:.0%}")


def _kill_when(command: list[str], share: float) -> int | None:
    """Draws the bar on a pseudo-terminal, since elsewhere progress is a line every five seconds."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        try:
            seen = _watched(ours, share)
        finally:
            process.kill()
            os.close(ours)
    return seen if process.returncode < 0 else None


def _watched(terminal: int, share: float) -> int | None:
    said = b""
    while select.select([terminal], [], [], 120)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:
            return None  # its other end was closed: the command has ended
        for done, total in _PROGRESS.findall(said):
            if int(done) and share * int(total) <= int(done) < int(total):
                return int(done)
        said = said[-200:]
    return None


def _differences(run: Path, undisturbed: Path, disturbed: Path) -> list[str]:
    faults = []
    whole = [read_committed(result_place(run, out)) is not None for out in (undisturbed, disturbed)]
    if not all(whole):
        faults.append("calls without a manifest that commits them")
    expected, found = (_calls(result_place(run, out).calls) for out in (undisturbed, disturbed))
    if expected != found:
        faults.append("the calls differ from those of an undisturbed run")
    names = [sorted(os.listdir(out)) for out in (undisturbed, disturbed)]
    if names[0] != names[1]:
        faults.append(f"files beside the results: {names[1]}, expected {names[0]}")
    return faults


def _calls(path: Path) -> list[Call]:
    return [replace(call, classified_at_utc="") for call in read_calls(path)]


def killed_while_building(bench: Bench, target: Target) -> Findings:
    """Kill it at several moments; an engine must answer after each."""
    bench.engine(target)
    engines = bench.folder / "killed" / "engines" / target.name
    build = ("build-engine", bench.checkpoint.folder, "--runtime", target.runtime, "--precision", target.precision)
    command = (*build, "--out", engines)
    _expect_done("build-engine", *command)
    began = time.monotonic()
    _expect_done("build-engine, a second time", *command)
    takes = time.monotonic() - began
    (folder,) = find_engines(engines)
    killed = []
    for share in _SHARES_OF_BUILD:
        if _killed_after(python("-m", "edge_ctc", *command), share * takes):
            killed.append(share * takes)
        _expect_done(f"engine verify after a kill at {share:.0%}", "engine", "verify", folder)
    _expect_done("build-engine after the kills", *command)
    _expect_done("engine verify at the end", "engine", "verify", folder)
    faults = [] if killed else ["every build ended before it could be killed"]
    faults += [f"left behind: {path.name}" for path in folder.parent.glob(".*.tmp-*")]
    text = ", ".join(f"{seconds:.1f}" for seconds in killed)
    return Findings((text, "answers each time"), {"killed_after_s": killed, "build_takes_s": takes}, tuple(faults))


def _killed_after(command: list[str], seconds: float) -> bool:
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode < 0
