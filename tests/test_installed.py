"""Engines on the disk: what is refused, and that nothing but a whole engine is ever found, whatever was killed."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_ctc import durable
from edge_ctc.checkpoint import MODEL_FP32
from edge_ctc.engine import installed
from edge_ctc.engine.installed import InstalledEngine, install, read_engine, rollback
from edge_ctc.engine.places import default_engines_dir, engine_folder, failed_rebuild_of, find_engines, former_of
from edge_ctc.engine.record import EngineRecord
from edge_ctc.engine.runtimes import Machine
from edge_ctc.errors import EdgeCtcError, EngineSpoiltError, InputMissingError, ResultsError, ResultsHeldError
from tests.engines import UNPROVEN, files_of, put_engine, record_of
from tests.images import full_disk_at, power_cut_at
from tests.rights import without_rights

OLDEST, OLD, NEW = b"the oldest plan", b"the old plan", b"the new plan, which is longer"
CACHE = b"how long each kernel took"
PLACE = Path("means") / "onnxruntime-fp32-cpu"


@pytest.fixture(autouse=True)
def _whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are made and removed too: the machine may die there as well."""
    monkeypatch.setattr("tests.images._STATE_CHANGES", ("open", "fsync", "rename", "unlink", "mkdir", "rmdir"))


