"""Where results lie, what stands there, and the commit: calls first, the manifest last."""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from edge_ctc.results.calls import Call, write_calls
from edge_ctc.results.manifest import SCHEMA_VERSION, Manifest, seal_of, sealing

_BYTES_PER_CELL = 1000
_BYTES_PER_FILE = 250
_OURS = re.compile(r".+\.ctc-(calls(\..+)?\.csv|run\.json|gallery\.html)", re.DOTALL)

# Bytes at once: of a large run the text and its encoding would both be megabytes.
_TO_JSON = TypeAdapter(Manifest)


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """Where the results of one run belong.

    Attributes:
        folder: beside the run, or the folder that the user named.
        run_id: the run's name.
    """

    folder: Path
    run_id: str

    @property
    def calls(self) -> Path:
        """`<run>.ctc-calls.csv`."""
        return self.folder / f"{self.run_id}.ctc-calls.csv"

    @property
    def manifest(self) -> Path:
        """`<run>.ctc-run.json`."""
        return self.folder / f"{self.run_id}.ctc-run.json"

    @property
    def gallery(self) -> Path:
        """`<run>.ctc-gallery.html`."""
        return self.folder / f"{self.run_id}.ctc-gallery.html"

    def superseded(self, finished_at_utc: str) -> Path:
        """The name that complete calls keep once others stand in their place."""
        compact = finished_at_utc.replace("-", "").replace(":", "")
        return self.folder / f"{self.run_id}.ctc-calls.{compact}.csv"


def utc_now() -> str:
    """ISO 8601 with microseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Former:
    """What an earlier call of a run left.

    Attributes:
        manifest: if the calls beside it are the ones that it commits; None: the run is not done.
        edited: where calls were put aside that somebody changed after they were committed.
        kept: name of the copy of complete calls that were being superseded when a process ended; others belong in their
            place.
    """

    manifest: Manifest | None
    edited: Path | None = None
    kept: str | None = None


def read_committed(place: ResultPlace) -> Manifest | None:
    """The manifest, if the calls beside it are the ones that it commits; None: the run is not done.

    Raises:
        ResultsError: the files cannot be read, or an edge_ctc of another schema wrote them.
    """
    manifest = _read_manifest(place.manifest)
    return manifest if manifest and are_its_calls(place, manifest) else None


def are_its_calls(place: ResultPlace, manifest: Manifest) -> bool:
    """Whether the calls that lie there now are those that the manifest commits. Raises ResultsError."""
    return _sha256(place.calls) == manifest.calls.sha256


def read_mended(place: ResultPlace) -> Former:
    """What an earlier call left, after the gaps are closed that a crash may have torn.

    Calls that do not match their manifest are not done. They are the rest of a crash, and are replaced later, if
    the copy of the committed ones lies beside them already; else somebody has edited them, and they are put aside.

    Call it as the sole writer of the place's folder. Raises as `read_committed`.
    """
    for path in (place.calls, place.manifest, place.gallery):
        durable.mend(path)
    manifest = _read_manifest(place.manifest)
    if manifest is None:
        return Former(None)
    kept = place.superseded(manifest.finished_at_utc)
    durable.mend(kept)
    found = _sha256(place.calls)
    if found == manifest.calls.sha256:
        return Former(manifest)
    if _sha256(kept) == manifest.calls.sha256:
        return Former(None, kept=kept.name)
    # Partial calls are replaced in place, so that a crash between them and their manifest leaves no copy to tell by.
    if found is None or manifest.run_state == "partial":
        return Former(None, kept=manifest.superseded)
    if _is_put_aside(place, found):
        return Former(None)
    edited = place.superseded(f"{utc_now()}.edited")
    durable.copy_whole(place.calls, edited)
    return Former(None, edited)


def _is_put_aside(place: ResultPlace, sha256: str) -> bool:
    """Whether these edited calls were copied already, by one that could not call the run then."""
    start, end = f"{place.calls.stem}.", ".edited.csv"
    try:
        names = [name for name in os.listdir(place.folder) if name.startswith(start) and name.endswith(end)]
    except OSError as error:
        raise _unreadable(place.folder, error) from error
    return any(_sha256(place.folder / name) == sha256 for name in names)


def _read_manifest(path: Path) -> Manifest | None:
    if not _is_there(path):
        return None
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise ResultsError(
            f"{path}: not a manifest of schema {SCHEMA_VERSION} ({error.error_count()} faults); it was "
            "changed, or written by another version: move it and its calls away, then classify the run again"
        ) from error


def _sha256(path: Path) -> str | None:
    if not _is_there(path):
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _is_there(path: Path) -> bool:
    # Not exists(): it calls a file that cannot be asked for absent, on some versions of Python.
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    # Opening a pipe would wait for ever, and a folder in a result's place is no result.
    if not stat.S_ISREG(mode):
        raise ResultsError(f"{path}: cannot be read (no regular file); move it away")
    return True


def _unreadable(path: Path, error: OSError) -> ResultsError:
    return ResultsError(f"{path}: cannot be read ({error.strerror}); mend the disk or share")


def _kept_before(partial: Manifest | None) -> str | None:
    """Complete calls that partial ones took the place of: whatever replaces these takes it too."""
    return None if partial is None else partial.superseded


def try_room(place: ResultPlace, cells: int, files: int) -> None:
    """Write and remove as much as the results of so many cells and files will take, before they are computed.

    Raises:
        ResultsError: the disk is full, or the place cannot be written.
    """
    wanted = bytes(_BYTES_PER_CELL * cells + _BYTES_PER_FILE * files)
    with durable.staged(place.calls, durable.writing(wanted)):
        pass


def sweep(folder: Path) -> None:
    """Close every gap that a crash left among the results in `folder`. Call it as the folder's sole writer.

    Raises:
        ResultsError: the folder cannot be read or written.
    """
    for path in durable.cut_short(folder):
        if _OURS.fullmatch(path.name):
            durable.mend(path)


def commit(place: ResultPlace, calls: Sequence[Call], manifest: Manifest, former: Former) -> Manifest:
    """Write the calls, then the manifest that commits them.

    Args:
        place: where; its folder is held by `durable.sole_writer`.
        calls: in file order.
        manifest: complete but for the sums of `calls`, `superseded` and `finished_at_utc`, which are filled in.
        former: what stands there now; complete calls are kept under their superseded name, partial ones replaced.

    Returns:
        The manifest as written.

    Raises:
        ResultsError: the results cannot be written; the run is then not done, and nothing is half-written.
    """
    before = former.manifest
    kept = place.superseded(before.finished_at_utc) if before and before.run_state == "complete" else None
    with durable.staged(place.calls, lambda file: write_calls(file, calls, manifest.calls.csv)) as new_calls:
        written = manifest.model_copy(
            update={
                "calls": manifest.calls.model_copy(update={"sha256": new_calls.sha256, "rows": len(calls)}),
                "superseded": kept.name if kept else former.kept or _kept_before(before),
                "finished_at_utc": utc_now(),
            }
        )
        unsealed = _TO_JSON.dump_json(written)
        written = written.model_copy(update={"seal": seal_of(unsealed)})
        content = unsealed.replace(sealing(""), sealing(written.seal), 1)
        with durable.staged(place.manifest, durable.writing(content)) as new_manifest:
            if kept is not None:
                durable.copy_whole(place.calls, kept)
            new_calls.publish()
            new_manifest.publish()
    return written
