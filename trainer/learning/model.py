"""The network: torchvision's ResNet blocks for C channels, with one logit and the vector it rests on."""

from collections.abc import Callable

import torch
from torch import nn

from trainer.learning.torchvision_on_cpu import BasicBlock, Bottleneck, FrozenBatchNorm2d
from trainer.recipe import Recipe

_CHANNELS_PER_GROUP = 8
_STEM_KERNEL_PX = 7

_STAGES: dict[str, tuple[type[nn.Module], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}
"""Block and blocks per stage, He et al., Deep Residual Learning, CVPR 2016, table 1."""


class CellNet(nn.Module):
    """A ResNet whose parameters carry torchvision's names, so that torchvision's state dicts fit."""

    def __init__(self, channels: int, recipe: Recipe) -> None:
        """Draw the weights from torch's generator as it stands.

        Args:
            channels: C of the input.
            recipe: its architecture, layer4, width, stem_pool, norm and test_time_augmentation.
        """
        super().__init__()
        norm = _norm(recipe)
        width = recipe.width
        self.conv1 = nn.Conv2d(channels, width, _STEM_KERNEL_PX, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if recipe.stem_pool else nn.Identity()
        block, counts = _STAGES[recipe.architecture]
        stages = _stages(block, counts if recipe.layer4 else counts[:3], width, norm)
        for number, stage in enumerate(stages, 1):
            self.add_module(f"layer{number}", stage)
        self.layers = tuple(f"layer{number}" for number in range(1, len(stages) + 1))
        self.fc = nn.Linear(width * 2 ** (len(stages) - 1) * int(getattr(block, "expansion")), 1)  # noqa: B009 - torchvision carries no types
        self.apply(_draw_weights)
        self._sees_turns = recipe.test_time_augmentation

    def forward(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of cells; in eval mode the means over what the recipe's test-time augmentation shows.

        Args:
            cells: (N, C, H, H), as `edge_ctc.preprocess.prepare` makes them.

        Returns:
            logits (N,), larger is more like a CTC, and features (N, D), what the last layer saw.
        """
        if self.training or not self._sees_turns:
            features = self._features(cells)
        else:
            mirrored = (cells, cells.flip(3), cells.flip(2), cells.flip(2, 3))
            seen = [self._features(view) for one in mirrored for view in (one, one.transpose(2, 3))]
            features = torch.stack(seen).mean(0)
        # The last layer is linear: the mean of the logits is the logit of the mean.
        return self.fc(features).squeeze(1), features

    def _features(self, cells: torch.Tensor) -> torch.Tensor:
        maps = self.maxpool(self.relu(self.bn1(self.conv1(cells))))
        for name in self.layers:
            maps = self.get_submodule(name)(maps)
        pooled: torch.Tensor = maps.mean((2, 3))
        return pooled


def seeded_model(channels: int, recipe: Recipe) -> CellNet:
    """A network whose weights follow from the recipe's seed alone; torch's own generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return CellNet(channels, recipe)


def _norm(recipe: Recipe) -> Callable[[int], nn.Module]:
    if recipe.norm == "group":
        return _group_norm
    return FrozenBatchNorm2d if recipe.norm == "frozen" else nn.BatchNorm2d


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels)


def _stages(
    block: type[nn.Module], counts: tuple[int, ...], width: int, norm: Callable[[int], nn.Module]
) -> list[nn.Sequential]:
    stages = []
    entering = width
    for number, count in enumerate(counts):
        planes = width * 2**number
        stride = 1 if number == 0 else 2
        blocks = []
        for index in range(count):
            first_stride = stride if index == 0 else 1
            leaving = planes * int(getattr(block, "expansion"))  # noqa: B009 - torchvision carries no types
            shortcut = _shortcut(entering, leaving, first_stride, norm)
            blocks.append(block(entering, planes, stride=first_stride, downsample=shortcut, norm_layer=norm))
            entering = leaving
        stages.append(nn.Sequential(*blocks))
    return stages


def _shortcut(entering: int, leaving: int, stride: int, norm: Callable[[int], nn.Module]) -> nn.Module | None:
    if stride == 1 and entering == leaving:
        return None
    return nn.Sequential(nn.Conv2d(entering, leaving, 1, stride=stride, bias=False), norm(leaving))


def _draw_weights(module: nn.Module) -> None:
    """As torchvision draws them: He et al., Delving Deep into Rectifiers, ICCV 2015."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
