"""A daemon is seen from outside: whether it lives, what it does, what waits, and whether the last runs differ."""

import contextlib
import datetime as dt
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_ctc.daemon.state_folder import (
    LOCK,
    is_held,
    look_for_daemon,
    pid_in_lock,
    sole_daemon,
    state_folder,
    state_folder_to_ask,
)
from edge_ctc.daemon.status import (
    STATUS,
    RunCounts,
    RunSummary,
    Status,
    Wait,
    boot_id,
    read_status,
    seconds_since_boot,
    write_status,
)
from edge_ctc.daemon.trend import LAST, LEAST_EARLIER, Trend, trends
from edge_ctc.errors import DataError, InputMissingError, ResultsError, ResultsHeldError
from edge_ctc.lock_holder import holder_of, holder_pid
from tests.conftest import EdgeCtc
from tests.rights import without_rights

HOLDS = """
import sys, time
from pathlib import Path
from edge_ctc.daemon.state_folder import sole_daemon
with sole_daemon(Path(sys.argv[-1])):
    print("held", flush=True)
    time.sleep(60)
"""


def summary(run: str = "P07", **changes: Any) -> RunSummary:
    said: dict[str, Any] = {
        "run": run,
        "finished_at_utc": "2026-11-02T09:00:00+00:00",
        "run_state": "complete",
        "cells": 1000,
        "verdicts": {"CTC": 2, "REVIEW": 2, "LEUKOCYTE": 990, "NOT_EVALUABLE": 6},
        "flags": {"saturated": 5},
        "seconds": 2.0,
    }
    return RunSummary(**said | changes)


