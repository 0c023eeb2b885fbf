"""What people see of the calling of runs: lines, progress, one JSON document."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ctc.classify import Outcome
from edge_ctc.console.lines import OneBar, say, say_error
from edge_ctc.errors import EdgeCtcError, RunError
from edge_ctc.plan import Plan
from edge_ctc.results.manifest import Manifest
from edge_ctc.trust import Trust


class RunReporter(OneBar):
    """An `edge_ctc.classify.Reporter` for people; a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        """Where `quiet`, standard output stays free for JSON, and the lines go to standard error."""
        super().__init__()
        self._quiet = quiet
        self._run_id = ""

    def _say(self, line: str) -> None:
        say(line, to_error=self._quiet)

    def planned(self, plan: Plan) -> None:
        """The first line of a run: what will call it; then what was left aside."""
        checkpoint = plan.checkpoint
        self._run_id = plan.place.run_id
        self._say(
            f"{self._run_id}: checkpoint {checkpoint.name} ({checkpoint.sha256[:12]}), "
            f"engine {plan.engine.description}, profile {plan.profile.profile.name}"
        )
        if checkpoint.description.notice:
            self._say(f"{self._run_id}: {checkpoint.description.notice}")
        taken = checkpoint.input.channel_names
        if unused := [name for name in plan.profile.profile.channel_names if name not in taken]:
            self._say(f"{self._run_id}: takes {', '.join(taken)} alone; not used: {', '.join(unused)}")
        if count := len(plan.run.unaccounted):
            shown = ", ".join(file.name for file in plan.run.unaccounted[:3]) + (", …" if count > 3 else "")
            self._say(f"{self._run_id}: files not accounted for by the profile, left aside: {count} ({shown})")
        if count := len(plan.run.links):
            self._say(f"{self._run_id}: {count} links or special files are not followed")

    def put_aside(self, edited: Path) -> None:
        """Somebody's edits are kept."""
        self._say(f"{self._run_id}: its calls were changed after they were committed; they are kept in {edited}")

    def called_before(self, former: Manifest) -> None:
        """What called it before; the first line said what calls now."""
        self._say(
            f"{self._run_id}: was called by checkpoint {former.checkpoint.name} ({former.checkpoint.sha256[:12]}), "
            f"engine {former.engine}, edge_ctc {former.software_version}; it is called again, and those calls are kept"
        )

    def started(self, cells: int, reused: int) -> None:
        """Cells to compute, rows to reuse."""
        self._say(f"{self._run_id}: {cells} cells to call" + (f", {reused} unchanged rows kept" if reused else ""))
        self._draw(self._run_id, cells)

    def drawing(self, cells: int) -> None:
        """The gallery's own bar."""
        self._draw(f"{self._run_id}: gallery", cells)

    def finished(self, outcome: Outcome) -> None:
        """The last line of a run."""
        self._bar.close()
        manifest = outcome.manifest
        if outcome.state == "unchanged":
            self._say(f"{manifest.run_id}: nothing was added or changed since its calls; nothing to do")
        if outcome.vanished:
            self._say(
                f"{manifest.run_id}: files that the calls rest on and that are gone since: {outcome.vanished}; "
                "the calls stay as they were made"
            )
        if outcome.trust is not None and outcome.trust.light != "green":
            self._say(f"{manifest.run_id}: trust {_in_a_line(outcome.trust)}")
        counts = ", ".join(f"{count} {verdict}" for verdict, count in manifest.verdicts.items())
        self._say(f"{manifest.run_id}: {counts}")
        if manifest.table and manifest.table.problem:
            self._say(f"{manifest.run_id}: without its table: {manifest.table.problem}")
        elif manifest.table and manifest.table.without_images:
            self._say(
                f"{manifest.run_id}: cells that the table names and no image shows: {manifest.table.without_images}"
            )
        if manifest.first_problem:
            self._say(f"{manifest.run_id}: not evaluable, the first: cell {manifest.first_problem}")
        if not manifest.verdicts["CTC"] + manifest.verdicts["REVIEW"]:
            self._say(f"{manifest.run_id}: no candidates")
        self._say(f"{manifest.run_id}: {outcome.place.calls}")
        if manifest.gallery is not None:
            self._say(f"{manifest.run_id}: {outcome.place.gallery}")

    def failed(self, error: RunError) -> None:
        """The run could not be called."""
        self._bar.close()
        say_error(str(error))


def _in_a_line(trust: Trust) -> str:
    first = f": {trust.reasons[0].sentence}" if trust.reasons else ""
    more = f"; and {len(trust.reasons) - 1} more, in the gallery" if len(trust.reasons) > 1 else ""
    return f"{trust.light.upper()}{first}{more}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that was not called.

    Attributes:
        error: why.
        exit_code: what `edge-ctc` would end with, were it the only run.
    """

    error: EdgeCtcError
    exit_code: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A run with what became of it.

    Attributes:
        run: as the user named it.
        outcome: of the call.
    """

    run: Path
    outcome: Outcome | Failure


def print_json_report(ended: Sequence[Ended], exit_code: int) -> None:
    """One JSON document on standard output: what became of each run, in the order given."""
    runs = [{"run": str(one.run)} | _as_json(one.outcome) for one in ended]
    document = json.dumps({"schema_version": 1, "exit_code": exit_code, "runs": runs}, indent=1)
    for line in document.splitlines():
        say(line)


def _as_json(one: Outcome | Failure) -> dict[str, Any]:
    if isinstance(one, Failure):
        return {"state": "failed", "error": str(one.error), "exit_code": one.exit_code}
    return _called_as_json(one)


def _called_as_json(outcome: Outcome) -> dict[str, Any]:
    manifest = outcome.manifest
    return {
        "run_id": manifest.run_id,
        "state": outcome.state,
        "calls": str(outcome.place.calls),
        "manifest": str(outcome.place.manifest),
        "gallery": None if manifest.gallery is None else str(outcome.place.gallery),
        "run_state": manifest.run_state,
        "checkpoint": manifest.checkpoint.name,
        "checkpoint_sha256": manifest.checkpoint.sha256,
        "engine": manifest.engine,
        "profile": manifest.profile.name,
        "intended_use": manifest.intended_use,
        "files": manifest.files.model_dump(),
        "cells": manifest.cells.model_dump(),
        "verdicts": manifest.verdicts,
        "trust": None if outcome.trust is None else outcome.trust.model_dump(),
        "vanished_files": outcome.vanished,
    }
