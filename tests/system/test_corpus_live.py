"""The corpus of bad files dropped into a live export: every one named in a row, the daemon never down."""

import contextlib
from collections import defaultdict
from pathlib import Path

import pytest

from tests.corpus import CASES
from tests.corpus.case import Case
from tests.corpus.walk import Finding, faults, write_checkpoints
from tests.results import manifest_of, rows_of
from tests.system.daemon import Daemon, make_site
from tests.system.promises import is_complete, litter

pytestmark = pytest.mark.timeout(600)
_QUIET_S = 2.0
_PATIENCE_S = 60.0
GROUPS: dict[tuple[str, str], list[Case]] = defaultdict(list)
for _case in CASES:
    if _case.profile is not None and not _case.defect:
        GROUPS[_case.profile, _case.checkpoint].append(_case)


# A checkpoint of counts before shades: `classify-run` calls no cell of such a run, the daemon does not begin.
REFUSED = ("montage", "four")


def test_a_profile_and_a_checkpoint_of_other_intensities_are_refused_at_the_start(room: Path, tmp_path: Path) -> None:
    profile, checkpoint = REFUSED
    site = make_site(room / "site", write_checkpoints(tmp_path)[checkpoint], profile=profile)
    with site.fork() as daemon:
        assert daemon.ended(30.0) == 78


@pytest.mark.parametrize(
    "group", [pytest.param(key, id=str(place)) for place, key in enumerate(GROUPS) if key != REFUSED]
)
def test_bad_files_in_a_live_export_are_all_named(room: Path, tmp_path: Path, group: tuple[str, str]) -> None:
    """All cases of one profile and checkpoint at once, each in a run of its own."""
    profile, checkpoint = group
    checkpoints = write_checkpoints(tmp_path)
    named = profile
    if "\n" in profile:
        (room / "profile.toml").write_text(profile, encoding="utf-8")
        named = str(room / "profile.toml")
    site = make_site(room / "site", checkpoints[checkpoint], profile=named, quiet_s=_QUIET_S)
    with site.fork() as daemon:
        daemon.wait_ready()
        for case in GROUPS[group]:
            run = site.exports / case.name
            run.mkdir()
            case.build(run)
        found = _finished(daemon, site.exports, GROUPS[group])
        daemon.stop()
    theirs = {str(site.exports / name) for name in ("elsewhere.csv", *(case.name for case in GROUPS[group]))}
    assert found + [one for one in litter(site.exports) if one.removeprefix("left over: ") not in theirs] == []


def _finished(daemon: Daemon, exports: Path, cases: list[Case]) -> list[str]:
    """What is not as the corpus wants it, once all runs that can be called are complete."""
    # Links are never followed: a folder that is one is no run of an export.
    callable_ = [case for case in cases if not case.error and not (exports / case.name).is_symlink()]
    missing = {case.name for case in callable_}
    with contextlib.suppress(AssertionError):
        daemon.wait_for(lambda: not _still_missing(exports, missing), "all runs complete", _PATIENCE_S)
    assert daemon.ended(0) is None, daemon.tail()
    assert missing == set(), daemon.site.status()["waits"]
    found = [
        f"{case.name}: {fault}" for case in callable_ for fault in faults(case, _finding(exports / case.name, case))
    ]
    return found + [f"{case.name}: called" for case in cases if case.error and is_complete(exports / case.name)]


def _still_missing(exports: Path, missing: set[str]) -> set[str]:
    missing -= {name for name in missing if is_complete(exports / name)}
    return missing


def _finding(run: Path, case: Case) -> Finding:
    """As of the command, which alone has an exit code, seconds and memory."""
    return Finding(
        code=case.code,
        err="",
        rows=tuple(rows_of(run)),
        manifest=manifest_of(run),
        on_disk=sum(1 for path in run.rglob("*") if path.is_file() and not path.is_symlink()),
        seconds=0.0,
        own_seconds=0.0,
        mebibytes=0.0,
    )
