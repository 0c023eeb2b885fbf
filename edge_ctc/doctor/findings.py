"""What is found of one thing, and what mends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from edge_ctc.errors import EdgeCtcError

Name = Literal["driver", "gpu", "runtime", "pycuda", "engine", "checkpoint", "disk", "export", "results", "clock"]
"""In the order in which they are told."""
Status = Literal["ok", "warning", "fault"]

_SEE_DOCS = "docs/install.md and the README tell how it should be"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        name: what kind of thing; several things may be of one kind.
        status: fault: what was named or installed is broken; warning: worth a look, cells can be called.
        found: in words, one line.
        mend: what to do; empty where ok.
    """

    name: Name
    status: Status
    found: str
    mend: str = ""


def from_error(name: Name, error: EdgeCtcError, status: Status = "fault") -> Finding:
    """Of an error, whose message ends with what to do."""
    found, mend = parted(error)
    return Finding(name, status, found, mend)


def parted(error: EdgeCtcError) -> tuple[str, str]:
    """What an error's message found, on one line, and what it says to do: our messages end with that."""
    message = " ".join(str(error).split())
    found, semicolon, mend = message.rpartition("; ")
    return (found, mend) if semicolon else (message, _SEE_DOCS)


def is_faultless(findings: Iterable[Finding]) -> bool:
    """Whether nothing that was named or installed is broken."""
    return all(finding.status != "fault" for finding in findings)
