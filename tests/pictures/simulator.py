"""The pictures of docs/simulator.md: `python -m tests.pictures.simulator [--jurkat FOLDER]` draws them.

Nothing is stretched by its own extremes: each channel has one display range for all pictures of simulated cells.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge_ctc.simulate import CHANNELS, PIXEL_SIZE_UM, SIDE_PX, SimulatedCell, focal_series, simulate_cells

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
KINDS = (
    ("ctc", "ctc_bland", "ctc_marker_low", "ctc_apoptotic", "ctc_cluster", "ctc_leukocyte"),
    ("lymphocyte", "monocyte", "granulocyte", "apoptotic", "dead", "doublet", "debris"),
)
# Counts that are drawn black and white.
RANGES = {"BF": (500, 3300), "DAPI": (80, 1400), "PE": (80, 900), "APC": (80, 700)}
PATIENT, PLANE_UM = 24, 2.0
ALIKE_UM = 4.0
ZOOM, GAP, LINE, MARGIN = 2, 4, 18, 118
PAPER, INK = 255, 20
JURKAT_SIDE_PX = 40

Tile = NDArray[np.uint8]


def tile(counts: NDArray[np.uint16], channel: str) -> Tile:
    """Counts `(H, W)` as grey values, by the channel's own range."""
    black, white = RANGES[channel]
    return grey(counts.astype(float), black, white)


def grey(values: NDArray[np.float64], black: float, white: float) -> Tile:
    """Values from `black` to `white` as grey values, in steps of four so that the files stay small."""
    shade: Tile = (np.clip((values - black) / (white - black), 0, 1) * 63).astype(np.uint8) * 4
    return shade