def status_now(**changes: Any) -> Status:
    now = dt.datetime.now(dt.UTC)
    said: dict[str, Any] = {
        "pid": os.getpid(),
        "boot_id": boot_id(),
        "software_version": "0.2.0",
        "engine": "onnxruntime 1.30 CPU fp32",
        "started_at_utc": "2026-11-01T08:00:00+00:00",
        "updated_at_utc": now.isoformat(),
        "state": "watching",
        "sentence": "watching: nothing is owed",
        "last_look_at_utc": (now - dt.timedelta(seconds=1)).isoformat(),
        "calling": None,
        "cells_done": 0,
        "cells_owed": 0,
        "oldest_pending_file_s": None,
        "runs": RunCounts(complete=3),
        "verdicts": {"CTC": 6, "REVIEW": 6, "LEUKOCYTE": 2970, "NOT_EVALUABLE": 18},
        "failures": {},
        "waits": (),
        "recent": (summary(),),
    }
    return Status(**said | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def daemon(folder: Path) -> Iterator[Path]:
    """The state folder of a daemon that lives and is well: this process."""
    with sole_daemon(folder):
        write_status(folder / STATUS, status_now())
        yield folder


@contextlib.contextmanager
def another_daemon(folder: Path, program: str = "edge-ctc") -> Iterator[subprocess.Popen[str]]:
    """A process of that name which holds the state folder."""
    script = folder.parent / program
    script.write_text(HOLDS)
    with subprocess.Popen(
        [sys.executable, script, "watch", "--config", folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


# The state folder


def test_state_lies_where_systemd_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/one:{tmp_path}/two")
    assert state_folder() == state_folder_to_ask() == tmp_path / "one"


def test_without_systemd_state_lies_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "edge-ctc"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local/state/edge-ctc"


def test_a_state_folder_is_made_for_its_owner_and_group_alone(folder: Path) -> None:
    before = os.umask(0o077)  # that of the unit
    try:
        with sole_daemon(folder / "below"):
            write_status(folder / "below" / STATUS, status_now())
            modes = [stat.S_IMODE((folder / "below" / name).stat().st_mode) for name in ("", LOCK, STATUS)]
    finally:
        os.umask(before)
    assert modes == [0o750, 0o644, 0o644]


def test_a_second_daemon_is_told_who_runs_and_the_first_is_not_disturbed(folder: Path) -> None:
    with another_daemon(folder) as first:
        with (
            pytest.raises(ResultsHeldError, match=rf"another edge-ctc watch runs here \(process {first.pid}\)"),
            sole_daemon(folder),
        ):
            pass
        assert is_held(folder)
        assert pid_in_lock(folder) == first.pid


def test_a_daemon_that_was_killed_leaves_the_place_free(folder: Path) -> None:
    with another_daemon(folder) as first:
        first.kill()
        first.wait()
        with sole_daemon(folder):
            assert pid_in_lock(folder) == os.getpid()
    assert not is_held(folder)
    assert os.listdir(folder) == [LOCK]


def test_what_the_daemon_before_said_goes_with_the_lock(folder: Path) -> None:
    """Process 1 of a container that was started anew must not seem to say what process 1 said before."""
    with sole_daemon(folder):
        write_status(folder / STATUS, status_now())
    assert (folder / STATUS).exists()
    with sole_daemon(folder):
        assert os.listdir(folder) == [LOCK]
        assert not look_for_daemon(folder).answers


def test_a_second_daemon_takes_nothing_of_what_the_first_said(folder: Path) -> None:
    with another_daemon(folder) as first:
        write_status(folder / STATUS, status_now(pid=first.pid))
        with pytest.raises(ResultsHeldError), sole_daemon(folder):
            pass
        assert look_for_daemon(folder).answers


def test_asking_never_keeps_a_daemon_from_starting(folder: Path) -> None:
    with sole_daemon(folder):
        pass
    asked_enough = threading.Event()

    def ask() -> None:
        while not asked_enough.is_set():
            is_held(folder)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(50):
            with sole_daemon(folder):
                pass
    finally:
        asked_enough.set()
        asking.join()


def test_a_state_folder_without_rights_is_said_and_mended_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with without_rights(), pytest.raises(ResultsError, match="cannot keep its state there"), sole_daemon(tmp_path):
        pass
    tmp_path.chmod(0o755)


def test_a_link_in_the_place_of_the_lock_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    (folder / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(ResultsError), sole_daemon(folder):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


# Who holds a lock


def test_the_holder_of_a_lock_is_named_with_its_command_and_without_its_paths(folder: Path) -> None:
    with another_daemon(folder) as first:
        assert holder_of(folder / LOCK) == f"process {first.pid} (edge-ctc watch)"


def test_a_holder_that_is_no_edge_ctc_is_named_by_its_program_alone(folder: Path) -> None:
    with another_daemon(folder, "backup") as first:
        assert holder_of(folder / LOCK) == f"process {first.pid} ({Path(sys.executable).name})"


def test_a_lock_that_nobody_holds_or_that_is_not_there_has_no_holder_that_could_be_named(folder: Path) -> None:
    with sole_daemon(folder):
        assert holder_pid(folder / LOCK) == os.getpid()
        assert holder_pid(folder) is None
    assert holder_of(folder / LOCK) == "another process"
    assert holder_of(folder / "nothing") == "another process"


# The file


def test_a_status_is_read_as_it_was_written(folder: Path) -> None:
    folder.mkdir()
    written = status_now(
        waits=(Wait(run="P08", reason="No space left on device", for_s=3.5),), failures={"ResultsError": 2}
    )
    assert write_status(folder / STATUS, written) is None
    assert read_status(folder / STATUS) == written
    assert os.listdir(folder) == [STATUS]


def test_names_that_are_no_text_are_shown_escaped(folder: Path) -> None:
    folder.mkdir()
    assert write_status(folder / STATUS, status_now(calling="P\udcff\n07", recent=(summary("P\udcff"),))) is None
    read = read_status(folder / STATUS)
    assert (read.calling, read.recent[0].run) == ("P\\udcff\\n07", "P\\udcff")


def test_whoever_reads_while_it_is_written_reads_a_whole_status(folder: Path) -> None:
    folder.mkdir()
    write_status(folder / STATUS, status_now())
    written_enough = threading.Event()

    def write() -> None:
        while not written_enough.is_set():
            write_status(folder / STATUS, status_now(sentence="x" * random.randrange(10_000)))  # noqa: S311 - a length

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(300):
            read_status(folder / STATUS)
    finally:
        written_enough.set()
        writing.join()


def test_a_status_that_cannot_be_written_is_a_reason_and_no_failure(tmp_path: Path) -> None:
    assert write_status(tmp_path / "nowhere" / STATUS, status_now()) == "No such file or directory"
    (tmp_path / ".status.json.tmp").symlink_to("/dev/full")
    assert write_status(tmp_path / STATUS, status_now()) == "Too many levels of symbolic links"
    assert not (tmp_path / STATUS).exists()


def test_on_a_full_disk_the_last_status_stands_and_the_reason_is_told(folder: Path) -> None:
    """A file may hold nothing at all: what a full disk says to a write, said by a limit of the process."""
    folder.mkdir()
    write_status(folder / STATUS, status_now(sentence="before"))
    writes = f"""
import resource, signal
from pathlib import Path
from edge_ctc.daemon.status import read_status, write_status
path = Path({str(folder / STATUS)!r})
status = read_status(path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
print(write_status(path, status))
"""
    ended = subprocess.run([sys.executable, "-c", writes], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "File too large\n"
    assert read_status(folder / STATUS).sentence == "before"
    assert os.listdir(folder) == [STATUS]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 2}', b"\xff", b"null"])
def test_a_file_that_is_no_status_is_wrong_data(folder: Path, content: bytes, edge_ctc: EdgeCtc) -> None:
    folder.mkdir()
    (folder / STATUS).write_bytes(content)
    with pytest.raises(DataError, match="no status that this version can read"):
        read_status(folder / STATUS)
    assert edge_ctc("status", "--state", folder).code == 65


def test_a_status_that_is_not_there_is_a_missing_input(folder: Path) -> None:
    with pytest.raises(InputMissingError):
        read_status(folder / STATUS)


# The command


def test_a_daemon_that_is_well_ends_with_0_and_tells_what_it_does(edge_ctc: EdgeCtc, daemon: Path) -> None:
    write_status(
        daemon / STATUS,
        status_now(
            state="calling",
            state_since_utc="2026-11-02T09:00:00+00:00",
            sentence="calling P09",
            calling="P09",
            cells_done=10,
            cells_owed=400,
            oldest_pending_file_s=200.0,
            runs=RunCounts(complete=3, growing=1, no_runs=2),
        ),
    )
    ended = edge_ctc("status", "--state", daemon)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:2] == [
        f"daemon    runs, process {os.getpid()}, since 2026-11-01T08:00:00+00:00",
        "state     calling, since 2026-11-02T09:00:00+00:00: calling P09",
    ]
    assert "calling   P09, 10 of 400 cells" in lines
    assert "pending   the oldest file for 3 min 20 s" in lines
    assert "runs      1 growing, 3 complete, 2 no runs" in lines
    assert "cells     6 CTC, 6 REVIEW, 2970 LEUKOCYTE, 18 NOT_EVALUABLE" in lines
    assert "trend     candidates per 1,000 cells: 4" in lines


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "share-away"},
        {"state": "share-silent"},
        {"state": "waiting"},
        {"waits": (Wait(run="P08", reason="No space left on device", for_s=90.0),)},
        {"runs": RunCounts(growing=1, stalled=1)},
    ],
)
def test_what_waits_stalls_or_is_away_ends_with_2(edge_ctc: EdgeCtc, daemon: Path, changes: dict[str, Any]) -> None:
    write_status(daemon / STATUS, status_now(**changes))
    ended = edge_ctc("status", "--state", daemon)
    assert ended.code == 2
    if "waits" in changes:
        assert "waits     P08: No space left on device, for 1 min 30 s" in ended.out


