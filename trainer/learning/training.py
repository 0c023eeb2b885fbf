"""One network from labelled cells: what `fit` exports and what cross-validation scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge_ctc.preprocess import InputSpec
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.learning.export import torch_scores
from trainer.learning.inputs import Inputs, auxiliary_spec, input_spec, prepared, stain_places
from trainer.learning.loop import train
from trainer.learning.model import CellNet, seeded_model
from trainer.learning.start import Start, apply_start, unfold_norms
from trainer.learning.work_folder import Epoch, WorkFolder
from trainer.progress import Reporter
from trainer.recipe import Recipe

_UNFOLDING_CELLS = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """The cells that a training sees; the patients of the two are others.

    Attributes:
        train: learned from.
        stopping: decide when to stop; empty where the recipe has no patience.
    """

    train: Sequence[LabelledCell]
    stopping: Sequence[LabelledCell] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """A network as it came out of its training.

    Attributes:
        model: on the CPU, in eval mode.
        spec: what it takes, settled by the cells that it was trained on.
        said: in words, what became of the weights that it started from.
        epochs: in order.
    """

    model: CellNet
    spec: InputSpec
    said: tuple[str, ...]
    epochs: tuple[Epoch, ...]


def train_network(
    parts: Parts, dataset: Dataset, recipe: Recipe, start: Start, work: WorkFolder, reporter: Reporter
) -> Trained:
    """Train one network, on from where `work` stands.

    Raises:
        ConfigError: the loss is no longer finite, the GPU has no room, or the start does not fit.
        DataError: a channel shows one count in all training cells, or the work folder belongs to another training.
        ResultsError: the work folder cannot be written.
    """
    spec, auxiliary = input_spec(parts.train, dataset, recipe), auxiliary_spec(parts.train, dataset, recipe)
    inputs = prepared(parts.train, spec, auxiliary, stain_places(spec, recipe))
    stopping = prepared(parts.stopping, spec) if parts.stopping else None
    model = seeded_model(len(dataset.channels), recipe)
    said = apply_start(model, start, recipe)
    said += unfold_norms(model, start, _some(inputs, recipe.seed))
    for line in said:
        reporter.say(line)
    epochs = train(model, inputs, stopping, recipe, work, reporter)
    return Trained(model, spec, said, epochs)


def scores(trained: Trained, cells: Sequence[LabelledCell]) -> NDArray[np.float32]:
    """The logits (N,) of cells, by torch; the product's graphs differ by `export.TOLERANCES` at most."""
    return torch_scores(trained.model, prepared(cells, trained.spec).cells).logits


def _some(inputs: Inputs, seed: int) -> torch.Tensor:
    chosen = np.random.default_rng(seed).permutation(len(inputs.cells))[:_UNFOLDING_CELLS]
    return torch.from_numpy(inputs.cells[chosen])
