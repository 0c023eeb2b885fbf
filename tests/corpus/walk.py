"""One case through the real command, in this process: what came of it, what it cost, and what of that is wrong."""

import contextlib
import ctypes
import io
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ctc.cli import app, run_app
from edge_ctc.exports.profile import built_in_profiles
from tests.checkpoints import write_checkpoint
from tests.corpus.case import CHANNELS, Case
from tests.results import manifest_of, rows_of

MAX_MEBIBYTES = 200.0
_BUILT_IN = frozenset(loaded.profile.name for loaded in built_in_profiles())
_MEMORY = "/dev/shm"  # noqa: S108 - the folder made in it is for this user alone
_LIBC = ctypes.CDLL(None)
_M_MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class Finding:
    """What came of one case.

    Attributes:
        code: of the command.
        err: its standard error.
        rows: the calls; none where there are none.
        manifest: as read; empty where there is none.
        on_disk: regular files in the run, as somebody else counts them.
        seconds: of the command, on the clock.
        own_seconds: of them those that it computed: others may use the machine too.
        mebibytes: by which the resident memory grew at its peak.
    """

    code: int
    err: str
    rows: tuple[dict[str, str], ...]
    manifest: Mapping[str, Any]
    on_disk: int
    seconds: float
    own_seconds: float
    mebibytes: float


def write_checkpoints(folder: Path) -> dict[str, Path]:
    """The checkpoints that cases name."""
    small: dict[str, Any] = {"side_px": 16}
    return {
        "counts": write_checkpoint(folder / "counts", ("BF",), **small),
        "shades": write_checkpoint(folder / "shades", ("BF",), dtype="uint8", **small),
        "four": write_checkpoint(folder / "four", CHANNELS, **small),
        "display": write_checkpoint(
            folder / "display", CHANNELS, dtype="uint8", input={"intensity": "display"}, **small
        ),
    }


def walk(case: Case, checkpoints: Mapping[str, Path]) -> Finding:
    """Build the case in a folder of its own, and call it."""
    # On a disk, flushing what hundreds of small runs wrote takes as long as all the rest.
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as temporary:
        run = Path(temporary, "run")
        run.mkdir()
        case.build(run)
        command = ["classify-run", str(run), "--checkpoint", str(checkpoints[case.checkpoint])]
        if case.profile is not None:
            command += ["--profile", _profile(case.profile, Path(temporary))]
        code, err, seconds, own_seconds, mebibytes = _measured(command)
        is_called = Path(temporary, "run.ctc-run.json").exists()
        return Finding(
            code=code,
            err=err.replace(temporary, "…"),
            rows=tuple(rows_of(run)) if is_called else (),
            manifest=manifest_of(run) if is_called else {},
            on_disk=sum(1 for _ in _files(run)),
            seconds=seconds,
            own_seconds=own_seconds,
            mebibytes=mebibytes,
        )


def _profile(profile: str, folder: Path) -> str:
    if profile in _BUILT_IN:
        return profile
    path = folder / "profile.toml"
    path.write_text(profile, encoding="utf-8")
    return str(path)


def _measured(command: list[str]) -> tuple[int, str, float, float, float]:
    out, err = io.StringIO(), io.StringIO()
    # What malloc holds back from a former case would hide what this one takes: large blocks go back at once.
    _LIBC.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    _LIBC.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = mebibytes("VmRSS")
    code = -1
    start, own_start = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            run_app(app, "edge-ctc", command)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else -1
    seconds, own_seconds = time.perf_counter() - start, time.process_time() - own_start
    return code, err.getvalue(), seconds, own_seconds, mebibytes("VmHWM") - before


def mebibytes(field: str) -> float:
    """VmRSS, the resident memory of this process, or VmHWM, its peak."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").split(f"{field}:")[1].split()[0]) / 1024


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below, links left alone."""
    for path, _, names in os.walk(folder):
        yield from (file for file in (Path(path, name) for name in names) if file.is_file() and not file.is_symlink())


