"""The rows of the calls against each other and against the manifest that commits them."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import numpy as np

from edge_ctc.cells import Verdict
from edge_ctc.decision import Cuts, believed_in_run, cuts_in_run, decide, doubted, doubts_of
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest
from edge_ctc.verify.findings import Finding, judged
from edge_ctc.verify.results import BRING_BACK

UNREAD = "unread"
"""In the place of the sha256 of a file that was too large to be read."""


def check_rows(calls: Sequence[Call], manifest: Manifest) -> tuple[Finding, ...]:
    """One row per cell, each decided by the manifest's cuts, of its origin, on its images; and the manifest's sums."""
    cuts = cuts_of(calls, manifest)
    believed = believed_in_run([_doubts(call, manifest) for call in calls if call.score is not None])
    by_id = Counter(call.cell_id.casefold() for call in calls)
    twice = [f"cell {cell_id}: {rows} rows" for cell_id, rows in by_id.items() if rows > 1]
    return (
        judged("rows", f"{len(calls)}, one per cell", "cells have several rows", twice, BRING_BACK),
        judged(
            "verdicts",
            f"{len(calls)} follow from their scores, their doubts and the manifest's thresholds and calibration",
            "rows do not follow from their scores, their doubts and the manifest's thresholds and calibration",
            [what for call in calls if (what := _misjudged(call, manifest, cuts, believed))],
            BRING_BACK,
        ),
        judged(
            "origin",
            f"every row complete, by checkpoint {manifest.checkpoint.name}, profile {manifest.profile.name}, "
            f"engine {manifest.engine}, edge_ctc {manifest.software_version}",
            "rows are of another origin than the manifest",
            [what for call in calls if (what := _of_another_origin(call, manifest, cuts))],
            BRING_BACK,
        ),
        judged(
            "images",
            f"{len(manifest.inputs)} of the rows are those of the manifest, with the same sha256",
            "images of rows and manifest are not the same",
            list(_images_apart(calls, manifest)),
            BRING_BACK,
        ),
        judged(
            "sums",
            f"{manifest.cells.total} cells = {manifest.cells.called} called + {manifest.cells.not_evaluable} not "
            f"evaluable; {', '.join(f'{count} {verdict}' for verdict, count in manifest.verdicts.items())}",
            "figures of the manifest are not those of the rows",
            list(_sums_apart(calls, manifest)),
            BRING_BACK,
        ),
    )


def cuts_of(calls: Sequence[Call], manifest: Manifest) -> Cuts:
    """The cuts of the run, by the manifest's thresholds and the scores of its rows."""
    return cuts_in_run(manifest.checkpoint.thresholds, [call.score for call in calls if call.score is not None])


def _doubts(call: Call, manifest: Manifest) -> tuple[str, ...]:
    return doubts_of(call.flags, call.ood_score, manifest.checkpoint.ood_cut)


def _misjudged(call: Call, manifest: Manifest, cuts: Cuts, believed: Collection[str]) -> str:
    """What is wrong with a row's verdict; nothing where it is right."""
    if call.score is None:
        sound = call.p_ctc is None and not call.channels_used and bool(call.reason)
        return "" if sound else f"cell {call.cell_id}: NOT_EVALUABLE with a probability, with channels, or no reason"
    if float(str(np.float32(call.score))) != call.score:
        return f"cell {call.cell_id}: score {call.score} is none that an engine gives"
    if (call.ood_score is None) != (manifest.checkpoint.ood_cut is None):
        return f"cell {call.cell_id}: ood_score {call.ood_score}, with the cut {manifest.checkpoint.ood_cut}"
    wanted = decide(call.score, cuts, manifest.checkpoint.calibration)
    wanted = doubted(wanted, _doubts(call, manifest), believed)
    if (call.verdict, call.p_ctc, call.reason) != (wanted.verdict, wanted.p_ctc, wanted.reason):
        return (
            f"cell {call.cell_id}: {call.verdict}, p_ctc {call.p_ctc}, '{call.reason}' with score {call.score}, "
            f"expected {wanted.verdict}, {wanted.p_ctc}, '{wanted.reason}'"
        )
    if call.channels_used != manifest.checkpoint.input.channel_names or call.channels_missing:
        return f"cell {call.cell_id}: called on {call.channels_used}, without {call.channels_missing}"
    return ""


