"""The training loop: every draw follows from seed and epoch, so that a resumed training equals an unbroken one."""

import contextlib
import math
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from edge_ctc.errors import ConfigError
from trainer.augment import augment
from trainer.inputs import Inputs
from trainer.model import CellNet
from trainer.progress import Reporter
from trainer.recipe import Recipe
from trainer.work_folder import WorkFolder

_WARM_UP = 0.1


def train(model: CellNet, inputs: Inputs, recipe: Recipe, work: WorkFolder, reporter: Reporter) -> None:
    """Train `model` in place, on from where `work` stands, and leave it in eval mode.

    The last epoch is the one kept: the learning rate has fallen to 0 by then, and the best of many epochs
    on one or two validation patients would be chosen by their noise, and their figures would flatter.

    Raises:
        ConfigError: the loss is no longer finite.
        DataError: the work folder belongs to another training, or is spoilt.
        ResultsError: the work folder cannot be written.
    """
    _lay_out(model, torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    done = work.restore(model, optimizer)
    if done:
        reporter.say(f"going on after epoch {done} of {recipe.epochs}")
    model.train()
    for epoch in range(done, recipe.epochs):
        with _one_core_left_free():
            loss = _epoch(model, optimizer, inputs, recipe, epoch)
        work.save(model, optimizer, epoch + 1)
        reporter.advanced("epoch", epoch + 1, recipe.epochs, f"loss {loss:.4f}")
    _lay_out(model, torch.contiguous_format)
    model.eval()


def _lay_out(model: CellNet, layout: torch.memory_format) -> None:
    """Convolutions are a quarter faster with the channels last."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


@contextlib.contextmanager
def _one_core_left_free() -> Iterator[None]:
    """Threads of torch wait for each other by spinning: one busy core stalls them all, thirtyfold on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _epoch(model: CellNet, optimizer: torch.optim.Optimizer, inputs: Inputs, recipe: Recipe, epoch: int) -> float:
    """One pass over the cells; the mean loss."""
    generator = torch.Generator().manual_seed(_seed(recipe.seed, epoch))
    targets = torch.from_numpy(inputs.is_ctc).float()
    # CTCs are rare: weighted so that both classes pull alike. Calibration brings the prevalence back.
    weight = (len(targets) - targets.sum()) / targets.sum()
    count = math.ceil(len(targets) / recipe.batch_size)
    batches = torch.randperm(len(targets), generator=generator).tensor_split(count)
    total = 0.0
    for number, batch in enumerate(batches):
        _set_rate(optimizer, recipe, (epoch + number / count) / recipe.epochs)
        cells = augment(torch.from_numpy(inputs.cells[batch.numpy()]), recipe.augmentation, generator)
        loss = _step(model, optimizer, cells, targets[batch], weight)
        if not math.isfinite(loss):
            raise ConfigError(f"epoch {epoch + 1}: loss {loss}, expected a finite one; lower learning_rate")
        total += loss * len(batch)
    return total / len(targets)


def _step(model: CellNet, optimizer: torch.optim.Optimizer, cells: Tensor, targets: Tensor, weight: Tensor) -> float:
    logits, _ = model(cells.contiguous(memory_format=torch.channels_last))
    loss = binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, progress: float) -> None:
    """Linear warm-up over a tenth of the training, then half a cosine to 0: a function of progress, nothing to save."""
    if progress < _WARM_UP:
        share = (progress + 1e-3) / (_WARM_UP + 1e-3)
    else:
        share = 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * share