@pytest.fixture(autouse=True)
def machine_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a machine whose id can be changed."""
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef\n")
    monkeypatch.setattr(installed, "_MACHINE_ID", path)
    return path


def put(engines: Path, checkpoint: Path, plan: bytes, cache: bytes | None = CACHE, **changes: Any) -> Path:
    folder = engines / PLACE
    folder.parent.mkdir(parents=True, exist_ok=True)
    install(folder, record_of(plan, checkpoint, cache, **changes), plan, cache)
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def litter(engines: Path) -> list[str]:
    """Names that no finished install leaves."""
    return [name for name in files_of(engines) if ".tmp-" in name]


# -- install, read, roll back ----------------------------------------------------------------------------------------


def test_what_was_installed_is_read_back(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / PLACE
    folder.parent.mkdir()
    record = record_of(NEW, checkpoint, CACHE)
    given = install(folder, record, NEW, CACHE)
    assert read_engine(folder) == given
    assert given == InstalledEngine(folder, given.record, NEW, CACHE)
    assert given.record.model_copy(update={"seal": ""}) == record
    assert names_in(folder) == {"engine.plan", "timing.cache", "engine.json"}
    assert (folder / "engine.plan").read_bytes() == NEW
    assert (folder / "timing.cache").read_bytes() == CACHE


def test_a_runtime_without_a_timing_cache_has_no_such_file(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, NEW, None)
    assert names_in(folder) == {"engine.plan", "engine.json"}
    assert read_engine(folder).timing_cache is None


def test_an_engine_is_read_by_a_relative_name_too(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    monkeypatch.chdir(folder)
    assert read_engine(Path()).plan == NEW
    monkeypatch.chdir(tmp_path)
    assert read_engine(PLACE).folder == folder


def test_each_install_keeps_the_former_one_and_forgets_the_one_before_that(tmp_path: Path, checkpoint: Path) -> None:
    for plan in (OLDEST, OLD, NEW):
        folder = put(tmp_path, checkpoint, plan)
    assert read_engine(folder).plan == NEW
    assert read_engine(former_of(folder)).plan == OLD
    assert names_in(folder.parent) == {PLACE.name, f"{PLACE.name}.former"}


def test_an_install_removes_the_note_of_a_failed_rebuilding(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, OLD)
    failed_rebuild_of(folder).write_text("x\ny\nz")
    put(tmp_path, checkpoint, NEW)
    assert not failed_rebuild_of(folder).exists()


def test_going_back_and_back_again_ends_where_it_began(tmp_path: Path, checkpoint: Path) -> None:
    put(tmp_path, checkpoint, OLD, None)
    folder = put(tmp_path, checkpoint, NEW)
    before = files_of(tmp_path)
    assert rollback(folder).plan == OLD
    assert read_engine(folder).plan == OLD
    assert read_engine(former_of(folder)).plan == NEW
    assert rollback(folder).plan == NEW
    assert files_of(tmp_path) == before


def test_without_a_former_engine_there_is_nothing_to_go_back_to(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    before = files_of(tmp_path)
    with pytest.raises(InputMissingError, match="no former engine"):
        rollback(folder)
    with pytest.raises(InputMissingError, match="no former engine"):
        rollback(tmp_path / "means" / "none")
    assert files_of(tmp_path) == before


def test_a_damaged_former_engine_is_not_brought_back(tmp_path: Path, checkpoint: Path) -> None:
    put(tmp_path, checkpoint, OLD)
    folder = put(tmp_path, checkpoint, NEW)
    (former_of(folder) / "engine.plan").write_bytes(b"another")
    before = files_of(tmp_path)
    with pytest.raises(EngineSpoiltError, match=r"former/engine\.plan"):
        rollback(folder)
    assert files_of(tmp_path) == before


def test_a_damaged_engine_is_left_by_going_back(tmp_path: Path, checkpoint: Path) -> None:
    put(tmp_path, checkpoint, OLD)
    folder = put(tmp_path, checkpoint, NEW)
    (folder / "engine.plan").unlink()
    assert rollback(folder).plan == OLD


def test_a_damaged_engine_is_replaced_by_an_install(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, OLD)
    (folder / "engine.json").write_bytes(b"")
    put(tmp_path, checkpoint, NEW)
    assert read_engine(folder).plan == NEW


def test_the_new_engine_is_on_the_disk_before_its_name_is_and_the_name_before_it_is_told(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, checkpoint, OLD)
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(handle: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{handle}').resolve().name.split('.tmp-')[0].strip('.')}")
        fsync(handle)

    def renamed(old: Path, new: Path) -> None:
        rename(old, new)
        steps.append(f"rename to {Path(new).name}")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    put(tmp_path, checkpoint, NEW)
    appeared = steps.index(f"rename to {PLACE.name}")
    for name in ("engine.plan", "timing.cache", "engine.json"):
        assert steps.index(f"sync {name}") < steps.index(f"rename to {name}") < appeared
    assert "sync means" in steps[appeared:]


# -- killed, full, held ----------------------------------------------------------------------------------------------


def whole_engine(folder: Path) -> bytes | None:
    """The plan of the engine that is found; None where there is none. A spoilt one fails the test."""
    try:
        engine = read_engine(folder)
    except InputMissingError:
        return None
    assert engine.timing_cache == CACHE
    return engine.plan


@pytest.mark.parametrize("before", [(), (OLD,), (OLDEST, OLD)])
def test_an_install_killed_at_any_step_leaves_the_old_or_the_new_engine_whole(
    tmp_path: Path, checkpoint: Path, before: tuple[bytes, ...]
) -> None:
    steps = 0
    while True:
        engines = tmp_path / str(steps)
        (engines / "means").mkdir(parents=True)
        for plan in before:
            put(engines, checkpoint, plan)
        if not power_cut_at(steps + 1, partial(put, engines, checkpoint, NEW)):
            break
        found = whole_engine(engines / PLACE)
        assert found in (NEW, before[-1] if before else None), steps
        put(engines, checkpoint, b"the next plan")
        assert whole_engine(engines / PLACE) == b"the next plan", steps
        if before and found is not None:
            assert whole_engine(former_of(engines / PLACE)) == found, steps
        assert set(find_engines(engines)) == {engines / PLACE}
        assert litter(engines / "means") == [], steps
        steps += 1
    assert steps >= 12


def test_a_first_install_killed_at_any_step_leaves_nothing_beside_the_next_engine(
    tmp_path: Path, checkpoint: Path
) -> None:
    steps = 0
    while True:
        engines = tmp_path / str(steps)
        (engines / "means").mkdir(parents=True)
        if not power_cut_at(steps + 1, partial(put, engines, checkpoint, NEW)):
            break
        put(engines, checkpoint, NEW)
        assert litter(engines) == [], steps
        steps += 1


@pytest.mark.parametrize("second", range(1, 12))
def test_killed_while_mending_the_next_reader_or_install_mends_it(
    tmp_path: Path, checkpoint: Path, second: int
) -> None:
    first = 0
    while True:
        engines = tmp_path / str(first)
        for plan in (OLDEST, OLD):
            put(engines, checkpoint, plan)
        first += 1
        if not power_cut_at(first, partial(put, engines, checkpoint, NEW)):
            break
        power_cut_at(second, partial(put, engines, checkpoint, NEW))
        assert whole_engine(engines / PLACE) in (OLD, NEW), first
        put(engines, checkpoint, NEW)
        assert whole_engine(engines / PLACE) == NEW
        assert litter(engines / "means") == []


def test_a_reader_killed_while_it_mends_leaves_it_to_the_next(tmp_path: Path, checkpoint: Path) -> None:
    for step in range(1, 4):
        engines = tmp_path / str(step)
        folder = put(engines, checkpoint, OLD)
        folder.rename(former_of(folder))
        power_cut_at(step, partial(read_engine, folder))
        assert read_engine(folder).plan == OLD


def rollbacks_killed(tmp_path: Path, checkpoint: Path) -> Iterator[Path]:
    """After each step of going back from NEW to OLD, the folder of the engine."""
    steps = 0
    while True:
        engines = tmp_path / str(steps)
        put(engines, checkpoint, OLD)
        folder = put(engines, checkpoint, NEW)
        if not power_cut_at(steps + 1, partial(rollback, folder)):
            break
        steps += 1
        yield folder
    assert steps >= 3


def test_going_back_killed_at_any_step_leaves_one_of_both_engines_whole(tmp_path: Path, checkpoint: Path) -> None:
    for folder in rollbacks_killed(tmp_path, checkpoint):
        assert whole_engine(folder) in (OLD, NEW)
        put(folder.parents[1], checkpoint, b"the next plan")
        assert whole_engine(folder) == b"the next plan"
        assert litter(folder.parent) == []


def test_going_back_killed_at_any_step_loses_neither_engine(tmp_path: Path, checkpoint: Path) -> None:
    # Who goes back does so because the new engine is not wanted: it must not become the only one.
    for folder in rollbacks_killed(tmp_path, checkpoint):
        if whole_engine(folder) != OLD:
            rollback(folder)
        assert whole_engine(folder) == OLD
        assert whole_engine(former_of(folder)) == NEW


def test_a_disk_that_is_full_at_any_step_is_told_and_the_old_engine_still_answers(
    tmp_path: Path, checkpoint: Path
) -> None:
    told = 0
    for failing in range(1, 100):
        engines = tmp_path / str(failing)
        for plan in (OLDEST, OLD):
            folder = put(engines, checkpoint, plan)
        came = False
        try:
            came = full_disk_at(failing, partial(put, engines, checkpoint, NEW))
        except ResultsError as error:
            came = True
            told += 1
            assert "No space left on device" in str(error), failing  # noqa: PT017
        if not came:
            break
        assert whole_engine(folder) in (OLD, NEW), failing
        put(engines, checkpoint, b"the next plan")
        assert whole_engine(folder) == b"the next plan", failing
        assert litter(engines) == [], failing
    assert told >= 10
    assert not came


def test_going_back_on_a_full_disk_is_told_and_loses_neither_engine(tmp_path: Path, checkpoint: Path) -> None:
    for failing in range(1, 20):
        engines = tmp_path / str(failing)
        put(engines, checkpoint, OLD)
        folder = put(engines, checkpoint, NEW)
        try:
            came = full_disk_at(failing, partial(rollback, folder))
        except (ResultsError, EngineSpoiltError):
            came = True
        if not came:
            break
        if whole_engine(folder) != OLD:
            rollback(folder)
        assert whole_engine(folder) == OLD, failing
        assert whole_engine(former_of(folder)) == NEW, failing
    assert failing > 3


FULL_DISK = """
import resource, sys
from pathlib import Path
from edge_ctc.engine.installed import install
from edge_ctc.engine.record import EngineRecord
from edge_ctc.errors import ResultsError
plan = Path(sys.argv[2]).read_bytes()
record = EngineRecord.model_validate_json(Path(sys.argv[3]).read_bytes())
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    install(Path(sys.argv[1]), record, plan, None)
except ResultsError as error:
    print(error)
