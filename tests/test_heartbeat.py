"""systemd is told that the daemon lives, by a real socket; whoever does not listen holds nobody."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_ctc.daemon.heartbeat import Heartbeat


@contextlib.contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    """All datagrams that wait."""
    told = []
    with contextlib.suppress(BlockingIOError):
        while True:
            told.append(listener.recv(4096).decode())
    return told


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


@pytest.fixture
def heartbeat(listener: socket.socket) -> Heartbeat:
    return Heartbeat({"NOTIFY_SOCKET": listener.getsockname()})


def test_every_word_arrives_as_systemd_expects_it(listener: socket.socket, heartbeat: Heartbeat) -> None:
    heartbeat.status("opening the engine")
    heartbeat.extend(12.5)
    heartbeat.ready("watching 3 runs")
    heartbeat.beat()
    heartbeat.stopping()
    assert heard(listener) == [
        "STATUS=opening the engine",
        "EXTEND_TIMEOUT_USEC=12500000",
        "READY=1\nSTATUS=watching 3 runs",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_an_abstract_socket_is_reached() -> None:
    name = f"edge-ctc-test-{os.getpid()}-{time.monotonic_ns()}"
    with listening(f"\0{name}") as listener:
        Heartbeat({"NOTIFY_SOCKET": f"@{name}"}).ready("watching")
        assert heard(listener) == ["READY=1\nSTATUS=watching"]


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1234", "@", "/" + "x" * 300, "/nobody/listens"])
def test_nobody_who_listens_is_no_fault(address: str) -> None:
    heartbeat = Heartbeat({"NOTIFY_SOCKET": address})
    heartbeat.ready("watching")
    heartbeat.beat()
    heartbeat.stopping()


def test_the_environment_of_the_process_is_what_counts(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    Heartbeat().beat()
    assert heard(listener) == ["WATCHDOG=1"]


def test_a_manager_that_went_away_is_no_fault(listener: socket.socket, heartbeat: Heartbeat) -> None:
    heartbeat.beat()
    Path(listener.getsockname()).unlink()
    heartbeat.beat()
    assert heard(listener) == ["WATCHDOG=1"]


def test_a_manager_that_does_not_read_holds_nobody(heartbeat: Heartbeat) -> None:
    begun = time.monotonic()
    for _ in range(5000):
        heartbeat.beat()
    assert time.monotonic() - begun < 5


def test_a_ready_that_found_the_queue_full_goes_out_with_the_next_word(
    listener: socket.socket, heartbeat: Heartbeat
) -> None:
    for _ in range(5000):
        heartbeat.beat()
    heartbeat.ready("watching")
    assert not any("READY" in told for told in heard(listener))
    heartbeat.beat()
    heartbeat.beat()
    assert heard(listener) == ["READY=1\nWATCHDOG=1", "WATCHDOG=1"]


def test_a_sentence_is_one_line_and_cannot_say_anything_else(listener: socket.socket, heartbeat: Heartbeat) -> None:
    heartbeat.status("P07\nWATCHDOG=1\r\n\tis\x00 called\x1b[31m \udcff")
    told = heard(listener)
    assert told == ["STATUS=P07 WATCHDOG=1 is\\x00 called\\x1b[31m \\udcff"]


def test_a_long_sentence_is_cut_between_two_characters(listener: socket.socket, heartbeat: Heartbeat) -> None:
    heartbeat.ready("à" * 100_000)
    (told,) = heard(listener)
    assert told.startswith("READY=1\nSTATUS=àà")
    assert told.endswith("à")
    assert 1900 < len(told.encode()) < 4096


def test_three_beats_go_into_the_time_that_systemd_waits(listener: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "30000000"}
    assert Heartbeat(told).every_s == 10
    assert Heartbeat(told | {"WATCHDOG_PID": str(os.getpid())}).every_s == 10


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "x"},
        {"WATCHDOG_USEC": "30000000", "NOTIFY_SOCKET": ""},
    ],
)
def test_no_beat_is_wanted_where_none_is_asked_for_of_this_process(
    listener: socket.socket, told: dict[str, str]
) -> None:
    assert Heartbeat({"NOTIFY_SOCKET": listener.getsockname()} | told).every_s is None
