"""Augmentation: what may differ between two images of one cell, drawn anew for each cell of a batch."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.recipe import Augmentation


def augment(cells: Tensor, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Cells as they might have been seen.

    Args:
        cells: float32 (N, C, H, H), network input.
        recipe: what may differ, and how much.
        generator: everything is drawn from it.

    Returns:
        float32 (N, C, H, H), the caller's own.
    """
    if recipe.turns:
        cells = _turned(cells, generator)
    if recipe.shift_px:
        cells = _shifted(cells, recipe.shift_px, generator)
    per_channel = (*cells.shape[:2], 1, 1)
    gain = (recipe.gain_sigma * torch.randn(per_channel, generator=generator)).exp()
    offset = recipe.offset_sigma * torch.randn(per_channel, generator=generator)
    cells = cells * gain + offset
    if recipe.noise_sigma:
        cells = cells + recipe.noise_sigma * torch.randn(cells.shape, generator=generator)
    return cells


def _turned(cells: Tensor, generator: torch.Generator) -> Tensor:
    turned = torch.empty_like(cells)
    drawn = torch.randint(8, (len(cells),), generator=generator)
    for way in range(8):
        chosen = drawn == way
        quarter = cells[chosen].rot90(way % 4, (2, 3))
        turned[chosen] = quarter.flip(3) if way >= 4 else quarter
    return turned


def _shifted(cells: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each cell moved by whole pixels; its edge pixels are repeated, as `prepare` does."""
    count, _, height, width = cells.shape
    framed = functional.pad(cells, (most, most, most, most), mode="replicate")
    first = torch.randint(2 * most + 1, (2, count), generator=generator)
    rows = first[0, :, None] + torch.arange(height)
    columns = first[1, :, None] + torch.arange(width)
    # Two advanced indices around a slice put the cells' axes first and the channels last.
    return framed[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
