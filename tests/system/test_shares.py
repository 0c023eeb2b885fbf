"""A share that fails in every way known, under a daemon: nothing is lost, taken for deleted or called twice."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.promises import is_complete
from tests.system.scans import Archive
from tests.system.shares import Share
from tests.system.tools import missing
from tests.system.watched import Watched, watch_share

SOON_S = 5.0
"""Within so many seconds of a share's return the first new calls are there."""
TOLD_S = 15.0
"""Within so many seconds the status tells of an outage."""


@pytest.fixture(scope="module", autouse=True)
def fuse() -> None:
    if sentence := missing("fusermount3"):
        pytest.fail(sentence)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Archive:
    return Archive(tmp_path_factory.mktemp("archive"), small)


@pytest.fixture
def share(room: Path) -> Iterator[Share]:
    with Share(room) as share:
        yield share


@pytest.fixture
def watched(share: Share, room: Path, small: Path) -> Iterator[Watched]:
    with watch_share(share, room, small, mount="share") as watched:
        yield watched


@dataclass(frozen=True)
class Outage:
    """How a share goes, how it comes back, and how the daemon says that it is away."""

    name: str
    take: Callable[[Share], None]
    give: Callable[[Share], None]
    state: str = "share-away"
    lasts_s: float = 2.0


def unmounted(share: Share) -> None:
    share.gone()
    share.unmount()


def failing(name: str, rules: dict[str, dict[str, Any]], **more: Any) -> Outage:
    return Outage(name, lambda share: share.faults(rules), Share.heal, **more)


