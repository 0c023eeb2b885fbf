"""What people and programs see of a daemon's status."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from edge_ctc import __version__
from edge_ctc.console.lines import say
from edge_ctc.daemon.state_folder import SILENT_AFTER_S, Sighting
from edge_ctc.daemon.status import RunCounts, Status
from edge_ctc.daemon.trend import LEAST_EARLIER, Trend

SCHEMA_VERSION = 1


def print_sighting(sighting: Sighting, trends: Sequence[Trend]) -> None:
    """A line for each thing that is known, the most important first."""
    for name, text in _lines(sighting, trends):
        say(f"{name:<9} {text}")


def print_json_sighting(sighting: Sighting, trends: Sequence[Trend], exit_code: int) -> None:
    """One JSON document on standard output."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "software_version": __version__,
        "exit_code": exit_code,
        "state_folder": str(sighting.folder),
        "runs": sighting.runs,
        "answers": sighting.answers,
        "age_s": round(sighting.age_s, 3),
        "last_look_age_s": _last_look_age_s(sighting),
        "status": sighting.status.model_dump() if sighting.status else None,
        "trend": [asdict(trend) for trend in trends],
    }
    for line in json.dumps(document, indent=1).splitlines():
        say(line)


def _lines(sighting: Sighting, trends: Sequence[Trend]) -> Iterator[tuple[str, str]]:
    yield "daemon", _daemon(sighting)
    status = sighting.status
    if status is None:
        return
    since = f", since {status.state_since_utc}" if status.state_since_utc else ""
    yield ("state" if sighting.answers else "it said"), f"{status.state}{since}: {status.sentence}"
    yield "version", f"edge_ctc {status.software_version}, {status.engine or 'no engine yet'}"
    look = _last_look_age_s(sighting)
    yield "last look", "none with success yet" if look is None else f"{_lasting(look)} ago"
    if status.calling is not None:
        yield "calling", f"{status.calling}, {status.cells_done} of {status.cells_owed} cells"
    if status.oldest_pending_file_s is not None:
        yield "pending", f"the oldest file for {_lasting(status.oldest_pending_file_s + sighting.age_s)}"
    yield "runs", _runs(status.runs)
    yield "cells", _counts(status.verdicts) or "none called yet"
    if status.failures:
        yield "failures", _counts(status.failures)
    for wait in status.waits:
        yield "waits", f"{wait.run}: {wait.reason}, for {_lasting(wait.for_s + sighting.age_s)}"
    for trend in trends:
        if trend.last is not None:
            yield "trend", _trend(trend)


def _daemon(sighting: Sighting) -> str:
    status = sighting.status
    if sighting.answers and status is not None:
        return f"runs, process {sighting.pid}, since {status.started_at_utc}"
    who = f"process {sighting.pid}" if sighting.pid else "a process"
    if not sighting.runs:
        return f"none runs with {sighting.folder}{_how_it_ended(status, sighting.pid)}"
    if status is None or status.pid != sighting.pid or sighting.age_s <= SILENT_AFTER_S:
        return f"{who} runs, and has not said anything yet"
    return f"{who} runs and DOES NOT ANSWER for {_lasting(sighting.age_s)}: it hangs, or its state disk is full"


def _how_it_ended(status: Status | None, pid: int | None) -> str:
    if status is None and pid is not None:
        return f"; the last one, process {pid}, ended before it said anything; its journal says more"
    if status is None:
        return "; none ever did"
    how = "ended" if status.state == "ended" else "was killed or failed; its journal says more"
    return f"; the last one said something at {status.updated_at_utc} and {how}"


def _last_look_age_s(sighting: Sighting) -> float | None:
    """Of the last successful look; by the clock only up to what was said last, since a clock may be set meanwhile."""
    status = sighting.status
    if status is None or status.last_look_at_utc is None:
        return None
    try:
        said, looked = map(dt.datetime.fromisoformat, (status.updated_at_utc, status.last_look_at_utc))
        return round(max((said - looked).total_seconds(), 0.0) + sighting.age_s, 3)
    except (ValueError, TypeError):
        return None


def _runs(runs: RunCounts) -> str:
    counts = [f"{count} {state.replace('_', ' ')}" for state, count in runs if count]
    return ", ".join(counts) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _trend(trend: Trend) -> str:
    text = f"{trend.figure}: {trend.last:.3g}"
    if trend.earlier is None or trend.spread is None:
        return text
    text += f", before {trend.earlier:.3g} ({trend.runs_before} runs, spread {trend.spread:.2g})"
    if trend.drifts:
        return f"{text}: DRIFTS {trend.drifts}; look at the last runs"
    return text if trend.runs_before >= LEAST_EARLIER else f"{text}, too few to tell a drift"


def _lasting(seconds: float) -> str:
    for unit, name, below, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} {int(seconds % unit // below)} {part}"
    return f"{seconds:.0f} s"
