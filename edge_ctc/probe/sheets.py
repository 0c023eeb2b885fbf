"""Contact sheets: a sample of one channel's pictures at one display range, to be recognised by a person."""

import re

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_ctc.exports.listing import display_name
from edge_ctc.preprocess import Counts
from edge_ctc.probe.measure import Channel
from edge_ctc.probe.survey import Survey

_WIDTH_PX = 1280
_TILE_PX = 170
"""A picture is enlarged to about so much, by a whole number."""
_LARGEST_PX = 620
_GAP_PX = 8
_LABEL_PX = 22
_HEAD_PX = 64
_BACKGROUND = 24
_TEXT = 235
_FAINT = 165
_LONGEST_NAME = 60


def sheet_names(found: Survey) -> tuple[str, ...]:
    """The file name of each channel's sheet: safe on every system, each once whatever its case."""
    names: dict[str, str] = {}
    for channel in found.channels:
        token = "picture" if found.layout == "one-image" else channel.token
        stem = re.sub(r"[^A-Za-z0-9+-]+", "-", token).strip("-")[:_LONGEST_NAME] or "channel"
        name, number = stem, 2
        while name.casefold() in names:
            name, number = f"{stem}-{number}", number + 1
        names[name.casefold()] = f"{name}.png"
    return tuple(names.values())


def contact_sheet(channel: Channel, run_name: str) -> Image.Image:
    """One picture of all decoded images of a channel's sample, each with its cell below it."""
    low, high = channel.range
    tiles = [(cell_id, _tile(counts, low, high)) for cell_id, counts in channel.pictures]
    width = max((tile.width for _, tile in tiles), default=_TILE_PX)
    height = max((tile.height for _, tile in tiles), default=0)
    columns = max(1, min(len(tiles), (_WIDTH_PX - _GAP_PX) // (width + _GAP_PX)))
    rows = -(-len(tiles) // columns)
    columns = max(1, -(-len(tiles) // max(1, rows)))
    size = (max(760, columns * (width + _GAP_PX) + _GAP_PX), _HEAD_PX + rows * (height + _LABEL_PX + _GAP_PX))
    sheet = Image.new("L", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _title(draw, channel, run_name, size[0])
    font = ImageFont.load_default(15)
    for place, (cell_id, tile) in enumerate(tiles):
        row, column = divmod(place, columns)
        left, top = _GAP_PX + column * (width + _GAP_PX), _HEAD_PX + row * (height + _LABEL_PX + _GAP_PX)
        sheet.paste(tile, (left, top))
        draw.text((left, top + tile.height + 2), _short(cell_id, tile.width // 8), fill=_TEXT, font=font)
    return sheet


def _title(draw: ImageDraw.ImageDraw, channel: Channel, run_name: str, width: int) -> None:
    low, high = channel.range
    token = channel.token or "picture"
    draw.text((_GAP_PX, 4), _short(token, 40), fill=_TEXT, font=ImageFont.load_default(26))
    right = f"{len(channel.pictures)} of {channel.cells} cells of {_short(run_name, 40)}"
    draw.text((width - _GAP_PX, 8), right, fill=_TEXT, font=ImageFont.load_default(16), anchor="ra")
    below = f"one range for all: black is {low}, white is {high} counts"
    draw.text((_GAP_PX, 38), below, fill=_TEXT, font=ImageFont.load_default(16))
    draw.text((width - _GAP_PX, 38), "pixel size unknown", fill=_FAINT, font=ImageFont.load_default(16), anchor="ra")


def _short(text: str, length: int) -> str:
    text = display_name(text)
    return text if len(text) <= length else text[: max(1, length - 1)] + "…"


def _tile(counts: Counts, low: int, high: int) -> Image.Image:
    shades = (counts.astype(np.float32) - low) / max(1, high - low) * 255
    tile = Image.fromarray(shades.astype(np.uint8))
    zoom = min(round(_TILE_PX / min(tile.size)), _LARGEST_PX // max(tile.size))
    if zoom > 1:
        return tile.resize((tile.width * zoom, tile.height * zoom), Image.Resampling.NEAREST)
    if max(tile.size) > _LARGEST_PX:
        tile.thumbnail((_LARGEST_PX, _LARGEST_PX), Image.Resampling.BOX)
    return tile
