"""The acceptance as one page for people and one JSON with every figure."""

import itertools
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.gpu.bench import CELLS, CHECKOUT, SOAK_SECONDS, Scale
from tests.gpu.section import Section, exit_code

_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above all sections.

    Attributes:
        date: ISO 8601, UTC.
        gpu: its name; None where there is none.
        scale: sizes and durations.
        folder: the temporary one, whose path is kept out of the report.
    """

    date: str
    gpu: str | None
    scale: Scale
    folder: Path

    @property
    def stem(self) -> str:
        """Of both files' names."""
        letters = (letter if letter.isalnum() else " " for letter in (self.gpu or "no gpu").casefold())
        return f"{self.date}-{'-'.join(''.join(letters).split())}"

    @property
    def command(self) -> str:
        """As it was typed, but for the folder."""
        return (
            f"python -m tests.gpu.accept --out DIR --cells {self.scale.cells} "
            f"--soak-seconds {self.scale.soak_seconds:g}"
        )


def write_report(out: Path, head: Head, sections: Sequence[Section]) -> list[Path]:
    """Write both files into `out`; what stood there is replaced."""
    out.mkdir(parents=True, exist_ok=True)
    page, figures = out / f"{head.stem}.md", out / f"{head.stem}.json"
    page.write_text(_impersonal(_page(head, sections), head), encoding="utf-8")
    document = json.dumps(_document(head, sections), indent=1, default=str)
    figures.write_text(_impersonal(document, head) + "\n", encoding="utf-8")
    return [page, figures]


def _impersonal(text: str, head: Head) -> str:
    """Without this machine's paths, its name and its user's."""
    hidden = {
        str(head.folder): "TEMPORARY",
        str(CHECKOUT): "CHECKOUT",
        sys.prefix: "PYTHON",
        sys.base_prefix: "PYTHON",
        str(Path.home()): "HOME",
        platform.node(): "HOST",
        os.environ.get("USER", ""): "USER",
    }
    # The longest first: an environment of Python may lie inside the checkout, and that inside a home.
    for found, shown in sorted(hidden.items(), key=lambda pair: -len(pair[0])):
        # Short words stand in other words too: a user named "root" is no secret.
        if len(found) > len("root"):
            text = text.replace(found, shown)
    return text


def _document(head: Head, sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "date": head.date,
        "command": head.command,
        "exit_code": exit_code(list(sections)),
        "gpu": head.gpu,
        "data": "simulated cells",
        "scale": asdict(head.scale),
        "sections": [_as_json(section) for section in sections],
    }


def _as_json(section: Section) -> dict[str, Any]:
    planned, findings = section.planned, section.findings
    return {
        "group": planned.group.title,
        "name": planned.name,
        "about": planned.place,
        "status": section.status,
        "reason": section.reason,
        "seconds": round(section.seconds, 3),
        "figures": None if findings is None else findings.raw,
        "wishes": [] if findings is None else [asdict(wish) for wish in findings.wishes],
    }


def _page(head: Head, sections: Sequence[Section]) -> str:
    parts = [_head(head, sections), _overview(sections), _wishes(sections)]
    for _, group in itertools.groupby(sections, key=lambda section: section.planned.group.title):
        parts.append(_details(list(group)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(head: Head, sections: Sequence[Section]) -> str:
    statuses = [section.status for section in sections]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in ("passed", "failed", "not run"))
    lines = [
        f"# Acceptance on {head.gpu or 'a machine without a GPU'}, {head.date}",
        *_warnings(head.scale),
        f"`{head.command}` ended with {exit_code(list(sections))}: {counts}. " + _ran_on_gpu(sections),
        "All cells are simulated; the checkpoint is the shipped `reference`, which learned from simulated cells: these "
        "figures say nothing about real ones. CPU stands for ONNX Runtime on the CPU, the yardstick.",
    ]
    return "\n\n".join(lines)


def _ran_on_gpu(sections: Sequence[Section]) -> str:
    """By name, since a card on which only torch was timed has proved nothing of ours."""
    ran = [one for one in sections if one.planned.place == "GPU" and one.status != "not run"]
    return f"Ran on the GPU: {_named(ran)}." if ran else "**Nothing ran on a GPU.**"


def _warnings(scale: Scale) -> Iterable[str]:
    if scale != Scale():
        yield (
            f"**Not the acceptance's sizes:** {scale.cells:,} cells instead of {CELLS:,}, "
            f"{scale.soak_seconds:g} s of soak instead of {SOAK_SECONDS:g}."
        )


def _overview(sections: Sequence[Section]) -> str:
    """Sections that ended alike share a line."""
    ended: dict[tuple[str, str, str], list[Section]] = {}
    for one in sections:
        ended.setdefault((one.planned.place, one.status, one.reason), []).append(one)
    rows = [(place, _named(alike), status, reason) for (place, status, reason), alike in ended.items()]
    return _table(("about", "part", "status", "reason"), rows)


def _named(sections: Iterable[Section]) -> str:
    names: dict[str, list[str]] = {}
    for one in sections:
        names.setdefault(one.planned.group.title, []).append(one.planned.name)
    return "; ".join(f"{title} ({', '.join(of)})" for title, of in names.items())


def _wishes(sections: Sequence[Section]) -> str:
    found = [wish for one in sections if one.findings for wish in one.findings.wishes]
    rows = [(wish.what, wish.wanted, wish.found, "yes" if wish.met else "**no**") for wish in found]
    note = (
        "Wanted and only reported: on a GPU at batch 64 at least 1.3 times torch.compile fp16 and start to ready in "
        "under 5 s; on the CPU start to ready in under 2 s. What did not run is not listed."
    )
    return f"## Wanted figures\n\n{note}" + (
        f"\n\n{_table(('figure', 'wanted', 'found', 'met'), rows)}" if rows else ""
    )


def _details(sections: Sequence[Section]) -> str:
    """A group's table; nothing where none of its sections ran, since the overview says why."""
    ran = [(one, one.findings) for one in sections if one.findings]
    rows = [(one.planned.place, one.planned.name, *findings.cells) for one, findings in ran if findings.cells]
    if not ran:
        return ""
    group = sections[0].planned.group
    notes = [f"- {note}" for _, findings in ran for note in findings.notes]
    table = _table(("about", "of", *group.header), rows) if rows else ""
    parts = [f"## {group.title}", group.note, table, "\n".join(notes)]
    return "\n\n".join(part for part in parts if part)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "/").split())
