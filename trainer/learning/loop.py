"""The training loop: every draw follows from seed, epoch and batch.

So a resumed training equals an unbroken one, on a CPU bit for bit. On a GPU sums come in any order, and the factor that
"16-mixed" scales its gradients with begins anew.
"""

import contextlib
import copy
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from edge_ctc.errors import ConfigError
from trainer.learning.augment import augment
from trainer.learning.inputs import Inputs
from trainer.learning.model import CellNet
from trainer.learning.work_folder import Epoch, WorkFolder
from trainer.progress import Reporter
from trainer.recipe import Recipe

_WARM_UP = 0.1
_SCORED_AT_ONCE = 256


def train(
    model: CellNet, inputs: Inputs, stopping: Inputs | None, recipe: Recipe, work: WorkFolder, reporter: Reporter
) -> tuple[Epoch, ...]:
    """Train `model` in place, on from where `work` stands, and leave it on the CPU in eval mode.

    Without `stopping` the last epoch is the one kept: the learning rate has fallen to 0 by then. The best of many
    epochs on the patients that choose the thresholds would be chosen by their noise, and their figures would
    flatter: so `stopping` are others.

    Args:
        model: as it starts.
        inputs: to train on.
        stopping: cells of patients who decide when to stop; None where the recipe has no patience.
        recipe: how.
        work: what is kept after each epoch.
        reporter: told of each epoch.

    Returns:
        Every epoch, in order.

    Raises:
        ConfigError: the loss is no longer finite, the recipe wants a GPU where there is none, or it has no room.
        DataError: the work folder belongs to another training, or is spoilt.
        ResultsError: the work folder cannot be written.
    """
    fabric = _fabric(recipe)
    _lay_out(model, torch.channels_last)
    best = None if stopping is None else copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    try:
        course = _Course(fabric, model, optimizer, inputs, recipe)
        # Only now: what is restored goes to where Fabric put the weights.
        epochs = list(work.restore(model, best, optimizer))
        if epochs:
            reporter.say(f"going on after epoch {len(epochs)} of {recipe.epochs}")
        while len(epochs) < recipe.epochs and not _is_over(epochs, recipe.patience):
            with _one_core_left_free():
                loss = course.epoch(len(epochs))
                watched = None if stopping is None else course.loss_of(stopping)
            epochs.append(Epoch(loss=loss, stopping_loss=watched))
            if best is not None and _best(epochs) == len(epochs) - 1:
                best.load_state_dict(model.state_dict())
            work.save(model, best, optimizer, epochs)
            told = f"loss {loss:.4f}" + ("" if watched is None else f", of stopping patients {watched:.4f}")
            reporter.advanced("epoch", len(epochs), recipe.epochs, told)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"batch_size {recipe.batch_size}: the GPU has no room for it; name a smaller one, or accelerator cpu"
        ) from error
    model.cpu()
    if best is not None:
        reporter.say(f"kept: epoch {_best(epochs) + 1} of {len(epochs)}")
        model.load_state_dict(best.state_dict())
    _lay_out(model, torch.contiguous_format)
    model.eval()
    return tuple(epochs)


def _fabric(recipe: Recipe) -> Fabric:
    has_gpu = torch.cuda.is_available()
    if recipe.accelerator == "gpu" and not has_gpu:
        raise ConfigError("accelerator gpu: torch finds none here; name auto or cpu in the recipe")
    on_gpu = has_gpu and recipe.accelerator != "cpu"
    if recipe.precision == "16-mixed" and not on_gpu:
        # Fabric would take bfloat16 and only warn.
        raise ConfigError("precision 16-mixed: for a GPU, and this is a CPU; name bf16-mixed or 32-true in the recipe")
    return Fabric(accelerator="cuda" if on_gpu else "cpu", devices=1, precision=recipe.precision)


def _best(epochs: Sequence[Epoch]) -> int:
    """The epoch, from 0, after which stopping patients had the smallest loss; the last where there are none."""
    losses = [math.inf if epoch.stopping_loss is None else epoch.stopping_loss for epoch in epochs]
    return len(epochs) - 1 if math.isinf(min(losses)) else losses.index(min(losses))


def _is_over(epochs: Sequence[Epoch], patience: int | None) -> bool:
    return patience is not None and len(epochs) > 0 and len(epochs) - 1 - _best(epochs) >= patience


