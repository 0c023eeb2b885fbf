"""The journal gets one JSON object a line, about one a run; what lasts is said rarely, and no name but a run's."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_ctc.console.journal import Journal
from edge_ctc.daemon.status import RunSummary

SUMMARY = RunSummary(
    run="P07",
    finished_at_utc="2026-11-02T09:00:00+00:00",
    run_state="complete",
    cells=1000,
    verdicts={"CTC": 3, "REVIEW": 4, "LEUKOCYTE": 990, "NOT_EVALUABLE": 3},
    flags={"saturated": 2},
    seconds=3.14159,
    cells_reused=900,
)
SAYS_THREE = """
import sys
from edge_ctc.console.journal import Journal
journal = Journal()
journal.starting("1")
journal.waits("P07", "disk full")
journal.failed("the engine failed")
sys.stderr.write("alive")
"""


@dataclass
class Clock:
    """Seconds, set by the test."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_called_run_is_one_line(lines: Lines) -> None:
    Journal().called(SUMMARY, "green")
    (line,) = lines()
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "event": "called",
        "run": "P07",
        "run_state": "complete",
        "cells": 1000,
        "cells_reused": 900,
        "verdicts": SUMMARY.verdicts,
        "flags": SUMMARY.flags,
        "seconds": 3.142,
        "trust": "green",
    }


def test_a_life_is_told_from_start_to_end(lines: Lines) -> None:
    journal = Journal()
    journal.starting("0.2.0")
    journal.started("onnxruntime 1.30 CPU fp32", "/data/exports")
    journal.stalls("P08", 3, 31.4)
    journal.share_away("Host is down")
    journal.share_back(12.3)
    journal.recovered("P08")
    journal.state_not_kept("No space left on device")
    journal.ending("SIGTERM")
    journal.failed("a reference cell is off by 0.2")
    told = lines()
    assert [(line["event"], line["level"]) for line in told] == [
        ("starting", "INFO"),
        ("started", "INFO"),
        ("stalls", "WARNING"),
        ("share-away", "WARNING"),
        ("share-back", "INFO"),
        ("recovered", "INFO"),
        ("state-not-kept", "WARNING"),
        ("ending", "INFO"),
        ("failed", "ERROR"),
    ]
    assert (told[2]["pending"], told[2]["seconds"], told[4]["seconds"]) == (3, 31, 12)


def test_what_lasts_is_said_at_once_and_then_after_times_that_double_up_to_an_hour(lines: Lines) -> None:
    clock = Clock()
    journal = Journal(clock)
    said_at = []
    for second in range(0, 20_000, 10):
        clock.now = second
        journal.waits("P07", "No space left on device")
        said_at += [second] * len(lines())
    gaps = [after - before for before, after in itertools.pairwise(said_at)]
    assert said_at[0] == 0
    assert gaps == [60, 120, 240, 480, 960, 1920, *[3600] * 4]


def test_another_reason_and_another_run_are_said_at_once(lines: Lines) -> None:
    journal = Journal(Clock())
    for run, reason in [("P07", "full"), ("P07", "full"), ("P07", "no rights"), ("P08", "full"), ("P07", "full")]:
        journal.waits(run, reason)
    assert [(line["run"], line["reason"]) for line in lines()] == [
        ("P07", "full"),
        ("P07", "no rights"),
        ("P08", "full"),
    ]


def test_a_run_that_recovered_is_said_to_wait_at_once_when_it_waits_again(lines: Lines) -> None:
    journal = Journal(Clock())
    journal.waits("P07", "full")
    journal.waits("P08", "full")
    journal.recovered("P07")
    journal.recovered("P07")
    journal.waits("P07", "full")
    journal.waits("P08", "full")
    assert [(line["event"], line["run"]) for line in lines()] == [
        ("waits", "P07"),
        ("waits", "P08"),
        ("recovered", "P07"),
        ("waits", "P07"),
    ]


def test_what_was_never_said_to_be_amiss_is_not_said_to_be_well_again(lines: Lines) -> None:
    journal = Journal(Clock())
    journal.recovered("P07")
    journal.share_back(3)
    journal.recovered("")
    assert lines() == []


def test_the_memory_for_what_lasts_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(Clock())
    for number in range(25_000):
        journal.waits("P07", f"reason {number}")
    capsys.readouterr()
    assert len(journal._lasting) <= 10_000


@pytest.mark.parametrize("name", ["a\nb", "Müller", "\udcff\udcfe", "x\x7f\x1b[31m", '"quoted"\\'])
def test_a_run_of_any_name_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str], name: str) -> None:
    Journal().waits(name, "full")
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out)["run"].isprintable()


def test_threads_that_speak_at_once_are_understood(lines: Lines) -> None:
    journal = Journal()

    def speak(run: str) -> None:
        for number in range(300):
            journal.waits(run, f"reason {number}")
            journal.state_not_kept(f"reason {run} {number}")
            journal.recovered(run)

    with ThreadPoolExecutor(8) as speakers:
        list(speakers.map(speak, [f"P{number}" for number in range(8)]))
    told = [line["event"] for line in lines()]
    assert {event: told.count(event) for event in set(told)} == {
        "waits": 2400,
        "state-not-kept": 2400,
        "recovered": 2400,
    }


def said_to_a_pipe(journal_stream: Callable[[os.stat_result], str] | None) -> list[str]:
    """What a process says to a pipe whose JOURNAL_STREAM is as told."""
    reads, writes = os.pipe()
    environment = {key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"}
    if journal_stream:
        environment["JOURNAL_STREAM"] = journal_stream(os.fstat(writes))
    try:
        subprocess.run([sys.executable, "-c", SAYS_THREE], stdout=writes, env=environment, check=True, timeout=60)
    finally:
        os.close(writes)
    with os.fdopen(reads) as told:
        return told.read().splitlines()


def test_the_journal_itself_is_told_the_priority_of_each_line() -> None:
    lines = said_to_a_pipe(lambda stat: f"{stat.st_dev}:{stat.st_ino}")
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>"]
    assert [json.loads(line[3:])["event"] for line in lines] == ["starting", "waits", "failed"]


@pytest.mark.parametrize("stream", [None, lambda stat: f"{stat.st_dev}:{stat.st_ino + 1}", lambda _: "nonsense"])
def test_any_other_reader_gets_json_alone(stream: Callable[[os.stat_result], str] | None) -> None:
    assert [json.loads(line)["level"] for line in said_to_a_pipe(stream)] == ["INFO", "WARNING", "ERROR"]


def test_a_reader_who_went_away_stops_nothing() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", SAYS_THREE], stdout=writes, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writes)
    assert (ended.returncode, ended.stderr) == (0, b"alive")


def test_a_full_disk_behind_standard_output_stops_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", SAYS_THREE], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (ended.returncode, ended.stderr) == (0, b"alive")