"""


def test_a_disk_that_is_really_full_leaves_the_old_engine_and_nothing_else(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path / "engines", checkpoint, OLD)
    plan, record = tmp_path / "plan", tmp_path / "record"
    plan.write_bytes(b"x" * 20_000)
    record.write_bytes(record_of(plan.read_bytes(), checkpoint).model_dump_json().encode())
    before = files_of(tmp_path / "engines")
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder), str(plan), str(record)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "engine.plan: cannot be written (File too large)" in child.stdout, child
    assert files_of(tmp_path / "engines") == before
    assert names_in(folder.parent) == {PLACE.name}


INSTALLS = """
import sys
from pathlib import Path
from tests.engines import put_engine
while True:
    put_engine(Path(sys.argv[1]), Path(sys.argv[2]), b"how long each kernel took")
    print("installed", flush=True)
"""


def test_a_process_that_is_killed_while_it_installs_leaves_a_whole_engine(tmp_path: Path, checkpoint: Path) -> None:
    engines = tmp_path / "engines"
    for delay in (0.0, 0.002, 0.005, 0.011, 0.017):
        with subprocess.Popen(
            [sys.executable, "-c", INSTALLS, str(engines), str(checkpoint)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"installed\n"
            time.sleep(delay)
            child.kill()
        # Of another machine than this test believes in: that of the process.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installed, "_MACHINE_ID", Path("/etc/machine-id"))
            assert read_engine(engines / PLACE).plan == (checkpoint / MODEL_FP32).read_bytes()
            put_engine(engines, checkpoint)
        assert litter(engines) == []


def test_two_first_installs_at_once_do_not_spoil_each_other(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each holds only its own checkpoint's folder; the key belongs to both.
    other = tmp_path / "other" / "onnxruntime-fp32-cpu"
    other.parent.mkdir()
    write_bytes = durable.write_bytes
    began: list[Path] = []

    def overtaken(path: Path, content: bytes) -> str:
        if not began:
            began.append(path)
            install(other, record_of(OLD, checkpoint), OLD, None)
        return write_bytes(path, content)

    monkeypatch.setattr(durable, "write_bytes", overtaken)
    folder = put(tmp_path, checkpoint, NEW)
    assert began
    assert read_engine(folder).plan == NEW
    assert read_engine(other).plan == OLD


def test_a_reader_overtaken_by_an_install_gets_one_of_both_whole(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path, checkpoint, OLD)
    read = installed._record
    overtaken: list[Path] = []

    def slowly(path: Path, handle: int) -> EngineRecord:
        record = read(path, handle)
        if not overtaken:
            overtaken.append(path)
            put(tmp_path, checkpoint, NEW)
        return record

    monkeypatch.setattr(installed, "_record", slowly)
    assert whole_engine(folder) in (OLD, NEW)
    assert overtaken


def test_a_gap_that_another_process_is_about_to_close_is_told(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, OLD)
    folder.rename(former_of(folder))
    with durable.sole_writer(folder.parent), pytest.raises(ResultsHeldError):
        read_engine(folder)
    assert read_engine(folder).plan == OLD


def test_a_gap_that_cannot_be_closed_is_told(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path, checkpoint, OLD)
    folder.rename(former_of(folder))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(ResultsError, match="Permission denied"):
            read_engine(folder)
    assert read_engine(folder).plan == OLD


# -- sealed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["engine.plan", "timing.cache", "engine.json"])
def test_one_bit_changed_anywhere_spoils_the_engine_and_the_file_is_named(
    tmp_path: Path, checkpoint: Path, name: str
) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    path = folder / name
    whole = path.read_bytes()
    accepted = []
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            read_engine(folder)
        except EngineSpoiltError as error:
            # A hash in the record that changed is seen at the file that it is of.
            assert name in str(error) or name == "engine.json", (place, error)  # noqa: PT017
        else:
            accepted.append(place)
    assert accepted == []
    path.write_bytes(whole)
    assert read_engine(folder).plan == NEW


@pytest.mark.parametrize("name", ["engine.plan", "timing.cache", "engine.json"])
@pytest.mark.parametrize("change", ["longer", "shorter", "empty", "missing"])
def test_a_file_of_another_length_or_none_spoils_the_engine_and_is_named(
    tmp_path: Path, checkpoint: Path, name: str, change: str
) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    path = folder / name
    whole = path.read_bytes()
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes({"longer": whole + b"x", "shorter": whole[:-1], "empty": b""}[change])
    with pytest.raises(EngineSpoiltError, match=str(path)):
        read_engine(folder)


OTHER_VALUES: dict[str, Any] = {
    "schema_version": 2,
    "checkpoint": "another",
    "checkpoint_folder": "/elsewhere",
    "checkpoint_sha256": "0" * 64,
    "onnx_sha256": "0" * 64,
    "plan_sha256": "0" * 64,
    "timing_cache_sha256": "0" * 64,
    "runtime": "tensorrt",
    "runtime_version": "9.9",
    "cuda_version": "13.0",
    "driver_version": "590.1",
    "gpu_name": "NVIDIA RTX A2000",
    "compute_capability": "8.6",
    "precision": "fp16",
    "max_batch": 65,
    "parity": {
        "cells": 9,
        "runs": 0,
        "largest_difference": 0.0,
        "tolerance": 0.001,
        "flips": 0,
        "review_flips": 0,
    },
    "state": "unproven",
    "built_at_utc": "2026-01-02T03:04:05.000007Z",
    "rebuilt_because": ["GPU"],
    "software_version": "1",
    "command": "edge-ctc build-engine",
    "seal": "0" * 64,
}


def test_each_field_of_the_record_is_tried_below() -> None:
    assert OTHER_VALUES.keys() == EngineRecord.model_fields.keys()


def rewritten(folder: Path, changes: dict[str, Any]) -> None:
    record = json.loads((folder / "engine.json").read_text())
    (folder / "engine.json").write_text(json.dumps(record | changes))


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_any_field_of_the_record_that_was_changed_spoils_the_engine(
    tmp_path: Path, checkpoint: Path, field: str
) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    rewritten(folder, {field: OTHER_VALUES[field]})
    hashes = {"plan_sha256": "engine.plan", "timing_cache_sha256": "timing.cache"}
    with pytest.raises(EngineSpoiltError, match=hashes.get(field, "engine.json")):
        read_engine(folder)


def test_an_unproven_engine_cannot_be_made_a_proved_one_by_hand(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, NEW, **UNPROVEN)
    assert read_engine(folder).record.state == "unproven"
    rewritten(folder, {"state": "proved", "parity": OTHER_VALUES["parity"]})
    with pytest.raises(EngineSpoiltError, match=r"engine\.json: changed since, or not built by this installation"):
        read_engine(folder)


@pytest.mark.parametrize("seal", ["", "é", "\ud800", "0" * 1000])
def test_a_seal_of_any_characters_is_refused(tmp_path: Path, checkpoint: Path, seal: str) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    rewritten(folder, {"seal": seal})
    with pytest.raises(EngineSpoiltError, match=r"engine\.json"):
        read_engine(folder)


def test_another_plan_with_its_own_hash_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    (folder / "engine.plan").write_bytes(b"a plan from the internet")
    rewritten(folder, {"plan_sha256": record_of(b"a plan from the internet", checkpoint).plan_sha256})
    with pytest.raises(EngineSpoiltError, match="not built by this installation"):
        read_engine(folder)


def test_an_engine_that_was_copied_to_another_installation_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path / "a", checkpoint, NEW)
    put(tmp_path / "b", checkpoint, OLD)
    shutil.rmtree(tmp_path / "b" / PLACE)
    shutil.copytree(folder, tmp_path / "b" / PLACE)
    with pytest.raises(EngineSpoiltError, match="not built by this installation"):
        read_engine(tmp_path / "b" / PLACE)
    shutil.copytree(folder, tmp_path / "none" / PLACE)
    with pytest.raises(EngineSpoiltError, match="build the engine again"):
        read_engine(tmp_path / "none" / PLACE)


def test_all_engines_copied_to_another_machine_are_refused(tmp_path: Path, checkpoint: Path, machine_id: Path) -> None:
    put(tmp_path / "a", checkpoint, NEW)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert read_engine(tmp_path / "b" / PLACE).plan == NEW
    machine_id.write_text("fedcba9876543210\n")
    for engines in (tmp_path / "a", tmp_path / "b"):
        with pytest.raises(EngineSpoiltError, match="not built by this installation"):
            read_engine(engines / PLACE)


def test_a_machine_without_an_id_has_engines_too(tmp_path: Path, checkpoint: Path, machine_id: Path) -> None:
    machine_id.unlink()
    assert read_engine(put(tmp_path, checkpoint, NEW)).plan == NEW


def test_the_key_of_an_installation_is_made_once_and_does_not_repeat(tmp_path: Path, checkpoint: Path) -> None:
    put(tmp_path / "a", checkpoint, NEW)
    key = (tmp_path / "a" / ".installation").read_bytes()
    put(tmp_path / "a", checkpoint, OLD)
    assert (tmp_path / "a" / ".installation").read_bytes() == key
    put(tmp_path / "b", checkpoint, NEW)
    assert (tmp_path / "b" / ".installation").read_bytes() != key


@pytest.mark.parametrize("damage", ["missing", "folder", "changed"])
def test_without_its_key_every_engine_is_refused(tmp_path: Path, checkpoint: Path, damage: str) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    key = tmp_path / ".installation"
    if damage == "changed":
        key.write_bytes(b"another")
    else:
        key.unlink()
    if damage == "folder":
        key.mkdir()
    with pytest.raises(EngineSpoiltError, match=r"build (it|the engine) again"):
        read_engine(folder)


FILES = ("engine.plan", "timing.cache", "engine.json")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file_spoils_the_engine(tmp_path: Path, checkpoint: Path, name: str) -> None:
    path = put(tmp_path, checkpoint, NEW) / name
    path.unlink()
    path.mkdir()
    with pytest.raises(EngineSpoiltError, match=str(path)):
        read_engine(path.parent)


@pytest.mark.parametrize("name", FILES)
def test_a_link_to_something_else_spoils_the_engine(tmp_path: Path, checkpoint: Path, name: str) -> None:
    path = put(tmp_path / "engines", checkpoint, NEW) / name
    (tmp_path / "elsewhere").write_bytes(b"another")
    path.unlink()
    for target in ("elsewhere", "nowhere", path):
        path.symlink_to(tmp_path / target)
        with pytest.raises(EngineSpoiltError, match=str(path)):
            read_engine(path.parent)
        path.unlink()


READ = """
import sys
from pathlib import Path
from edge_ctc.engine.installed import read_engine
from edge_ctc.errors import EngineSpoiltError
try:
    read_engine(Path(sys.argv[1]))
