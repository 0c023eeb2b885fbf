"""Events that are lost, overflow, or never come: the daemon's own looks give the same result, a little later."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.daemon import make_site
from tests.system.scans import Archive
from tests.system.tools import missing
from tests.system.watched import Watched

LATER_S = 10.0
"""A look comes every second, and an image must stay the same for a fifth of one; the rest is the machine's."""
FLOOD = 30_000
"""Files: the kernel keeps 16,384 events (fs.inotify.max_queued_events)."""
_BIND = ("mount", "--bind")
_UMOUNT = ("umount", "-l")


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if sentence := missing("unshare", "mount"):
        pytest.fail(sentence)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Archive:
    return Archive(tmp_path_factory.mktemp("archive"), small)


@pytest.fixture
def watched(room: Path, small: Path) -> Iterator[Watched]:
    with watch(room, small) as watched:
        yield watched


def watch(room: Path, small: Path, *before: str, **settings: Any) -> Watched:
    site = make_site(room, small, look_every_s=1.0, **settings)
    return Watched(site, site.exports, *before)


def with_limit(name: str, most: int) -> tuple[str, ...]:
    """What stands before a command that is to run in a user namespace with this limit of inotify."""
    script = f'echo {most} > /proc/sys/user/{name} && exec "$@"'
    return "unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"


def watches(pid: int) -> int:
    """How many folders a process has the kernel watch."""
    return sum(_watches_of(info) for info in Path(f"/proc/{pid}/fdinfo").iterdir())


def _watches_of(info: Path) -> int:
    # The process opens and closes files meanwhile.
    with contextlib.suppress(FileNotFoundError):
        return sum(line.startswith("inotify ") for line in info.read_text().splitlines())
    return 0


def flood(folder: Path) -> None:
    """Small files in new folders in new folders."""
    for number in range(FLOOD):
        if number % 300 == 0:
            below = folder / f"{number // 3000}" / f"{number}"
            below.mkdir(parents=True)
        write_small(f"{below}/{number}.txt")


def write_small(path: str) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - thirty thousand of them
        file.write(b"x")


def test_events_wake_the_daemon_on_a_local_disk(watched: Watched, archive: Archive) -> None:
    watched.daemon.wait_for(lambda: watches(watched.daemon.pid), "watch of the export folder")
    watched.write("run", archive.scan(1))
    watched.wait_called("run", LATER_S)
    watched.finish()


def test_where_events_are_switched_off_looks_find_every_run(room: Path, small: Path, archive: Archive) -> None:
    exports = room / "exports"
    exports.mkdir()
    subprocess.run([*_BIND, exports, exports], check=True)
    try:
        with watch(room, small, mount="share") as watched:
            watched.write("run", archive.scan(1), table=False)
            watched.wait_partly_called("run")
            watched.write_table("run")
            watched.wait_called("run", LATER_S)
            assert watches(watched.daemon.pid) == 0
            watched.finish()
    finally:
        subprocess.run([*_UMOUNT, exports], check=True)


@pytest.mark.parametrize(("limit", "most"), [("max_inotify_instances", 0), ("max_inotify_watches", 2)])
def test_where_the_kernel_gives_no_events_looks_find_every_run(
    limit: str, most: int, room: Path, small: Path, archive: Archive
) -> None:
    with watch(room, small, *with_limit(limit, most)) as watched:
        for number in range(3):
            watched.write(f"run-{number}", archive.scan(number))
            watched.wait_called(f"run-{number}", LATER_S)
        assert watches(watched.daemon.pid) <= most
        watched.finish()


def test_a_queue_of_events_that_overflows_hides_no_run(watched: Watched, archive: Archive) -> None:
    watched.write("before", archive.scan(1))
    watched.wait_called("before", LATER_S)
    flooded = watched.exports / "flood"
    before = watches(watched.daemon.pid)
    flooded.mkdir()
    watched.daemon.wait_for(lambda: watches(watched.daemon.pid) > before, "watch of the new folder")
    # While it stands still nobody takes events from the queue: those of the run come after the last that fits in.
    watched.daemon.send(signal.SIGSTOP)
    assert int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) < FLOOD
    for number in range(FLOOD):
        write_small(f"{flooded}/{number}.txt")
    watched.write("after", archive.scan(2))
    watched.daemon.send(signal.SIGCONT)
    watched.wait_called("after", LATER_S)
    shutil.rmtree(watched.exports / "flood")
    watched.finish()


def test_a_flood_while_it_starts_hides_no_run(room: Path, small: Path, archive: Archive) -> None:
    watched = watch(room, small)
    flooding = threading.Thread(target=flood, args=(watched.exports / "flood",))
    flooding.start()
    with watched:
        watched.write("run", archive.scan(1))
        watched.wait_called("run", 2 * LATER_S)
        flooding.join()
        shutil.rmtree(watched.exports / "flood")
        watched.finish()


def test_a_folder_that_is_renamed_into_place_with_all_that_is_in_it_is_called(
    watched: Watched, room: Path, archive: Archive
) -> None:
    archive.scan(1).copy(room / "elsewhere")
    (room / "elsewhere").rename(watched.expect("run", archive.scan(1)))
    watched.wait_called("run", LATER_S)
    watched.finish()


def test_files_that_get_their_names_at_the_end_are_called(watched: Watched, archive: Archive) -> None:
    scan = archive.scan(1)
    run = watched.expect("run", scan)
    for path in sorted(scan.run.rglob("*"), key=lambda path: path.name == "cells.csv"):
        place = run / path.relative_to(scan.run)
        if path.is_dir():
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            hidden = place.with_name(f"{place.name}.tmp")
            shutil.copy(path, hidden)
            hidden.rename(place)
    watched.wait_called("run", LATER_S)
    watched.finish()


def test_an_export_folder_that_is_deleted_and_made_again_is_watched_again(watched: Watched, archive: Archive) -> None:
    lost = watched.write("lost", archive.scan(1))
    watched.wait_called("lost", LATER_S)
    shutil.rmtree(watched.exports)
    watched.wait_state("share-away")
    watched.exports.mkdir()
    watched.forget(lost.name)
    for number in range(2):
        watched.write(f"run-{number}", archive.scan(number))
        watched.wait_called(f"run-{number}", LATER_S)
    watched.finish()


def test_an_export_folder_that_another_is_put_in_the_place_of_is_watched(
    watched: Watched, room: Path, archive: Archive
) -> None:
    old = watched.write("old", archive.scan(1))
    watched.wait_called("old", LATER_S)
    (room / "other").mkdir()
    watched.exports.rename(room / "aside")
    (room / "other").rename(watched.exports)
    watched.forget(old.name)
    watched.write("new", archive.scan(2))
    watched.wait_called("new", LATER_S)
    assert sorted(os.listdir(room / "aside")) == [
        "old",
        "old.ctc-calls.csv",
        "old.ctc-gallery.html",
        "old.ctc-run.json",
    ]
    watched.finish()