def test_where_none_ever_ran_69_says_so(edge_ctc: EdgeCtc, folder: Path) -> None:
    ended = edge_ctc("status", "--state", folder)
    assert (ended.code, ended.out) == (69, f"daemon    none runs with {folder}; none ever did\n")


@pytest.mark.parametrize(("state", "how"), [("ended", "and ended"), ("calling", "was killed or failed")])
def test_a_daemon_that_is_gone_is_told_from_one_that_lives(
    edge_ctc: EdgeCtc, folder: Path, state: str, how: str
) -> None:
    with sole_daemon(folder):
        write_status(folder / STATUS, status_now(state=state))
    ended = edge_ctc("status", "--state", folder)
    assert ended.code == 69
    assert "none runs with" in ended.out
    assert how in ended.out


def test_a_daemon_that_hangs_is_said_not_to_answer(edge_ctc: EdgeCtc, daemon: Path) -> None:
    write_status(daemon / STATUS, status_now(updated_boot_s=seconds_since_boot() - 100))
    ended = edge_ctc("status", "--state", daemon)
    assert ended.code == 69
    assert "DOES NOT ANSWER for 1 min 40 s" in ended.out


def test_a_daemon_that_has_not_said_anything_yet_is_not_taken_for_the_one_before(
    edge_ctc: EdgeCtc, folder: Path
) -> None:
    folder.mkdir()
    write_status(folder / STATUS, status_now())
    with another_daemon(folder) as another:
        ended = edge_ctc("status", "--state", folder)
    assert ended.code == 69
    assert f"process {another.pid} runs, and has not said anything yet" in ended.out


