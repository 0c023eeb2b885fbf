"""Every cell once more through ONNX Runtime on the CPU, held against its row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from edge_ctc import __version__
from edge_ctc.cell_reader import CellReader
from edge_ctc.checkpoint import Checkpoint
from edge_ctc.gate import flip_line
from edge_ctc.models import OpenModels
from edge_ctc.network import Precision
from edge_ctc.novelty import Novelty
from edge_ctc.parity import OOD_TOLERANCE, Comparison, compare
from edge_ctc.pipeline import ScoredCell, evaluate
from edge_ctc.quality import DISPLAY_STRETCHED, NOT_IN_TABLE, PIXEL_SIZE_UNCHECKED
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest
from edge_ctc.verify.cells import Scene
from edge_ctc.verify.findings import Finding, judged
from edge_ctc.verify.results import BRING_BACK
from edge_ctc.verify.rows import UNREAD, cuts_of

_NOT_OF_THE_IMAGES = frozenset((DISPLAY_STRETCHED, NOT_IN_TABLE, PIXEL_SIZE_UNCHECKED))


@dataclass(slots=True)
class _Scores:
    """By cell id, of cells that have a score in their row and now; and what else differs."""

    now: dict[str, float] = field(default_factory=dict)
    then: dict[str, float] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)


def recompute(
    scene: Scene,
    calls: Sequence[Call],
    manifest: Manifest,
    checkpoint: Checkpoint,
    advanced: Callable[[int], None],
) -> tuple[Finding, ...]:
    """Whether each row comes out again, within the tolerance of the precision that called.

    Raises:
        EngineError: ONNX Runtime failed, or does not give the checkpoint's reference cells.
        RunUnreadableError: the disk failed or a file changed.
    """
    precision = _precision(manifest.engine)
    if precision is None:
        return (Finding("recomputed", "fault", f"engine {manifest.engine}", expected="fp32 or fp16", mend=BRING_BACK),)
    rows = {call.cell_id.casefold(): call for call in calls if call.image_files}
    cells = [cell for key, cell in scene.cells.items() if key in rows and len(cell.files) == len(rows[key].image_files)]
    scores = _Scores()
    with OpenModels() as models:
        engine, _ = models.engine(checkpoint)
        reader = CellReader.of(scene.run.folder, scene.profile, checkpoint)
        for batch in evaluate(cells, reader, engine):
            for scored in batch:
                _hold(scored, rows, manifest, scores)
                _hold_strangeness(scored, rows, checkpoint.novelty, scores)
            advanced(len(batch))
    findings = [_not_whole(len(rows) - len(cells))] if len(rows) > len(cells) else []
    if not scores.now:
        return judged(
            "recomputed", f"{len(cells)} cells", "rows do not come out again", scores.apart, BRING_BACK
        ), *findings
    comparison = compare(scores.now, scores.then, checkpoint, precision, cuts_of(calls, manifest))
    scores.apart += _too_far(scores, comparison)
    ok = (
        f"{len(cells)} cells, the largest difference of a score {comparison.largest_difference:.2g}, "
        f"allowed {comparison.tolerance:.2g} at {precision}"
    )
    return (
        judged("recomputed", ok, "rows do not come out again", scores.apart, BRING_BACK),
        *_near(comparison),
        *findings,
    )


def _precision(engine: str) -> Precision | None:
    """The precision that an engine's description names; behind it stands at most the hash of its plan."""
    words = engine.split()[-2:]
    return next((precision for precision in get_args(Precision) if precision in words), None)


def _hold(scored: ScoredCell, rows: Mapping[str, Call], manifest: Manifest, scores: _Scores) -> None:
    """Hold what comes out of a cell's files against its row."""
    evidence = scored.evidence
    call = rows[evidence.cell.cell_id.casefold()]
    if tuple(sha256 or UNREAD for sha256 in evidence.sha256) != call.image_sha256:
        scores.apart.append(f"cell {call.cell_id}: its images are not those that were called")
    elif (scored.score is None) != (call.score is None):
        what = evidence.problem or "evaluable"
        scores.apart.append(f"cell {call.cell_id}: now {what}; its row says {call.verdict}, {call.reason}")
    elif manifest.software_version == __version__ and (what := _other_evidence(scored, call)):
        # Another version may use other words, and other rules for flags.
        scores.apart.append(f"cell {call.cell_id}: {what}")
    if scored.score is not None and call.score is not None:
        scores.now[call.cell_id], scores.then[call.cell_id] = scored.score, call.score


def _hold_strangeness(scored: ScoredCell, rows: Mapping[str, Call], novelty: Novelty | None, scores: _Scores) -> None:
    then = rows[scored.evidence.cell.cell_id.casefold()].ood_score
    if scored.features is None or novelty is None or then is None:
        return
    now = novelty.score(scored.features)
    # Written so that a NaN is a fault.
    if not abs(now - then) <= OOD_TOLERANCE * now:
        cell_id = scored.evidence.cell.cell_id
        scores.apart.append(f"cell {cell_id}: ood_score {now}, its row says {then}, allowed {OOD_TOLERANCE:.0%} off")


def _other_evidence(scored: ScoredCell, call: Call) -> str:
    evidence = scored.evidence
    flags = tuple(flag for flag in call.flags if flag not in _NOT_OF_THE_IMAGES)
    pairs = [("flags", evidence.flags, flags), ("channels_missing", evidence.channels_missing, call.channels_missing)]
    if scored.score is None:
        pairs.append(("reason", (evidence.problem,), (call.reason,)))
    return "; ".join(f"{what} {now}, its row says {then}" for what, now, then in pairs if now != then)


def _too_far(scores: _Scores, comparison: Comparison) -> Iterator[str]:
    for cell_id, now in scores.now.items():
        then = scores.then[cell_id]
        # Written so that a NaN is a fault.
        if not abs(now - then) <= comparison.tolerance:
            yield f"cell {cell_id}: score {now}, its row says {then}, allowed {comparison.tolerance:.2g} off"
    yield from (flip_line(flip) for flip in comparison.flips if flip.to_cut > comparison.tolerance)


def _near(comparison: Comparison) -> tuple[Finding, ...]:
    near = [flip_line(flip) for flip in comparison.flips if flip.to_cut <= comparison.tolerance]
    what = f"{len(near)} cells so near a threshold that the tolerance carries them across"
    return (Finding("recomputed", "note", what, tuple(near)),) if near else ()


def _not_whole(count: int) -> Finding:
    what = f"{count} cells could not be computed again: their files are not those of their rows"
    return Finding("recomputed", "unchecked", what, mend="put the files back as they were, from a copy of the run")