except EngineSpoiltError as error:
    print(error)
"""


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_does_not_hold_the_program_up(
    tmp_path: Path, checkpoint: Path, name: str
) -> None:
    path = put(tmp_path, checkpoint, NEW) / name
    path.unlink()
    os.mkfifo(path)
    child = subprocess.run(
        [sys.executable, "-c", READ, str(path.parent)], capture_output=True, text=True, check=False, timeout=5
    )
    assert child.stdout.startswith(str(path)), child


RECORDS = {
    "garbage": b"\x00\xff\xfe garbage",
    "no object": b"[]",
    "a number": b"7",
    "null": b"null",
    "an empty object": b"{}",
    "cut short": b'{"schema_version": 1, "checkpoint": "mea',
    "deep": b"[" * 200_000,
    "deep in a field": b'{"checkpoint": ' + b'{"a":' * 100_000,
    "large": b'{"checkpoint": "' + b"x" * 100_000_000 + b'"}',
    "large garbage": b"x" * 100_000_000,
}


@pytest.mark.parametrize("content", RECORDS)
def test_a_record_that_is_none_is_refused_in_few_words(tmp_path: Path, checkpoint: Path, content: str) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    (folder / "engine.json").write_bytes(RECORDS[content])
    with pytest.raises(EngineSpoiltError, match=r"engine\.json: ") as refused:
        read_engine(folder)
    assert len(str(refused.value)) < 6000


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"max_batch": 0},
        {"max_batch": "64"},
        {"state": "proved", "parity": None},
        {"state": "unproven"},
        {"runtime": "torch"},
        {"precision": "int8"},
        {"plan_sha256": "../../x"},
        {"parity": {"cells": -1}},
    ],
)
def test_a_record_that_edge_ctc_never_writes_is_refused(
    tmp_path: Path, checkpoint: Path, changes: dict[str, Any]
) -> None:
    folder = put(tmp_path, checkpoint, NEW)
    rewritten(folder, changes)
    with pytest.raises(EngineSpoiltError, match=r"engine\.json: not as edge-ctc writes it"):
        read_engine(folder)


@pytest.mark.parametrize("place", ["none", "file", "file/below", "x" * 300, "a\0b"])
def test_where_there_is_no_engine_it_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputMissingError, match="no such engine"):
        read_engine(tmp_path / place)


def test_engines_in_a_folder_that_may_not_be_entered_are_told(tmp_path: Path, checkpoint: Path) -> None:
    folder = put(tmp_path / "engines", checkpoint, NEW)
    (tmp_path / "engines").chmod(0)
    try:
        with without_rights(), pytest.raises(EdgeCtcError):
            read_engine(folder)
        with without_rights(), pytest.raises(EdgeCtcError):
            find_engines(tmp_path / "engines")
    finally:
        (tmp_path / "engines").chmod(0o755)


# -- found -----------------------------------------------------------------------------------------------------------


def test_engines_are_found_by_checkpoint_or_all_in_their_order(tmp_path: Path, checkpoint: Path) -> None:
    cpu = put_engine(tmp_path, checkpoint)
    put_engine(tmp_path, checkpoint)
    half = put_engine(tmp_path, checkpoint, precision="fp16")
    other = put_engine(tmp_path, checkpoint, runtime="tensorrt-rtx", **UNPROVEN)
    (tmp_path / "b").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "means" / "notes.txt").touch()
    failed_rebuild_of(cpu).touch()
    assert [folder.name for folder in (half, cpu, other)] == [
        "onnxruntime-fp16-cpu",
        "onnxruntime-fp32-cpu",
        "tensorrt-rtx-fp32-portable",
    ]
    assert find_engines(tmp_path) == find_engines(tmp_path, "means") == [half, cpu, other]
    assert find_engines(tmp_path, "b") == find_engines(tmp_path, "none") == find_engines(tmp_path / "none") == []


def test_an_engine_is_found_in_the_gap_that_a_killed_install_left(tmp_path: Path, checkpoint: Path) -> None:
    folder = put_engine(tmp_path, checkpoint)
    folder.rename(former_of(folder))
    assert find_engines(tmp_path, "means") == [folder]
    assert find_engines(tmp_path) == [folder]


def test_a_file_in_the_place_of_the_engines_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot be read"):
        find_engines(tmp_path / "file")


def test_each_runtime_precision_and_device_has_its_own_folder(tmp_path: Path) -> None:
    gpu = Machine("tensorrt", "11.1", "NVIDIA RTX A2000 12GB", "8.6")
    assert (
        engine_folder(tmp_path, "ours", gpu, "fp16") == tmp_path / "ours" / "tensorrt-fp16-nvidia-rtx-a2000-12gb-sm86"
    )
    cpu = Machine("onnxruntime", "1.23")
    assert engine_folder(tmp_path, "ours", cpu, "fp32").name == "onnxruntime-fp32-cpu"
    portable = Machine("tensorrt-rtx", "1.4")
    assert engine_folder(tmp_path, "ours", portable, "fp32").name == "tensorrt-rtx-fp32-portable"


def test_engines_lie_in_the_state_folder_of_the_service_or_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_engines_dir() == Path("/state/edge-ctc/engines")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/a")
    assert default_engines_dir() == Path("/home/a/.local/state/edge-ctc/engines")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-ctc:/var/lib/other")
    assert default_engines_dir() == Path("/var/lib/edge-ctc/engines")