OUTAGES = (
    Outage("the server died", Share.gone, Share.back),
    Outage("unmounted, an empty local folder shows", unmounted, Share.back),
    Outage("hung", Share.hang, Share.resume, "share-silent", 21.0),
    failing("stale handles", {"*": {"errno": "ESTALE"}}),
    failing("input and output errors", {"*": {"errno": "EIO"}}),
    failing("listing forbidden", {"readdir": {"errno": "EACCES"}}),
    failing("the host is down", {"*": {"errno": "EHOSTDOWN", "delay_s": 0.3}}),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_an_outage_is_told_takes_nothing_for_deleted_and_delays_only(
    outage: Outage, share: Share, watched: Watched, archive: Archive
) -> None:
    watched.write("before", archive.scan(1))
    watched.write("growing", archive.scan(2), table=False)
    watched.wait_called("before")
    watched.wait_partly_called("growing")
    before = watched.results("before")
    outage.take(share)
    began = time.monotonic()
    watched.write("meanwhile", archive.scan(3))
    watched.wait_state(outage.state, within_s=TOLD_S)
    time.sleep(max(0.0, began + outage.lasts_s - time.monotonic()))
    assert watched.results("before") == before
    assert not is_complete(share.remote / "meanwhile")
    outage.give(share)
    watched.wait_called("meanwhile", SOON_S)
    watched.write_table("growing")
    watched.wait_called("growing", SOON_S)
    watched.wait_state("watching")
    assert watched.results("before") == before
    watched.finish()


def test_an_empty_listing_takes_nothing_for_deleted(share: Share, watched: Watched, archive: Archive) -> None:
    watched.write("before", archive.scan(1))
    watched.write("growing", archive.scan(2), table=False)
    watched.wait_called("before")
    watched.wait_partly_called("growing")
    before, partly = watched.results("before"), watched.results("growing")
    share.faults({"readdir": {"empty": True}})
    time.sleep(3)
    assert (watched.results("before"), watched.results("growing")) == (before, partly)
    watched.write("meanwhile", archive.scan(3))
    share.heal()
    watched.wait_called("meanwhile", SOON_S)
    watched.write_table("growing")
    watched.wait_called("growing", SOON_S)
    assert watched.results("before") == before
    watched.finish()


def test_runs_that_list_empty_for_a_while_keep_every_row(share: Share, watched: Watched, archive: Archive) -> None:
    watched.write("before", archive.scan(1))
    watched.wait_called("before")
    before = watched.results("before")
    share.faults({"readdir": {"empty": True, "match": "/before*"}})
    time.sleep(3)
    share.heal()
    time.sleep(1)
    assert watched.results("before") == before
    watched.finish()


def test_a_slow_share_only_takes_longer(room: Path, small: Path, archive: Archive) -> None:
    with Share(room, remembers_s=1.0) as share, watch_share(share, room, small, mount="share") as watched:
        share.faults({"*": {"delay_s": 0.05}, "readdir": {"delay_s": 0.2}, "getattr": {"delay_s": 0.01}})
        watched.write("slow", archive.scan(1))
        watched.wait_called("slow", 90)
        share.heal()
        watched.finish()


def test_a_share_that_dies_while_a_run_is_called_loses_and_repeats_nothing(
    share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({"read": {"delay_s": 0.1}})
    watched.write("run", archive.scan(1))
    watched.wait_state("calling")
    time.sleep(0.5)
    share.gone()
    watched.wait_state("share-away", within_s=TOLD_S)
    share.heal()
    share.back()
    watched.wait_called("run", SOON_S)
    watched.finish()


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename"])
def test_a_share_that_dies_while_results_are_written_leaves_no_half_and_nothing_twice(
    operation: str, share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({operation: {"delay_s": 1.5, "match": "*ctc-*"}})
    watched.write("run", archive.scan(1))
    watched.wait_state("calling")
    time.sleep(1.2)
    share.gone()
    watched.wait_state("share-away", within_s=TOLD_S)
    share.heal()
    share.back()
    watched.wait_called("run", SOON_S)
    watched.finish()


@pytest.mark.parametrize("before", [0, 1])
def test_a_run_whose_commit_fails_at_a_flush_of_the_folder_is_told_of_once(
    before: int, share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({"fsyncdir": {"errno": "EIO", "after": before}})
    watched.write("run", archive.scan(1))
    watched.wait_reason("results cannot be written: Input/output error")
    share.heal()
    watched.wait_called("run", 10)
    watched.finish()


@pytest.mark.parametrize("operation", ["open", "read"])
def test_a_file_that_cannot_be_read_holds_up_only_its_own_run(
    operation: str, share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({operation: {"errno": "EIO", "match": "/spoilt/*0003_PE.tif"}})
    watched.write("spoilt", archive.scan(1))
    watched.write("whole", archive.scan(2))
    watched.wait_called("whole")
    watched.wait_partly_called("spoilt")
    rows = watched.rows("spoilt")
    assert "0003" not in rows
    assert len(rows) == 19
    watched.wait_reason("cannot be read")
    share.heal()
    watched.wait_called("spoilt", 10)
    watched.finish()


def test_files_that_may_not_be_read_wait_for_the_right_to(share: Share, watched: Watched, archive: Archive) -> None:
    share.faults({"open": {"errno": "EACCES", "match": "*.tif"}})
    watched.write("run", archive.scan(1))
    watched.wait_reason("cannot be read")
    time.sleep(2)
    assert not is_complete(share.remote / "run")
    share.heal()
    watched.wait_called("run", 10)
    watched.finish()


def test_a_share_where_nothing_may_be_created_is_said_and_waited_for(
    share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({"create": {"errno": "EACCES"}})
    watched.write("run", archive.scan(1))
    watched.wait_reason("results cannot be written: Permission denied")
    share.heal()
    watched.wait_called("run", 10)
    watched.finish()


def test_a_share_mounted_read_only_is_said_and_waited_for(room: Path, small: Path, archive: Archive) -> None:
    with Share(room) as share, watch_share(share, room, small, mount="share") as watched:
        share.read_only = True
        share.back()
        watched.write("run", archive.scan(1))
        watched.wait_reason("results cannot be written: Read-only file system")
        share.read_only = False
        share.back()
        watched.wait_called("run", 10)
        watched.finish()


def test_calls_that_a_spreadsheet_holds_open_are_replaced_after_it_lets_go(
    share: Share, watched: Watched, archive: Archive
) -> None:
    watched.write("run", archive.scan(1), table=False)
    watched.wait_partly_called("run")
    stands = watched.results("run")
    share.faults({"rename": {"errno": "EBUSY", "match": "*/run.ctc-calls.csv"}})
    watched.write_table("run")
    watched.wait_reason("results cannot be written: Device or resource busy")
    time.sleep(3)
    assert watched.results("run") == stands
    share.heal()
    watched.wait_called("run", 10)
    watched.finish()


def test_a_server_that_destroys_what_is_renamed_over_never_gets_the_chance(
    share: Share, watched: Watched, archive: Archive
) -> None:
    share.faults({"rename": {"errno": "EACCES", "over": True}})
    watched.write("run", archive.scan(1), table=False)
    watched.wait_partly_called("run")
    watched.write_table("run")
    watched.wait_called("run", 10)
    watched.finish()


def test_sigterm_during_a_hang_ends_in_order_and_the_next_start_goes_on(
    share: Share, room: Path, small: Path, archive: Archive
) -> None:
    watched = watch_share(share, room, small, mount="share")
    with watched:
        watched.write("before", archive.scan(1))
        watched.wait_called("before")
        share.hang()
        watched.write("meanwhile", archive.scan(2))
        time.sleep(2)
        watched.end()
    share.resume()
    with watched:
        watched.wait_called("meanwhile", SOON_S)
        watched.finish()


def test_a_share_that_hangs_at_the_start_is_told_and_keeps_nobody_from_being_ready(
    share: Share, room: Path, small: Path, archive: Archive
) -> None:
    watched = watch_share(share, room, small, mount="share")
    share.hang()
    with watched:
        watched.wait_state("share-silent", within_s=TOLD_S)
        watched.write("run", archive.scan(1))
        share.resume()
        watched.wait_called("run", SOON_S)
        watched.finish()


def test_a_share_that_is_mounted_after_the_start_is_found(
    share: Share, room: Path, small: Path, archive: Archive
) -> None:
    unmounted(share)
    with watch_share(share, room, small, mount="share") as watched:
        watched.wait_state("share-away", within_s=TOLD_S)
        watched.write("run", archive.scan(1))
        share.back()
        watched.wait_called("run", SOON_S)
        watched.finish()


def test_without_a_setting_a_share_that_was_seen_once_is_not_taken_for_an_empty_folder(
    share: Share, room: Path, small: Path, archive: Archive
) -> None:
    with watch_share(share, room, small) as watched:
        watched.write("before", archive.scan(1))
        watched.wait_called("before")
        unmounted(share)
        watched.wait_state("share-away", within_s=TOLD_S)
        assert list(share.local.iterdir()) == []
        share.back()
        watched.write("after", archive.scan(2))
        watched.wait_called("after", SOON_S)
        watched.finish()


def test_a_share_that_blinks_fifty_times_is_called_all_the_same(
    share: Share, watched: Watched, archive: Archive
) -> None:
    over = threading.Event()

    def blink() -> None:
        for turn in range(50):
            share.faults({"*": {"errno": ("ESTALE", "EIO", "ENOTCONN", "EACCES")[turn % 4], "after": turn % 7}})
            time.sleep(0.03)
            share.heal()
            time.sleep(0.05)
        over.set()

    blinking = threading.Thread(target=blink)
    blinking.start()
    for number in range(4):
        watched.write(f"run-{number}", archive.scan(number))
        time.sleep(1)
    blinking.join()
    watched.finish()


def test_nothing_is_said_to_be_gone_because_of_an_outage(share: Share, watched: Watched, archive: Archive) -> None:
    watched.write("run", archive.scan(1), table=False)
    watched.wait_partly_called("run")
    for take, give in ((Share.gone, Share.back), (unmounted, Share.back)):
        take(share)
        time.sleep(1)
        give(share)
        time.sleep(1)
    watched.write_table("run")
    watched.wait_called("run")
    manifest = json.loads((share.remote / "run.ctc-run.json").read_bytes())
    assert {file["state"] for file in manifest["inputs"]} == {"used"}
    watched.finish()
