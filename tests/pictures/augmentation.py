"""The picture of docs/augmentation.md: `python -m tests.pictures.augmentation` draws it.

Each row is one operation alone, somewhat stronger than the recipes have it, so that it shows in a small picture. All
draws are of one simulated CTC; black to white is one range per channel, which is also the network's 0 to 1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor

from edge_ctc.simulate import CHANNELS, SIDE_PX, focal_series
from tests.pictures.simulator import PATIENT, PICTURES, RANGES, Tile, beside, first_of, grey, sheet
from trainer.learning.augment import augment
from trainer.recipe import Augmentation

SIDE, PLANE_UM, SEED = 48, 3.0, 11
STAINS = (1, 2, 3)
BRIGHT_DRAWS, STAINED_DRAWS = 4, 2
PAPER = 255
FOR_ONE_CHANNEL, FOR_SEVERAL = {"auxiliary"}, {"dropout", "crosstalk"}
OFF: dict[str, Any] = {"rotation": "none", "flips": False, "shift_px": 0, "gain_sigma": 0, "offset_sigma": 0}
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("before", {}),
    ("auxiliary", {"auxiliary": 0.6}),
    ("quarter turns,\nmirror images", {"rotation": "quarter", "flips": True}),
    ("any angle", {"rotation": "any"}),
    ("shift", {"shift_px": 6}),
    ("scale", {"scale": 0.2}),
    ("dropout", {"dropout": 0.5}),
    ("crosstalk", {"crosstalk": 0.6}),
    ("defocus", {"defocus_px": 2.5}),
    ("gain", {"gain_sigma": 0.3}),
    ("offset", {"offset_sigma": 0.15}),
    ("shot noise", {"shot_noise": 0.25}),
    ("read noise", {"read_noise": 0.15}),
    (
        "all, as strong\nas recipes\nhave it",
        {
            "rotation": "any",
            "flips": True,
            "shift_px": 2,
            "scale": 0.05,
            "dropout": 0.1,
            "crosstalk": 0.1,
            "defocus_px": 1.0,
            "gain_sigma": 0.2,
            "offset_sigma": 0.03,
            "shot_noise": 0.05,
            "read_noise": 0.03,
        },
    ),
)


def network_input() -> Tensor:
    """One CTC, float32 (1, 4, SIDE, SIDE), 0 and 1 at the ends of each channel's display range."""
    cell = first_of(("ctc",), PATIENT)["ctc"]
    counts = focal_series(PATIENT, cell.number, True, (PLANE_UM,))[0].astype(np.float32)
    cut = slice((SIDE_PX - SIDE) // 2, (SIDE_PX + SIDE) // 2)
    black, white = np.array([RANGES[channel] for channel in CHANNELS], np.float32).T[:, :, None, None]
    scaled = (counts[:, cut, cut] - black) / (white - black)
    return torch.from_numpy(scaled)[None]


def draws(cells: Tensor, auxiliary: Tensor, count: int, on: dict[str, Any]) -> list[Tile]:
    """The channels of each draw, one draw after the other; blank where the operation is not for such cells."""
    if not FOR_ONE_CHANNEL.isdisjoint(on) if cells.shape[1] > 1 else len(on) == 1 and not FOR_SEVERAL.isdisjoint(on):
        return [np.full((SIDE, SIDE), PAPER, np.uint8)] * (count * cells.shape[1])
    if cells.shape[1] == 1:
        on = {key: value for key, value in on.items() if key not in FOR_SEVERAL}
    recipe = Augmentation.model_validate({**OFF, **on})
    generator = torch.Generator().manual_seed(SEED)
    found = augment(cells.expand(count, -1, -1, -1), auxiliary.expand(count, -1, -1, -1), recipe, STAINS, generator)
    return [grey(plane.double().numpy(), 0, 1) for plane in found.flatten(0, 1)]


def block(cells: Tensor, auxiliary: Tensor, count: int, left: Sequence[str]) -> Image.Image:
    """All rows for cells of the first channels."""
    top = [f"{channel}, draw {number}" for number in range(1, count + 1) for channel in CHANNELS[: cells.shape[1]]]
    return sheet([draws(cells, auxiliary, count, on) for _, on in ROWS], left, top)


def keys(on: dict[str, Any]) -> str:
    """What the recipe says, a key a line; nothing where it is everything."""
    return "\n".join(f"{key}\n{str(value).lower()}" for key, value in on.items()) if len(on) < 3 else ""


def draw() -> Image.Image:
    """Bright field alone on the left, four channels on the right."""
    cell = network_input()
    names = [name for name, _ in ROWS]
    bright = block(cell[:, :1], cell[:, 1:2], BRIGHT_DRAWS, names)
    stained = block(cell, cell[:, :0], STAINED_DRAWS, [keys(on) for _, on in ROWS])
    return beside([bright, stained])


def main(out: Annotated[Path, typer.Option(help="Folder for the picture.")] = PICTURES) -> None:
    """Draw it."""
    out.mkdir(parents=True, exist_ok=True)
    draw().save(out / "augmentation.png", optimize=True)


if __name__ == "__main__":
    typer.run(main)
