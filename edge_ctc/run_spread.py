"""How figures of whole runs differ from run to run among those that a checkpoint learned from; travels in it."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.preprocess import Finite
from edge_ctc.toml_file import StrictModel

RUN_MEASURES = ("background", "noise", "brightness", "sharpness")
"""Of each channel of a run, as the fields of `ChannelSpread`."""

Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sds = Annotated[float, Field(gt=0, le=100)]


class Spread(StrictModel):
    """One figure over the training's runs.

    Attributes:
        scale: "log": the figure's natural logarithm was averaged, as gain and stain are factors; "linear" where it
            may be near or below 0.
        middle: mean on that scale.
        sd: on that scale, from run to run.
    """

    scale: Literal["log", "linear"]
    middle: Finite
    sd: Above0

    def band(self, sds: float, error: float) -> tuple[float, float]:
        """The figures within `sds` sds, as they are read; `error`, on the scale of the spread, widens the sd."""
        half = sds * math.hypot(self.sd, error)
        if self.scale == "linear":
            return self.middle - half, self.middle + half
        return math.exp(self.middle - half), math.exp(self.middle + half)

    def on_scale(self, value: float, error: float) -> float:
        """The error of a figure on the scale of the spread; a factor of e at most, as more knows nothing."""
        if self.scale == "linear":
            return error
        return min(1.0, error / value) if value > 0 else 0.0


class ChannelSpread(StrictModel):
    """One channel; None: the figure was 0 in all runs.

    Attributes:
        background: counts.
        noise: squared, over the background: counts; gain and read noise, whatever the light.
        brightness: counts.
        sharpness: no unit.
    """

    background: Spread | None
    noise: Spread | None
    brightness: Spread | None
    sharpness: Spread | None


class RunSpread(StrictModel):
    """Leukocytes of the runs that a checkpoint learned from.

    Attributes:
        runs: how many.
        patients: of how many people they are.
        cells: leukocytes of the median run.
        amber_sds: a figure of another run lies further from the middle in a stated share of runs at most; in sds.
        red_sds: the same, for a smaller share.
        diameter_px: pixels.
        stains: counts; geometric mean of the brightness of those channels in which it is a factor (log scale): one
            stain may be weak in one patient, all of them hardly ever; None: there are not two.
        channels: by name.
    """

    runs: Annotated[int, Field(ge=1)]
    patients: Annotated[int, Field(ge=1)]
    cells: Annotated[int, Field(ge=1)]
    amber_sds: Sds
    red_sds: Sds
    diameter_px: Spread
    stains: Spread | None
    channels: dict[str, ChannelSpread]

    @model_validator(mode="after")
    def _red_beyond_amber(self) -> Self:
        if self.red_sds < self.amber_sds:
            raise ValueError(f"red_sds {self.red_sds} below amber_sds {self.amber_sds}")
        return self

    @property
    def stained(self) -> frozenset[str]:
        """The channels in which brightness is a factor."""
        known = self.channels.items()
        return frozenset(name for name, one in known if one.brightness and one.brightness.scale == "log")
