"""What the daemon remembers of one run folder; all of it can be forgotten and found again."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ctc.daemon.face import Face, WaitFace
from edge_ctc.daemon.finished import Finished
from edge_ctc.daemon.growing import Growing, rest_after
from edge_ctc.daemon.status import RunCounts

_LONGEST_WAIT_S = 5.0
"""Between two tries of what failed: space, rights or a share may be back at any moment."""
_FORGET_S = 3600.0
"""A folder that was not there for so long is forgotten."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What stands in the way of a run.

    Attributes:
        what: "look" where its folder cannot be looked at, "step" where it cannot be called.
        reason: in words that name no path.
        since: monotonic seconds.
        tries: how often it was tried in vain.
        again_at: when it is tried again; monotonic seconds.
    """

    what: Literal["look", "step"]
    reason: str
    since: float
    tries: int
    again_at: float


@dataclass(slots=True)
class RunFolder:
    """One run folder.

    Attributes:
        path: absolute.
        state: "unchecked" while it is not known whether anything is owed.
        wait: what stands in the way; None: nothing does.
        absent_since: since when it is not in the export folder; monotonic seconds; None: it is there.
        verdicts: of its last calls; None: not known.
        reopened: how often something came after it was complete.
        remembered: when the complete calls were finished that were last found or told of; None: none were.
    """

    path: Path
    state: Growing | Finished | Literal["unchecked"] = "unchecked"
    wait: Wait | None = None
    absent_since: float | None = None
    verdicts: dict[str, int] | None = None
    reopened: int = 0
    remembered: str | None = None

    @property
    def name(self) -> str:
        """The run's name, as it is shown."""
        return self.path.name

    def let_wait(self, what: Literal["look", "step"], reason: str, took: float) -> bool:
        """Something stands in the way, found out in `took` seconds; tells whether that is new.

        It is tried again later, later each time, and not too often where a try takes long.
        """
        now = time.monotonic()
        before = self.wait
        tries = before.tries + 1 if before else 1
        pause = max(min(2.0 ** min(tries - 1, 10), _LONGEST_WAIT_S), rest_after(took))
        self.wait = Wait(what, reason, before.since if before else now, tries, now + pause)
        return before is None or before.reason != reason

    def look_at(self, now: float) -> float:
        """When it is to be looked at next, as far as it says so itself; monotonic seconds."""
        if self.wait is not None and self.wait.what == "look":
            return self.wait.again_at
        return self.state.look_at if isinstance(self.state, Growing) else now

    def may_look(self, now: float) -> bool:
        """Whether nothing stands in the way of a look, or it is time to try again."""
        return self.wait is None or self.wait.what == "step" or now >= self.wait.again_at

    def is_step_due(self, now: float) -> bool:
        """Whether something may be called now."""
        if not isinstance(self.state, Growing) or (self.wait is not None and self.wait.what == "look"):
            return False
        return now >= self.wait.again_at if self.wait else self.state.is_step_due(now)


class RunFolders:
    """All run folders that were seen lately."""

    def __init__(self) -> None:
        """None was seen."""
        self._folders: dict[Path, RunFolder] = {}

    def present(self, paths: Sequence[Path], now: float) -> list[RunFolder]:
        """Those of `paths`; the others are absent, and forgotten when they stay so."""
        there = [self._folders.setdefault(path, RunFolder(path)) for path in paths]
        for folder in there:
            if folder.absent_since is not None and isinstance(folder.state, Growing):
                folder.state.begin_anew()
            folder.absent_since = None
        if len(self._folders) > len(there):
            self._let_go(frozenset(paths), now)
        return there

    def _let_go(self, there: frozenset[Path], now: float) -> None:
        for path in self._folders.keys() - there:
            folder = self._folders[path]
            if folder.absent_since is None:
                folder.absent_since = now
            elif now - folder.absent_since > _FORGET_S:
                del self._folders[path]

    def begin_anew(self) -> None:
        """The share is back: what stood in the way may be gone, and nobody looked at what grows."""
        for folder in self._folders.values():
            folder.wait = None
            if isinstance(folder.state, Growing):
                folder.state.begin_anew()

    @property
    def busy(self) -> int:
        """How many are remembered file by file and go on: neither absent nor waiting, and with an image at least."""
        return sum(
            isinstance(one.state, Growing)
            and one.state.holds_something
            and one.wait is None
            and one.absent_since is None
            for one in self._folders.values()
        )

    def show(self, face: Face) -> None:
        """Count them for whoever asks."""
        there = [folder for folder in self._folders.values() if folder.absent_since is None]
        growing = [folder.state for folder in there if isinstance(folder.state, Growing)]
        face.runs = _counts(there, growing)
        since = [one.oldest_since for one in growing if one.oldest_since is not None]
        face.oldest_since = min(since, default=None)
        waits = [WaitFace(one.name, one.wait.reason, one.wait.since) for one in there if one.wait]
        stalled = [
            WaitFace(one.name, f"stalls: {state.pending} cells lack a channel or give no image", state.changed_at)
            for one in there
            if isinstance(state := one.state, Growing) and state.is_stalled and one.wait is None
        ]
        face.waits = (*waits, *stalled, *((face.unlisted,) if face.unlisted else ()))
        face.verdicts = _totals(there)


def _counts(there: Sequence[RunFolder], growing: Sequence[Growing]) -> RunCounts:
    with_files = [one for one in growing if one.holds_something]
    finished = [folder.state.is_called for folder in there if isinstance(folder.state, Finished)]
    return RunCounts(
        growing=len(with_files),
        stalled=sum(one.is_stalled for one in with_files),
        complete=sum(finished),
        unchecked=sum(folder.state == "unchecked" for folder in there),
        no_runs=len(growing) - len(with_files) + len(finished) - sum(finished),
    )


def _totals(folders: Iterable[RunFolder]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for folder in folders:
        for verdict, count in (folder.verdicts or {}).items():
            totals[verdict] = totals.get(verdict, 0) + count
    return totals
