import errno
import fcntl
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from edge_ctc.durable import copy_whole, mend, sole_writer, write_whole
from edge_ctc.errors import ResultsError, ResultsHeldError
from tests.images import full_disk_at, power_cut_at
from tests.rights import without_rights

OLD, NEW = b"the old content", b"the new content, which is longer"


def content_of(content: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        for byte in content:
            file.write(bytes([byte]))

    return write


def left_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("former", [None, OLD])
def test_a_file_appears_with_all_that_was_written_and_nothing_beside_it(tmp_path: Path, former: bytes | None) -> None:
    path = tmp_path / "a.csv"
    if former is not None:
        path.write_bytes(former)
    sha256 = write_whole(path, content_of(NEW))
    assert left_in(tmp_path) == {"a.csv": NEW}
    assert sha256 == hashlib.sha256(NEW).hexdigest()


def test_the_hash_is_of_the_file_even_where_the_writer_went_back(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"....content")
        file.seek(0)
        file.write(b"head")

    sha256 = write_whole(tmp_path / "a", write)
    assert sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
    assert (tmp_path / "a").read_bytes() == b"headcontent"


def test_a_copy_is_whole_and_leaves_the_source(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    copy_whole(path, tmp_path / "a.1.csv")
    assert left_in(tmp_path) == {"a.csv": OLD, "a.1.csv": OLD}


def test_a_copy_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"a\.1\.csv: cannot be written"):
        copy_whole(tmp_path / "a.csv", tmp_path / "a.1.csv")
    assert left_in(tmp_path) == {}


def test_the_data_are_on_the_disk_before_their_name_is_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(handle: int) -> None:
        steps.append("sync folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "sync file")
        fsync(handle)

    def renamed(old: Path, new: Path) -> None:
        rename(old, new)
        steps.append(f"rename to {Path(new).name}")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    write_whole(tmp_path / "a", content_of(NEW))
    assert steps == ["sync file", "rename to a", "sync folder"]


def test_nothing_is_ever_renamed_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On SMB that can destroy a file that someone has open.
    rename = os.rename

    def renamed(old: Path, new: Path) -> None:
        assert not os.path.lexists(new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", renamed)
    for number in range(3):
        write_whole(tmp_path / "a", content_of(NEW))
        copy_whole(tmp_path / "a", tmp_path / f"a.{number % 2}")
        write_whole(tmp_path / "a", content_of(OLD))
    assert left_in(tmp_path) == {"a": OLD, "a.0": NEW, "a.1": NEW}


@pytest.mark.parametrize("former", [None, OLD])
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_file_whole(tmp_path: Path, former: bytes | None) -> None:
    cuts = 0
    while True:
        folder = tmp_path / str(cuts)
        folder.mkdir()
        path = folder / "a.csv"
        if former is not None:
            path.write_bytes(former)
        if not power_cut_at(cuts + 1, partial(write_whole, path, content_of(NEW))):
            break
        mend(path)
        assert left_in(folder) in ({"a.csv": NEW}, {} if former is None else {"a.csv": former}), cuts
        cuts += 1
    assert cuts >= 6


def test_a_power_cut_while_copying_leaves_a_whole_copy_or_none(tmp_path: Path) -> None:
    cuts = 0
    while True:
        folder = tmp_path / str(cuts)
        folder.mkdir()
        path, copy = folder / "a.csv", folder / "a.1.csv"
        path.write_bytes(OLD)
        if not power_cut_at(cuts + 1, partial(copy_whole, path, copy)):
            break
        mend(copy)
        assert left_in(folder) in ({"a.csv": OLD}, {"a.csv": OLD, "a.1.csv": OLD}), cuts
        cuts += 1
    assert cuts >= 5


def test_a_power_cut_while_mending_is_mended_by_the_next(tmp_path: Path) -> None:
    for first in range(1, 9):
        for second in range(1, 5):
            folder = tmp_path / f"{first} {second}"
            folder.mkdir()
            path = folder / "a.csv"
            path.write_bytes(OLD)
            power_cut_at(first, partial(write_whole, path, content_of(NEW)))
            power_cut_at(second, partial(mend, path))
            mend(path)
            assert left_in(folder) in ({"a.csv": NEW}, {"a.csv": OLD}), (first, second)


def test_mending_twice_or_where_nothing_broke_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(OLD)
    (tmp_path / "b.csv").write_bytes(OLD)
    (tmp_path / ".b.csv.tmp-12345678").write_bytes(NEW)
    mend(tmp_path / "a.csv")
    mend(tmp_path / "none.csv")
    assert set(left_in(tmp_path)) == {"a.csv", "b.csv", ".b.csv.tmp-12345678"}
    mend(tmp_path / "b.csv")
    assert left_in(tmp_path) == {"a.csv": OLD, "b.csv": OLD}


def test_one_failure_at_any_step_is_told_and_leaves_the_old_or_the_new_file_whole(tmp_path: Path) -> None:
    for failing in range(1, 20):
        folder = tmp_path / str(failing)
        folder.mkdir()
        path = folder / "a.csv"
        path.write_bytes(OLD)
        try:
            came = full_disk_at(failing, partial(write_whole, path, content_of(NEW)))
        except ResultsError as error:
            assert str(error).startswith(f"{path}: cannot be written (No space left on device)")  # noqa: PT017
            assert path.read_bytes() in (OLD, NEW), failing
            mend(path)
            assert left_in(folder) in ({"a.csv": OLD}, {"a.csv": NEW}), failing
        else:
            assert not came
            break
    assert failing > 6


def test_a_failure_before_the_new_file_stands_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    for failing in (1, 2, 3, 4):  # open, fsync, the old one aside, the new one in its place
        path = tmp_path / "a.csv"
        path.write_bytes(OLD)
        with pytest.raises(ResultsError):
            full_disk_at(failing, partial(write_whole, path, content_of(NEW)))
        assert left_in(tmp_path) == {"a.csv": OLD}, failing


def test_a_writer_that_fails_by_its_own_fault_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)

    def write(file: BinaryIO) -> None:
        file.write(NEW)
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        write_whole(path, write)
    assert left_in(tmp_path) == {"a.csv": OLD}


FULL_DISK = """
import resource, sys
from pathlib import Path
from edge_ctc.durable import write_whole
from edge_ctc.errors import ResultsError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_whole(Path(sys.argv[1]), lambda file: [file.write(b"x" * 3000) for _ in range(9)] and None)
except ResultsError as error:
    print(error)
"""


def child(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)


def test_a_disk_that_is_really_full_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    result = child(FULL_DISK, str(path))
    assert result.stdout.startswith(f"{path}: cannot be written (File too large); free space")
    assert result.stderr == ""
    assert left_in(tmp_path) == {"a.csv": OLD}


def test_a_folder_without_the_right_to_write_is_told_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_bytes(OLD)
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)  # the folders above it may be closed to that user
    with without_rights(), pytest.raises(ResultsError, match=r"a\.csv: cannot be written \(Permission denied\)"):
        write_whole(Path("a.csv"), content_of(NEW))
    tmp_path.chmod(0o755)
    assert left_in(tmp_path) == {"a.csv": OLD}


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.csv"
    with pytest.raises(ResultsError, match="No such file"):
        write_whole(path, content_of(NEW))
    with pytest.raises(ResultsError, match="No such file"):
        mend(path)
    with pytest.raises(ResultsError, match="No such file"), sole_writer(path.parent):
        pass


def test_a_link_at_the_final_name_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(OLD)
    (tmp_path / "a.csv").symlink_to(precious)
    write_whole(tmp_path / "a.csv", content_of(NEW))
    assert precious.read_bytes() == OLD
    assert not (tmp_path / "a.csv").is_symlink()
    assert left_in(tmp_path) == {"a.csv": NEW, "precious": OLD}


@pytest.mark.parametrize("target", ["precious", "not there"])
def test_a_link_at_the_temporary_name_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "precious").write_bytes(OLD)
    (tmp_path / ".a.csv.tmp-0badf00d").symlink_to(tmp_path / target)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0badf00d")
    with pytest.raises(ResultsError, match="File exists"):
        write_whole(tmp_path / "a.csv", content_of(NEW))
    assert left_in(tmp_path) == {"precious": OLD}


