"""Montages: a geometry that is not the declared one, gutters that show something, other kinds of pictures."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_ctc.preprocess import Counts
from tests.corpus.case import SHADES, Case, Content, put
from tests.encoders import PALETTE, RGB, bmp, grey_palette, png
from tests.images import tiff

KIND = "montage"
NAMED = r"^P07_cell-2\.png: "


def montage(panels: int = 4, gutter: int = 2, border: int = 2, line: int = 255) -> Counts:
    """Panels from left to right, as the built-in profile declares them."""
    height, width = SHADES.shape
    picture = np.full((height + 2 * border, panels * width + (panels - 1) * gutter + 2 * border), line, np.uint8)
    for place in range(panels):
        left = border + place * (width + gutter)
        picture[border : border + height, left : left + width] = SHADES
    return picture


GOOD = png(montage())


def bad(name: str, content: Content, reason: str = "", **changes: Any) -> Case:
    usual: dict[str, Any] = {
        "build": lambda folder: put(folder, {"P07_cell-1.png": GOOD, "P07_cell-2.png": content}),
        "profile": "montage",
        "checkpoint": "display",
        "code": 2 if reason else 0,
        "called": ("1",) if reason else ("1", "2"),
        "refused": {"2": NAMED + reason} if reason else {},
    }
    return Case(name=f"montage-{name}", kind=KIND, **(usual | changes))


def shapes() -> Iterator[Case]:
    whole = montage()
    yield bad(
        "one-column-too-wide",
        png(montage()[:, [*range(106), 105]]),
        "montage of 107 x 24 px, expected a border of 2 px",
    )
    yield bad("one-column-too-narrow", png(np.ascontiguousarray(whole[:, :-1])), "montage of 105 x 24 px, expected")
    yield bad("three-panels-of-four", png(montage(3)), "(montage of|gutters of the montage)")
    yield bad("five-panels-of-four", png(montage(5)), "(montage of|gutters of the montage|border)")
    yield bad("panels-below-each-other", png(np.ascontiguousarray(whole.T)), "(montage of|gutters|border) ")
    yield bad("without-a-border", png(montage(border=0)), "(montage of|gutters|border) ")
    yield bad("border-of-4", png(montage(border=4)), "(montage of|gutters|border) ")
    yield bad("without-gutters", png(montage(gutter=0)), "(montage of|gutters|border) ")
    yield bad("gutters-of-6", png(montage(gutter=6)), "(montage of|gutters|border) ")
    yield bad(
        "smaller-than-its-border", png(np.full((3, 3), 7, np.uint8)), "montage of 3 x 3 px, expected a border of 2 px"
    )
    yield bad("one-row-lower", png(np.ascontiguousarray(whole[:-1])), "border of the montage: counts from")
    spoilt = whole.copy()
    spoilt[5, 27] = 254
    yield bad(
        "one-pixel-in-a-gutter", png(spoilt), "gutters of the montage: counts from 254 to 255, expected one single"
    )
    written = whole.copy()
    written[0, 10:40] = 0
    yield bad("letters-in-the-border", png(written), "border of the montage: counts from 0 to 255, expected one single")
    two_greys = whole.copy()
    two_greys[:2] = 200
    yield bad("border-of-two-greys", png(two_greys), "border of the montage: counts from 200 to 255")
    shifted = np.roll(whole, 1, axis=1)
    yield bad("shifted-by-one-pixel", png(shifted), "(border|gutters) of the montage")
    blank = whole.copy()
    blank[2:22, 54:78] = 255
    yield bad("one-panel-blank", png(blank))
    yield bad("all-of-one-grey", png(np.full_like(whole, 255)))
    yield bad("black-gutters", png(montage(line=0)))


def kinds() -> Iterator[Case]:
    whole = montage()
    coloured = np.stack([whole] * 3, axis=2)
    coloured[5, 5] = (0, 255, 0)
    yield bad("in-colours", png(coloured, colour_type=RGB), "RGB whose red, green and blue differ")
    red = grey_palette()
    red[:, 0] = 255
    yield bad(
        "in-false-colours", png(whole, colour_type=PALETTE, more=[(b"PLTE", red.tobytes())]), "a palette whose red"
    )
    yield bad("of-16-bits", png(whole.astype(np.uint16) << 8), "BF: expected uint8")
    yield bad("torn", GOOD[:-50], "torn: chunk IDAT ends at byte")
    yield bad("empty", b"", "expected a PNG, got an empty file")
    yield bad("a-tiff", tiff(whole), "expected a PNG, got a TIFF file")
    yield bad("a-bmp", bmp(whole), "expected a PNG, got a BMP file")
    yield bad("without-iend", GOOD[:-12], "torn: expected another chunk")


def runs() -> Iterator[Case]:
    yield bad(
        "two-pictures-of-one-cell",
        GOOD,
        build=lambda folder: put(
            folder, {f"{run}_cell-{cell}.png": GOOD for run, cell in (("A", 1), ("A", 2), ("B", 2))}
        ),
        code=2,
        called=("1",),
        refused={"2": r"^ambiguous: A_cell-2\.png, B_cell-2\.png all claim the cell"},
    )
    stretched = "intensities: the profile says display, the checkpoint was trained on counts"
    yield bad(
        "for-a-network-of-counts", GOOD, checkpoint="four", code=2, called=(), refused=dict.fromkeys("12", stretched)
    )


CASES: tuple[Case, ...] = (*shapes(), *kinds(), *runs())
