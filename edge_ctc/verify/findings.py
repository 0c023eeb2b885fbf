"""What one check found, and all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal[
    "manifest",
    "state",
    "calls",
    "ranks",
    "rows",
    "verdicts",
    "origin",
    "images",
    "sums",
    "profile",
    "files",
    "tables",
    "cells",
    "cages",
    "on disk",
    "checkpoint",
    "recomputed",
]
"""In the order in which they are told."""
Status = Literal["ok", "note", "unchecked", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        status: note: something differs that no call rests on; unchecked: what the check needs is not there, so that
            nothing is certified; fault: the run is not what was called.
        found: in words, one line.
        names: of the files, cells or lines that `found` counts.
        expected: what should have been found; empty where `found` says it.
        mend: what to do; empty where ok.
    """

    name: Name
    status: Status
    found: str
    names: tuple[str, ...] = ()
    expected: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that was found of one run.

    Attributes:
        run_id: the run's name.
        manifest: where it lies.
        calls_sha256: that the manifest commits; empty where the manifest cannot be read.
        cells: rows of the calls.
        files: images and tables whose every byte was hashed again.
        findings: in the order of the checks.
    """

    run_id: str
    manifest: Path
    calls_sha256: str
    cells: int
    files: int
    findings: tuple[Finding, ...]

    def count(self, status: Status) -> int:
        """How many findings are of a status."""
        return sum(finding.status == status for finding in self.findings)

    @property
    def closes(self) -> bool:
        """Whether every check was made and none found a fault."""
        return not self.count("fault") and not self.count("unchecked")


def judged(name: Name, ok: str, fault: str, names: Sequence[str], mend: str) -> Finding:
    """A fault that counts `names` where there are any, else ok."""
    if not names:
        return Finding(name, "ok", ok)
    return Finding(name, "fault", f"{len(names)} {fault}", tuple(names), mend=mend)
