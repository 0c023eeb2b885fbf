"""What checkpoint.json says, as types: the README specifies them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.preprocess import Finite, InputSpec
from edge_ctc.toml_file import StrictModel

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Of a checkpoint; it becomes the name of a folder."""


class Calibration(StrictModel):
    """p_ctc = 1 / (1 + exp(-(slope * score + intercept))), Platt scaling.

    Attributes:
        slope: > 0, so that the ranking stays.
        intercept: in logits.
        prevalence: share of CTC among the cells that it was fitted on; p_ctc assumes it.
    """

    slope: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    intercept: Finite
    prevalence: Annotated[float, Field(gt=0, lt=1)]


class Thresholds(StrictModel):
    """Cuts on the score (logit): CTC at `ctc` and above, REVIEW from `review` up to it, LEUKOCYTE below."""

    ctc: Finite
    review: Finite

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.review > self.ctc:
            raise ValueError(f"thresholds: review {self.review} above ctc {self.ctc}")
        return self


class Description(StrictModel):
    """checkpoint.json.

    Attributes:
        notice: said first wherever the checkpoint's calls appear; empty for none.
        metrics: figures by name, as the training measured them.
        training: recipe, data and versions, for the record; not interpreted.
        split: patients by part; disjoint.
        files: sha256 of each of `HASHED_FILES`.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=NAME)]
    notice: str
    input: InputSpec
    classes: tuple[Literal["LEUKOCYTE"], Literal["CTC"]]
    calibration: Calibration | None
    thresholds: Thresholds
    metrics: dict[str, float | int | str | None]
    training: dict[str, Any]
    split: dict[str, tuple[str, ...]]
    files: dict[str, Sha256]
