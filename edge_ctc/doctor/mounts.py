"""What a folder is mounted from, as the kernel tells it without touching the folder."""

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
AUTOFS = "autofs"

_NETWORK = frozenset({"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"})
_HOST = frozenset({"prl_fs", "vboxsf", "virtiofs", "vmhgfs"})
"""What a virtual machine shares with its host is changed from the other side too."""
_PROGRAM = "fuse"
"""sshfs, rclone, davfs and their kind: a program serves the files, most often from elsewhere."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo.

    Attributes:
        point: where it is mounted.
        kind: type of the file system.
        is_read_only: as mounted here, or as a whole.
    """

    point: Path
    kind: str
    is_read_only: bool

    @property
    def is_network(self) -> bool:
        """Whether others can write there without this machine's kernel seeing it."""
        return self.kind in _NETWORK | _HOST or self.kind.partition(".")[0] == _PROGRAM


def read_mounts() -> tuple[Mount, ...]:
    """Those of this machine; none where the kernel does not tell."""
    try:
        with MOUNTINFO.open("rb", buffering=0) as file:
            return parse_mounts(os.fsdecode(file.readall()))
    except OSError:
        return ()


@functools.lru_cache(maxsize=1)
def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The lines of mountinfo (proc_pid_mountinfo(5)), in their order; what is no such line is left out.

    The daemon asks every second for what changes once a month, hence the cache.
    """
    fields = (line.split(" ") for line in text.split("\n"))
    return tuple(_mount(line) for line in fields if "-" in line[6:-3])


def _mount(fields: list[str]) -> Mount:
    """`ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS`."""
    kind, _, of_all = fields[fields.index("-", 6) + 1 :][:3]
    point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
    return Mount(Path(point), kind, "ro" in fields[5].split(",") or "ro" in of_all.split(","))


def mount_of(folder: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """What `folder`, absolute and free of links, lies on; of several at one place the last, which hides the others."""
    above = frozenset((folder, *folder.parents))
    holding = [mount for mount in reversed(mounts) if mount.point in above]
    return max(holding, key=lambda mount: len(mount.point.parts), default=None)
