"""The weights that a training starts from, and in words what became of them."""

import hashlib
import pickle  # for the name of torch's exception alone; nothing is unpickled
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from edge_ctc.errors import ConfigError
from edge_ctc.toml_file import did_you_mean
from trainer.learning.model import CellNet
from trainer.learning.torchvision_on_cpu import get_model_weights
from trainer.recipe import RANDOM_START, Recipe

_STEM = "conv1.weight"
_HEAD = ("fc.weight", "fc.bias")
_NO_STATE_DICT = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
"""What torch raises on a file that is none of its own. Its words, which advise to unpickle it anyway, are not told."""
_EXPECTED = "expected a state dict: tensors by name; name another"
_CONVOLUTION = re.compile(r"(.*\.)?(conv\d|downsample\.0)\.weight")


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from.

    Attributes:
        source: as the recipe names it.
        sha256: of the tensors; empty for a random start.
        tensors: by torchvision's names; empty for a random start.
    """

    source: str
    sha256: str
    tensors: Mapping[str, Tensor]


def read_start(recipe: Recipe) -> Start:
    """The weights that the recipe names.

    Raises:
        ConfigError: neither a file nor a torchvision weight, or it cannot be read or downloaded.
    """
    if recipe.start == RANDOM_START:
        return Start(RANDOM_START, "", {})
    path = Path(recipe.start)
    tensors = _of_file(path) if path.is_file() else _of_torchvision(recipe)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        # As bytes: numpy knows no bfloat16.
        digest.update(name.encode() + tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return Start(recipe.start, digest.hexdigest(), tensors)


def _of_file(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _NO_STATE_DICT as error:
        raise ConfigError(
            f"{path}: torch reads no state dict from it, weights only ({type(error).__name__}); name another"
        ) from error
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: holds {found if found == {} else type(found).__name__}, {_EXPECTED}")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ConfigError(f"{path}: holds {type(tensor).__name__} under {name!r}, {_EXPECTED}")
    return found


def _of_torchvision(recipe: Recipe) -> dict[str, Tensor]:
    weights = get_model_weights(recipe.architecture)
    names = list(weights.__members__)
    if recipe.start not in names:
        raise ConfigError(
            f"start {recipe.start!r}: neither a file nor a weight of {recipe.architecture}"
            f"{did_you_mean(recipe.start, names)}"
        )
    try:
        weight = weights[recipe.start]
        found: dict[str, Tensor] = weight.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"start {recipe.start!r}: cannot be downloaded ({error}); name a file, or start at random"
        ) from error
    return found


def apply_start(model: CellNet, start: Start, recipe: Recipe) -> tuple[str, ...]:
    """Put the weights that fit into `model`, and tell what was loaded, adapted and left at random.

    The stem takes our channels: the mean over its own K, three colours in torchvision, repeated, times K / C, so that a
    cell that shows the same in all channels gives what a grey picture gave.

    Raises:
        ConfigError: nothing fits, a tensor of another shape, so that these are weights of another network, or weights
            that are not finite.
    """
    if not start.tensors:
        return ("start: random",)
    own = model.state_dict()
    offered = {name: tensor for name, tensor in start.tensors.items() if name in own and name not in _HEAD}
    if recipe.norm == "group":
        # Batch norm's scale and shift mean nothing to a group norm, though their shapes agree.
        offered = {name: tensor for name, tensor in offered.items() if _CONVOLUTION.fullmatch(name)}
    colours = offered[_STEM].shape[1] if _STEM in offered and offered[_STEM].ndim == 4 else 0
    if colours:
        offered[_STEM] = _adapted(offered[_STEM], own[_STEM].shape[1])
    _check_offered(start, offered, own)
    model.load_state_dict(offered, strict=False)
    drawn = sorted({name.split(".")[0] for name, _ in model.named_parameters() if name not in offered})
    return (
        f"start: {start.source}, {len(offered)} tensors loaded, {len(start.tensors) - len(offered)} not used",
        f"start: {_STEM} adapted from {colours} to {own[_STEM].shape[1]} channels",
        f"start: drawn at random or fresh: {', '.join(drawn)}",
    )


def _adapted(stem: Tensor, channels: int) -> Tensor:
    return stem.float().mean(1, keepdim=True).repeat(1, channels, 1, 1) * (stem.shape[1] / channels)


def _check_offered(start: Start, offered: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in offered.items()
        if tensor.shape != own[name].shape
    ]
    if wrong or _STEM not in offered:
        fault = "; ".join(wrong[:3]) or f"{_STEM} is missing"
        raise ConfigError(f"start {start.source}: {fault}; name weights of the recipe's architecture")
    if spoilt := [name for name, tensor in offered.items() if not bool(torch.isfinite(tensor).all())]:
        raise ConfigError(f"start {start.source}: {spoilt[0]} holds values that are not finite; name other weights")


def unfold_norms(model: CellNet, start: Start, cells: Tensor) -> tuple[str, ...]:
    """Give batch norms that were folded into their convolutions their statistics back, from one batch.

    A folded norm has mean 0 and variance 1: trained on as it is, its first step would normalise with
    statistics that it never saw. Mean and variance are set to the batch's, scale and shift so that the
    output stays.

    Args:
        model: with the start's weights.
        start: where they came from.
        cells: float32 (N, C, H, W), a batch of training cells.
    """
    folded = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d) and _is_folded(start.tensors, name)
    ]
    if not folded:
        return ()
    hooks = [module.register_forward_pre_hook(_unfold) for module in folded]
    with torch.no_grad():
        model.eval()(cells)
    for hook in hooks:
        hook.remove()
    return (f"start: {len(folded)} folded batch norms given the statistics of {len(cells)} training cells",)


def _is_folded(tensors: Mapping[str, Tensor], name: str) -> bool:
    mean, weight = tensors.get(f"{name}.running_mean"), tensors.get(f"{name}.weight")
    return mean is not None and weight is not None and not bool(mean.any()) and bool((weight == 1).all())


def _unfold(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if not isinstance(module, nn.BatchNorm2d) or module.running_mean is None or module.running_var is None:
        return
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3), unbiased=False)
    slope = module.weight / (module.running_var + module.eps).sqrt()
    module.bias.add_(slope * (mean - module.running_mean))
    module.weight.copy_(slope * (variance + module.eps).sqrt())
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance)
