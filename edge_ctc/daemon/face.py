"""What the loop shows of itself to the thread that speaks for it."""

from collections import Counter
from dataclasses import dataclass, field

from edge_ctc.daemon.status import RunCounts, RunSummary

MOST_RECENT = 50


@dataclass(frozen=True, slots=True)
class WaitFace:
    """A run, or "" for the export folder, that something stands in the way of; `since` in monotonic seconds."""

    run: str
    reason: str
    since: float


@dataclass(slots=True)
class Face:
    """What the loop shows; single values are replaced, never changed in place.

    Attributes:
        engine: as it stands in every call; empty until the engine has answered.
        last_look_at_utc: when the export folder was last listed with success.
        looking_since: when the look that is under way began; monotonic seconds; None: none is.
        away: why the export folder cannot be looked at; None: it can.
        unlisted: what stands in the way of a folder above runs; None: nothing does.
        calling: the run that is called now, with cells done and owed.
        oldest_since: since when the oldest file is there that no call rests on; monotonic seconds.
        runs: how many folders are what.
        waits: what stands in the way of what.
        verdicts: cells of each, over the last calls of each run.
        failures: by reason.
        recent: the last complete runs, the newest last.
    """

    engine: str = ""
    last_look_at_utc: str | None = None
    looking_since: float | None = None
    away: WaitFace | None = None
    unlisted: WaitFace | None = None
    calling: tuple[str, int, int] | None = None
    oldest_since: float | None = None
    runs: RunCounts = field(default_factory=RunCounts)
    waits: tuple[WaitFace, ...] = ()
    verdicts: dict[str, int] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    recent: tuple[RunSummary, ...] = ()