def test_a_folder_at_the_final_name_stays(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "a.csv" / "precious").write_bytes(OLD)
    with pytest.raises(ResultsError):
        write_whole(tmp_path / "a.csv", content_of(NEW))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv" / "precious").read_bytes() == OLD


def test_a_folder_that_knows_no_locks_is_no_place_for_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ResultsError, match="No locks available"), sole_writer(tmp_path):
        pass


SECOND_WRITER = """
import sys
from pathlib import Path
from edge_ctc.durable import sole_writer
from edge_ctc.errors import ResultsHeldError
try:
    with sole_writer(Path(sys.argv[1])):
        print("held")
except ResultsHeldError as error:
    print(error)
"""


def test_a_second_writer_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        told = child(SECOND_WRITER, str(tmp_path)).stdout
        assert told.startswith(f"{tmp_path}: another edge-ctc writes here, process {os.getpid()}")
        assert told.endswith("; wait until it has ended\n")
    assert child(SECOND_WRITER, str(tmp_path)).stdout == "held\n"
    assert left_in(tmp_path) == {}


def test_the_folder_is_free_again_after_a_failure_and_other_folders_always_are(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(KeyError), sole_writer(tmp_path), sole_writer(tmp_path / "other"):
        raise KeyError
    with sole_writer(tmp_path), pytest.raises(ResultsHeldError, match="another edge-ctc"), sole_writer(tmp_path):
        pass


def test_what_is_no_folder_cannot_be_held(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="Not a directory"), sole_writer(tmp_path / "file"):
        pass
