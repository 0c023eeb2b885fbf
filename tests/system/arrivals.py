"""The ways in which an image can come to be, step by step."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

OLD = 1_000_000_000
"""Seconds since 1970: long ago."""

Steps = Sequence[Callable[[], object]]
"""How one file comes to be, in time."""
Way = Callable[[Path, bytes], Steps]


def half_written(path: Path, content: bytes) -> Steps:
    return [partial(append, path, part) for part in _parts(content, 4)]


def preallocated_by_truncate(path: Path, content: bytes) -> Steps:
    size = len(content)
    return [partial(_make_room, path, partial(os.truncate, path, size)), *_in_place(path, content)]


def preallocated_by_fallocate(path: Path, content: bytes) -> Steps:
    return [partial(_make_room, path, partial(_allocate, path, len(content))), *_in_place(path, content)]


def temporary_and_renamed(path: Path, content: bytes) -> Steps:
    temporary = path.with_name(f"~{path.name}.tmp")
    return [*(partial(append, temporary, part) for part in _parts(content, 3)), partial(temporary.rename, path)]


def with_an_old_time(path: Path, content: bytes) -> Steps:
    return [partial(append, path, part, OLD) for part in _parts(content, 4)]


def of_its_full_size_and_an_old_time_at_the_end(path: Path, content: bytes) -> Steps:
    return [*preallocated_by_truncate(path, content), partial(os.utime, path, (OLD, OLD))]


def last_bytes_first(path: Path, content: bytes) -> Steps:
    half = len(content) // 2
    return [partial(write_at, path, half, content[half:]), partial(write_at, path, 0, content[:half])]


def empty_for_long(path: Path, content: bytes) -> Steps:
    return [path.touch, *[_nothing] * 6, partial(append, path, content)]


WAYS: Sequence[Way] = (
    half_written,
    preallocated_by_truncate,
    preallocated_by_fallocate,
    temporary_and_renamed,
    with_an_old_time,
    of_its_full_size_and_an_old_time_at_the_end,
    last_bytes_first,
    empty_for_long,
)


def _parts(content: bytes, number: int) -> list[bytes]:
    size = -(-len(content) // number)
    return [content[start : start + size] for start in range(0, len(content), size)]


def _in_place(path: Path, content: bytes) -> Steps:
    half = len(content) // 2
    return [partial(write_at, path, 0, content[:half]), partial(write_at, path, half, content[half:])]


def append(path: Path, content: bytes, mtime: int | None = None) -> None:
    with path.open("ab") as file:
        file.write(content)
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def write_at(path: Path, offset: int, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, content, offset)
    finally:
        os.close(handle)


def _make_room(path: Path, size: Callable[[], object]) -> None:
    path.touch()
    size()


def _allocate(path: Path, size: int) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.posix_fallocate(handle, 0, size)
    finally:
        os.close(handle)


def _nothing() -> None:
    """A step in which nothing happens."""
