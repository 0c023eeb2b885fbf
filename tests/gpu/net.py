"""The one network that all contenders compute: a checkpoint for our engines, a module for torch."""

import importlib
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.checkpoint import Checkpoint, Reference
from edge_ctc.engine.runtimes import MAX_BATCH
from edge_ctc.preprocess import prepare
from tests.gpu.section import NotRunError


@dataclass(frozen=True, slots=True)
class Net:
    """The network that is timed.

    Attributes:
        checkpoint: its graphs; all else is the shipped checkpoint's.
        model: the same in torch; None where torch or the trainer's packages are missing.
        without_torch: why it is missing.
        cells: float32 (64, C, H, W), simulated.
    """

    checkpoint: Checkpoint
    model: Any | None
    without_torch: str
    cells: NDArray[np.float32]

    def fresh_model(self) -> Any:
        """A copy: moving a module to another device or precision changes it in place."""
        return deepcopy(self.model)


def torch_or_not_run() -> Any:
    """The module torch. Raises NotRunError where it is missing."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise NotRunError(f"torch is not installed ({error})") from error


def make_net(shipped: Checkpoint, simulated: Checkpoint) -> Net:
    """The shipped recipe with seeded random weights, since a checkpoint holds none that torch could load.

    Without torch or the trainer's packages, our engines compute the shipped checkpoint itself: its shapes are the same.

    Args:
        shipped: what our engines compute then.
        simulated: the same with the simulated cells in place of its reference cells.
    """
    cells = _cells(simulated)
    try:
        torch_or_not_run()
        export = importlib.import_module("trainer.learning.export").export
        seeded_model = importlib.import_module("trainer.learning.model").seeded_model
        recipe = importlib.import_module("trainer.recipe").built_in_recipe("reference.toml")
    except (ImportError, NotRunError) as error:
        return Net(shipped, None, f"the trainer's packages are not all here ({error})", cells)
    model = seeded_model(len(simulated.input.channels), recipe).eval()
    exported = export(model, simulated.input, cells)
    reference = Reference(
        images=simulated.reference.images[: len(cells)],
        logits=exported.scores.logits,
        features=exported.scores.features,
        tolerances=simulated.reference.tolerances,
    )
    return Net(replace(simulated, models=exported.graphs, reference=reference), model, "", cells)


def _cells(simulated: Checkpoint) -> NDArray[np.float32]:
    """As many simulated cells as the largest batch takes; of fewer, some twice."""
    cells = np.zeros((MAX_BATCH, *simulated.input.shape), np.float32)
    images = simulated.reference.images
    for number, place in enumerate(cells):
        prepare(list(images[number % len(images)]), simulated.input, place)
    return cells
