"""Every file that the calls rest on: there, of the same size, every byte hashed again."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_ctc.cells import ImageFile
from edge_ctc.images.files import MAX_FILE_BYTES, read_file
from edge_ctc.results.manifest import InputFile
from edge_ctc.verify.findings import Finding, Name, judged

_PUT_BACK = "put the files back as they were, from a copy of the run"


@dataclass(slots=True)
class _Seen:
    """Names of files, by what became of them."""

    apart: list[str] = field(default_factory=list)
    gone_before: list[str] = field(default_factory=list)
    back_again: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    other_time: list[str] = field(default_factory=list)
    hashed: int = 0


def check_files(
    name: Name,
    folder: Path,
    present: Mapping[str, ImageFile],
    files: Sequence[InputFile],
    advanced: Callable[[int], None],
) -> tuple[tuple[Finding, ...], int]:
    """Whether each of `files` is what it was, one in memory at a time; and how many were hashed.

    Args:
        name: of the findings.
        folder: of the run.
        present: its files now, by name.
        files: as the manifest lists them.
        advanced: told after each file.

    Raises:
        RunUnreadableError: the disk failed, or a file changed while it was read.
    """
    seen = _Seen()
    for file in files:
        _look(folder, present.get(file.name), file, seen)
        advanced(1)
    ok = f"{seen.hashed} there, each of the size and sha256 that was called"
    return (judged(name, ok, "not as called", seen.apart, _PUT_BACK), *_remarks(name, seen)), seen.hashed


def _look(folder: Path, now: ImageFile | None, file: InputFile, seen: _Seen) -> None:
    if now is None:
        if file.state == "gone":
            seen.gone_before.append(file.name)
        else:
            seen.apart.append(f"{file.name}: gone")
        return
    if file.state == "gone":
        seen.back_again.append(file.name)
    if now.size != file.size:
        seen.apart.append(f"{file.name}: {now.size} bytes, expected {file.size}")
        return
    if file.sha256 is None or now.size > MAX_FILE_BYTES:
        seen.unread.append(file.name)
    else:
        found = hashlib.sha256(read_file(folder, now)).hexdigest()
        seen.hashed += 1
        if found != file.sha256:
            seen.apart.append(f"{file.name}: sha256 {found}, expected {file.sha256}")
            return
    if now.mtime_ns != file.mtime_ns:
        seen.other_time.append(file.name)


def _remarks(name: Name, seen: _Seen) -> list[Finding]:
    found = []
    if seen.gone_before:
        what = f"{len(seen.gone_before)} were gone already when the calls were last written: nothing can vouch for them"
        found.append(Finding(name, "unchecked", what, tuple(seen.gone_before), mend=_PUT_BACK))
    if seen.back_again:
        what = f"{len(seen.back_again)} were gone when the calls were last written and are there again"
        found.append(Finding(name, "note", what, tuple(seen.back_again)))
    if seen.unread:
        what = f"{len(seen.unread)} were never read, and no verdict rests on their bytes: their size alone was compared"
        found.append(Finding(name, "note", what, tuple(seen.unread)))
    if seen.other_time:
        what = f"{len(seen.other_time)} of another time of change than when called, as copies are"
        found.append(Finding(name, "note", what, tuple(seen.other_time)))
    return found