class _Course:
    """One training as it goes, on the device that Fabric found."""

    def __init__(
        self, fabric: Fabric, model: CellNet, optimizer: torch.optim.Optimizer, inputs: Inputs, recipe: Recipe
    ) -> None:
        self._fabric, self._recipe = fabric, recipe
        wrapped: tuple[nn.Module, torch.optim.Optimizer] = fabric.setup(model, optimizer)
        self._model, self._optimizer = wrapped
        self._stains = inputs.stains
        self._cells = torch.from_numpy(inputs.cells)
        self._auxiliary = torch.from_numpy(inputs.auxiliary)
        self._targets = torch.from_numpy(inputs.is_ctc).float()
        # CTCs are rare: weighted so that both classes pull alike. Calibration brings the prevalence back.
        self._weight = (len(self._targets) - self._targets.sum()) / self._targets.sum()

    def epoch(self, epoch: int) -> float:
        """One pass over the cells; the mean loss."""
        recipe, count = self._recipe, len(self._targets)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(_seed(recipe.seed, epoch, 0)))
        batches = order.tensor_split(math.ceil(count / recipe.batch_size))
        self._model.train()
        total = 0.0
        for number, (batch, cells) in enumerate(self._augmented(batches, epoch)):
            _set_rate(self._optimizer, recipe, (epoch + number / len(batches)) / recipe.epochs)
            loss = self._loss(cells, self._targets[batch])
            self._optimizer.zero_grad()
            self._fabric.backward(loss)
            self._optimizer.step()
            total += _finite(loss.item(), f"epoch {epoch + 1}: loss") * len(batch)
        return total / count

    def loss_of(self, inputs: Inputs) -> float:
        """The mean loss of cells as they are, with the weight of the cells that are trained on."""
        self._model.eval()
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(inputs.cells), _SCORED_AT_ONCE)
            targets = torch.split(torch.from_numpy(inputs.is_ctc).float(), _SCORED_AT_ONCE)
            losses = [
                len(part) * self._loss(self._placed(part), target).item()
                for part, target in zip(parts, targets, strict=True)
            ]
        return _finite(sum(losses) / len(inputs.is_ctc), "loss of stopping patients")

    def _loss(self, cells: Tensor, targets: Tensor) -> Tensor:
        logits, _ = self._model(cells)
        device = logits.device
        return binary_cross_entropy_with_logits(logits.float(), targets.to(device), pos_weight=self._weight.to(device))

    def _augmented(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Each batch with its cells as the network takes them; the next is made while one is learned from."""
        with ThreadPoolExecutor(1) as ahead:
            coming = deque(
                ahead.submit(self._make, batch, epoch, 1 + number) for number, batch in enumerate(batches[:2])
            )
            for number, batch in enumerate(batches):
                # Taken out: a future that is kept keeps its cells, in the end all of the epoch's.
                yield batch, coming.popleft().result()
                if number + 2 < len(batches):
                    coming.append(ahead.submit(self._make, batches[number + 2], epoch, 3 + number))

    def _make(self, batch: Tensor, epoch: int, number: int) -> Tensor:
        device = self._fabric.device
        generator = torch.Generator(device).manual_seed(_seed(self._recipe.seed, epoch, number))
        chosen = (self._cells[batch].to(device), self._auxiliary[batch].to(device))
        return self._placed(augment(*chosen, self._recipe.augmentation, self._stains, generator))

    def _placed(self, cells: Tensor) -> Tensor:
        """Convolutions are a quarter faster with the channels last."""
        return cells.to(self._fabric.device).contiguous(memory_format=torch.channels_last)


def _finite(loss: float, named: str) -> float:
    if not math.isfinite(loss):
        raise ConfigError(f"{named} {loss}, expected a finite one; lower learning_rate")
    return loss


def _lay_out(model: CellNet, layout: torch.memory_format) -> None:
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


@contextlib.contextmanager
def _one_core_left_free() -> Iterator[None]:
    """Threads of torch wait for each other by spinning: one busy core stalls them all, thirtyfold on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, len(os.sched_getaffinity(0)) - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, progress: float) -> None:
    """Linear warm-up over a tenth of the training, then half a cosine to 0: a function of progress, nothing to save."""
    if progress < _WARM_UP:
        share = (progress + 1e-3) / (_WARM_UP + 1e-3)
    else:
        share = 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * share
