"""Runs inside the user-mode kernel: a real server, a real mount, and what edge_ctc does with both.

`INPUT=FOLDER python -m tests.system.uml_trial cifs|nfs TRIAL` says figures on lines that `uml.run_trial` reads.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from tests.system.daemon import make_site
from tests.system.promises import mixed
from tests.system.scans import Scan
from tests.system.shares import Watched
from tests.system.uml import MARK

INPUT = Path(os.environ.get("INPUT", "."))
"""Holds `checkpoint`, and runs with what is to become of them: run-0, run-0.json and so on."""

_SMB_CONF = """[global]
interfaces=lo
bind interfaces only=yes
disable netbios=yes
smb ports=445
security=user
server min protocol=SMB3_11
log file=/var/log/samba/log
[share]
path=/srv/share
read only=no
[unwritable]
path=/srv/share
read only=yes
"""
_EXCEL = """
import sys
from samba.credentials import Credentials
from samba.samba3 import libsmb_samba_internal as libsmb, param
options = param.get_context()
options.load('/etc/samba/smb.conf')
who = Credentials()
who.guess(options)
who.set_username('root')
who.set_password('pw')
server = libsmb.Conn('127.0.0.1', 'share', options, who)
held = server.create(sys.argv[1], DesiredAccess=0x0012019F, ShareAccess=int(sys.argv[2]), CreateDisposition=1)
print('held', flush=True)
sys.stdin.read()
server.close(held)
"""
"""Another client that opens a file for reading and writing. ShareAccess 1: others may read, as Excel has it; 0: nobody may."""


def say(step: str, **figures: object) -> None:
    print(MARK + json.dumps({"step": step} | figures), flush=True)


def tool(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


class Smb:
    """smbd, and mounts of its share."""

    folder = Path("/srv/share")
    options = "vers=3.1.1,soft,echo_interval=5,actimeo=1,serverino,nosuid,nodev,noexec"

    def __init__(self) -> None:
        self.folder.mkdir()
        Path("/etc/samba/smb.conf").write_text(_SMB_CONF)
        subprocess.run(["smbpasswd", "-a", "-s", "root"], input=b"pw\npw\n", check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        tool("smbd", "-D")

    def stop(self) -> None:
        tool("pkill", "-KILL", "smbd")
        time.sleep(0.2)

    def mount(self, at: Path, *more: str, share: str = "share") -> None:
        at.mkdir(exist_ok=True)
        options = ",".join(["username=root,password=pw,uid=0,gid=0", self.options, *more])
        _mount_until_it_works("cifs", f"//127.0.0.1/{share}", at, options)


class Nfs:
    """The kernel's NFS server, and mounts of what it exports."""

    folder = Path("/srv/share")
    options = "vers=4.2,proto=tcp,soft,timeo=20,retrans=2,actimeo=1,nosuid,nodev,noexec,nosymfollow"

    def __init__(self) -> None:
        self.folder.mkdir()
        for seconds in ("nfsv4gracetime", "nfsv4leasetime"):
            Path("/proc/fs/nfsd", seconds).write_text("10")
        for state in ("etab", "rmtab"):
            Path("/var/lib/nfs", state).touch()
        tool("exportfs", "-i", "-o", "rw,no_root_squash,fsid=0,no_subtree_check,insecure", f"127.0.0.1:{self.folder}")
        subprocess.Popen(["rpc.mountd", "-F", "-N", "3"], stderr=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        tool("rpc.nfsd", "-N", "3", "-V", "4.2", "2")

    def stop(self) -> None:
        tool("rpc.nfsd", "0")

    def mount(self, at: Path, *more: str) -> None:
        at.mkdir(exist_ok=True)
        _mount_until_it_works("nfs4", "127.0.0.1:/", at, ",".join([self.options, *more]))


def _mount_until_it_works(kind: str, source: str, at: Path, options: str) -> None:
    command = ["mount", "-t", kind, source, str(at), "-o", options]
    for _ in range(20):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


Server = Smb | Nfs


def cable_out() -> None:
    """No packet arrives any more."""
    tool("ip", "link", "set", "lo", "down")


def cable_in() -> None:
    tool("ip", "link", "set", "lo", "up")


def outcome(call: Callable[[], object]) -> dict[str, object]:
    """How a call ended, and after how many seconds."""
    started = time.monotonic()
    try:
        call()
        said = "done"
    except OSError as error:
        said = errno.errorcode.get(error.errno or 0, str(error))
    except ResultsError as error:
        cause = error.__cause__
        said = errno.errorcode.get(cause.errno or 0, "?") if isinstance(cause, OSError) else str(error)
    return {"outcome": said, "seconds": round(time.monotonic() - started, 2)}


def calls_on(share: Path) -> dict[str, Callable[[], Any]]:
    """What the daemon and classify-run ask of a share."""
    calls = share / "old.csv"
    return {
        "statvfs": lambda: os.statvfs(share),
        "scandir": lambda: list(os.scandir(share)),
        "open_read": calls.read_bytes,
        "lock_folder": lambda: contextlib.ExitStack().enter_context(durable.sole_writer(share)),
        "write_whole": lambda: durable.write_bytes(share / "new.csv", b"new"),
    }


@contextlib.contextmanager
def held_by_another_client(name: str, share_access: int) -> Iterator[None]:
    """Open on the server, by a client that is not this mount."""
    command = ["/usr/bin/python3", "-c", _EXCEL, name, str(share_access)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        if client.stdout.readline() != b"held\n":
            raise RuntimeError("the other client could not open the file")
        yield
        client.stdin.close()
        client.wait()


def writing(server: Server, share: Path) -> None:
    """Files that appear whole, while others hold them."""
    path = share / "old.csv"
    contents = [f"generation {n}\n".encode() * 5000 for n in range(60)]
    whole = {hashlib.sha256(content).digest() for content in contents}
    torn = absent = looks = 0
    began = time.monotonic()
    for content in contents:
        durable.write_bytes(path, content)
        for _ in range(3):
            looks += 1
            try:
                torn += hashlib.sha256((server.folder / path.name).read_bytes()).digest() not in whole
            except FileNotFoundError:
                absent += 1
    seconds = round((time.monotonic() - began) / len(contents), 3)
    say("replaced 60 times", looks_of_the_server=looks, torn=torn, absent=absent, seconds_each=seconds)
    with path.open("rb") as reader:
        said = outcome(lambda: durable.write_bytes(path, b"second"))
        kept = hashlib.sha256(reader.read()).digest() in whole
    after = (server.folder / path.name).read_bytes()
    say("replaced while open here", **said, reader_still_reads=kept, content_after_close=after.decode()[:12])
    if isinstance(server, Smb):
        for name, access in (("others may read", 1), ("nobody may", 0)):
            before = (server.folder / path.name).read_bytes()
            with held_by_another_client(path.name, access):
                said = outcome(lambda: durable.write_bytes(path, b"third"))
                stands = (server.folder / path.name).read_bytes() == before
                left = sorted(entry for entry in os.listdir(server.folder) if "tmp" in entry)
            again = outcome(lambda: durable.write_bytes(path, b"fourth"))
            say(f"held by another client, {name}", **said, old_stands=stands, left=left, after_release=again)


def outages(server: Server, share: Path) -> None:
    """What each call says while the server is dead, silent, and back."""
    durable.write_bytes(share / "old.csv", b"old")
    for name, take, give in (("dead", server.stop, server.start), ("cable out", cable_out, cable_in)):
        take()
        for call, ask in calls_on(share).items():
            say(f"{name}: {call}", **outcome(ask))
        give()
        began = time.monotonic()
        while outcome((share / "old.csv").read_bytes)["outcome"] != "done":
            time.sleep(0.1)
        say(f"{name}: back", seconds=round(time.monotonic() - began, 2), write=outcome(calls_on(share)["write_whole"]))


def unwritable(server: Server, share: Path) -> None:
    """Shares that may only be read: by the mount's option, by the server's."""
    durable.write_bytes(share / "old.csv", b"old")
    at = Path("/mnt/unwritable")
    server.mount(at, "ro")
    say("mounted ro", **{call: outcome(ask)["outcome"] for call, ask in calls_on(at).items()})
    tool("umount", at)
    if isinstance(server, Smb):
        server.mount(at, share="unwritable")
        say("the server lets read only", **{call: outcome(ask)["outcome"] for call, ask in calls_on(at).items()})


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
