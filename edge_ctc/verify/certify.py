"""One called run, checked from its manifest down to the last byte of its images."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_ctc.errors import InputMissingError
from edge_ctc.exports.listing import Listing, list_files
from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.manifest import Manifest
from edge_ctc.verify import taken
from edge_ctc.verify.cells import Scene, check_cells, find_profile
from edge_ctc.verify.files import check_files
from edge_ctc.verify.findings import Certificate, Finding
from edge_ctc.verify.model import find_checkpoint
from edge_ctc.verify.recompute import recompute
from edge_ctc.verify.results import check_calls, check_folder, check_manifest
from edge_ctc.verify.rows import check_rows
from edge_ctc.verify.taken import Taken, take


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be verified, and by what.

    Attributes:
        run: the run's folder.
        place: of its results.
        profile: by which it was called; None: a built-in one.
        checkpoint: folder of the one that called; None: where it lay, or a shipped one.
        recompute: whether every cell is computed again.
    """

    run: Path
    place: ResultPlace
    profile: LoadedProfile | None = None
    checkpoint: Path | None = None
    recompute: bool = False


class Watcher(Protocol):
    """Whom the verification tells how far it is."""

    def hashing(self, files: int) -> None:
        """So many files are to be hashed."""

    def computing(self, cells: int) -> None:
        """So many cells are to be computed."""

    def advanced(self, more: int) -> None:
        """So many are done."""


def verify_run(asked: Asked, watcher: Watcher) -> Certificate:
    """Check a called run, and change nothing: no file is written, mended or locked.

    Raises:
        RunMissingError: the run's folder is not there.
        InputMissingError: it has no manifest there.
        DataError: something else stands in the place of a result.
        RunUnreadableError: the disk failed, or results or files were replaced meanwhile: verify again.
        EngineError: where it recomputes, ONNX Runtime failed.
    """
    listing = list_files(asked.run)
    manifest_file = take(asked.place.manifest)
    if manifest_file is None:
        raise InputMissingError(
            f"{asked.place.manifest}: not there; name the folder of the results with --out, or call the run first: "
            "`edge-ctc classify-run`"
        )
    manifest, findings = check_manifest(manifest_file, asked.place)
    if manifest is None or manifest.run_state != "complete":
        _still_there(manifest_file)
        return Certificate(asked.place.run_id, asked.place.manifest, "", 0, 0, findings)
    began = time.monotonic()
    calls_file = take(asked.place.calls)
    calls, of_calls = check_calls(calls_file, manifest, asked.place)
    hashed, rest = _check(asked, listing, manifest, calls, watcher)
    if any(finding.status == "fault" for finding in of_calls):
        # New calls appear just before the manifest that commits them: that is no fault of the run.
        time.sleep(max(0.0, taken.GAP_S - (time.monotonic() - began)))
    _still_there(manifest_file, calls_file)
    of_folder = check_folder(manifest, asked.place, asked.run, rest)
    everything = (*findings, *of_folder, *of_calls, *rest)
    cells = len(calls or ())
    return Certificate(manifest.run_id, asked.place.manifest, manifest.calls.sha256, cells, hashed, everything)


def _still_there(*files: Taken | None) -> None:
    for file in files:
        if file is not None and not file.is_still_there():
            raise taken.replaced(file.path)


def _check(
    asked: Asked, listing: Listing, manifest: Manifest, calls: tuple[Call, ...] | None, watcher: Watcher
) -> tuple[int, tuple[Finding, ...]]:
    """All that does not concern the result files alone; and how many files were hashed."""
    checkpoint, of_checkpoint = find_checkpoint(asked.checkpoint, manifest)
    profile, of_profile = find_profile(asked.profile, manifest)
    findings = [*(check_rows(calls, manifest) if calls is not None else ()), of_profile, of_checkpoint]
    hashed, of_files = _hash(listing, manifest, watcher)
    findings += of_files
    scene = None if profile is None else Scene.of(listing, profile.profile, manifest)
    if scene is not None and calls is not None:
        findings += check_cells(scene, calls, manifest, len(listing.files))
    if asked.recompute and scene is not None and calls is not None and checkpoint is not None:
        watcher.computing(len(calls))
        findings += recompute(scene, calls, manifest, checkpoint, watcher.advanced)
    elif asked.recompute:
        what = "no cell was computed again: the calls, the profile or the checkpoint are not at hand"
        findings.append(Finding("recomputed", "unchecked", what, mend="mend what the lines above name"))
    return hashed, tuple(findings)


def _hash(listing: Listing, manifest: Manifest, watcher: Watcher) -> tuple[int, tuple[Finding, ...]]:
    present = {file.name: file for file in listing.files}
    watcher.hashing(len(manifest.inputs) + len(manifest.tables))
    advanced: Callable[[int], None] = watcher.advanced
    of_images, images = check_files("files", listing.folder, present, manifest.inputs, advanced)
    if not manifest.tables:
        return images, of_images
    of_tables, tables = check_files("tables", listing.folder, present, manifest.tables, advanced)
    return images + tables, of_images + of_tables
