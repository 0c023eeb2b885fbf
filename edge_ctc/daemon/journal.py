"""Whom the daemon tells what happened: the faces of `edge_ctc.console.journal` that each part needs."""

from typing import Protocol

from edge_ctc.daemon.status import RunSummary
from edge_ctc.trust import Light


class RunJournal(Protocol):
    """What happened to one run, about one line each."""

    def called(self, summary: RunSummary, trust: Light | None) -> None:
        """The complete calls of a run are committed; `trust`, where its gallery was drawn now."""

    def edited(self, run: str, kept: str) -> None:
        """Somebody changed a run's calls after they were committed: `kept` is their copy, the run is called again."""

    def stalls(self, run: str, pending: int, seconds: float) -> None:
        """A run is not complete and did not grow for so long."""

    def waits(self, run: str, reason: str) -> None:
        """Something is owed and cannot be done now."""

    def recovered(self, run: str) -> None:
        """Nothing stands in its way any more."""


class LoopJournal(RunJournal, Protocol):
    """What happened to the export folder too."""

    def started(self, engine: str, export_dir: str) -> None:
        """The engine answered."""

    def share_away(self, reason: str) -> None:
        """The export folder, or that of the results, cannot be used."""

    def share_back(self, seconds: float) -> None:
        """It can again, after so long."""


class Journal(LoopJournal, Protocol):
    """What happened to the daemon itself too."""

    def state_not_kept(self, reason: str) -> None:
        """The status file cannot be written."""

    def ending(self, reason: str) -> None:
        """The daemon was told to end."""

    def failed(self, reason: str) -> None:
        """The daemon ends by itself."""
