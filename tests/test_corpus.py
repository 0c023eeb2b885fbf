"""Hundreds of bad files and folders, each named: every one is reported rightly, at little cost, and none stops us."""

import gc
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.cli import collect_rarely
from tests.corpus import CASES
from tests.corpus.__main__ import DOCUMENT
from tests.corpus.case import Case
from tests.corpus.walk import MAX_MEBIBYTES, Finding, faults, mebibytes, said, walk, write_checkpoints

BY_NAME = {case.name: case for case in CASES}
CHECKED: dict[str, str] = {}
"""What was said of each case that went through the command in this session, by its name."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_checkpoints(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True, scope="module")
def garbage_is_collected_as_the_command_does() -> Iterator[None]:
    """Seconds are measured here: Python would look again and again through all that other tests left alive."""
    thresholds = gc.get_threshold()
    collect_rarely()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture(scope="module")
def torn(checkpoints: Mapping[str, Path]) -> tuple[Case, Finding]:
    """A case without a fault, to be spoilt."""
    case = BY_NAME["tiff-cut-before-width"]
    finding = walk(case, checkpoints)
    assert faults(case, finding) == []
    return case, finding


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.xfail(strict=True, raises=AssertionError, reason=case.defect)] if case.defect else [],
        )
        for case in CASES
    ],
)
def test_a_bad_file_or_folder_is_reported(case: Case, checkpoints: Mapping[str, Path]) -> None:
    finding = walk(case, checkpoints)
    if finding.own_seconds > case.max_seconds:
        # A neighbour on the same core slows what is computed, too: the quicker of two counts.
        again = walk(case, checkpoints)
        finding = min(finding, again, key=lambda one: one.own_seconds)
    CHECKED[case.name] = said(finding)
    assert faults(case, finding) == []


def test_every_case_was_checked_and_none_twice(request: pytest.FixtureRequest) -> None:
    selected = {
        item.callspec.id
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and "case" in item.fixturenames
        and hasattr(item, "callspec")
        and item.module.__name__ == __name__
    }
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    assert len(CASES) >= 300
    assert set(CHECKED) == selected
    assert all(CHECKED.values())


def test_every_name_is_a_slug() -> None:
    assert [name for name in BY_NAME if not re.fullmatch(r"[a-z0-9]+(-+[a-z0-9]+)*", name)] == []


def test_the_document_shows_every_case() -> None:
    shown = re.findall(r"^\| `([^`]+)`(\\\*)? \| ([^|]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [(case.name, "\\*" if case.defect else "", case.kind) for case in CASES]
    assert shown == expected, "make docs/corpus.md again with python -m tests.corpus"


# A case can fail.


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"refused": {"bad": "of another reason"}}, "reason of bad: .* does not hold 'of another reason'"),
        ({"refused": {"bad": r"^Images/other_BF\.tif: torn"}}, "reason of bad"),
        ({"refused": {}, "called": ("bad", "good")}, r"cells called: \['good'\], expected \['bad', 'good'\]"),
        ({"refused": {"bad": "torn", "more": "torn"}}, r"cells refused: \['bad'\]"),
        ({"code": 0}, "exit code"),
        ({"code": 65, "error": "no run"}, "standard error: .* does not hold 'no run'"),
        ({"error": "."}, "results: True, expected False"),
        ({"problem": "cells.csv"}, "table.problem"),
        ({"unaccounted": ("x.tif",)}, "unaccounted"),
        ({"links": 1}, "links: 0, expected 1"),
        ({"ignored": 3}, "ignored: 0, expected 3"),
        ({"max_seconds": 0.0}, "s of them own, expected at most 0"),
        ({"flag": "saturated"}, "flags of good"),
    ],
)
def test_what_is_not_as_the_case_wants_it_is_a_fault(
    torn: tuple[Case, Finding], change: Mapping[str, object], named: str
) -> None:
    case, finding = torn
    assert re.search(named, "; ".join(faults(replace(case, **change), finding)))  # type: ignore[arg-type] # of a case


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mebibytes": MAX_MEBIBYTES + 1}, "201 MiB, expected at most 200"),
        ({"err": "Traceback (most recent call last):"}, "a traceback"),
        ({"on_disk": 3}, "files on disk: 2, expected 3"),
        ({"rows": ()}, r"cells called: \[\]"),
        ({"manifest": {}}, "no results"),
    ],
)
def test_what_came_otherwise_is_a_fault(torn: tuple[Case, Finding], change: Mapping[str, object], named: str) -> None:
    case, finding = torn
    assert re.search(named, "; ".join(faults(case, replace(finding, **change))))  # type: ignore[arg-type] # of a finding


def test_a_row_that_stands_twice_is_a_fault(torn: tuple[Case, Finding]) -> None:
    case, finding = torn
    assert any("cells" in fault for fault in faults(case, replace(finding, rows=finding.rows * 2)))


def test_sums_that_do_not_close_are_a_fault(torn: tuple[Case, Finding]) -> None:
    case, finding = torn
    spoilt = {**finding.manifest, "files": {**finding.manifest["files"], "used": 0}}
    assert any("sum of files" in fault for fault in faults(case, replace(finding, manifest=spoilt)))


def test_memory_that_was_given_back_is_in_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = mebibytes("VmRSS")
    assert np.ones(64 << 20, np.uint8).all()
    assert mebibytes("VmHWM") - before > 60
