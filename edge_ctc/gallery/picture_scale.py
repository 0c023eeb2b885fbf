"""How much the pictures are enlarged: one scale for all of a page, as large as the screen lets it be."""

from collections.abc import Sequence
from dataclasses import dataclass

_TALLEST_PX = 340
_LARGEST_SCALE = 8
_GAP_PX = 8
_SCREEN_TEXT_PX = 440
_PAPER_TEXT_PX = 210
_PAPER_PX = 700
"""A4 upright between margins of 12 mm, at 96 CSS pixels an inch."""


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Width and height in pixels."""

    width: int
    height: int


def scale_rules(sizes: Sequence[PictureSize], channels: int) -> str:
    """CSS that sets `--scale`, CSS pixels per pixel, by the width of the screen and for paper.

    On the screen they are whole, so that every pixel has the same size. The next one is taken where all channels of
    the widest cell fit side by side with the words beside them, and no picture is taller than a third of a screen.
    """
    if not sizes:
        return ""
    width, height = max(size.width for size in sizes), max(size.height for size in sizes)
    largest = min(_LARGEST_SCALE, max(1, _TALLEST_PX // height))
    smallest = min(2, largest)
    rules = [f":root {{ --scale: {smallest}; }}"]
    for scale in range(smallest + 1, largest + 1):
        needed = channels * (scale * width + _GAP_PX) + _SCREEN_TEXT_PX
        rules.append(f"@media (min-width: {needed}px) {{ :root {{ --scale: {scale}; }} }}")
    on_paper = (_PAPER_PX - _PAPER_TEXT_PX - channels * _GAP_PX) / (channels * width)
    rules.append(f"@media print {{ :root {{ --scale: {min(largest, on_paper):.2f}; }} }}")
    return "\n".join(rules)
