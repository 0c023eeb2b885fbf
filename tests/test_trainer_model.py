"""Networks: shapes, norms, starts, and that both graphs say what torch says."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_ctc.errors import ConfigError, EngineError
from edge_ctc.preprocess import ChannelInput, InputSpec
from trainer.learning import export as export_module
from trainer.learning.export import TOLERANCES, export, torch_scores
from trainer.learning.model import CellNet, seeded_model
from trainer.learning.start import apply_start, read_start, unfold_norms
from trainer.recipe import Recipe


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({"schema_version": 1, "name": "small", "epochs": 1, "width": 8, **changes})


def spec(channels: int = 2, side_px: int = 24) -> InputSpec:
    named = tuple(ChannelInput(name=f"c{index}", range=(0.0, 1.0)) for index in range(channels))
    return InputSpec(channels=named, side_px=side_px, dtype="uint16")


def random_cells(count: int, channels: int = 2, side_px: int = 24) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).random((count, channels, side_px, side_px), np.float32)


def folded_file(path: Path, *, without_layer4: bool = True) -> Path:
    """A state dict of torchvision's names whose batch norms were folded into the convolutions."""
    model = seeded_model(3, recipe(width=64, seed=5))
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if name.endswith("bn1.bias"):
            tensor.normal_(generator=torch.Generator().manual_seed(1))
    if without_layer4:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(("layer4", "fc"))}
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        ({}, 64),
        ({"layer4": False}, 32),
        ({"width": 16, "stem_pool": False}, 128),
        ({"architecture": "resnet34", "norm": "group"}, 64),
        ({"architecture": "resnet50", "layer4": False}, 128),
    ],
)
def test_a_network_gives_one_logit_and_the_pooled_vector(changes: dict[str, object], features: int) -> None:
    logits, vector = seeded_model(2, recipe(**changes))(torch.from_numpy(random_cells(3)))
    assert (logits.shape, vector.shape) == ((3,), (3, features))


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = seeded_model(2, recipe()).conv1.weight
    torch.manual_seed(2)
    assert torch.equal(first, seeded_model(2, recipe()).conv1.weight)
    assert not torch.equal(first, seeded_model(2, recipe(seed=1)).conv1.weight)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_both_graphs_say_what_torch_says_at_any_batch(norm: str) -> None:
    model = seeded_model(2, recipe(norm=norm, layer4=False)).eval()
    exported = export(model, spec(), random_cells(70))
    assert exported.differences["fp32"] <= TOLERANCES["fp32"]
    assert 0 < exported.differences["fp16"] <= TOLERANCES["fp16"]
    assert exported.scores.logits.shape == (70,)


def test_a_graph_tells_nothing_of_the_machine_that_made_it() -> None:
    graph = export(seeded_model(2, recipe(layer4=False)).eval(), spec(), random_cells(2)).graphs["fp32"]
    assert str(Path(__file__).parents[1]).encode() not in graph
    assert b"site-packages" not in graph
    assert onnx.load_from_string(graph).opset_import[0].version == 18


def test_a_graph_that_differs_from_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "TOLERANCES", {"fp32": 1e-3, "fp16": 1e-12})
    with pytest.raises(EngineError, match=r"fp16 graph: a logit is off torch's by .*no checkpoint is written"):
        export(seeded_model(2, recipe(layer4=False)).eval(), spec(), random_cells(2))


@pytest.mark.parametrize("norm", ["batch", "frozen", "group"])
def test_a_start_file_without_layer4_is_loaded_adapted_and_told(tmp_path: Path, norm: str) -> None:
    ours = recipe(width=64, norm=norm, start=str(folded_file(tmp_path / "start.pt")))
    start = read_start(ours)
    model = seeded_model(4, ours)
    said = "\n".join(apply_start(model, start, ours))
    assert torch.equal(model.get_parameter("layer3.1.conv2.weight"), start.tensors["layer3.1.conv2.weight"])
    stem = start.tensors["conv1.weight"]
    assert torch.allclose(model.conv1.weight.sum(1), stem.sum(1), atol=1e-6)
    assert "conv1.weight adapted from 3 to 4 channels" in said
    assert "layer4" in said
    assert torch.isfinite(model.eval()(torch.from_numpy(random_cells(2, 4, 64)))[0]).all()


