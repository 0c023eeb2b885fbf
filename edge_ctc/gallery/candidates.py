"""Pictures of a run's top candidates: every channel of a cell side by side, at one display range for the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge_ctc import durable
from edge_ctc.cells import Cell
from edge_ctc.errors import NotARunError, ResultsError
from edge_ctc.exports.choose import choose_profile
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles
from edge_ctc.exports.run_table import read_run_table
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.pipeline import CellReader
from edge_ctc.preprocess import ChannelInput, Counts
from edge_ctc.results.calls import Call, read_calls
from edge_ctc.results.commit import ResultPlace, read_committed
from edge_ctc.results.manifest import Manifest

_ZOOM = 3
_GAP_PX = 6
_LINE_PX = 18
_BACKGROUND = 24
_TEXT = 230
_SCALE_BAR_UM = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A called cell and its picture.

    Attributes:
        rank: from 1.
        call: its row.
        picture: the PNG.
        features: what the instrument measured, in the order of `Gallery.features`; None where it says nothing.
    """

    rank: int
    call: Call
    picture: Path
    features: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was drawn.

    Attributes:
        manifest: of the run.
        candidates: by rank.
        sheet: one PNG with all of them.
        features: columns of the run's table that the profile names; none without a table that can be read.
    """

    manifest: Manifest
    candidates: tuple[Candidate, ...]
    sheet: Path
    features: tuple[str, ...]


def committed_calls(place: ResultPlace) -> tuple[Manifest, list[Call]]:
    """The manifest and the calls that it commits, in file order.

    Raises:
        NotARunError: there are none, or they do not match.
        ResultsError: they cannot be read.
    """
    manifest = read_committed(place)
    if manifest is None:
        if place.manifest.exists() and place.calls.exists():
            raise NotARunError(
                f"{place.calls}: was changed after it was committed; `edge-ctc classify-run` keeps it as an "
                ".edited.csv beside and makes the calls anew"
            )
        raise NotARunError(f"{place.calls}: no committed calls; run `edge-ctc classify-run` first")
    return manifest, read_calls(place.calls)


def draw_candidates(
    folder: Path, place: ResultPlace, profile: LoadedProfile | None, top: int, advanced: Callable[[], None]
) -> Gallery:
    """Draw the `top` cells by rank into `<run>.ctc-gallery/` beside the calls.

    Args:
        folder: of the run.
        place: of its results.
        profile: None: the built-in one that accounts for every file.
        top: how many candidates at most.
        advanced: told after each picture.

    Raises:
        NotARunError: the run has no committed calls, or another profile than theirs was given.
        RunError: the run cannot be read, or the pictures cannot be written.
    """
    manifest, calls = committed_calls(place)
    reader, run = _reader(folder, profile, manifest)
    cells = {cell.cell_id: cell.only(reader.spec.channel_names) for cell in run.cells}
    called = [call for call in calls[:top] if call.score is not None]
    counts = [_called_counts(reader, cells.get(call.cell_id), call) for call in called]
    features, measured = _features(run, reader.profile, manifest)
    with durable.sole_writer(place.folder):
        gallery = place.folder / f"{place.run_id}.ctc-gallery"
        _empty(gallery)
        pictures, candidates = [], []
        for rank, (call, images) in enumerate(zip(called, counts, strict=True), 1):
            picture = _picture(_title(rank, call), call, images, _labelled(reader))
            pictures.append(picture)
            path = gallery / f"rank-{rank:03d}.png"
            candidates.append(Candidate(rank, call, path, measured.get(call.cell_id, (None,) * len(features))))
            _save(picture, candidates[-1].picture)
            advanced()
        sheet = gallery / "sheet.png"
        _save(_stacked(pictures, manifest.intended_use), sheet)
    return Gallery(manifest, tuple(candidates), sheet, features)


def _features(
    run: Run, profile: Profile, manifest: Manifest
) -> tuple[tuple[str, ...], Mapping[str, tuple[float | None, ...]]]:
    """The columns that the profile names, and their numbers by cell id; none of another table than the calls'."""
    if profile.table is None or not profile.table.features or not run.tables:
        return (), {}
    table = read_run_table(run, profile)
    if table.sha256 is None or table.sha256 not in {file.sha256 for file in manifest.tables}:
        return (), {}
    return profile.table.features if table.rows else (), {id_: row.features for id_, row in table.rows.items()}


def _called_counts(reader: CellReader, cell: Cell | None, call: Call) -> list[Counts]:
    """The counts that were called: a picture of other images under a call would be a lie."""
    present = [file.name for file in cell.files] if cell else []
    if gone := [name for name in call.image_files if name not in present]:
        raise NotARunError(f"{reader.folder}: cell {call.cell_id}: {', '.join(gone)} gone since the call; put it back")
    if cell is not None:
        counts, evidence = reader.counts(cell)
        if not evidence.problem and evidence.sha256 == call.image_sha256:
            return counts
    raise NotARunError(
        f"{reader.folder}: the images of cell {call.cell_id} are not the ones that were called; classify the run again"
    )


