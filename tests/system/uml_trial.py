"""Runs inside the user-mode kernel: a real server, a real mount, and what edge_ctc does with both.

`python -m tests.system.uml_trial cifs|nfs TRIAL INPUT` says figures on lines that `uml.run_trial` reads.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from tests.system.uml import MARK

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


TRIALS: dict[str, Callable[[Server, Path], None]] = {
    "writing": writing,
    "outages": outages,
    "unwritable": unwritable,
}


def main() -> None:
    kind, trial, _ = sys.argv[1:]
    server: Server = Smb() if kind == "cifs" else Nfs()
    share = Path("/mnt/share")
    server.mount(share)
    TRIALS[trial](server, share)
    shutil.rmtree("/run/tmp")


if __name__ == "__main__":
    main()