def _of_another_origin(call: Call, manifest: Manifest, cuts: Cuts) -> str:
    checkpoint, profile = manifest.checkpoint, manifest.profile
    pairs = (
        ("run_id", call.run_id, manifest.run_id),
        ("run_state", call.run_state, manifest.run_state),
        ("checkpoint_name", call.checkpoint_name, checkpoint.name),
        ("checkpoint_sha256", call.checkpoint_sha256, checkpoint.sha256),
        ("threshold_ctc", call.threshold_ctc, cuts.ctc),
        ("threshold_review", call.threshold_review, cuts.review),
        ("profile_name", call.profile_name, profile.name),
        ("profile_sha256", call.profile_sha256, profile.sha256),
        ("engine", call.engine, manifest.engine),
        ("software_version", call.software_version, manifest.software_version),
        ("intended_use", call.intended_use, manifest.intended_use),
    )
    what = [f"{column} {found}, expected {wanted}" for column, found, wanted in pairs if found != wanted]
    return f"cell {call.cell_id}: {'; '.join(what)}" if what else ""


def _images_apart(calls: Sequence[Call], manifest: Manifest) -> Iterator[str]:
    listed = Counter(file.name for file in manifest.inputs)
    shown = Counter(chain.from_iterable(call.image_files for call in calls))
    yield from (f"{name}: {count} times in the manifest" for name, count in listed.items() if count > 1)
    yield from (f"{name}: in {count} rows" for name, count in shown.items() if count > 1)
    yield from (f"{name}: in the manifest, in no row" for name in listed if name not in shown)
    files = {file.name: file for file in manifest.inputs}
    for call in calls:
        if len(call.image_files) != len(call.image_sha256):
            yield f"cell {call.cell_id}: {len(call.image_files)} images, {len(call.image_sha256)} sha256"
        for name, sha256 in zip(call.image_files, call.image_sha256, strict=False):
            file = files.get(name)
            if file is None:
                yield f"{name}: in the row of cell {call.cell_id}, not in the manifest"
            elif sha256 != (file.sha256 or UNREAD):
                yield f"{name}: sha256 {sha256} in the row, {file.sha256 or UNREAD} in the manifest"
            elif call.score is not None and (file.state == "failed" or file.sha256 is None):
                yield f"{name}: not read by the manifest, yet cell {call.cell_id} has a score"


def _sums_apart(calls: Sequence[Call], manifest: Manifest) -> Iterator[str]:
    states = Counter(file.state for file in manifest.inputs)
    verdicts = Counter(call.verdict for call in calls)
    flags = Counter(chain.from_iterable(call.flags for call in calls))
    evaluable = sum(call.score is not None for call in calls)
    reused = sum(call.classified_at_utc != manifest.started_at_utc for call in calls)
    problems = (f"{call.cell_id}: {call.reason}" for call in calls if call.score is None)
    not_in_table = None if manifest.table is None else flags["not_in_table"]
    pairs = (
        ("calls.rows", manifest.calls.rows, len(calls)),
        ("cells.total", manifest.cells.total, len(calls)),
        ("cells.called", manifest.cells.called, evaluable),
        ("cells.not_evaluable", manifest.cells.not_evaluable, len(calls) - evaluable),
        ("cells_reused", manifest.cells_reused, reused),
        ("verdicts", manifest.verdicts, {verdict.value: verdicts[verdict] for verdict in Verdict}),
        ("flags", manifest.flags, dict(flags)),
        ("first_problem", manifest.first_problem, next(problems, None)),
        (
            "cells_without_images",
            sorted(manifest.cells_without_images),
            sorted(call.cell_id for call in calls if not call.image_files),
        ),
        ("files.used", manifest.files.used, states["used"]),
        ("files.failed", manifest.files.failed, states["failed"]),
        ("table.not_in_table", manifest.table and manifest.table.not_in_table, not_in_table),
    )
    yield from (
        f"{what}: {found} in the manifest, {wanted} by the rows" for what, found, wanted in pairs if found != wanted
    )