def sheet(rows: Sequence[Sequence[Tile]], left: Sequence[str], top: Sequence[str], zoom: int = ZOOM) -> Image.Image:
    """Tiles in rows, with a name left of each row and above each column, and a bar of 10 um in the first."""
    side = rows[0][0].shape[0] * zoom
    size = (MARGIN + len(rows[0]) * (side + GAP), LINE + len(rows) * (side + GAP))
    image = Image.new("L", size, PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for column, name in enumerate(top):
        draw.text((MARGIN + column * (side + GAP) + 2, 1), name, INK, font)
    for place, (name, row) in enumerate(zip(left, rows, strict=True)):
        y = LINE + place * (side + GAP)
        draw.multiline_text((4, y + side // 2 - 16), name, INK, font)
        for column, one in enumerate(row):
            scaled = Image.fromarray(one).resize((side, side), Image.Resampling.NEAREST)
            image.paste(scaled, (MARGIN + column * (side + GAP), y))
    bar = round(10 / PIXEL_SIZE_UM) * zoom
    draw.rectangle((MARGIN + 6, LINE + side - 9, MARGIN + 6 + bar, LINE + side - 7), fill=255)
    return image


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Images in one line."""
    joined = Image.new("L", (sum(one.width for one in images), max(one.height for one in images)), PAPER)
    x = 0
    for one in images:
        joined.paste(one, (x, 0))
        x += one.width
    return joined


def first_of(kinds: Sequence[str], patient: int, instrument: int = 0) -> dict[str, SimulatedCell]:
    """The first cell of each kind in a long run."""
    found: dict[str, SimulatedCell] = {}
    for cell in simulate_cells(1200, 300, patient, instrument):
        if cell.kind in kinds:
            found.setdefault(cell.kind, cell)
        if len(found) == len(kinds):
            break
    return found


def draw_kinds() -> Image.Image:
    """Every kind in all channels, at one focal plane."""
    blocks = []
    for kinds in KINDS:
        cells = first_of(kinds, PATIENT)
        rows = []
        for kind in kinds:
            images = focal_series(PATIENT, cells[kind].number, cells[kind].label == "CTC", (PLANE_UM,))[0]
            rows.append([tile(counts, channel) for counts, channel in zip(images, CHANNELS, strict=True)])
        blocks.append(sheet(rows, [kind.replace("_", "\n") for kind in kinds], CHANNELS))
    return beside(blocks)


def draw_focus() -> Image.Image:
    """Through focus: bright field of three kinds, and two stains of one cell."""
    planes = (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0)
    shown = (("lymphocyte", "BF"), ("granulocyte", "BF"), ("ctc", "BF"), ("ctc", "DAPI"), ("ctc", "PE"))
    cells = first_of([kind for kind, _ in shown], PATIENT)
    rows = []
    for kind, channel in shown:
        series = focal_series(PATIENT, cells[kind].number, cells[kind].label == "CTC", planes)
        rows.append([tile(images[CHANNELS.index(channel)], channel) for images in series])
    return sheet(rows, [f"{kind}\n{channel}" for kind, channel in shown], [f"{plane:+.0f} um" for plane in planes])


def draw_instruments() -> Image.Image:
    """The same three cells of one patient on seven instruments."""
    instruments = range(7)
    stains = {"ctc": "PE", "monocyte": "DAPI", "lymphocyte": "APC"}
    shown = [(kind, channel) for kind, stain in stains.items() for channel in ("BF", stain)]
    seen = [first_of(list(stains), PATIENT, instrument) for instrument in instruments]
    rows = [[tile(cells[kind].images[CHANNELS.index(channel)], channel) for cells in seen] for kind, channel in shown]
    names = ["default" if instrument == 0 else f"instrument {instrument}" for instrument in instruments]
    return sheet(rows, [f"{kind}\n{channel}" for kind, channel in shown], names)


def draw_patients() -> Image.Image:
    """Four CTCs and four other cells of five patients on the default instrument."""
    rows, names = [], []
    for patient in range(PATIENT, PATIENT + 5):
        cells = list(simulate_cells(60, 30, patient))
        chosen = [cell for cell in cells if cell.label == "CTC"][:4] + [cell for cell in cells if cell.label != "CTC"][
            :4
        ]
        for channel in ("BF", "PE"):
            rows.append([tile(cell.images[CHANNELS.index(channel)], channel) for cell in chosen])
            names.append(f"patient {patient}\n{channel}")
    return sheet(rows, names, ["CTC"] * 4 + ["other"] * 4)


def over_background(bright: NDArray[np.uint16]) -> Tile:
    """Bright field `(H, W)` relative to its median, 0.3 to 1.7."""
    return grey(bright / np.median(bright), 0.3, 1.7)


def draw_jurkat(folder: Path) -> Image.Image:
    """Six real cells beside six simulated ones: bright field over its background, and nucleus.

    The simulated ones lie at the focal plane where they are most alike.
    """
    with np.load(folder / "cells.npz") as data:
        chosen = (data["experiment"] == "Experiment_1") & np.isin(data["phase"], ("G1", "S_phase", "G2"))
        places = np.flatnonzero(chosen)[:: int(chosen.sum()) // 6][:6]
        real = data["images"][places, :2]
    cut = slice((SIDE_PX - JURKAT_SIDE_PX) // 2, (SIDE_PX + JURKAT_SIDE_PX) // 2)
    cells = [cell for cell in simulate_cells(60, 10, PATIENT) if cell.kind in {"ctc_bland", "lymphocyte"}][:6]
    series = [focal_series(PATIENT, cell.number, cell.label == "CTC", (ALIKE_UM,))[0] for cell in cells]
    made = np.stack([images[:2, cut, cut] for images in series])
    blocks = []
    for name, images in (("real\nJurkat", real), ("simulated", made)):
        white = float(np.percentile(images[:, 1], 99.7))
        rows = [
            [over_background(bright) for bright in images[:, 0]],
            [grey(nucleus.astype(float), float(np.median(images[:, 1])), white) for nucleus in images[:, 1]],
        ]
        blocks.append(sheet(rows, [f"{name}\nbright field", f"{name}\nnucleus"], [], zoom=3))
    stacked = Image.new("L", (blocks[0].width, sum(one.height for one in blocks)), PAPER)
    stacked.paste(blocks[0], (0, 0))
    stacked.paste(blocks[1], (0, blocks[0].height))
    return stacked


def main(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES,
    jurkat: Annotated[Path | None, typer.Option(help="Folder with cells.npz; without it that picture stays.")] = None,
) -> None:
    """Draw the pictures of docs/simulator.md."""
    out.mkdir(parents=True, exist_ok=True)
    draw_kinds().save(out / "kinds.png", optimize=True)
    draw_focus().save(out / "focus.png", optimize=True)
    draw_instruments().save(out / "instruments.png", optimize=True)
    draw_patients().save(out / "patients.png", optimize=True)
    if jurkat is not None:
        draw_jurkat(jurkat).save(out / "jurkat.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
