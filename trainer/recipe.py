"""Recipes: everything that a training depends on besides its cells, as one TOML file."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.errors import ConfigError
from edge_ctc.toml_file import StrictModel, did_you_mean, parse_toml, read_toml

RANDOM_START = "random"
TORCHVISION_WIDTH = 64

_FAST = "fast.toml"
_BUILT_IN = ("fast", "jurkat-bf", "multi-channel", "paper", "reference", "reference-bf", "sister")
_NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


_Share = Annotated[float, Field(ge=0, le=1)]


class Augmentation(StrictModel):
    """What may differ between two images of one cell; drawn anew for every cell and epoch. 0, "none" or false is off.

    `trainer.learning.augment` says of each what in the world it stands for. Brightness is in units of the network's
    input.

    Attributes:
        rotation: "quarter" turns, exact; "any" angle, which interpolates.
        flips: mirror images.
        shift_px: largest shift along each axis, pixels.
        scale: largest relative change of size; small, since size is information.
        defocus_px: largest sd of the blur of a channel, pixels.
        gain_sigma: sd of the log factor per cell and channel.
        offset_sigma: sd of the shift of brightness per cell and channel.
        shot_noise: largest sd of the noise per pixel at brightness 1; it grows with the root of the brightness.
        read_noise: largest sd of the noise per pixel that is the same everywhere.
        crosstalk: largest share of a stain's signal that shows in each of its neighbours in `Recipe.stains`.
        dropout: probability that a stain shows its background alone; one at least stays.
        auxiliary: probability that one of the recipe's auxiliary channels takes the place of the image.
    """

    rotation: Literal["none", "quarter", "any"] = "quarter"
    flips: bool = True
    shift_px: Annotated[float, Field(ge=0, le=32)] = 2.0
    scale: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    defocus_px: Annotated[float, Field(ge=0, le=5)] = 0.0
    gain_sigma: _NonNegative = 0.2
    offset_sigma: _NonNegative = 0.02
    shot_noise: _NonNegative = 0.0
    read_noise: _NonNegative = 0.0
    crosstalk: _Share = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    auxiliary: Annotated[float, Field(ge=0, lt=1)] = 0.0


class SplitRecipe(StrictModel):
    """Which patients belong to which part; what is left out is chosen by seed, or is the rest.

    Attributes:
        train: patients to train on; None: all that do not validate.
        validation: patients to choose thresholds on; None: a quarter, by seed, of those that do not train.
        train_only: patients who are trained on and never held out: spiked cell lines are no patients.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    validation: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    train_only: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _no_patient_twice(self) -> Self:
        named = [*(self.train or ()), *(self.validation or ()), *self.train_only]
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
        stains: those of the channels that fluoresce, in the order of their spectra; what stains alone do, light that
            passes through a cell does not.
        auxiliary_channels: seen in training alone, each as an image of its own in the place of the one channel.
        side_px: of the network's input; "native": the largest side of a training image.
        range: "percentile": counts are scaled by the 0.1 and 99.9 percentiles of the training patients'
            pixels, per channel, fixed from then on; "raw": counts as they are.
        architecture: torchvision's name.
        layer4: False leaves the last stage out: small cells have nothing left to show there.
        width: channels of the stem, 64 in torchvision; the stages scale with it.
        stem_pool: False leaves out the max pooling after the stem: a cell of 40 px keeps its texture.
        norm: "batch"; "group" of eight channels; "frozen": batch norm that keeps what the start brought.
        test_time_augmentation: True scores a cell by the mean over its eight turns and mirror images, inside the graph,
            at eight times the arithmetic.
        start: "random", the name of a torchvision weight such as IMAGENET1K_V1, or a state-dict file.
        epochs: passes over the training cells.
        patience: epochs without a better loss on stopping patients, a quarter of those trained on, after which the
            training ends and the best weights are kept; None: all epochs, and the last weights.
        batch_size: cells per step at most; with 2, an odd cell would be left to a step of its own, which batch norm
            cannot take.
        learning_rate: the largest; it warms up over a tenth of the steps and falls along a cosine to 0.
        weight_decay: of AdamW.
        seed: of everything that is drawn.
        precision: of the arithmetic while training, as Lightning Fabric names it; mixed ones are for a GPU.
        accelerator: "cpu", "gpu", or "auto": the GPU where there is one.
        prevalence: share of CTC that p_ctc assumes; None: that of the validation cells.
        alpha: promised largest mean share of a patient's CTCs below REVIEW.
        review_top: candidates per run that are shown for REVIEW where nothing can be calibrated.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    notice: str = ""
    channels: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    stains: tuple[str, ...] = ()
    auxiliary_channels: tuple[str, ...] = ()
    side_px: Literal["native"] | Annotated[int, Field(ge=8, le=1024)] = "native"
    range: Literal["percentile", "raw"] = "percentile"
    architecture: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    layer4: bool = True
    width: Annotated[int, Field(ge=8, le=128, multiple_of=8)] = TORCHVISION_WIDTH
    stem_pool: bool = True
    norm: Literal["batch", "group", "frozen"] = "batch"
    test_time_augmentation: bool = False
    start: Annotated[str, Field(min_length=1)] = RANDOM_START
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    patience: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=3, le=4096)] = 32
    learning_rate: _Positive = 1e-3
    weight_decay: _NonNegative = 0.05
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1
    review_top: Annotated[int, Field(ge=1)] = 20
    augmentation: Augmentation = Augmentation()
    split: SplitRecipe = SplitRecipe()

    @model_validator(mode="after")
    def _no_channel_twice(self) -> Self:
        for key in ("channels", "stains", "auxiliary_channels"):
            named = getattr(self, key)
            if named != "all" and len(set(named)) != len(named):
                raise ValueError(f"{key} {list(named)}: name each once")
        return self

    @model_validator(mode="after")
    def _stains_fit(self) -> Self:
        wanting = [name for name in ("crosstalk", "dropout") if getattr(self.augmentation, name)]
        if wanting and len(self.stains) < 2:
            raise ValueError(f"augmentation {wanting} with stains {list(self.stains)}; name two channels or more")
        if self.channels != "all" and (strangers := sorted(set(self.stains).difference(self.channels))):
            raise ValueError(f"stains: {strangers} are not among channels {list(self.channels)}; name channels")
        return self

    @model_validator(mode="after")
    def _auxiliary_fits(self) -> Self:
        if bool(self.auxiliary_channels) != bool(self.augmentation.auxiliary):
            raise ValueError(
                f"auxiliary_channels {list(self.auxiliary_channels)} with augmentation.auxiliary "
                f"{self.augmentation.auxiliary}; name both or neither"
            )
        if self.auxiliary_channels and (len(self.channels) != 1 or self.channels == "all"):
            raise ValueError(
                f"channels {self.channels}: an auxiliary image takes the place of one channel; name one channel"
            )
        if both := sorted(set(self.auxiliary_channels).intersection(self.channels)):
            raise ValueError(f"auxiliary_channels: {both} stand in channels too; name each once")
        return self

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
        ConfigError: there is none of that name, or it is no valid recipe.
    """
    name = file_name.removesuffix(".toml")
    if name not in _BUILT_IN:
        raise ConfigError(
            f"recipe {name!r}: no built-in of that name{did_you_mean(name, _BUILT_IN)}; name one, or a TOML file"
        )
    content = (resources.files("trainer") / "recipes" / file_name).read_bytes()
    return parse_toml(content, file_name, Recipe)


def load_recipe(path: Path) -> Recipe:
    """The recipe in `path`.

    Raises:
        ConfigError: the file cannot be read or is no valid recipe; a misspelt key is named with the nearest known one.
    """
    return read_toml(path, Recipe)
