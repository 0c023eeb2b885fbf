"""The training loop: repeatable, resumable, stopped by patients of its own, and honest about a GPU without room."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edge_ctc.errors import ConfigError, DataError
from tests.listener import KilledError, Listener
from trainer.learning import loop
from trainer.learning.inputs import Inputs
from trainer.learning.loop import train
from trainer.learning.model import CellNet, seeded_model
from trainer.learning.work_folder import Epoch, WorkFolder
from trainer.recipe import Recipe

FINGERPRINT = "a" * 64
SIDE = 16


def recipe(**changes: Any) -> Recipe:
    tiny = {"schema_version": 1, "name": "tiny", "layer4": False, "width": 8, "epochs": 4, "batch_size": 8}
    return Recipe.model_validate(tiny | changes)


def inputs(seed: int, *, is_told_apart: bool = True) -> Inputs:
    """Noise, half of it with a bright spot that tells the classes apart, if they are to be."""
    generator = np.random.default_rng(seed)
    cells = generator.normal(0, 0.3, (24, 1, SIDE, SIDE)).astype(np.float32)
    is_ctc = np.arange(24) % 2 == 0
    if is_told_apart:
        cells[is_ctc, :, 5:11, 5:11] += 1
    return Inputs(cells, np.empty((24, 0, SIDE, SIDE), np.float32), is_ctc)


def trained(
    folder: Path, ours: Recipe, stopping: Inputs | None = None, listener: Listener | None = None
) -> tuple[CellNet, tuple[Epoch, ...]]:
    model = seeded_model(1, ours)
    work = WorkFolder(folder, FINGERPRINT)
    epochs = train(model, inputs(1), stopping, ours, work, listener or Listener())
    return model, epochs


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_seed_gives_the_same_bits_again(tmp_path: Path) -> None:
    first, epochs = trained(tmp_path / "first", recipe())
    second, again = trained(tmp_path / "second", recipe())
    other, _ = trained(tmp_path / "other", recipe(seed=1))
    assert epochs == again
    assert same(first, second)
    assert not same(first, other)


def test_a_training_that_was_killed_ends_as_an_unbroken_one_with_its_best_weights_too(tmp_path: Path) -> None:
    ours, stopping = recipe(patience=3), inputs(2, is_told_apart=False)
    unbroken, epochs = trained(tmp_path / "unbroken", ours, stopping)
    for killed_after in (1, 2, 3):
        folder = tmp_path / f"killed-{killed_after}"
        with pytest.raises(KilledError):
            trained(folder, ours, stopping, Listener(killed_after))
        model, again = trained(folder, ours, stopping)
        assert again == epochs
        assert same(model, unbroken)


def test_a_work_folder_without_its_tensors_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        trained(tmp_path / "work", recipe(), None, Listener(2))
    kept = next((tmp_path / "work").glob("epoch-*.safetensors"))
    kept.unlink()
    with pytest.raises(DataError, match=rf"{kept.name}: no such file, which holds the network after epoch \d") as told:
        trained(tmp_path / "work", recipe())
    assert "Errno" not in str(told.value)
    assert f"put it back, or remove {tmp_path / 'work'} to begin anew" in str(told.value)


def test_a_loss_that_rises_for_so_many_epochs_ends_the_training_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    # Stopping patients on whom nothing can be learned: their loss has its least value early.
    ours, stopping = recipe(epochs=40, patience=2, learning_rate=0.02), inputs(3, is_told_apart=False)
    listener = Listener()
    model, epochs = trained(tmp_path / "work", ours, stopping, listener)
    losses = [epoch.stopping_loss for epoch in epochs if epoch.stopping_loss is not None]
    best = losses.index(min(losses))
    assert len(epochs) == best + 1 + 2 < 40
    assert f"kept: epoch {best + 1} of {len(epochs)}" in listener.heard
    shorter, _ = trained(tmp_path / "shorter", ours, stopping)
    assert same(model, shorter)
    assert loss_of(model, stopping) == pytest.approx(min(losses), rel=1e-4)


def loss_of(model: CellNet, of: Inputs) -> float:
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(of.cells))
    targets = torch.from_numpy(of.is_ctc).float()
    return float(nn.functional.binary_cross_entropy_with_logits(logits, targets))


def test_without_patience_the_last_epoch_is_kept_and_nobody_is_watched(tmp_path: Path) -> None:
    _, epochs = trained(tmp_path / "work", recipe())
    assert len(epochs) == 4
    assert all(epoch.stopping_loss is None for epoch in epochs)
    assert epochs[-1].loss < epochs[0].loss


def test_the_model_comes_back_on_the_cpu_and_in_eval_mode(tmp_path: Path) -> None:
    model, _ = trained(tmp_path / "work", recipe())
    assert not model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_bfloat16_where_the_recipe_asks_for_it_changes_the_arithmetic_and_leaves_float32_weights(
    tmp_path: Path,
) -> None:
    full, _ = trained(tmp_path / "full", recipe())
    mixed, _ = trained(tmp_path / "mixed", recipe(precision="bf16-mixed"))
    assert not same(full, mixed)
    assert {parameter.dtype for parameter in mixed.parameters()} == {torch.float32}


class _Full(CellNet):
    """Stands for a network too large for the GPU."""

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError(f"no room for {tuple(cells.shape)}")


def test_a_gpu_without_room_is_told_with_what_to_change(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "work", FINGERPRINT)
    with pytest.raises(ConfigError, match="batch_size 8: the GPU has no room for it; name a smaller one"):
        train(_Full(1, recipe()), inputs(1), None, recipe(), work, Listener())


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a finite one; lower learning_rate"):
        trained(tmp_path / "work", recipe(learning_rate=1e30))


def test_weights_too_large_for_a_gpu_are_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Fabric, "setup", no_room)
    with pytest.raises(ConfigError, match="the GPU has no room for it"):
        trained(tmp_path / "work", recipe())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accelerator": "gpu"}, "accelerator gpu: torch finds none here"),
        ({"precision": "16-mixed"}, "precision 16-mixed: for a GPU, and this is a CPU; name bf16-mixed"),
        ({"precision": "16-mixed", "accelerator": "cpu"}, "precision 16-mixed: for a GPU"),
    ],
)
def test_what_wants_a_gpu_is_refused_where_there_is_none(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        trained(tmp_path / "work", recipe(**changes))


def test_what_is_restored_goes_to_where_fabric_put_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Doubles stand for a GPU: Fabric turns the weights into them as late as it moves them there.
    monkeypatch.setattr(loop, "Fabric", lambda **_: Fabric(accelerator="cpu", devices=1, precision="64-true"))
    # Nothing is drawn: with doubles, Fabric changes the type that draws have in all threads.
    off = {"rotation": "none", "flips": False, "shift_px": 0.0, "gain_sigma": 0.0, "offset_sigma": 0.0}
    ours = recipe(augmentation=off)
    unbroken, epochs = trained(tmp_path / "unbroken", ours)
    assert unbroken.conv1.weight.dtype == torch.float64
    with pytest.raises(KilledError):
        trained(tmp_path / "killed", ours, listener=Listener(killed_after=2))
    model, again = trained(tmp_path / "killed", ours)
    assert again == epochs
    assert same(model, unbroken)


def test_a_batch_that_was_learned_from_stays_in_memory_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def augment(cells: Tensor, *_: object) -> Tensor:
        alive.append(sum(one() is not None for one in made))
        made.append(weakref.ref(laid_out := cells.clone(memory_format=torch.channels_last)))
        return laid_out

    monkeypatch.setattr(loop, "augment", augment)
    trained(tmp_path / "work", recipe(epochs=1, batch_size=3))
    assert len(made) == 8
    assert 0 < max(alive) <= 3


class _Forgetful(CellNet):
    """Scores nothing sensible once it is in eval mode, as batch norms may whose running variance has overflowed."""

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().forward(cells)
        return (logits if self.training else logits * torch.nan), features


def test_a_loss_of_stopping_patients_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "work", FINGERPRINT)
    ours = recipe(patience=2)
    with pytest.raises(ConfigError, match="loss of stopping patients nan, expected a finite one; lower learning_rate"):
        train(_Forgetful(1, ours), inputs(1), inputs(2), ours, work, Listener())


@pytest.mark.parametrize("count", [3, 7, 23])
def test_no_step_is_left_with_a_single_cell(tmp_path: Path, count: int) -> None:
    # Of one cell with one pixel per map, batch norm has no variance.
    whole, ours = inputs(1), recipe(layer4=True, batch_size=3, epochs=1)
    few = Inputs(whole.cells[:count], whole.auxiliary[:count], whole.is_ctc[:count])
    epochs = train(seeded_model(1, ours), few, None, ours, WorkFolder(tmp_path / "work", FINGERPRINT), Listener())
    assert len(epochs) == 1
