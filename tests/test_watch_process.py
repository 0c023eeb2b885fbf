"""The daemon as a process: how it starts, ends, and what it does when its engine, its loop or its share goes bad."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_ctc.simulate import Layout, write_run
from tests.results import manifest_of, rows_of

CELLS = 150


@pytest.fixture
def place(tmp_path: Path, checkpoint: Path) -> Path:
    """A folder with an empty export folder and settings."""
    (tmp_path / "exports").mkdir()
    (tmp_path / "edge-ctc.toml").write_text(
        f'export_dir = "{tmp_path}/exports"\nprofile = "flat"\ncheckpoint = "{checkpoint}"\nruntime = "onnxruntime"\n'
        "look_every_s = 0.1\nsettle_s = 0.3\nquiet_s = 2\nbatch_within_s = 1\n"
    )
    return tmp_path


@contextmanager
def process(place: Path, *program: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """`edge-ctc watch`, or `program` in its place, killed when the context is left."""
    command = [sys.executable, "-m", *(program or ("edge_ctc",)), "watch", "--config", str(place / "edge-ctc.toml")]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"STATE_DIRECTORY": str(place / "state")} | environment,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def events(lines: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.splitlines()]


def until(is_so: "object", within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.05)


def is_complete(run: Path) -> bool:
    path = run.parent / f"{run.name}.ctc-run.json"
    return path.exists() and manifest_of(run)["run_state"] == "complete"


def test_sigterm_ends_it_with_0_and_says_so(place: Path) -> None:
    run = place / "exports" / "P01"
    write_run(run, 12, 3, seed=1, layout=Layout.FLAT)
    with process(place) as daemon:
        until((place / "exports" / "P01.ctc-gallery.html").exists)
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        out, err = daemon.communicate(timeout=10)
    assert daemon.returncode == 0
    assert time.monotonic() - began < 10
    assert [line["event"] for line in events(out)] == ["starting", "started", "called", "ending"]
    assert err == ""
    assert json.loads((place / "state" / "status.json").read_text())["state"] == "ended"


def test_sigterm_in_the_middle_of_a_run_leaves_nothing_half_done(place: Path) -> None:
    run = place / "exports" / "P01"
    write_run(run, 2000, 3, seed=1, layout=Layout.FLAT)
    with process(place) as daemon:
        until(lambda: '"state": "calling"' in _state(place))
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=10)
    assert daemon.returncode == 0
    left = [path.name for path in (place / "exports").iterdir()]
    assert not [name for name in left if "tmp" in name]
    with process(place):
        until(lambda: is_complete(run))
    assert len(rows_of(run)) == 2000


def _state(place: Path) -> str:
    try:
        return (place / "state" / "status.json").read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("how", ["hang", "error", "nan", "garbage"])
@pytest.mark.parametrize("after", [0, 2, 3])
def test_an_engine_that_goes_bad_calls_nothing_and_the_restart_finishes_the_run(
    place: Path, how: str, after: int
) -> None:
    run = place / "exports" / "P01"
    write_run(run, CELLS, 3, seed=1, layout=Layout.FLAT)
    with process(place, "tests.broken_engine", how, str(after)) as daemon:
        out, _ = daemon.communicate(timeout=60)
    assert daemon.returncode == 70
    assert events(out)[-1]["event"] == "failed"
    assert [path.name for path in (place / "exports").iterdir() if "ctc" in path.name] == []
    with process(place):
        until(lambda: is_complete(run))
    assert len(rows_of(run)) == CELLS


def test_an_engine_that_goes_bad_while_nothing_is_called_is_found_by_the_canary(place: Path) -> None:
    settings = place / "edge-ctc.toml"
    settings.write_text(settings.read_text() + "canary_every_min = 0.1\n")
    with process(place, "tests.broken_engine", "garbage", "1") as daemon:
        began = time.monotonic()
        out, err = daemon.communicate(timeout=60)
    assert daemon.returncode == 70
    assert time.monotonic() - began < 30
    assert "a reference cell" in err
    assert [line["event"] for line in events(out)] == ["starting", "started", "failed"]


def test_ready_goes_out_only_after_the_engine_has_answered_and_beats_follow(place: Path) -> None:
    address = str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(20)
        with process(place, NOTIFY_SOCKET=address, WATCHDOG_USEC="3000000"):
            heard: list[str] = []
            while sum("WATCHDOG=1" in one for one in heard) < 3:
                heard.append(listener.recv(4096).decode())
    ready = next(index for index, one in enumerate(heard) if "READY=1" in one)
    assert not any("WATCHDOG=1" in one for one in heard[:ready])
    assert any("STATUS=Watching. 0 runs complete." in one for one in heard)


def test_an_engine_that_answers_wrongly_at_the_start_is_never_ready(place: Path) -> None:
    address = str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        with process(place, "tests.broken_engine", "garbage", "0", NOTIFY_SOCKET=address) as daemon:
            daemon.communicate(timeout=30)
        heard = []
        while True:
            try:
                heard.append(listener.recv(4096).decode())
            except BlockingIOError:
                break
    assert daemon.returncode == 70
    assert not any("READY" in one for one in heard)


def test_a_wrong_setting_ends_with_78_and_names_the_line(place: Path) -> None:
    settings = place / "edge-ctc.toml"
    settings.write_text(settings.read_text() + "setle_s = 1\n")
    with process(place) as daemon:
        _, err = daemon.communicate(timeout=30)
    assert daemon.returncode == 78
    assert "line 9" in err
    assert 'did you mean "settle_s"?' in err


def test_a_second_daemon_ends_with_75_and_names_the_first(place: Path) -> None:
    with process(place) as first:
        until(lambda: '"watching"' in _state(place))
        with process(place) as second:
            _, err = second.communicate(timeout=30)
        assert second.returncode == 75
        assert f"(process {first.pid}" in err
        with process(place, STATE_DIRECTORY=str(place / "other state")) as third:
            _, err = third.communicate(timeout=30)
        assert third.returncode == 75
        assert f"another edge-ctc writes here, process {first.pid}" in err


def test_it_listens_on_no_socket(place: Path) -> None:
    with process(place) as daemon:
        until(lambda: '"watching"' in _state(place))
        links = [str(fd.readlink()) for fd in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert not [link for link in links if link.startswith("socket:")]


def test_an_engine_is_built_at_the_first_start_where_none_was_and_taken_at_the_next(place: Path) -> None:
    settings = place / "edge-ctc.toml"
    settings.write_text(settings.read_text() + 'precision = "fp16"\n')
    run = place / "exports" / "P01"
    write_run(run, 12, 3, seed=1, layout=Layout.FLAT)
    with process(place) as daemon:
        until(lambda: is_complete(run))
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=20)
    assert "compiling for" in err
    assert "fp16" in manifest_of(run)["engine"]
    with process(place) as daemon:
        until(lambda: '"watching"' in _state(place))
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=20)
    assert err == ""


def test_sigterm_while_an_engine_is_built_ends_with_0_and_the_next_start_builds_it(place: Path) -> None:
    settings = place / "edge-ctc.toml"
    settings.write_text(settings.read_text() + 'precision = "fp16"\n')
    slow = place / "slow.py"
    slow.write_text(
        "import sys, time\nfrom edge_ctc import build, cli\n"
        "build.compile_for = lambda *_: time.sleep(60)\nsys.argv[0] = 'edge-ctc'\ncli.main()\n"
    )
    command = [sys.executable, str(slow), "watch", "--config", str(settings)]
    environment = os.environ | {"STATE_DIRECTORY": str(place / "state"), "PYTHONPATH": str(Path.cwd())}
    building = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert building.stderr is not None
    while "compiling for" not in building.stderr.readline():
        pass
    building.send_signal(signal.SIGTERM)
    building.communicate(timeout=10)
    assert building.returncode == 0
    with process(place) as daemon:
        until(lambda: '"watching"' in _state(place))
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=20)
    assert "compiling for" in err
