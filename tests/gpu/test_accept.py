"""The acceptance itself, on a machine without a GPU: what it lacks is never said to have passed."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu.bench import CHECKOUT, CPU_TARGETS, Bench, Scale
from tests.gpu.engines import build
from tests.gpu.report import Head, write_report
from tests.gpu.section import (
    Findings,
    Group,
    NotRunError,
    Place,
    Planned,
    Section,
    Wish,
    exit_code,
    not_reached,
    run_section,
)
from tests.gpu.soak import Pass, judged, soak

GROUP = Group("Part", ("figure",), "how it was measured")
HEAD = Head("2026-11-23", None, Scale(), Path("/temporary/folder"))


def section(find: Callable[[], Findings], place: Place = "GPU") -> Section:
    return run_section(Planned(GROUP, "it", place, find))


def lacking() -> Findings:
    raise NotRunError("no such card")


def broken() -> Findings:
    raise OSError("the disk | is\ngone")


def passing() -> Findings:
    return Findings(("17",), {"figure": 17}, wishes=(Wish("figure", "18", "17", met=False),), notes=("a line",))


def test_what_a_machine_lacks_is_not_run_with_the_reason() -> None:
    found = section(lacking)
    assert (found.status, found.reason) == ("not run", "no such card")


def test_a_section_that_raises_has_failed_and_says_where() -> None:
    found = section(broken)
    assert found.status == "failed"
    assert found.reason.startswith("OSError: the disk | is\ngone (line ")
    assert "test_accept.py" in found.reason


def test_a_section_with_faults_has_failed_and_keeps_its_figures() -> None:
    found = section(lambda: Findings(("17",), {"figure": 17}, ("too large", "too late")))
    assert (found.status, found.reason) == ("failed", "too large; too late")
    assert found.findings is not None


def test_a_wish_that_is_not_met_fails_nothing() -> None:
    assert section(passing).status == "passed"


@pytest.mark.parametrize(
    ("finds", "code"),
    [
        ([passing, passing], 0),
        ([passing, lacking], 2),
        ([passing, lacking, broken], 1),
        ([broken], 1),
    ],
)
def test_the_exit_code_says_the_worst(finds: list[Callable[[], Findings]], code: int) -> None:
    assert exit_code([section(find) for find in finds]) == code


def written(folder: Path, sections: list[Section], head: Head = HEAD) -> str:
    page, figures = write_report(folder, head, sections)
    json.loads(figures.read_text())
    return page.read_text()


def test_sections_that_ended_alike_share_a_line(tmp_path: Path) -> None:
    lacks = [run_section(Planned(GROUP, name, "GPU", lacking)) for name in ("one", "two")]
    assert "| GPU | Part (one, two) | not run | no such card |" in written(tmp_path, lacks)


def test_a_reason_of_several_lines_or_bars_stays_one_cell(tmp_path: Path) -> None:
    assert "| failed | OSError: the disk / is gone (line " in written(tmp_path, [section(broken)])


def test_figures_notes_and_wishes_stand_on_the_page(tmp_path: Path) -> None:
    page = written(tmp_path, [section(passing)])
    for line in ("| GPU | it | 17 |", "- a line", "| figure | 18 | 17 | **no** |", "how it was measured"):
        assert line in page
    assert "Ran on the GPU: Part (it)." in page


def test_without_a_gpu_the_page_says_so_at_its_top(tmp_path: Path) -> None:
    page = written(tmp_path, [section(lacking), section(passing, "CPU")])
    assert page.startswith("# Acceptance on a machine without a GPU, 2026-11-23\n")
    assert "**Nothing ran on a GPU.**" in page


def test_a_crash_leaves_a_report_in_which_the_rest_was_not_reached(tmp_path: Path) -> None:
    page = written(tmp_path, [section(passing), not_reached(Planned(GROUP, "the rest", "GPU", passing))])
    assert "| Part (the rest) | not run | not reached: the acceptance ended before |" in page


def test_sizes_that_are_not_the_acceptances_are_named_at_the_top(tmp_path: Path) -> None:
    small = Head("2026-11-23", "NVIDIA RTX A2000", Scale(200, 2), Path("/temporary/folder"))
    page = written(tmp_path, [section(passing)], small)
    assert "200 cells instead of 10,000, 2 s of soak instead of 300" in page
    assert (tmp_path / "2026-11-23-nvidia-rtx-a2000.md").exists()
    assert "instead of" not in written(tmp_path, [section(passing)])


def test_no_report_holds_a_path_or_a_name_of_this_machine(tmp_path: Path) -> None:
    def telling() -> Findings:
        raise OSError(f"{HEAD.folder}/a {CHECKOUT}/b {sys.prefix}/c {Path.home()}/d")

    page = written(tmp_path, [section(telling)])
    assert "TEMPORARY/a CHECKOUT/b PYTHON/c" in page
    for secret in (str(HEAD.folder), str(CHECKOUT), sys.prefix):
        assert secret not in page


def passes(count: int, *, growing_mib: float = 0) -> list[Pass]:
    return [Pass(number, 100, [1.0, 2.0], 200 + growing_mib * number, 300) for number in range(count)]


def test_a_soak_whose_memory_grows_has_failed() -> None:
    assert judged(passes(100), []).faults == ()
    assert judged(passes(100, growing_mib=0.5), []).faults == ()
    assert judged(passes(100, growing_mib=1), []).faults == ("memory of the process grew by 91 MiB, allowed 64",)
    assert judged(passes(100), ["call 7, of run-1, differs from its first"]).faults


def test_the_soak_calls_each_run_three_times_at_least(tmp_path: Path) -> None:
    bench = Bench(Scale(200, 0.1), tmp_path)
    build(bench, CPU_TARGETS[0])
    findings = soak(bench, CPU_TARGETS[0])
    assert findings.faults == ()
    assert len(findings.raw["passes"]) >= 12
    assert {one["cells"] for one in findings.raw["passes"]} == {50, 25, 100, 12}


@pytest.fixture(scope="module")
def without_gpu(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """The real command with small sizes, and no card that it could see: its exit code, and its folder."""
    out = tmp_path_factory.mktemp("report")
    command = [sys.executable, "-m", "tests.gpu.accept", "--out", str(out), "--cells", "200", "--soak-seconds", "2"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, out


@pytest.mark.timeout(300)
def test_the_acceptance_without_a_gpu_ends_with_2_and_passes_nothing_on_one(without_gpu: tuple[int, Path]) -> None:
    code, out = without_gpu
    assert code == 2
    (figures,), (page,) = out.glob("*.json"), out.glob("*.md")
    report = json.loads(figures.read_text())
    on_gpu = [one for one in report["sections"] if one["about"] == "GPU"]
    assert len(on_gpu) > 20
    assert {one["status"] for one in on_gpu} == {"not run"}
    assert all(one["reason"] and "not reached" not in one["reason"] for one in on_gpu)
    elsewhere = [one for one in report["sections"] if one["about"] != "GPU"]
    assert {(one["status"], one["reason"]) for one in elsewhere} == {("passed", "")}
    assert report["exit_code"] == 2
    assert platform.node() not in figures.read_text() + page.read_text()
    assert str(Path.home()) not in figures.read_text() + page.read_text()
