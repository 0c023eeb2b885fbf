"""What the daemon says of itself, in one small file in its state folder: seen from outside without a port."""

from typing import Annotated, Literal

from pydantic import Field

from edge_ctc.toml_file import StrictModel

Count = Annotated[int, Field(ge=0)]
State = Literal["starting", "watching", "calling", "share-away", "share-silent", "waiting", "ended"]
"""`waiting`: something is owed and cannot be done now (disk full, a file that cannot be read), see `waits`."""


class RunSummary(StrictModel):
    """One called run, as its manifest says.

    Attributes:
        run: its name.
        finished_at_utc: ISO 8601.
        run_state: complete or partial.
        cells: all that are known.
        verdicts: how many cells of each.
        flags: how many cells carry each.
        seconds: that the calling took.
    """

    run: str
    finished_at_utc: str
    run_state: Literal["complete", "partial"]
    cells: Count
    verdicts: dict[str, int]
    flags: dict[str, int]
    seconds: float


class Wait(StrictModel):
    """A run for which something is owed that cannot be done now.

    Attributes:
        run: its name.
        reason: kind of failure and the system's words, no path.
        for_s: how long already.
    """

    run: str
    reason: str
    for_s: float


class RunCounts(StrictModel):
    """How many folders are what.

    Attributes:
        growing: runs that are not complete, the stalled ones among them.
        stalled: of these, runs that do not grow any more.
        complete: runs with complete calls to which nothing was added since.
        unchecked: found when the daemon started, not looked into yet.
        no_runs: folders in which the profile finds no cell.
    """

    growing: Count = 0
    stalled: Count = 0
    complete: Count = 0
    unchecked: Count = 0
    no_runs: Count = 0


class Status(StrictModel):
    """The file's content.

    Attributes:
        pid: of the daemon.
        boot_id: of the machine's start in which `pid` holds.
        software_version: of edge_ctc.
        engine: as it stands in every call; empty while the daemon starts.
        started_at_utc: ISO 8601.
        updated_at_utc: when this was written.
        state: in a word.
        sentence: in a sentence, as systemd shows it.
        last_look_at_utc: when the export folder was last listed with success.
        calling: the run that is being called now, if one is.
        cells_done: of that run, in this call.
        cells_owed: of that run, in this call.
        oldest_pending_file_s: for how long the oldest file that is owed to a call has been seen; None: none is.
        runs: how many of which state.
        verdicts: cells of each, over all runs whose calls were read since the start.
        failures: how often what failed since the start, by reason.
        waits: what cannot be done now.
        recent: the last called runs, the newest last, fifty at most.
    """

    schema_version: Literal[1] = 1
    pid: int
    boot_id: str
    software_version: str
    engine: str
    started_at_utc: str
    updated_at_utc: str
    state: State
    sentence: str
    last_look_at_utc: str | None
    calling: str | None
    cells_done: Count
    cells_owed: Count
    oldest_pending_file_s: float | None
    runs: RunCounts
    verdicts: dict[str, int]
    failures: dict[str, int]
    waits: tuple[Wait, ...]
    recent: tuple[RunSummary, ...]
