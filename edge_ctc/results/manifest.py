"""The manifest of a run: sums that close, and the identity of all that was used."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.appearance import Fingerprint
from edge_ctc.cells import CsvDialect
from edge_ctc.description import Calibration, Sha256, Thresholds
from edge_ctc.preprocess import Finite, InputSpec
from edge_ctc.results.calls import RunState
from edge_ctc.toml_file import StrictModel

SCHEMA_VERSION = 1
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a row of the calls rests on.

    Attributes:
        name: path below the run.
        size: bytes.
        mtime_ns: nanoseconds since 1970, by the file system.
        sha256: of its bytes; None where it was too large to be read.
        state: "failed" where it could not be read or decoded; "gone" where it has vanished since its row was made.
    """

    name: str
    size: int
    mtime_ns: int
    sha256: str | None
    state: Literal["used", "failed", "gone"]


class FileSums(StrictModel):
    """Regular files under the run: on_disk = used + ignored + failed + pending.

    Attributes:
        used: images that were read and decoded for a row.
        ignored: no images of a row: on an ignore list, of a channel that the checkpoint does not take, not accounted
            for, or the table, which the manifest describes apart.
        failed: images named by a row that could not be read or decoded.
        pending: may still be completed.
    """

    on_disk: Count
    used: Count
    ignored: Count
    failed: Count
    pending: Count

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.on_disk != self.used + self.ignored + self.failed + self.pending:
            raise ValueError(f"file sums do not close: {self!r}")
        return self


class CellSums(StrictModel):
    """Cells: total = called + not_evaluable + pending."""

    total: Count
    called: Count
    not_evaluable: Count
    pending: Count

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.total != self.called + self.not_evaluable + self.pending:
            raise ValueError(f"cell sums do not close: {self!r}")
        return self


class CheckpointIdentity(StrictModel):
    """Which model called; its cuts and its input, for the record.

    Attributes:
        folder: where it lay then; empty in manifests of versions that did not note it.
        fingerprint: of the cells that it learned from; None: not known.
        ood_cut: `ood_score` above which a cell is out of distribution; None: not known.
    """

    name: str
    sha256: Sha256
    folder: str = ""
    input: InputSpec
    thresholds: Thresholds
    calibration: Calibration | None
    fingerprint: Fingerprint | None = None
    ood_cut: Finite | None = None


class ProfileIdentity(StrictModel):
    """Which profile read the names."""

    name: str
    sha256: Sha256


class Replay(StrictModel):
    """How the engine answered the checkpoint's reference cells before it called; logits."""

    cells: int
    largest_difference: float
    tolerance: float


class TableSums(StrictModel):
    """What the run's table said.

    Attributes:
        cells: rows of it that are cells of the run, with images or without; 0 where it has a problem.
        without_images: cells that it expects and that have no image.
        not_in_table: cells with images that it does not name.
        problem: why it could not be read or joined; empty if it could.
    """

    cells: Count
    without_images: Count
    not_in_table: Count
    problem: str


class CallsIdentity(StrictModel):
    """The calls file that this manifest commits."""

    name: str
    sha256: Sha256
    rows: int
    csv: CsvDialect = "rfc4180"


class Manifest(StrictModel):
    """`<run>.ctc-run.json`; the README says what the fields mean."""

    schema_version: Literal[1]
    seal: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    run_id: str
    run_folder: str
    run_state: RunState
    intended_use: str
    software_version: str
    engine: str
    engine_plan_sha256: Sha256 | None = None
    engine_rebuilt_because: tuple[str, ...] = ()
    checkpoint: CheckpointIdentity
    profile: ProfileIdentity
    started_at_utc: str
    finished_at_utc: str
    seconds: float
    files: FileSums
    cells: CellSums
    verdicts: dict[str, int]
    flags: dict[str, int]
    cells_reused: int
    first_problem: str | None
    replay: Replay | None
    unaccounted_files: Count
    unaccounted: tuple[str, ...]
    cells_without_images: tuple[str, ...]
    links_not_followed: int
    table: TableSums | None = None
    tables: tuple[InputFile, ...] = ()
    superseded: str | None
    calls: CallsIdentity
    gallery: str | None = None
    inputs: tuple[InputFile, ...]


def seal_of(content: bytes, seal: str = "") -> str:
    """The sha256 of a manifest's bytes with its seal, which stands in them as `seal`, taken out.

    No text of a manifest holds an unescaped quote, so that the key is found where it is the key.
    """
    return hashlib.sha256(content.replace(sealing(seal), sealing(""), 1)).hexdigest()


def sealing(seal: str) -> bytes:
    """The seal as it stands in a manifest's bytes."""
    return b'"seal":"%s"' % seal.encode()
