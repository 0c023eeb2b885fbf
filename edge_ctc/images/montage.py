"""Cut the picture of a cell that shows all its channels side by side into its panels."""

from collections.abc import Iterator

import numpy as np

from edge_ctc.errors import ImageError
from edge_ctc.preprocess import Counts


def cut(picture: Counts, grid: tuple[int, int], gutter_px: int, border_px: int) -> list[Counts]:
    """The panels from left to right, row by row.

    Gutters and border must each be of one single count: where the declared geometry is a little off, they
    would hold pixels of a cell, and every panel would be shifted.

    Args:
        picture: (H, W) counts.
        grid: rows and columns of panels, all of one size.
        gutter_px: between two panels.
        border_px: around all of them.

    Returns:
        (h, w) counts each, as many as rows times columns.

    Raises:
        ImageError: the picture does not divide into such panels, or a gutter or the border shows something.
    """
    height, width = (
        _panel_side(side, count, gutter_px, border_px) for side, count in zip(picture.shape, grid, strict=True)
    )
    if not height or not width:
        raise ImageError(
            f"montage of {picture.shape[1]} x {picture.shape[0]} px, expected a border of {border_px} px and "
            f"{grid[1]} x {grid[0]} panels of equal size, {gutter_px} px apart; mend [montage] in the profile"
        )
    gutters = _plain_gutters(picture, (height, width), gutter_px, border_px)
    panels = [
        picture[top : top + height, left : left + width]
        for top in _starts(grid[0], height, gutter_px, border_px)
        for left in _starts(grid[1], width, gutter_px, border_px)
    ]
    shown = [panel for panel in panels if panel.min() != panel.max()]
    if gutters.size and shown and all(_ends_in(panel, int(gutters[0])) for panel in shown):
        raise ImageError(
            f"gutters of the montage are wider than {gutter_px} px: every panel ends in their shade; "
            "mend [montage] in the profile"
        )
    return panels


def _panel_side(side: int, count: int, gutter_px: int, border_px: int) -> int:
    """Pixels of one panel along an axis; 0 where the picture does not divide."""
    inner = side - 2 * border_px - (count - 1) * gutter_px
    return inner // count if inner > 0 and inner % count == 0 else 0


def _starts(count: int, panel_px: int, gutter_px: int, border_px: int) -> Iterator[int]:
    return (border_px + place * (panel_px + gutter_px) for place in range(count))


def _ends_in(panel: Counts, shade: int) -> bool:
    """Whether one of the panel's outermost lines is of nothing but this shade."""
    return any(bool((line == shade).all()) for line in (panel[0], panel[-1], panel[:, 0], panel[:, -1]))


def _plain_gutters(picture: Counts, panel: tuple[int, int], gutter_px: int, border_px: int) -> Counts:
    """The pixels between panels, all of one count. Raises as `cut`."""
    inner = picture[border_px : picture.shape[0] - border_px, border_px : picture.shape[1] - border_px]
    is_border = np.ones(picture.shape, np.bool_)
    is_border[border_px : picture.shape[0] - border_px, border_px : picture.shape[1] - border_px] = False
    between = [np.arange(side) % (px + gutter_px) >= px for side, px in zip(inner.shape, panel, strict=True)]
    is_gutter = between[0][:, None] | between[1][None, :]
    for what, pixels in (("border", picture[is_border]), ("gutters", inner[is_gutter])):
        if pixels.size and pixels.min() != pixels.max():
            raise ImageError(
                f"{what} of the montage: counts from {pixels.min()} to {pixels.max()}, expected one single count; "
                "mend [montage] in the profile"
            )
    return inner[is_gutter]
