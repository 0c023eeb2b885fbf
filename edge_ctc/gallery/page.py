"""The physician's page of a run: one HTML file that needs nothing beside it and lets nothing out."""

import base64
import struct
from collections import Counter
from dataclasses import dataclass
from itertools import chain

from edge_ctc.cells import Verdict
from edge_ctc.expected import Expected
from edge_ctc.gallery.document import document
from edge_ctc.gallery.histogram import Cuts, histogram
from edge_ctc.gallery.paper import foot_rules
from edge_ctc.gallery.picture_scale import PictureSize, scale_rules
from edge_ctc.gallery.thumbnails import ACROSS, sheet_rules
from edge_ctc.quality import OF_RUNS
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest
from edge_ctc.trust import Trust

_OPENED_AT_ONCE = 300
"""Cells; the pictures of those behind them are opened when they come near the screen. All of 1,500 cells took Chromium
3.5 s, where a person waits for the first."""

_PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ShownChannel:
    """A channel of the pictures.

    Attributes:
        name: as the profile calls it.
        label: for people, "PE (CK)".
        low: counts shown black, in every cell of the run.
        high: counts shown white.
    """

    name: str
    label: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell with its lossless pictures.

    Attributes:
        call: its row, evaluable.
        rank: from 1.
        pictures: one PNG (8-bit grey, H x W of the cell's own image) per channel, in the order of `Page.channels`;
            empty where the image that was called is not there any more.
        images_sha256: of `call.image_sha256` joined by "|"; a reading holds it.
        flags: what each flag of the call means here, in words.
    """

    call: Call
    rank: int
    pictures: tuple[bytes, ...]
    images_sha256: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cell that a sheet shows.

    Attributes:
        cell_id: as exported.
        rank: from 1.
        images_sha256: as of a `ShownCell`.
        has_picture: not where the image that was called is not there any more.
    """

    cell_id: str
    rank: int
    images_sha256: str
    has_picture: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """Thumbnails that one lossy picture of one channel shows.

    Attributes:
        thumbnails: in their places, row by row; at most `thumbnails.ACROSS` x `thumbnails.DOWN`.
        picture: the JPEG of `thumbnails.sheet`.
    """

    thumbnails: tuple[Thumbnail, ...]
    picture: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page shows: every row of the calls, once.

    Attributes:
        manifest: of the run.
        channels: of the pictures, in their order.
        ctc: every CTC, by rank.
        review: every REVIEW, by rank.
        controls: leukocytes with lossless pictures, by rank.
        rest: sheets of the other evaluable cells, by rank.
        thumbnail_channel: label of the one channel that `rest` shows.
        not_evaluable: rows without a score.
        scores: of all evaluable cells.
        trust: whether the run looks like those that the checkpoint learned from.
        expected: None: the checkpoint has no calibration.

    Raises:
        ValueError: the cells are not those that the manifest counts, one stands twice or in a wrong place, or one
            lacks a picture: a page that leaves a cell out would be a lie.
    """

    manifest: Manifest
    channels: tuple[ShownChannel, ...]
    ctc: tuple[ShownCell, ...]
    review: tuple[ShownCell, ...]
    controls: tuple[ShownCell, ...]
    rest: tuple[Sheet, ...]
    thumbnail_channel: str
    not_evaluable: tuple[Call, ...]
    scores: tuple[tuple[Verdict, float], ...]
    trust: Trust
    expected: Expected | None

    def __post_init__(self) -> None:
        _require_verdicts(self)
        _require_every_cell_once(self)
        for cell in self.shown:
            if len(cell.pictures) != len(self.channels):
                found = f"{len(cell.pictures)} pictures, expected {len(self.channels)}"
                raise ValueError(f"cell {cell.call.cell_id}: {found}")

    @property
    def shown(self) -> tuple[ShownCell, ...]:
        """Cells with lossless pictures, as they stand on the page."""
        return (*self.ctc, *self.review, *self.controls)

    @property
    def thumbnails(self) -> tuple[Thumbnail, ...]:
        """The cells of the rest, as they stand on the page."""
        return tuple(chain.from_iterable(sheet.thumbnails for sheet in self.rest))

    @property
    def without_picture(self) -> int:
        """Cells that lack a picture."""
        lacking = sum(not all(cell.pictures) for cell in self.shown)
        return lacking + sum(not one.has_picture for one in self.thumbnails)

    @property
    def cuts(self) -> Cuts:
        """Of the run, which every row of it holds."""
        call = next((cell.call for cell in self.shown), None)
        if call is not None:
            return Cuts(call.threshold_ctc, call.threshold_review)
        thresholds = self.manifest.checkpoint.thresholds
        return Cuts(thresholds.ctc, thresholds.ctc if thresholds.review is None else thresholds.review)


def render(page: Page) -> str:
    """The whole file, to be written as UTF-8.

    Raises:
        ValueError: a picture is no PNG, or a sheet no JPEG.
    """
    sizes = [png_size(picture) for cell in page.shown for picture in cell.pictures if picture]
    sheets = [data_uri(sheet.picture) for sheet in page.rest]
    return document(
        style="\n".join((scale_rules(sizes, len(page.channels)), sheet_rules(sheets), foot_rules(page.manifest))),
        page=page,
        histogram=histogram(page.scores, page.cuts),
        flags_of_run=[flag for flag in OF_RUNS if page.manifest.flags.get(flag)],
        across=ACROSS,
        opened_at_once=_OPENED_AT_ONCE,
        data_uri=data_uri,
        png_size=png_size,
    )


def data_uri(picture: bytes) -> str:
    """The picture as an address that holds it.

    Raises:
        ValueError: it is neither PNG nor JPEG.
    """
    if picture.startswith(_PNG_START):
        kind = "png"
    elif picture.startswith(b"\xff\xd8"):
        kind = "jpeg"
    else:
        raise ValueError(f"picture that begins with {picture[:12]!r}: expected PNG or JPEG")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def png_size(picture: bytes) -> PictureSize:
    """From the header: PNG specification, 11.2.2 IHDR.

    Raises:
        ValueError: it is no PNG.
    """
    if not picture.startswith(_PNG_START) or len(picture) < 24:
        raise ValueError(f"picture that begins with {picture[:12]!r}: expected PNG")
    width, height = struct.unpack(">II", picture[16:24])
    return PictureSize(width, height)


def _require_verdicts(page: Page) -> None:
    places = ((page.ctc, Verdict.CTC), (page.review, Verdict.REVIEW), (page.controls, Verdict.LEUKOCYTE))
    for cells, verdict in places:
        for cell in cells:
            if cell.call.verdict is not verdict:
                raise ValueError(f"cell {cell.call.cell_id}: {cell.call.verdict} among those called {verdict}")


def _require_every_cell_once(page: Page) -> None:
    evaluable = [*(cell.call.cell_id for cell in page.shown), *(cell.cell_id for cell in page.thumbnails)]
    counted = page.manifest.cells
    found = (len(evaluable), len(page.scores), len(page.not_evaluable))
    expected = (counted.called, counted.called, counted.not_evaluable)
    if found != expected:
        raise ValueError(
            f"{page.manifest.run_id}: {found[0]} evaluable cells, {found[1]} scores and {found[2]} cells not evaluable "
            f"on the page, expected the manifest's {expected}"
        )
    ids = Counter(chain(evaluable, (call.cell_id for call in page.not_evaluable)))
    if twice := [cell_id for cell_id, times in ids.items() if times > 1]:
        raise ValueError(f"{page.manifest.run_id}: cell {twice[0]} stands twice on the page")
