"""A folder shown at another place through FUSE, with faults that a file orders.

    python faultfs.py REMOTE LOCAL CONTROL SECONDS [ro]

What is written into REMOTE behind its back raises no event in LOCAL, as with any share. The kernel remembers names and
sizes for SECONDS. CONTROL holds JSON, read anew whenever it changes:

    {"read": {"errno": "EIO", "match": "*_PE.tif", "delay_s": 0.1, "after": 3}, "*": {"errno": "ESTALE"}}

The rule of an operation counts before that of `*`. `after`: so many calls pass first. `"empty": true`, of readdir:
there is nothing. `"over": true`, of rename: only where it would replace a file, which is lost with it, as SMB does it.
"""

import errno
import fnmatch
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mfusepy

Rule = dict[str, Any]
Rules = dict[str, Rule]

_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size")
_STATFS = (
    "f_bavail",
    "f_bfree",
    "f_blocks",
    "f_bsize",
    "f_favail",
    "f_ffree",
    "f_files",
    "f_flag",
    "f_frsize",
    "f_namemax",
)


class Faults:
    """The control file's content, as it is now."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._read_at_ns = -1
        self._rules: Rules = {}
        self._met: Counter[str] = Counter()

    def rule(self, operation: str, *paths: str) -> Rule:
        """What is ordered for this call; nothing, mostly."""
        changed_ns = self._control.stat().st_mtime_ns
        if changed_ns != self._read_at_ns:
            self._rules, self._read_at_ns = json.loads(self._control.read_text()), changed_ns
            self._met.clear()
        rule = self._rules.get(operation) or self._rules.get("*") or {}
        if not rule or not any(fnmatch.fnmatch(path, rule.get("match", "*")) for path in paths):
            return {}
        self._met[operation] += 1
        return rule if self._met[operation] > rule.get("after", 0) else {}

    def meet(self, operation: str, *paths: str) -> Rule:
        """Wait and fail as ordered."""
        rule = self.rule(operation, *paths)
        time.sleep(rule.get("delay_s", 0))
        if "errno" in rule and not rule.get("over"):
            raise failure(rule)
        return rule


def failure(rule: Rule) -> OSError:
    number = getattr(errno, rule["errno"])
    return OSError(number, os.strerror(number))


class Shown:
    """REMOTE, call by call. Names and arguments are libfuse's."""

    use_ns = True

    def __init__(self, remote: Path, faults: Faults) -> None:
        self._remote = str(remote)
        self._faults = faults

    def _at(self, path: str) -> str:
        return self._remote + path

    def init(self, path: str) -> None:
        """libfuse asks for it."""

    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        self._faults.meet("getattr", path or "")
        found = os.fstat(handle or 0) if path is None else os.lstat(self._at(path))
        times = {"st_atime": found.st_atime_ns, "st_mtime": found.st_mtime_ns, "st_ctime": found.st_ctime_ns}
        return {name: getattr(found, name) for name in _STAT} | times

    def readdir(self, path: str, _handle: int) -> list[str]:
        rule = self._faults.meet("readdir", path)
        return [".", "..", *([] if rule.get("empty") else os.listdir(self._at(path)))]

    def statfs(self, path: str) -> dict[str, int]:
        self._faults.meet("statfs", path)
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in _STATFS}

    def open(self, path: str, flags: int) -> int:
        self._faults.meet("open", path)
        return os.open(self._at(path), flags)

    def create(self, path: str, mode: int, flags: int) -> int:
        self._faults.meet("create", path)
        return os.open(self._at(path), flags | os.O_CREAT, mode)

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        self._faults.meet("read", path)
        return os.pread(handle, size, offset)

    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        self._faults.meet("write", path)
        return os.pwrite(handle, data, offset)

    def truncate(self, path: str, length: int, _handle: int | None = None) -> None:
        self._faults.meet("truncate", path)
        os.truncate(self._at(path), length)

    def fsync(self, path: str, _data_only: int, handle: int) -> None:
        self._faults.meet("fsync", path)
        os.fsync(handle)

    def fsyncdir(self, path: str, _data_only: int, _handle: int) -> None:
        self._faults.meet("fsyncdir", path)

    def release(self, _path: str, handle: int) -> None:
        os.close(handle)

    def rename(self, old: str, new: str) -> None:
        rule = self._faults.meet("rename", old, new)
        if rule.get("over") and os.path.lexists(self._at(new)):
            os.unlink(self._at(new))  # noqa: PTH108
            raise failure(rule)
        os.rename(self._at(old), self._at(new))  # noqa: PTH104

    def unlink(self, path: str) -> None:
        self._faults.meet("unlink", path)
        os.unlink(self._at(path))  # noqa: PTH108

    def mkdir(self, path: str, mode: int) -> None:
        self._faults.meet("mkdir", path)
        os.mkdir(self._at(path), mode)  # noqa: PTH102

    def rmdir(self, path: str) -> None:
        self._faults.meet("rmdir", path)
        os.rmdir(self._at(path))  # noqa: PTH106

    def chmod(self, path: str, mode: int) -> None:
        self._faults.meet("chmod", path)
        os.chmod(self._at(path), mode)  # noqa: PTH101

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self._at(path)) if times is None else os.utime(self._at(path), ns=times)


def main() -> None:
    remote, local, control, remembers_s, *flags = sys.argv[1:]
    options: dict[str, Any] = {
        "subtype": "faultfs",
        "allow_other": True,
        "attr_timeout": float(remembers_s),
        "entry_timeout": float(remembers_s),
        "negative_timeout": 0,
    } | dict.fromkeys(flags, True)
    # In threads: one slow call holds up no other.
    mfusepy.FUSE(Shown(Path(remote), Faults(Path(control))), local, foreground=True, **options)


if __name__ == "__main__":
    main()
