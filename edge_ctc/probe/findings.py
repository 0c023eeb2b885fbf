"""What the proof of a profile says of one aspect."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 3
"""Examples in a finding."""


class Verdict(StrEnum):
    """How an aspect stands: NOTE is worth a look and hinders nothing, FAULT hinders cells or files."""

    OK = "ok"
    NOTE = "note"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One aspect.

    Attributes:
        aspect: in a word or two.
        verdict: how it stands.
        said: in words.
        more: further lines.
    """

    aspect: str
    verdict: Verdict
    said: str
    more: tuple[str, ...] = ()


def few(names: Sequence[str]) -> str:
    """The first of `names`."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def is_faultless(findings: Iterable[Finding]) -> bool:
    """Whether nothing hinders a cell or a file."""
    return all(finding.verdict is not Verdict.FAULT for finding in findings)