def _labelled(reader: CellReader) -> list[tuple[str, ChannelInput]]:
    """Each channel of the network with what people call it: its name, and the marker that it shows."""
    markers = {channel.name: channel.marker for channel in reader.profile.channels}
    return [
        (f"{one.name} ({markers[one.name]})" if markers.get(one.name) else one.name, one)
        for one in reader.spec.channels
    ]


def _reader(folder: Path, profile: LoadedProfile | None, manifest: Manifest) -> tuple[CellReader, Run]:
    listing = list_files(folder)
    built_in = {loaded.sha256 for loaded in built_in_profiles()}
    if profile is None and manifest.profile.sha256 not in built_in:
        raise NotARunError(
            f"{folder}: was called with the profile {manifest.profile.name}, which is not built in; "
            "give its file with --profile"
        )
    if profile is None:
        profile, run = choose_profile(listing)
    else:
        run = read_run(listing, profile.profile)
    if profile.sha256 != manifest.profile.sha256:
        raise NotARunError(
            f"{folder}: was called with profile {manifest.profile.name} ({manifest.profile.sha256[:12]}), "
            f"got {profile.profile.name} ({profile.sha256[:12]}); name the same with --profile"
        )
    return CellReader(listing.folder, profile.profile, manifest.checkpoint.input), run


def _empty(gallery: Path) -> None:
    """Make the folder, and take away what an earlier gallery, whole or killed, left in it."""
    if gallery.is_symlink():
        raise ResultsError(f"{gallery}: is a link; pictures are written into a folder of their own, take it away")
    try:
        gallery.mkdir(exist_ok=True)
        for pattern in ("rank-*.png", ".rank-*.png.tmp-*", ".sheet.png.tmp-*"):
            for picture in gallery.glob(pattern):
                picture.unlink()
    except OSError as error:
        raise ResultsError(f"{gallery}: cannot be written ({error.strerror}); free space or rights there") from error


def _title(rank: int, call: Call) -> str:
    probability = "" if call.p_ctc is None else f"   p {call.p_ctc:.3f}"
    return f"{rank}.  cell {call.cell_id}   {call.verdict}   score {call.score:.2f}{probability}"


def _picture(
    title: str, call: Call, counts: Sequence[Counts], channels: Sequence[tuple[str, ChannelInput]]
) -> Image.Image:
    panels = [_panel(image, channel) for image, (_, channel) in zip(counts, channels, strict=True)]
    height, width = panels[0].shape
    canvas = Image.new("L", (len(panels) * (width + _GAP_PX) + _GAP_PX, height + 2 * _LINE_PX), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    draw.text((_GAP_PX, 1), title, fill=_TEXT, font=font)
    for place, (panel, (label, _)) in enumerate(zip(panels, channels, strict=True)):
        left = _GAP_PX + place * (width + _GAP_PX)
        canvas.paste(Image.fromarray(panel), (left, _LINE_PX))
        draw.text((left, _LINE_PX + height + 1), label, fill=_TEXT, font=font)
    _scale_bar(draw, call, (canvas.width, canvas.height))
    return canvas


def _panel(image: Counts, channel: ChannelInput) -> NDArray[np.uint8]:
    low, high = channel.range if channel.range != "raw" else (0, np.iinfo(image.dtype).max)
    shades = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1) * 255
    enlarged: NDArray[np.uint8] = shades.astype(np.uint8).repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    return enlarged


def _scale_bar(draw: ImageDraw.ImageDraw, call: Call, size: tuple[int, int]) -> None:
    right, bottom = size[0] - _GAP_PX, size[1] - _LINE_PX // 2
    font = ImageFont.load_default(11)
    if call.pixel_size_um == "unknown":
        draw.text((right, bottom), "pixel size unknown", fill=_TEXT, font=font, anchor="rm")
        return
    length = round(_SCALE_BAR_UM / call.pixel_size_um * _ZOOM)
    draw.text((right - length - _GAP_PX, bottom), f"{_SCALE_BAR_UM} µm", fill=_TEXT, font=font, anchor="rm")
    draw.line((right - length, bottom, right, bottom), fill=_TEXT, width=2)


def _stacked(pictures: Sequence[Image.Image], notice: str) -> Image.Image:
    """Two columns under the notice; without a picture, a sheet that says so."""
    columns = 2
    width = max((picture.width for picture in pictures), default=420)
    height = max((picture.height for picture in pictures), default=_LINE_PX)
    rows = -(-len(pictures) // columns) or 1
    sheet = Image.new("L", (columns * width, rows * height + 2 * _LINE_PX), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX, _GAP_PX), notice, fill=_TEXT, font=ImageFont.load_default(13))
    if not pictures:
        draw.text((_GAP_PX, 2 * _LINE_PX), "no candidates", fill=_TEXT, font=ImageFont.load_default(13))
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        sheet.paste(picture, (column * width, 2 * _LINE_PX + row * height))
    return sheet


def _save(picture: Image.Image, path: Path) -> None:
    durable.write_whole(path, lambda file: picture.save(file, "PNG"))
