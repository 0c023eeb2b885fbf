"""What augmentation costs a training: `python -m tests.benchmarks.trainer_loader` prints the table.

The training loop of the fast recipe, with its augmentation and with every augmentation at once, against the same loop
over batches that lie ready. In each round every arm trains one epoch, so that a busy machine slows all of them; what
counts is the ratio within a round. Threads that wait for each other stall on a busy machine: `--all-cores` is for an
idle one.
"""

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
import typer
from lightning_fabric import Fabric
from torch import Tensor

from trainer.learning import loop
from trainer.learning.inputs import Inputs
from trainer.learning.model import seeded_model
from trainer.recipe import Augmentation, Recipe, built_in_recipe

ONE_CHANNEL = Augmentation(
    rotation="any",
    shift_px=2,
    scale=0.05,
    defocus_px=1,
    gain_sigma=0.2,
    offset_sigma=0.02,
    shot_noise=0.05,
    read_noise=0.02,
)
STAINS = ONE_CHANNEL.model_copy(update={"crosstalk": 0.05, "dropout": 0.1})
SETTINGS = ((512, 1, 40, ONE_CHANNEL), (256, 4, 64, STAINS))
"""Cells, channels, side in pixels, and every augmentation that there is for them."""


class Loop(loop._Course):
    """The training loop as it is."""

    threads = max(1, len(os.sched_getaffinity(0)) - 1)

    def __init__(self, inputs: Inputs, recipe: Recipe) -> None:
        model = seeded_model(inputs.cells.shape[1], recipe)
        loop._lay_out(model, torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
        super().__init__(Fabric(accelerator="cpu", devices=1), model, optimizer, inputs, recipe)

    def rate(self) -> float:
        """Cells a second, over one epoch."""
        torch.set_num_threads(self.threads)
        began = time.perf_counter()
        self.epoch(0)
        return len(self._targets) / (time.perf_counter() - began)


class Ready(Loop):
    """The same batches, made beforehand."""

    def __init__(self, inputs: Inputs, recipe: Recipe) -> None:
        super().__init__(inputs, recipe)
        self._ready: list[Tensor] = []

    def _augmented(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._ready:
            self._ready = [cells for _, cells in super()._augmented(batches, epoch)]
        yield from zip(batches, self._ready, strict=True)


class ReadyOnAllCores(Ready):
    """No core is left free, since nothing else is to be done."""

    threads = len(os.sched_getaffinity(0))


class InLine(Loop):
    """Each batch is made when it is needed, on all cores, and then learned from on all cores."""

    threads = len(os.sched_getaffinity(0))

    def _augmented(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(batches):
            yield batch, self._make(batch, epoch, 1 + number)


def inputs(count: int, channels: int, side: int) -> Inputs:
    """Noise: what it shows costs nothing."""
    numbers = np.random.default_rng(0)
    cells = numbers.random((count, channels, side, side), np.float32)
    return Inputs(
        cells, np.empty((count, 0, side, side), np.float32), np.arange(count) % 4 == 0, tuple(range(1, channels))
    )


def rates(cells: Inputs, recipe: Recipe, arms: Sequence[type[Loop]], rounds: int) -> Mapping[str, Sequence[float]]:
    """Cells a second of each arm, a figure a round; the first epoch of each is not counted."""
    entrants = {arm.__name__: arm(cells, recipe) for arm in arms}
    found = [{name: entrant.rate() for name, entrant in entrants.items()} for _ in range(rounds + 1)]
    return {name: [one[name] for one in found[1:]] for name in entrants}


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the quartiles in brackets."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Epochs of each arm that count.")] = 15,
    all_cores: Annotated[
        bool, typer.Option(help="With the arms that leave no core free; only on a machine that does nothing else.")
    ] = False,
) -> None:
    """Print the table."""
    fast = built_in_recipe()
    arms = (Ready, Loop, ReadyOnAllCores, InLine) if all_cores else (Ready, Loop)
    typer.echo(f"{len(os.sched_getaffinity(0))} cores, {rounds} rounds; median (quartiles)")
    for count, channels, side, everything in SETTINGS:
        for name, augmentation in (("its own", fast.augmentation), ("everything", everything)):
            recipe = fast.model_copy(update={"augmentation": augmentation})
            found = rates(inputs(count, channels, side), recipe, arms, rounds)
            typer.echo(f"{side} px x {channels} channels, augmentation: {name}")
            for arm, figures in found.items():
                ratios = [rate / pure for rate, pure in zip(figures, found["Ready"], strict=True)]
                typer.echo(f"  {arm:16} {spread(figures, 0):22} cells/s, of Ready {spread(ratios, 2)}")


if __name__ == "__main__":
    typer.run(main)