def said(finding: Finding) -> str:
    """What a reader is told of the case, in the product's own words."""
    if not finding.manifest:
        return " ".join(finding.err.split())
    reasons = sorted({row["reason"] for row in finding.rows if row["verdict"] == "NOT_EVALUABLE"})
    parts = [*reasons[:3], *(["…"] if reasons[3:] else [])]
    table = finding.manifest["table"]
    if table and table["problem"]:
        parts.append(f"table: {table['problem']}")
    if finding.manifest["unaccounted"]:
        parts.append(f"left aside: {', '.join(finding.manifest['unaccounted'][:3])}")
    if finding.manifest["links_not_followed"]:
        parts.append(f"links not followed: {finding.manifest['links_not_followed']}")
    if not parts and finding.manifest["files"]["ignored"] > len(finding.manifest["tables"]):
        parts.append(f"called; {finding.manifest['files']['ignored']} files ignored")
    return "; ".join(parts) or "called"


def faults(case: Case, finding: Finding) -> list[str]:
    """All that is not as the case wants it."""
    found = [
        *_differ("exit code", finding.code, case.code),
        *_limits(case, finding),
        *(["a traceback on standard error"] if "Traceback" in finding.err else []),
    ]
    if case.error:
        found += _lacks("standard error", " ".join(finding.err.split()), case.error)
        return found + _differ("results", bool(finding.manifest), False)
    if not finding.manifest:
        return [*found, f"no results: {finding.err}"]
    return found + _row_faults(case, finding) + _sum_faults(case, finding)


def _limits(case: Case, finding: Finding) -> Iterator[str]:
    if min(finding.seconds, finding.own_seconds) > case.max_seconds or finding.seconds > 5 * case.max_seconds:
        yield f"{finding.seconds:.2f} s, {finding.own_seconds:.2f} s of them own, expected at most {case.max_seconds}"
    if finding.mebibytes > MAX_MEBIBYTES:
        yield f"{finding.mebibytes:.0f} MiB, expected at most {MAX_MEBIBYTES}"


def _row_faults(case: Case, finding: Finding) -> list[str]:
    by_verdict: dict[bool, list[str]] = {True: [], False: []}
    for row in finding.rows:
        by_verdict[row["verdict"] == "NOT_EVALUABLE"].append(row["cell_id"])
    found = _differ("cells called", sorted(by_verdict[False]), sorted(case.called))
    found += _differ("cells refused", sorted(by_verdict[True]), sorted(case.refused))
    for row in finding.rows:
        if row["cell_id"] in case.refused:
            found += _lacks(f"reason of {row['cell_id']}", row["reason"], case.refused[row["cell_id"]])
        elif case.flag and case.flag not in row["flags"].split("|"):
            found.append(f"flags of {row['cell_id']}: {row['flags']}, expected {case.flag} among them")
    return found


def _sum_faults(case: Case, finding: Finding) -> list[str]:
    manifest = finding.manifest
    files, cells, table = manifest["files"], manifest["cells"], manifest["table"]
    found = _differ("files on disk", files["on_disk"], finding.on_disk)
    found += _differ(
        "sum of files", files["used"] + files["ignored"] + files["failed"] + files["pending"], files["on_disk"]
    )
    found += _differ("sum of cells", cells["called"] + cells["not_evaluable"] + cells["pending"], cells["total"])
    found += _differ("cells", cells["total"], len(case.called) + len(case.refused))
    found += _differ("unaccounted", sorted(manifest["unaccounted"]), sorted(case.unaccounted))
    found += _differ("unaccounted files", manifest["unaccounted_files"], len(case.unaccounted))
    found += _differ("links", manifest["links_not_followed"], case.links)
    if case.ignored is not None:
        found += _differ("ignored", files["ignored"], case.ignored)
    if case.problem:
        return found + _lacks("table.problem", table["problem"] if table else "", case.problem)
    return found + _differ("table.problem", table["problem"] if table else "", "")


def _differ(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: {found!r}, expected {expected!r}"]


def _lacks(what: str, text: str, pattern: str) -> list[str]:
    return [] if re.search(pattern, text) else [f"{what}: {text!r} does not hold {pattern!r}"]
