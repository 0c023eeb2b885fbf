"""The export folder, the rights to write the results, and the room for them."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from edge_ctc.doctor.findings import Finding
from edge_ctc.doctor.folders import LIMIT_S, Seen
from edge_ctc.doctor.mounts import AUTOFS, Mount

LITTLE_BYTES = 5_000_000_000
"""Some engines, or the calls and galleries of a month of large runs: time enough to make room."""
TOO_LITTLE_BYTES = 500_000_000
"""One engine takes up to 200 MB while the former one is kept, calls with their manifest tens of MB a run."""

_MOUNT = "look at the path, and mount the share or disk that belongs there"
_MEND_SHARE = "look whether its server runs and the network is up, then mount it again"
_NO_ANSWER = f"does not answer within {LIMIT_S:g} s"


def export_finding(folder: Path | None, seen: Seen | None, mount: Mount | None) -> Finding:
    """What kind of mount the export folder lies on, and whether anything is in it.

    Args:
        folder: as named; None where none was.
        seen: what is in it; None where it does not answer.
        mount: what it lies on, where the kernel tells.
    """
    if folder is None:
        return Finding("export", "ok", "not named; --export DIR looks at one")
    kind = f"{folder}: {_kind(mount)}"
    if seen is None:
        return Finding("export", "fault", f"{kind}; {_NO_ANSWER}", _MEND_SHARE)
    if seen.entries is None:
        return Finding("export", "fault", f"{kind}; {seen.problem}", _mend_listing(seen, mount))
    if mount is not None and mount.kind == AUTOFS:
        return Finding("export", "warning", f"{kind}; nothing is mounted there now", _MOUNT)
    if not seen.entries and not (mount and mount.is_network):
        # A mount point without its mount is an empty folder of the local disk.
        return Finding("export", "warning", f"{kind}; empty", "if a share belongs there, mount it")
    return Finding("export", "ok", f"{kind}; {seen.entries:,} entries")


def _mend_listing(seen: Seen, mount: Mount | None) -> str:
    if seen.is_missing:
        return _MOUNT
    return _MEND_SHARE if mount and mount.is_network else "look at its rights, and whether it is a folder"


def _kind(mount: Mount | None) -> str:
    if mount is None:
        return "the kernel does not tell what it lies on"
    what = f"local ({mount.kind})"
    if mount.kind == AUTOFS:
        what = "mounted when it is used (autofs)"
    if mount.is_network:
        share = f"network share ({mount.kind})"
        what = f"{share}: events do not come from the other side; the folder is looked at regularly"
    return f"{what}; read-only" if mount.is_read_only else what


def results_finding(folder: Path | None, place: Path | None, problem: str | None) -> Finding:
    """Whether results can be written.

    Args:
        folder: where they go; None where that was not named.
        place: the folder in which a file was made to try it: that one, or the one in which it will be made.
        problem: why that failed; empty: it did not; None: it does not answer.
    """
    if folder is None:
        return Finding("results", "ok", "not named; --out DIR, or --export DIR, beside whose runs they go")
    if problem is None:
        return Finding("results", "fault", f"{folder}: {_NO_ANSWER}", _MEND_SHARE)
    if problem:
        mend = "free space or rights there, or name another place with --out"
        return Finding("results", "fault", f"{folder}: {_user()} cannot write to {place}: {problem}", mend)
    return Finding("results", "ok", f"{folder}: {_user()} can {'write there' if place == folder else 'make it'}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def disk_findings(places: Mapping[str, tuple[Path, Seen | None]]) -> list[Finding]:
    """The room in each place, by what goes there."""
    return [_room(what, folder, seen) for what, (folder, seen) in places.items()]


def _room(what: str, folder: Path, seen: Seen | None) -> Finding:
    if seen is None:
        return Finding("disk", "fault", f"{what}: {folder} {_NO_ANSWER}", _MEND_SHARE)
    if seen.free_bytes is None:
        return Finding("disk", "fault", f"{what}: {folder}: {seen.problem}", _MEND_SHARE)
    found = f"{what}: {seen.free_bytes / 1e9:,.1f} GB free in {folder}"
    if seen.free_bytes >= LITTLE_BYTES:
        return Finding("disk", "ok", found)
    mend = f"make room, {LITTLE_BYTES / 1e9:g} GB or more"
    return Finding("disk", "warning" if seen.free_bytes >= TOO_LITTLE_BYTES else "fault", found, mend)
