"""What one part of the acceptance found: passed, failed, or not run; never passed where it did not run."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "not run"]
Place = Literal["GPU", "CPU", "machine"]


class NotRunError(Exception):
    """What a section needs is not on this machine; the message says what."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sections of one kind; what they found stands in one table.

    Attributes:
        title: of the table.
        header: of its columns, without the first two: where a section ran, and its name.
        note: how it was measured.
    """

    title: str
    header: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A figure that is wanted and only reported: missing it fails nothing.

    Attributes:
        what: it is a figure of.
        wanted: in words.
        found: in words.
        met: whether it is as wanted.
    """

    what: str
    wanted: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What a section that ran found.

    Attributes:
        cells: of its row, as many as its group's header.
        raw: every figure, for the JSON.
        faults: why it failed; nothing where it passed.
        wishes: figures that are wanted and only reported.
        notes: lines that belong under the table.
    """

    cells: tuple[str, ...]
    raw: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A section that is to run.

    Attributes:
        group: it belongs to.
        name: within the group.
        place: what it says something about.
        find: does it; raises NotRunError where this machine lacks what it needs.
    """

    group: Group
    name: str
    place: Place
    find: Callable[[], Findings]


@dataclass(frozen=True, slots=True)
class Section:
    """A section and what became of it.

    Attributes:
        planned: what was to be done.
        status: "passed" only where it ran and found no fault.
        reason: why it did not pass; empty where it did.
        findings: None where it did not get so far.
        seconds: it took.
    """

    planned: Planned
    status: Status
    reason: str
    findings: Findings | None
    seconds: float


def not_reached(planned: Planned) -> Section:
    """A section as it stands until it has run: a crash of a later one leaves the report whole."""
    return Section(planned, "not run", "not reached: the acceptance ended before", None, 0.0)


def run_section(planned: Planned) -> Section:
    """Run it; whatever it raises is its own failure, and the others go on."""
    began = time.monotonic()
    try:
        findings = planned.find()
    except NotRunError as error:
        return Section(planned, "not run", str(error), None, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the other sections
        return Section(planned, "failed", _told(error), None, time.monotonic() - began)
    seconds = time.monotonic() - began
    return Section(planned, "failed" if findings.faults else "passed", "; ".join(findings.faults), findings, seconds)


def _told(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (line {last.lineno} of {last.filename.rsplit('/', 1)[-1]})"


def exit_code(sections: list[Section]) -> int:
    """1: a section failed; 2: none failed, but some did not run; 0: all ran and passed, those on the GPU too."""
    statuses = {section.status for section in sections}
    return 1 if "failed" in statuses else 2 if "not run" in statuses else 0
