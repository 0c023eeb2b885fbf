"""Inside the user-mode kernel: real servers, mounts of what they share, another client, and a cable to pull."""

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_UNIT = Path(__file__).parents[2] / "systemd" / "mnt-scanner.mount"
_ADD_USER = ("smbpasswd", "-a", "-s")
_MOUNTD = ("rpc.mountd", "-F", "-N", "3")
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
"""Opens a file for reading and writing. ShareAccess 1: others may read, as Excel has it; 0: nobody may."""


def tool(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


class Smb:
    """smbd, and mounts of its share."""

    folder = Path("/srv/share")
    credentials = Path("/run/share.credentials")

    def __init__(self) -> None:
        self.folder.mkdir()
        Path("/etc/samba/smb.conf").write_text(_SMB_CONF)
        self.credentials.write_text("username=root\npassword=pw\n")
        subprocess.run([*_ADD_USER, "root"], input=b"pw\npw\n", check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        tool("smbd", "-D")

    def stop(self) -> None:
        tool("pkill", "-KILL", "smbd")
        time.sleep(0.2)

    def mount(self, at: Path, *more: str, share: str = "share") -> None:
        at.mkdir(exist_ok=True)
        options = ",".join([_documented(self.credentials), *more])
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
        subprocess.Popen(_MOUNTD, stderr=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        tool("rpc.nfsd", "-N", "3", "-V", "4.2", "2")

    def stop(self) -> None:
        tool("rpc.nfsd", "0")

    def mount(self, at: Path, *more: str) -> None:
        at.mkdir(exist_ok=True)
        _mount_until_it_works("nfs4", "127.0.0.1:/", at, ",".join([self.options, *more]))


def _documented(credentials: Path) -> str:
    """The options of the example mount unit; only its user is not known here."""
    (line,) = re.findall(r"^Options=(.+)$", _UNIT.read_text("utf-8"), re.MULTILINE)
    return re.sub(r"credentials=[^,]+", f"credentials={credentials}", line.replace("=edge-ctc", "=0"))


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