def test_unfolding_the_norms_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    ours = recipe(width=64, layer4=False, start=str(folded_file(tmp_path / "start.pt")))
    start = read_start(ours)
    model = seeded_model(2, ours)
    apply_start(model, start, ours)
    cells = random_cells(8)
    before = torch_scores(model.eval(), cells)
    said = unfold_norms(model, start, torch.from_numpy(cells))
    after = torch_scores(model, cells)
    assert "15 folded batch norms" in said[0]
    np.testing.assert_allclose(after.features, before.features, rtol=1e-4, atol=1e-4)
    trained = torch_scores(model.train(), cells)
    np.testing.assert_allclose(trained.features, before.features, rtol=1e-3, atol=1e-3)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    ours = recipe(width=64, architecture="resnet50", start=str(folded_file(tmp_path / "start.pt")))
    with pytest.raises(ConfigError, match=r"name weights of the recipe's architecture"):
        apply_start(CellNet(2, ours), read_start(ours), ours)


def test_a_start_that_is_neither_file_nor_weight_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "IMAGENET1K_V1"'):
        read_start(recipe(width=64, start="IMAGENET1K_V11"))


def test_a_start_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "start.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"start\.pt: torch reads no state dict"):
        read_start(recipe(width=64, start=str(path)))


@pytest.mark.parametrize(
    "content", [b"", b"R", b"hello world\n", b"\x80\x02}q\x00(X\x05\x00", b"PK\x03\x04junk", b"\x80\x02}."]
)
def test_no_file_that_is_not_torchs_ends_in_anything_but_a_refusal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "start.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"start\.pt: .*name another$"):
        read_start(recipe(width=64, start=str(path)))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, r"holds {}, expected a state dict"),
        ({"state_dict": {"conv1.weight": torch.zeros(2)}}, "holds dict under 'state_dict', expected a state dict"),
        ({1: torch.zeros(2)}, "holds Tensor under 1, expected a state dict"),
        ([torch.zeros(2)], "holds list, expected a state dict"),
        ({"conv1.weight": torch.zeros(3)}, r"conv1.weight \(3,\) instead of \(64, 2, 7, 7\)"),
        ({"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, "conv1.weight holds values that are not finite"),
        ({"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, "conv1.weight is missing"),
    ],
)
def test_a_file_of_torchs_that_is_no_start_is_refused_by_what_it_holds(tmp_path: Path, held: object, said: str) -> None:
    ours = recipe(width=64, start=str(tmp_path / "start.pt"))
    torch.save(held, tmp_path / "start.pt")
    with pytest.raises(ConfigError, match=said):
        apply_start(seeded_model(2, ours), read_start(ours), ours)


def test_a_start_in_bfloat16_with_a_stem_of_one_channel_is_taken_and_told_as_such(tmp_path: Path) -> None:
    ours = recipe(width=64, layer4=False, start=str(tmp_path / "start.pt"))
    torch.save({"conv1.weight": torch.full((64, 1, 7, 7), 0.5, dtype=torch.bfloat16)}, tmp_path / "start.pt")
    model = seeded_model(2, ours)
    said = apply_start(model, read_start(ours), ours)
    assert "start: conv1.weight adapted from 1 to 2 channels" in said
    assert bool((model.conv1.weight == 0.25).all())


def test_with_test_time_augmentation_every_graph_scores_all_turns_and_mirror_images_of_a_cell_alike() -> None:
    model = seeded_model(2, recipe(layer4=False, test_time_augmentation=True)).eval()
    plain = seeded_model(2, recipe(layer4=False)).eval()
    cells = random_cells(6)
    views = [
        np.ascontiguousarray(np.rot90(one, turn, (2, 3))) for one in (cells, cells[..., ::-1]) for turn in range(4)
    ]
    expected = np.mean([torch_scores(plain, view).logits for view in views], axis=0)
    assert np.ptp(torch_scores(plain, cells).logits - torch_scores(plain, views[1]).logits) > 1e-4
    for view in views:
        np.testing.assert_allclose(torch_scores(model, view).logits, expected, atol=1e-5)
    exported = export(model, spec(), cells)
    np.testing.assert_allclose(exported.scores.logits, expected, atol=1e-4)


def test_test_time_augmentation_changes_nothing_while_training() -> None:
    cells = torch.from_numpy(random_cells(6))
    first, second = (seeded_model(2, recipe(test_time_augmentation=on)).train()(cells)[0] for on in (False, True))
    assert torch.equal(first, second)
