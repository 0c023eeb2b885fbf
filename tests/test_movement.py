"""A thread that a dead share or a deadlock holds is told from one that is slow; each test in a process of its own."""

import _thread
import contextlib
import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

from edge_ctc.daemon.movement import Movement

LOOKED_FOR_S = 2.5


def sleeps_and_wakes() -> None:
    while True:
        time.sleep(0.02)


def reads_what_never_comes() -> None:
    os.read(os.pipe()[0], 1)


def computes_in_c() -> None:
    hashlib.pbkdf2_hmac("sha256", b"long", b"salt", 10**9)


@contextlib.contextmanager
def threads(*works: Callable[[], None]) -> Iterator[None]:
    for work in works:
        threading.Thread(target=work, daemon=True).start()
    yield


@contextlib.contextmanager
def deadlock() -> Iterator[None]:
    one, other, both_hold = threading.Lock(), threading.Lock(), threading.Barrier(2)

    def take(first: threading.Lock, then: threading.Lock) -> None:
        with first:
            both_hold.wait()
            then.acquire()

    with threads(lambda: take(one, other), lambda: take(other, one)):
        yield


def one_that_waits() -> contextlib.AbstractContextManager[None]:
    return threads(reads_what_never_comes)


def one_of_several_that_wakes() -> contextlib.AbstractContextManager[None]:
    return threads(reads_what_never_comes, sleeps_and_wakes, reads_what_never_comes)


def one_that_computes() -> contextlib.AbstractContextManager[None]:
    return threads(computes_in_c)


def begins_others() -> None:
    while True:
        _thread.start_new_thread(time.sleep, (0.3,))
        time.sleep(0.02)


@contextlib.contextmanager
def threads_that_come_and_go() -> Iterator[None]:
    # threading knows neither: one does too little to count, and the others are only seen to come and go.
    _thread.start_new_thread(begins_others, ())
    with one_that_waits():
        yield


@contextlib.contextmanager
def a_library_that_computes() -> Iterator[None]:
    _thread.start_new_thread(computes_in_c, ())  # threading does not know it, as it does not know those of a library
    with one_that_waits():
        yield


@contextlib.contextmanager
def a_library_that_wakes_now_and_again() -> Iterator[None]:
    _thread.start_new_thread(sleeps_and_wakes, ())
    with one_that_waits():
        yield


@contextlib.contextmanager
def a_folder_that_is_watched(folder: str) -> Iterator[None]:
    def writes() -> None:
        while True:
            Path(folder, "file").write_text("x")
            time.sleep(0.02)

    observer = Observer()
    observer.schedule(FileSystemEventHandler(), folder)
    observer.start()
    _thread.start_new_thread(writes, ())
    with one_that_waits():
        yield


def _look(answer: Connection, scene: Callable[..., contextlib.AbstractContextManager[None]], *told: str) -> None:
    movement = Movement(threading.get_native_id())
    with scene(*told):
        longest, end = 0.0, time.monotonic() + LOOKED_FOR_S
        while (now := time.monotonic()) < end:
            longest = max(longest, movement.seconds_still(now))
            time.sleep(0.1)
    answer.send(longest)
    os._exit(0)  # threads that never end would be waited for


def longest_still(scene: Callable[..., contextlib.AbstractContextManager[None]], *told: str) -> float:
    """Seconds, of `LOOKED_FOR_S`, in a process of its own: threads that other tests left would move here."""
    spawning = multiprocessing.get_context("spawn")
    answer, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_look, args=(theirs, scene, *told))
    process.start()
    theirs.close()
    try:
        longest = answer.recv()
        assert isinstance(longest, float)
        return longest
    finally:
        process.join()
        process.close()
        answer.close()


def test_a_thread_that_a_system_call_does_not_let_go_is_still() -> None:
    assert longest_still(one_that_waits) > LOOKED_FOR_S - 1


def test_threads_that_wait_for_each_other_are_still() -> None:
    assert longest_still(deadlock) > LOOKED_FOR_S - 1


def test_one_thread_that_wakes_now_and_again_moves_for_all() -> None:
    assert longest_still(one_of_several_that_wakes) < 1


def test_a_thread_that_computes_without_ever_coming_back_to_python_moves() -> None:
    assert longest_still(one_that_computes) < 1


def test_threads_that_begin_and_end_move() -> None:
    assert longest_still(threads_that_come_and_go) < 1


def test_a_library_that_computes_in_threads_of_its_own_moves() -> None:
    assert longest_still(a_library_that_computes) < LOOKED_FOR_S - 0.9


def test_a_library_that_only_wakes_now_and_again_hides_nothing() -> None:
    assert longest_still(a_library_that_wakes_now_and_again) > LOOKED_FOR_S - 1


def test_events_that_arrive_hide_nothing(tmp_path: Path) -> None:
    assert longest_still(a_folder_that_is_watched, str(tmp_path)) > LOOKED_FOR_S - 1


def test_where_the_kernel_does_not_tell_nothing_is_said_to_be_still() -> None:
    movement = Movement(apart=2**30)
    assert [movement.seconds_still(now) for now in (0.0, 100.0, 200.0)] == [0.0, 0.0, 0.0]


def test_a_look_costs_less_than_a_millisecond() -> None:
    leave = threading.Event()
    waiting = [threading.Thread(target=leave.wait) for _ in range(10)]
    for thread in waiting:
        thread.start()
    movement = Movement(threading.get_native_id())
    taken = []
    for _ in range(50):
        begun = time.perf_counter()
        movement.seconds_still(begun)
        taken.append(time.perf_counter() - begun)
    leave.set()
    for thread in waiting:
        thread.join()
    assert min(taken) < 0.001
