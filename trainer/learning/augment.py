"""Augmentation: what may differ between two images of one cell, drawn anew for each cell of a batch.

Every function takes float32 (N, C, S, S), network input, on any device, gives the same, and draws from a generator of
that device. What is drawn follows from the generator alone; which cell gets which draw follows from the batch, and an
operation that is switched off draws nothing, so that the draws after it are others.

The images are moved and blurred by kornia's functions, but with draws of our own: kornia's classes draw from torch's
one global generator, which the network's thread and the loader's share, and torchvision's draw once for a whole batch.
"""

import math
from collections.abc import Sequence

import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_affine_matrix2d, warp_affine
from torch import Tensor

from trainer.recipe import Augmentation

_BLUR_REACH = 3
"""Standard deviations on each side that a blur sums over."""
_SHARPEST_PX = 0.05
"""Sd of a blur that changes no pixel: the kernel needs one above 0."""


def augment(
    cells: Tensor, auxiliary: Tensor, recipe: Augmentation, stains: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Cells as they might have been seen, in the order in which stain, light, lens and camera act.

    Args:
        cells: network input; left as it is.
        auxiliary: float32 (N, A, S, S), images of the auxiliary channels of the same cells; A may be 0.
        recipe: what may differ, and how much; what is 0, "none" or false is not done.
        stains: which of the C channels fluoresce, in the order of their spectra.
        generator: everything is drawn from it.

    Returns:
        float32 (N, C, S, S), contiguous; `cells` itself where nothing is done.
    """
    if recipe.auxiliary:
        cells = with_auxiliary(cells, auxiliary, recipe.auxiliary, generator)
    if recipe.rotation == "quarter" or recipe.flips:
        cells = turned(cells, recipe, generator)
    if recipe.rotation == "any" or recipe.scale or recipe.shift_px % 1:
        cells = moved(cells, recipe, generator)
    elif recipe.shift_px:
        cells = shifted(cells, int(recipe.shift_px), generator)
    if recipe.dropout:
        cells = dropped_out(cells, recipe.dropout, stains, generator)
    if recipe.crosstalk:
        cells = with_crosstalk(cells, recipe.crosstalk, stains, generator)
    if recipe.defocus_px:
        cells = defocused(cells, recipe.defocus_px, generator)
    if recipe.gain_sigma or recipe.offset_sigma:
        cells = with_gain_and_offset(cells, recipe.gain_sigma, recipe.offset_sigma, generator)
    if recipe.shot_noise or recipe.read_noise:
        cells = with_noise(cells, recipe.shot_noise, recipe.read_noise, generator)
    return cells


def with_auxiliary(cells: Tensor, auxiliary: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Some cells show an auxiliary channel in the place of their one channel.

    A nuclear stain shows the shape that bright field only hints at. A network that must tell the classes in both
    looks for that shape. Only bright field is there when it is used (arXiv 2503.03410).

    Args:
        cells: with one channel.
        auxiliary: float32 (N, A, S, S), A at least 1.
        probability: of each cell.
        generator: which cells, and which channel each shows.
    """
    count, kinds = auxiliary.shape[:2]
    swaps = _chosen((count, 1, 1, 1), probability, generator)
    kind = torch.randint(kinds, (count,), generator=generator, device=generator.device)
    shown = auxiliary[torch.arange(count, device=generator.device), kind][:, None]
    return torch.where(swaps, shown, cells)


def turned(cells: Tensor, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Quarter turns and mirror images, exact: a suspended cell has no top and no handedness.

    Every turn and mirror image of a square is a mirroring or none of its columns, of its rows and of its diagonal;
    those with an even number of the three are turns.
    """
    per_cell = (len(cells), 1, 1)
    flipped = _chosen(per_cell, 0.5 if recipe.flips else 0.0, generator)
    quarters = 0.5 if recipe.rotation == "quarter" else 0.0
    transposed, upended = (_chosen(per_cell, quarters, generator) for _ in range(2))
    side = cells.shape[-1]
    place = torch.arange(side, device=generator.device)
    down = torch.where(upended, place.flip(0), place).mT * torch.where(transposed, 1, side)
    right = torch.where(flipped ^ transposed ^ upended, place.flip(0), place) * torch.where(transposed, side, 1)
    return _taken(cells, down, right)


def shifted(cells: Tensor, most_px: int, generator: torch.Generator) -> Tensor:
    """Moved by whole pixels: an instrument centres its cut-out on a segmentation, not on the cell.

    Exact. Edge pixels are repeated, as `edge_ctc.preprocess` pads a small image.
    """
    side, per_cell = cells.shape[-1], (2, len(cells), 1, 1)
    down, right = torch.randint(-most_px, most_px + 1, per_cell, generator=generator, device=generator.device)
    place = torch.arange(side, device=generator.device)
    return _taken(cells, (place[:, None] - down).clamp(0, side - 1) * side, (place - right).clamp(0, side - 1))


def _taken(cells: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each pixel from the place whose number, row after row, is the sum of what its row and its column say.

    Args:
        cells: network input; all channels of a cell alike.
        down: int64 (N, S, 1).
        right: int64 (N, 1, S).
    """
    pixel = (down + right).flatten(1)[:, None].expand(-1, cells.shape[1], -1)
    return cells.flatten(2).gather(2, pixel).view(cells.shape)


def moved(cells: Tensor, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Turned by any angle, scaled and shifted at once, all channels alike: they are taken of one cell at rest.

    The scale stands for pixel sizes and for osmotic swelling of a few percent; it stays small because size tells CTCs
    from leukocytes.
    """
    most = 180.0 if recipe.rotation == "any" else 0.0
    angle = _uniform((len(cells),), -most, most, generator)
    scale = _uniform((len(cells),), 1 - recipe.scale, 1 + recipe.scale, generator)
    shift = _uniform((len(cells), 2), -recipe.shift_px, recipe.shift_px, generator)
    return warped(cells, angle, scale, shift)


def warped(cells: Tensor, angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Each cell turned and scaled about its image's middle, then shifted; the channel's background comes into view.

    Bicubic: bilinear interpolation would blur what is turned, and leave sharp what is not.

    Args:
        cells: network input.
        angle: float32 (N,), degrees, clockwise as displayed.
        scale: float32 (N,), above 1 enlarges.
        shift: float32 (N, 2), pixels right and down.
    """
    height, width = cells.shape[2:]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=cells.device).expand(len(cells), 2)
    # kornia's matrix leads from the source to the destination, pixel centres at whole numbers.
    matrix = get_affine_matrix2d(shift, middle, scale[:, None].expand(-1, 2), angle)[:, :2]
    behind = background(cells)
    seen = warp_affine(cells - behind, matrix, (height, width), mode="bicubic", padding_mode="zeros")
    return seen.add_(behind)


def dropped_out(cells: Tensor, probability: float, stains: Sequence[int], generator: torch.Generator) -> Tensor:
    """Some stains show their background alone, never all of a cell: a stain fails, or a CTC lacks the marker."""
    drops = _chosen((len(cells), len(stains)), probability, generator)
    stays = torch.randint(len(stains), (len(cells), 1), generator=generator, device=generator.device)
    drops = drops.scatter(1, stays, torch.zeros_like(drops))[:, :, None, None]
    chosen = torch.tensor(stains, device=generator.device)
    stained = cells[:, chosen]
    return cells.index_copy(1, chosen, torch.where(drops, background(stained), stained))


def with_crosstalk(cells: Tensor, most: float, stains: Sequence[int], generator: torch.Generator) -> Tensor:
    """A share of each stain's signal shows in its neighbours: the spectra of stains and filters overlap.

    Signal is what lies above or below the background; a stain that dropped out sends none.
    """
    chosen = torch.tensor(stains, device=generator.device)
    stained = cells[:, chosen]
    place = torch.arange(len(stains), device=generator.device)
    beside = (place[:, None] - place).abs() == 1
    share = _uniform((len(cells), len(stains), len(stains)), 0, most, generator) * beside
    shone = share @ (stained - background(stained)).flatten(2)
    return cells.index_add(1, chosen, shone.view(stained.shape))


def defocused(cells: Tensor, most_px: float, generator: torch.Generator) -> Tensor:
    """Each channel blurred by its own Gaussian: cells lie at different heights, colours focus at different ones."""
    count, channels, height, width = cells.shape
    sigma = _uniform((count * channels, 1), _SHARPEST_PX, max(most_px, _SHARPEST_PX), generator).expand(-1, 2)
    side = 2 * math.ceil(_BLUR_REACH * most_px) + 1
    planes = cells.reshape(count * channels, 1, height, width)
    return gaussian_blur2d(planes, (side, side), sigma, border_type="replicate").reshape(cells.shape)


def with_gain_and_offset(cells: Tensor, gain_sigma: float, offset_sigma: float, generator: torch.Generator) -> Tensor:
    """Brightness of each channel stretched and shifted: stain, exposure and lamp differ between days."""
    per_channel = (*cells.shape[:2], 1, 1)
    gain = (gain_sigma * _normal(per_channel, generator)).exp()
    return torch.addcmul(offset_sigma * _normal(per_channel, generator), cells, gain)


def with_noise(cells: Tensor, shot: float, read: float, generator: torch.Generator) -> Tensor:
    """Photons come by chance, with a variance that grows with brightness; a camera adds its own, the same everywhere.

    Brightness 0 of the input stands for no light [assumed]. Poisson's distribution is taken as Gauss's: at the hundreds
    of electrons that a pixel collects they are alike.
    """
    per_cell = (len(cells), 1, 1, 1)
    shot_variance = _uniform(per_cell, 0, shot, generator) ** 2
    read_variance = _uniform(per_cell, 0, read, generator) ** 2
    # In place: fresh memory costs more than the arithmetic.
    sd = cells.clamp(min=0).mul_(shot_variance).add_(read_variance).sqrt_()
    return sd.mul_(_normal(cells.shape, generator)).add_(cells)


def background(cells: Tensor) -> Tensor:
    """The median of the outermost pixels of each channel, float32 (N, C, 1, 1): no cell reaches most of them."""
    sides = (cells[:, :, 0], cells[:, :, -1], cells[:, :, :, 0], cells[:, :, :, -1])
    return torch.cat(sides, 2).median(2).values[:, :, None, None]


def _chosen(shape: tuple[int, ...], probability: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) < probability


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
