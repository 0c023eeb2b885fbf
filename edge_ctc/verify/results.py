"""The manifest and the calls: whole, of this run, and just as edge_ctc writes them."""

import hashlib
import io
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from edge_ctc.errors import ResultsError
from edge_ctc.exports.listing import display_name
from edge_ctc.results.calls import Call, ranked, read_calls, write_calls
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.manifest import SCHEMA_VERSION, Manifest, seal_of
from edge_ctc.verify.findings import Finding, judged
from edge_ctc.verify.taken import Taken, replaced

BRING_BACK = "bring the calls and their manifest back from a copy, or call the run again, which keeps these"


def check_manifest(taken: Taken, place: ResultPlace) -> tuple[Manifest | None, tuple[Finding, ...]]:
    """The manifest, None where it is none, and whether it is of the run, as it was written, and complete."""
    try:
        manifest = Manifest.model_validate_json(taken.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{taken.path}: no manifest: {'.'.join(map(str, first['loc']))} {first['msg']}"
        wanted = f"schema {SCHEMA_VERSION}, its sums closed"
        return None, (Finding("manifest", "fault", " ".join(what.split()), expected=wanted, mend=BRING_BACK),)
    whole = _of_this_run(manifest, taken, place)
    return manifest, (whole, _state(manifest), *_superseded(manifest, place), *_unsealed(manifest))


def _of_this_run(manifest: Manifest, taken: Taken, place: ResultPlace) -> Finding:
    pairs = (
        ("run_id", manifest.run_id, place.run_id),
        ("calls.name", manifest.calls.name, place.calls.name),
    )
    faults = [f"{what} {found}, expected {wanted}" for what, found, wanted in pairs if found != wanted]
    plan = manifest.engine_plan_sha256
    if plan is not None and not manifest.engine.endswith(plan[:12]):
        faults.append(f"engine_plan_sha256 {plan}, expected that of {manifest.engine}")
    if manifest.seal and manifest.seal != (found := seal_of(taken.content, manifest.seal)):
        faults.append(f"seal {manifest.seal}, its bytes give {found}: it changed since it was written")
    if "seal" in manifest.model_fields_set and not manifest.seal:
        faults.append("seal empty: it was taken out, since no version writes an empty one")
    # What was left out when it was written, a field that came with a later version, is left out again.
    if manifest.model_dump_json(exclude_unset=True).encode() != taken.content:
        faults.append("not written as edge_ctc writes it: it was edited or laid out anew")
    return judged(
        "manifest",
        f"{taken.path}: of this run, schema {manifest.schema_version}, finished {manifest.finished_at_utc}",
        f"things in {taken.path} are not as they were written for this run",
        faults,
        BRING_BACK,
    )


def _state(manifest: Manifest) -> Finding:
    if manifest.run_state == "complete" and not manifest.cells.pending and not manifest.files.pending:
        return Finding("state", "ok", "complete, nothing pending")
    return Finding(
        "state",
        "fault",
        f"{manifest.run_state}: {manifest.cells.pending} cells and {manifest.files.pending} files were still pending, "
        "so that there is nothing yet to certify",
        expected="complete",
        mend="verify again when the run is complete; `edge-ctc classify-run` calls what is there now",
    )


def _unsealed(manifest: Manifest) -> tuple[Finding, ...]:
    """Of versions that did not seal a manifest yet; an empty seal is none of theirs."""
    if "seal" in manifest.model_fields_set:
        return ()
    what = "not sealed, an earlier version wrote it: times, and what it alone knows, could be held against nothing"
    return (Finding("manifest", "note", what),)


def check_folder(manifest: Manifest, place: ResultPlace, folder: Path, rest: Sequence[Finding]) -> tuple[Finding, ...]:
    """Where the run lies, seen from its results: whether one that lay elsewhere is the same is for its files to say.

    Args:
        manifest: of the run.
        place: where it was found.
        folder: of the run.
        rest: what was found of its files.
    """
    here = display_name(os.path.relpath(os.path.realpath(folder), os.path.realpath(place.folder)))
    if here == manifest.run_folder:
        return ()
    what = f"seen from its results the run lay in {manifest.run_folder} then and lies in {here} now"
    of_images = {finding.status for finding in rest if finding.name == "files"}
    if "fault" in of_images:
        what, mend = f"{what}, and its images are not those: it may be another run", "name the run that was called"
        return (Finding("manifest", "fault", what, expected=manifest.run_folder, mend=mend),)
    if "ok" not in of_images or not any(file.sha256 for file in manifest.inputs if file.state != "gone"):
        what = f"{what}, and no image shows that it is the same"
        return (Finding("manifest", "unchecked", what, mend="put run and results back where they lay"),)
    return (Finding("manifest", "note", f"{what}; its images are those that were called"),)


def _superseded(manifest: Manifest, place: ResultPlace) -> tuple[Finding, ...]:
    """The calls before these, which these do not rest on."""
    if manifest.superseded is None or os.path.lexists(place.folder / manifest.superseded):
        return ()
    return (
        Finding("manifest", "note", f"the calls before these, {manifest.superseded}, are not beside them any more"),
    )


def check_calls(
    taken: Taken | None, manifest: Manifest, place: ResultPlace
) -> tuple[tuple[Call, ...] | None, tuple[Finding, ...]]:
    """The calls, None where they are none, and whether they are the very bytes that the manifest commits."""
    if taken is None:
        lost = Finding("calls", "fault", f"{place.calls}: gone", expected=manifest.calls.sha256, mend=BRING_BACK)
        return None, (lost,)
    committed = _committed(taken, manifest)
    try:
        calls = tuple(read_calls(taken.path))
    except ResultsError as error:
        if isinstance(error.__cause__, OSError):
            # The file was read a moment ago: it is gone or replaced, or the disk fails now.
            raise replaced(taken.path) from error
        return None, (committed, Finding("rows", "fault", str(error), mend=BRING_BACK))
    return calls, (committed, _as_written(taken, calls, manifest))


def _committed(taken: Taken, manifest: Manifest) -> Finding:
    found = hashlib.sha256(taken.content).hexdigest()
    if found == manifest.calls.sha256:
        return Finding("calls", "ok", f"{taken.path}: sha256 {found}")
    return Finding("calls", "fault", f"{taken.path}: sha256 {found}", expected=manifest.calls.sha256, mend=BRING_BACK)


def _as_written(taken: Taken, calls: tuple[Call, ...], manifest: Manifest) -> Finding:
    """Ranks from 1 by falling score, and every number and quote as edge_ctc writes it: nothing else gives the bytes."""
    written = io.BytesIO()
    write_calls(written, ranked(calls), manifest.calls.csv)
    lines: tuple[str, ...] = ()
    if written.getbuffer() != taken.content:
        pairs = itertools.zip_longest(taken.content.split(b"\r\n"), written.getvalue().split(b"\r\n"))
        lines = tuple(f"line {line}" for line, (found, wanted) in enumerate(pairs, 1) if found != wanted)
    return judged(
        "ranks",
        f"1 to {sum(call.score is not None for call in calls)} by falling score, then the others",
        "lines are not as edge_ctc writes them, by rank and spelling",
        lines,
        BRING_BACK,
    )