def test_a_status_of_before_the_machine_started_is_nobodys(folder: Path) -> None:
    """One of the same number runs now and could not take it away: what was said later than now is of another start."""
    with sole_daemon(folder):
        write_status(folder / STATUS, status_now(boot_id="another", updated_boot_s=seconds_since_boot() + 100))
        assert not look_for_daemon(folder).answers


def test_a_container_that_shows_another_number_of_the_machines_start_is_answered_for(folder: Path) -> None:
    with sole_daemon(folder):
        write_status(folder / STATUS, status_now(boot_id="another"))
        assert look_for_daemon(folder).answers


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_was_set_makes_no_daemon_silent(daemon: Path, days: int) -> None:
    set_clock = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()
    write_status(daemon / STATUS, status_now(updated_at_utc=set_clock, last_look_at_utc=set_clock))
    sighting = look_for_daemon(daemon)
    assert sighting.answers
    assert sighting.age_s < 5


def test_another_user_is_told_who_may_ask(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with sole_daemon(folder):
        folder.chmod(0)
        with without_rights():
            ended = edge_ctc("status", "--state", folder)
        folder.chmod(0o750)
    assert ended.code == 66
    assert "ask as root or as a member of the folder's group" in ended.err


def test_an_empty_folder_name_is_wrong_usage(edge_ctc: EdgeCtc) -> None:
    assert edge_ctc("status", "--state", "").code == 64


def test_json_is_one_document_with_everything(edge_ctc: EdgeCtc, daemon: Path) -> None:
    ended = edge_ctc("status", "--state", daemon, "--json")
    document = json.loads(ended.out)
    assert ended.code == document["exit_code"] == 0
    assert (document["schema_version"], document["runs"], document["answers"]) == (1, True, True)
    assert document["status"]["runs"]["complete"] == 3
    assert 0 <= document["age_s"] < 10
    assert 1 <= document["last_look_age_s"] < 11
    assert document["trend"][0] == {
        "figure": "candidates per 1,000 cells",
        "last": 4.0,
        "earlier": None,
        "spread": None,
        "runs_before": 0,
        "drifts": None,
    }


def test_json_without_any_daemon_is_a_document_too(edge_ctc: EdgeCtc, folder: Path) -> None:
    ended = edge_ctc("status", "--state", folder, "--json")
    document = json.loads(ended.out)
    assert ended.code == document["exit_code"] == 69
    assert (document["runs"], document["answers"], document["status"], document["trend"]) == (False, False, None, [])


def test_asking_touches_nothing(edge_ctc: EdgeCtc, daemon: Path) -> None:
    before = {name: (daemon / name).stat().st_mtime_ns for name in sorted(os.listdir(daemon))}
    time.sleep(0.01)
    edge_ctc("status", "--state", daemon)
    assert {name: (daemon / name).stat().st_mtime_ns for name in sorted(os.listdir(daemon))} == before


# The trend


def series(*seconds: float) -> list[RunSummary]:
    """Runs that differ in their pace alone, seconds per 1,000 cells."""
    return [summary(f"P{number:03}", seconds=value) for number, value in enumerate(seconds)]


def pace(runs: list[RunSummary]) -> Trend:
    return next(trend for trend in trends(runs) if trend.figure == "seconds per 1,000 cells")


USUAL = [2.0, 2.1, 1.9, 2.2, 1.8] * (LEAST_EARLIER // 5)


@pytest.mark.parametrize(("last", "drifts"), [(2.05, None), (1.9, None), (4.0, "up"), (0.5, "down")])
def test_the_last_runs_drift_where_they_lie_outside_what_was_usual(last: float, drifts: str | None) -> None:
    found = pace(series(*USUAL, *[last] * LAST))
    assert (found.last, found.earlier, found.runs_before, found.drifts) == (last, 2.0, LEAST_EARLIER, drifts)
    assert found.spread == pytest.approx(0.1 * 1.4826)


def test_two_odd_runs_of_the_last_five_are_no_drift() -> None:
    assert pace(series(*USUAL, 90, 2.0, 90, 2.0, 2.0)).drifts is None


def test_before_there_are_enough_runs_nothing_is_said_to_drift() -> None:
    assert pace(series(*USUAL[1:], *[90.0] * LAST)).drifts is None
    assert pace([]).last is None
    assert pace(series(2.0)).last == 2.0


def test_a_difference_that_concerns_nobody_is_no_drift_where_all_earlier_runs_are_equal() -> None:
    assert pace(series(*[2.0] * LEAST_EARLIER, *[2.3] * LAST)).drifts is None
    assert pace(series(*[2.0] * LEAST_EARLIER, *[2.5] * LAST)).drifts == "up"
    stained = [summary(f"Q{number}", flags={"saturated": 15}) for number in range(LAST)]
    clean = [summary(f"P{number}", flags={}) for number in range(LEAST_EARLIER)]
    drifts = {trend.figure: trend.drifts for trend in trends([*clean, *stained])}
    assert drifts["saturated, % of cells"] == "up"
    assert drifts["empty channel, % of cells"] is None


def test_of_a_run_that_was_called_several_times_its_last_complete_call_counts() -> None:
    runs = [summary("P01", seconds=9.0), *series(2.0), summary("P01", seconds=4.0)]
    assert pace([*runs, summary("P02", run_state="partial", seconds=99.0)]).last == 3.0


def test_rows_that_were_kept_took_no_time() -> None:
    assert pace([summary(seconds=1.0, cells_reused=500)]).last == 2.0
    assert pace([summary(seconds=1.0, cells_reused=1000)]).last is None


def test_a_run_without_cells_tells_nothing() -> None:
    assert all(trend.last is None for trend in trends([summary(cells=0, verdicts={}, flags={})]))


def test_a_drift_is_said_in_words_and_changes_no_exit_code(edge_ctc: EdgeCtc, daemon: Path) -> None:
    write_status(daemon / STATUS, status_now(recent=tuple(series(*USUAL, *[4.0] * LAST))))
    ended = edge_ctc("status", "--state", daemon)
    assert ended.code == 0
    assert "seconds per 1,000 cells: 4, before 2 (20 runs, spread 0.15): DRIFTS up; look at the last runs" in ended.out
