"""Galleries of made-up cells."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from edge_ctc.cells import Verdict
from edge_ctc.gallery.page import Page, Sheet, ShownCell, ShownChannel, Thumbnail
from edge_ctc.gallery.pictures import DisplayRange
from edge_ctc.gallery.thumbnails import SIDE_PX, Miniature, sheet
from edge_ctc.results.calls import Call
from edge_ctc.trust import Light, Reason, Trust
from tests.images import CALL, manifest_of, not_evaluable

CHANNELS = (
    ShownChannel("BF", "BF", 816.0, 3007.0),
    ShownChannel("DAPI", "DAPI", 77.0, 1716.0),
    ShownChannel("PE", "PE (CK)", 87.0, 906.0),
    ShownChannel("APC", "APC (CD45), not seen by the network", 74.0, 880.0),
)
SIDE = 16

_SCORE = {Verdict.CTC: 3.0, Verdict.REVIEW: 1.0, Verdict.LEUKOCYTE: -2.0}


@cache
def png(seed: int, side: int = SIDE) -> bytes:
    """Noise, which compresses as badly as a camera's."""
    shades = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    file = io.BytesIO()
    Image.fromarray(shades).save(file, "PNG", compress_level=1)
    return file.getvalue()


@cache
def noise(seed: int) -> Miniature:
    """The same, small and as counts."""
    return np.random.default_rng(seed).integers(0, 4096, (SIDE_PX, SIDE_PX)).astype(np.uint16)


def call_of(cell_id: str, verdict: Verdict, **changes: Any) -> Call:
    """An evaluable row."""
    score = _SCORE[verdict]
    p_ctc = float(1 / (1 + np.exp(-score)))
    hashes = tuple(hashlib.sha256(f"{cell_id} {channel.name}".encode()).hexdigest() for channel in CHANNELS)
    cuts = {"threshold_ctc": 2.0, "threshold_review": 0.0}
    row: dict[str, Any] = {
        "cell_id": cell_id,
        "verdict": verdict,
        "score": score,
        "p_ctc": p_ctc,
        "image_sha256": hashes,
    } | cuts
    return replace(CALL, **(row | changes))


def shown(rank: int, call: Call, side: int = SIDE) -> ShownCell:
    """The cell with pictures of its own."""
    pictures = tuple(png(100 * rank + place, side) for place in range(len(CHANNELS)))
    return ShownCell(call, rank, pictures, call.images_sha256, call.flags)


def cells_of(verdict: Verdict, first_rank: int, ids: Sequence[str], **changes: Any) -> tuple[ShownCell, ...]:
    """Cells with these ids, ranked as they stand."""
    return tuple(shown(rank, call_of(cell_id, verdict, **changes)) for rank, cell_id in enumerate(ids, first_rank))


def sheets_of(ids: Sequence[str], first_rank: int, gone: Sequence[str] = ()) -> tuple[Sheet, ...]:
    """Cells of the rest, ranked as they stand; those of `gone` have no picture."""
    thumbnails = [
        Thumbnail(cell_id, rank, hashlib.sha256(cell_id.encode()).hexdigest(), cell_id not in gone)
        for rank, cell_id in enumerate(ids, first_rank)
    ]
    return tuple(_sheet(thumbnails[first : first + 200]) for first in range(0, len(thumbnails), 200))


def _sheet(thumbnails: Sequence[Thumbnail]) -> Sheet:
    pictures = [noise(one.rank % 2000) if one.has_picture else None for one in thumbnails]
    return Sheet(tuple(thumbnails), sheet(pictures, DisplayRange(0, 4095)))


def numbered(prefix: str, count: int) -> list[str]:
    """Ids with leading zeros."""
    return [f"{prefix}{number:04d}" for number in range(1, count + 1)]


def figure(light: Light, sentence: str) -> Reason:
    """A figure of a run."""
    return Reason(light=light, measure="sharpness", channel="BF", found=0.2, low=0.3, high=0.5, sentence=sentence)


AS_EXPECTED = figure("green", "noise is usual")
GREEN = Trust(light="green", reasons=(), within=(AS_EXPECTED,))


def trust(light: Light, sentence: str = "focus is worse") -> Trust:
    """A light with one reason."""
    return Trust(light=light, reasons=(figure(light, sentence),), within=(AS_EXPECTED,))


def page_of(
    ctc: Sequence[ShownCell] = (),
    review: Sequence[ShownCell] = (),
    controls: Sequence[ShownCell] = (),
    rest: Sequence[Sheet] = (),
    torn: Sequence[str] = (),
    **changes: Any,
) -> Page:
    """A page whose manifest counts these cells; `changes` are fields of the page, or of its manifest."""
    glanced_at = sum(len(one.thumbnails) for one in rest)
    evaluable = len(ctc) + len(review) + len(controls) + glanced_at
    verdicts = {
        "CTC": len(ctc),
        "REVIEW": len(review),
        "LEUKOCYTE": len(controls) + glanced_at,
        "NOT_EVALUABLE": len(torn),
    }
    sums = {"total": evaluable + len(torn), "called": evaluable, "not_evaluable": len(torn), "pending": 0}
    judged, expected = changes.pop("trust", GREEN), changes.pop("expected", None)
    scores = [(Verdict.LEUKOCYTE, -2.0 - 0.01 * place) for place in range(glanced_at)]
    for cell in (*ctc, *review, *controls):
        assert cell.call.score is not None
        scores.append((cell.call.verdict, cell.call.score))
    return Page(
        manifest=manifest_of([], verdicts=verdicts, cells=sums, **changes),
        channels=CHANNELS,
        ctc=tuple(ctc),
        review=tuple(review),
        controls=tuple(controls),
        rest=tuple(rest),
        thumbnail_channel="BF",
        not_evaluable=tuple(not_evaluable(cell_id) for cell_id in torn),
        scores=tuple(scores),
        trust=judged,
        expected=expected,
    )


def small_page(**changes: Any) -> Page:
    """3 CTC, 2 REVIEW, 4 controls, 5 of the rest, 1 not evaluable."""
    return page_of(
        cells_of(Verdict.CTC, 1, numbered("", 3)),
        cells_of(Verdict.REVIEW, 4, numbered("v", 2)),
        cells_of(Verdict.LEUKOCYTE, 6, numbered("k", 4)),
        sheets_of(numbered("r", 5), 10),
        ["torn 1"],
        **changes,
    )
