import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.errors import ImageError
from edge_ctc.images.montage import cut
from edge_ctc.preprocess import Counts
from tests.images import some_counts


def montage(panels: list[list[Counts]], gutter_px: int, border_px: int, gutter: int = 128, border: int = 128) -> Counts:
    """A picture of `panels` put together the slow way, pixel block by pixel block."""
    height, width = panels[0][0].shape
    rows, columns = len(panels), len(panels[0])
    inner = np.full(
        (rows * height + (rows - 1) * gutter_px, columns * width + (columns - 1) * gutter_px), gutter, np.uint8
    )
    for row, line in enumerate(panels):
        for column, panel in enumerate(line):
            top, left = row * (height + gutter_px), column * (width + gutter_px)
            inner[top : top + height, left : left + width] = panel
    return np.pad(inner, border_px, constant_values=border)


def shades(rows: int, columns: int, height: int, width: int) -> list[list[Counts]]:
    return [[some_counts(height, width, 8, 10 * row + column) for column in range(columns)] for row in range(rows)]


@given(
    grid=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    gutter_px=st.integers(0, 4),
    border_px=st.integers(0, 4),
)
def test_every_panel_comes_back_as_it_was_put_in(
    grid: tuple[int, int], size: tuple[int, int], gutter_px: int, border_px: int
) -> None:
    panels = shades(*grid, *size)
    found = cut(montage(panels, gutter_px, border_px), grid, gutter_px, border_px)
    assert len(found) == grid[0] * grid[1]
    assert all(np.array_equal(one, two) for one, two in zip(found, [p for row in panels for p in row], strict=True))


def test_gutters_and_border_may_differ_from_each_other() -> None:
    panels = shades(2, 2, 6, 6)
    assert len(cut(montage(panels, 2, 3, gutter=255, border=0), (2, 2), 2, 3)) == 4


@pytest.mark.parametrize(("gutter_px", "border_px"), [(1, 2), (3, 2), (2, 1), (2, 5), (9, 9), (2, 20)])
def test_a_picture_that_does_not_divide_is_refused_with_its_size(gutter_px: int, border_px: int) -> None:
    with pytest.raises(ImageError, match="montage of 50 x 12 px"):
        cut(montage(shades(1, 4, 8, 10), 2, 2), (1, 4), gutter_px, border_px)


@pytest.mark.parametrize(
    ("grid", "gutter_px", "border_px", "where"),
    [((1, 2), 4, 0, "gutters"), ((1, 2), 0, 2, "border"), ((1, 2), 2, 1, "border")],
)
def test_a_geometry_that_divides_but_cuts_through_cells_is_refused(
    grid: tuple[int, int], gutter_px: int, border_px: int, where: str
) -> None:
    # 2 x 2 panels of 9 x 9 px, 2 px apart without a border: 20 x 20 px divide in many wrong ways.
    with pytest.raises(ImageError, match=f"{where} of the montage: counts from"):
        cut(montage(shades(2, 2, 9, 9), 2, 0), grid, gutter_px, border_px)


def test_gutters_wider_than_declared_are_refused_though_the_picture_divides() -> None:
    # 4 panels of 8 px, 6 px apart, are 50 px wide: so are 4 panels of 11 px, 2 px apart.
    with pytest.raises(ImageError, match="wider than 2 px"):
        cut(montage(shades(1, 4, 9, 8), 6, 0), (1, 4), 2, 0)


def test_a_panel_that_shows_nothing_but_the_gutters_shade_is_no_reason_to_refuse_the_others() -> None:
    panels = [[some_counts(6, 6, 8), np.full((6, 6), 128, np.uint8)]]
    assert len(cut(montage(panels, 2, 0), (1, 2), 2, 0)) == 2
