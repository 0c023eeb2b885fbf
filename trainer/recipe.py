"""Recipes: everything that a training depends on besides its cells, as one TOML file."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.toml_file import StrictModel, parse_toml, read_toml

RANDOM_START = "random"
TORCHVISION_WIDTH = 64

_FAST = "fast.toml"
_NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Augmentation(StrictModel):
    """What may differ between two images of one cell; drawn anew for every cell and epoch.

    Attributes:
        turns: flips and quarter turns, all eight alike; a suspended cell has no top.
        shift_px: largest shift along each axis, pixels; edge pixels are repeated.
        gain_sigma: sd of the log factor per cell and channel: stain, exposure and lamp differ between days.
        offset_sigma: sd of the shift per cell and channel, in units of the network's input.
        noise_sigma: sd of noise per pixel, in units of the network's input.
    """

    turns: bool = True
    shift_px: Annotated[int, Field(ge=0, le=32)] = 2
    gain_sigma: _NonNegative = 0.2
    offset_sigma: _NonNegative = 0.02
    noise_sigma: _NonNegative = 0.0


class SplitRecipe(StrictModel):
    """Which patients belong to which part; what is left out is chosen by seed, or is the rest.

    Attributes:
        train: patients to train on; None: all that do not validate.
        validation: patients to choose thresholds on; None: a quarter, by seed, of those that do not train.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    validation: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _no_patient_twice(self) -> Self:
        named = [*(self.train or ()), *(self.validation or ())]
        twice = sorted({patient for patient in named if named.count(patient) > 1})
        if twice:
            raise ValueError(f"patients {twice} are named twice; each belongs to one part, name it once")
        return self


class Recipe(StrictModel):
    """A recipe as its TOML file says it.

    Attributes:
        name: of the checkpoint, in every call.
        notice: said first wherever the checkpoint's calls appear; empty for none.
        channels: "all" of the profile, or those wanted, in network order.
        side_px: of the network's input; "native": the largest side of a training image.
        range: "percentile": counts are scaled by the 0.1 and 99.9 percentiles of the training patients'
            pixels, per channel, fixed from then on; "raw": counts as they are.
        architecture: torchvision's name.
        layer4: False leaves the last stage out: small cells have nothing left to show there.
        width: channels of the stem, 64 in torchvision; the stages scale with it.
        stem_pool: False leaves out the max pooling after the stem: a cell of 40 px keeps its texture.
        norm: "batch"; "group" of eight channels; "frozen": batch norm that keeps what the start brought.
        start: "random", the name of a torchvision weight such as IMAGENET1K_V1, or a state-dict file.
        epochs: passes over the training cells.
        batch_size: cells per step at most.
        learning_rate: the largest; it warms up over a tenth of the steps and falls along a cosine to 0.
        weight_decay: of AdamW.
        seed: of everything that is drawn.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    notice: str = ""
    channels: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    side_px: Literal["native"] | Annotated[int, Field(ge=8, le=1024)] = "native"
    range: Literal["percentile", "raw"] = "percentile"
    architecture: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    layer4: bool = True
    width: Annotated[int, Field(ge=8, le=128, multiple_of=8)] = TORCHVISION_WIDTH
    stem_pool: bool = True
    norm: Literal["batch", "group", "frozen"] = "batch"
    start: Annotated[str, Field(min_length=1)] = RANDOM_START
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 32
    learning_rate: _Positive = 1e-3
    weight_decay: _NonNegative = 0.05
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    augmentation: Augmentation = Augmentation()
    split: SplitRecipe = SplitRecipe()

    @model_validator(mode="after")
    def _start_fits(self) -> Self:
        if self.start != RANDOM_START and self.width != TORCHVISION_WIDTH:
            raise ValueError(f"width {self.width}: start {self.start!r} has {TORCHVISION_WIDTH}; use one of the two")
        if self.start == RANDOM_START and self.norm == "frozen":
            raise ValueError('norm "frozen" keeps what the start brought, start "random" brings nothing; name a start')
        return self


def built_in_recipe(file_name: str = _FAST) -> Recipe:
    """A recipe that travels with the trainer; the fast one by default.

    Raises:
        ConfigError: it is no valid recipe.
    """
    content = (resources.files("trainer") / "recipes" / file_name).read_bytes()
    return parse_toml(content, file_name, Recipe)


def load_recipe(path: Path) -> Recipe:
    """The recipe in `path`.

    Raises:
        ConfigError: the file cannot be read or is no valid recipe; a misspelt key is named with the nearest known one.
    """
    return read_toml(path, Recipe)
