"""All of it, in order."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.checkpoint import shipped_checkpoints
from edge_ctc.doctor.clock import clock_finding, largest_error_us
from edge_ctc.doctor.engines import CheckedEngine, check_checkpoints, check_engines, engine_findings
from edge_ctc.doctor.findings import Finding, from_error
from edge_ctc.doctor.folders import Look, Seen, look_at, try_writing
from edge_ctc.doctor.gpu import find_graphics, graphics_findings
from edge_ctc.doctor.mounts import Mount, mount_of, read_mounts
from edge_ctc.doctor.places import disk_findings, export_finding, results_finding
from edge_ctc.engine.places import is_engines_dir
from edge_ctc.engine.runtimes import this_machine
from edge_ctc.errors import EdgeCtcError
from edge_ctc.plan import REFERENCE_NAMES


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be looked at besides the machine; all paths absolute.

    Attributes:
        export: the folder that the instrument exports into.
        out: where results go; None: beside the runs, into `export`.
        checkpoint: None: the shipped ones.
        engines_dir: where engines lie.
        engines_named: whether somebody said so; then engines must have been built there.
    """

    export: Path | None
    out: Path | None
    checkpoint: Path | None
    engines_dir: Path
    engines_named: bool

    @property
    def results(self) -> Path | None:
        """Where results go, if that is known."""
        return self.out or self.export

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The folders."""
        shipped = tuple(shipped_checkpoints() / name for name in REFERENCE_NAMES)
        return (self.checkpoint,) if self.checkpoint else shipped


def examine(asked: Question, look: Look = look_at) -> tuple[Finding, ...]:
    """Look at everything; nothing that stays is made, written or removed, and nothing is waited for without limit.

    Args:
        asked: what to look at.
        look: what is in a folder; the answer counts for the whole examination.
    """
    look = functools.cache(look)
    of_checkpoints, checkpoints = check_checkpoints(asked.checkpoints, look)
    engines: list[CheckedEngine] = []
    try:
        engines = check_engines(asked.engines_dir, checkpoints, look, this_machine)
        of_engines = engine_findings(asked.engines_dir, engines)
        if asked.engines_named and not is_engines_dir(asked.engines_dir):
            found = f"{asked.engines_dir}: no engine was ever built into it, so no run is called"
            of_engines = [Finding("engine", "fault", found, "look at the path, or mount it")]
    except EdgeCtcError as error:
        of_engines = [from_error("engine", error)]
    needed = {engine.record.runtime for engine in engines if engine.record}
    return (
        *graphics_findings(find_graphics(), needed),
        *of_engines,
        *of_checkpoints,
        *_of_places(asked, look),
        clock_finding(largest_error_us(), time.time(), _newest(asked, look)),
    )


def _of_places(asked: Question, look: Look) -> list[Finding]:
    places = {"results": asked.results, "engines": asked.engines_dir}
    seen = None if asked.export is None else look(asked.export)
    return [
        *disk_findings({what: (folder, look(folder)) for what, folder in places.items() if folder}),
        export_finding(asked.export, seen, _mount(asked.export, seen)),
        _of_results(asked, look),
    ]


def _of_results(asked: Question, look: Look) -> Finding:
    folder = asked.results
    seen = None if folder is None else look(folder)
    if folder is None or seen is None:
        # A share that did not answer once is not waited for again.
        return results_finding(folder, folder, None)
    # What --out names is made where it is missing, an export folder never.
    place = seen.place if asked.out and seen.is_missing else folder
    return results_finding(folder, place, try_writing(place or folder))


def _mount(folder: Path | None, seen: Seen | None) -> Mount | None:
    """Asked after the folder was touched, so that what is mounted when it is used is mounted."""
    if folder is None:
        return None
    return mount_of(folder if seen is None else seen.real, read_mounts())


def _newest(asked: Question, look: Look) -> dict[str, float]:
    """The newest time that each folder answered, by what it is."""
    folders = {f"the checkpoint's folder {folder}": folder for folder in asked.checkpoints}
    folders["the engines' folder"] = asked.engines_dir
    if asked.export:
        folders["the export folder"] = asked.export
    seen = {what: look(folder) for what, folder in folders.items()}
    return {what: one.newest_s for what, one in seen.items() if one and one.newest_s is not None}
