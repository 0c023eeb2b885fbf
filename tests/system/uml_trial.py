"""Runs inside the user-mode kernel: a real server, a real mount, and what edge_ctc does with both.

`INPUT=FOLDER python -m tests.system.uml_trial cifs|nfs TRIAL` says figures on lines that `uml.run_trial` reads.
"""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.system.daemon import make_site
from tests.system.promises import mixed
from tests.system.scans import Scan
from tests.system.uml_calls import outages, outcome, say, unwritable, writing
from tests.system.uml_servers import Nfs, Server, Smb, cable_in, cable_out, held_by_another_client, tool
from tests.system.watched import Watched

INPUT = Path(os.environ.get("INPUT", "."))
"""Holds `checkpoint`, and runs with what is to become of them: run-0, run-0.json and so on."""


@contextlib.contextmanager
def watch(server: Server, share: Path, name: str) -> Iterator[Watched]:
    """A daemon with its default times, but for the quiet ones; runs are written on the server's side."""
    site = make_site(Path("/run/sites") / name, INPUT / "checkpoint", exports=share, settle_s=1.0, look_every_s=0.5)
    with Watched(site, server.folder) as watched:
        yield watched


def a_scan(number: int) -> Scan:
    run = INPUT / f"run-{number}"
    return Scan(run, number, json.loads((INPUT / f"run-{number}.json").read_text()))


def daemon(server: Server, share: Path) -> None:
    """The daemon through everything, one run after another."""
    with watch(server, share, "daemon") as watched:
        watched.write("first", a_scan(0))
        say("a whole run", seconds_to_calls=round(watched.wait_called("first", 120), 2))
        grow(watched, server)
        for name, take, give in (("dead", server.stop, server.start), ("cable out", cable_out, cable_in)):
            survive(watched, share, name, take, give)
        if isinstance(server, Smb):
            hold(watched)
        say("beats", longest_gap_s=round(watched.beats.longest_gap_s(), 2))
        watched.finish()
        say("all promises kept", runs=sum(watched.times_called().values()), most_calls_of_one=1)


def grow(watched: Watched, server: Server) -> None:
    """A run that grows on the server while somebody there looks at its calls without a pause."""
    scan, over, torn = a_scan(1), threading.Event(), []

    def look() -> None:
        while not over.is_set():
            # What is listed may be gone when it is read: the old file steps aside for a moment.
            with contextlib.suppress(FileNotFoundError):
                torn.extend(mixed(server.folder / "grows"))
                looks.append(time.monotonic())

    looks: list[float] = []
    looking = threading.Thread(target=look)
    looking.start()
    run = watched.write("grows", scan, table=False)
    for image in sorted(run.rglob("*.tif"))[:40]:
        content = image.read_bytes()
        image.write_bytes(content[: len(content) // 2])
        time.sleep(0.1)
        image.write_bytes(content)
    watched.write_table("grows")
    seconds = watched.wait_called("grows", 120)
    over.set()
    looking.join()
    say("a run that grows", seconds_to_calls=round(seconds, 2), looks_of_the_server=len(looks), torn=sorted(set(torn)))


def survive(watched: Watched, share: Path, name: str, take: Callable[[], None], give: Callable[[], None]) -> None:
    """An outage of half a minute, while a run is written on the server's side."""
    run = f"during-{name.replace(' ', '-')}"
    before = watched.results("first")
    take()
    told = watched.wait_state("share-away", "share-silent", within_s=60)
    watched.write(run, a_scan(2))
    flickers = states_for(watched, 30.0)
    give()
    began = time.monotonic()
    answers: list[float] = []

    def ask() -> None:
        while not answers:
            with contextlib.suppress(OSError):
                os.listdir(share)
                answers.append(time.monotonic())
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    watched.wait_called(run, 180)
    called = time.monotonic()
    asking.join()
    say(
        f"outage: {name}",
        seconds_to_status=round(told, 1),
        states_meanwhile=flickers,
        mount_answers_after=round(answers[0] - began, 1),
        calls_after_that=round(called - answers[0], 1),
        untouched=watched.results("first") == before,
    )


def states_for(watched: Watched, seconds: float) -> dict[str, float]:
    """Seconds for which the status said what."""
    said: dict[str, float] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = watched.site.status()["state"]
        said[state] = round(said.get(state, 0.0) + 0.2, 1)
        time.sleep(0.2)
    return said


def hold(watched: Watched) -> None:
    """The partial calls of a run are open in a spreadsheet while the run is completed."""
    watched.write("held", a_scan(3), table=False)
    watched.wait_partly_called("held")
    with held_by_another_client("held.ctc-calls.csv", 1):
        before = watched.results("held")
        watched.write_table("held")
        watched.wait_reason("Device or resource busy", within_s=30)
        time.sleep(5)
        stands = watched.results("held") == before
    say("held by a spreadsheet", old_stands=stands, seconds_after_release=round(watched.wait_called("held", 60), 1))


def ending(server: Server, share: Path) -> None:
    """SIGTERM while nothing answers; and a share that may only be read."""
    for name, take, give in (("dead", server.stop, server.start), ("cable out", cable_out, cable_in)):
        with watch(server, share, f"ending-{name}") as watched:
            watched.write(f"run-{name}", a_scan(4))
            watched.wait_called(f"run-{name}", 120)
            take()
            time.sleep(4)
            began = time.monotonic()
            watched.end()
            say(f"SIGTERM, {name}", seconds=round(time.monotonic() - began, 1))
            give()
    at = Path("/mnt/unwritable")
    ways: list[tuple[str, Callable[[], None]]] = [("mounted ro", lambda: server.mount(at, "ro"))]
    if isinstance(server, Smb):
        ways.append(("the server lets read only", lambda: server.mount(at, share="unwritable")))
    for name, mount in ways:
        _wait_until_it_answers(share)
        mount()
        with watch(server, at, f"unwritable-{len(name)}") as watched:
            watched.write(f"run {name}", a_scan(5))
            watched.daemon.wait_for(lambda: watched.site.status().get("waits"), "a wait", 60)
            say(f"daemon, {name}", waits=[wait["reason"] for wait in watched.site.status()["waits"]])
            watched.end()
        tool("umount", at)


def _wait_until_it_answers(share: Path) -> None:
    while outcome(lambda: os.listdir(share))["outcome"] != "done":
        time.sleep(0.2)


TRIALS: dict[str, Callable[[Server, Path], None]] = {
    "writing": writing,
    "outages": outages,
    "unwritable": unwritable,
    "daemon": daemon,
    "ending": ending,
}


def main() -> None:
    kind, trial = sys.argv[1:]
    server: Server = Smb() if kind == "cifs" else Nfs()
    share = Path("/mnt/share")
    server.mount(share)
    TRIALS[trial](server, share)
    shutil.rmtree("/run/tmp")


if __name__ == "__main__":
    main()
