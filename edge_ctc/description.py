"""What checkpoint.json says, as types: the README specifies them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edge_ctc.appearance import Fingerprint
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
    """Cuts on the score (logit): CTC at `ctc` and above; what of the rest is REVIEW, by a cut or by rank.

    Exactly one of `review` and `review_top` is given. `edge_ctc.decision` makes the cuts of one run of them.

    Attributes:
        ctc: CTC at it and above.
        review: REVIEW from it up to `ctc`, LEUKOCYTE below; None: by rank.
        review_top: so many of the best cells of each run are CTC or REVIEW; None: by the cut `review`.
    """

    ctc: Finite
    review: Finite | None = None
    review_top: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_way_in_order(self) -> Self:
        if (self.review is None) == (self.review_top is None):
            raise ValueError(
                f"thresholds: review {self.review} and review_top {self.review_top}, expected exactly one of them"
            )
        if self.review is not None and self.review > self.ctc:
            raise ValueError(f"thresholds: review {self.review} above ctc {self.ctc}")
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Manifests of checkpoints with a plain cut stay as earlier versions wrote, and read, them.
        return {name: value for name, value in dump(self).items() if value is not None}


class Promise(StrictModel):
    """What share of a patient's CTCs is missed: called LEUKOCYTE, or not evaluable.

    It is given in the mean over patients, by conformal risk control (Angelopoulos et al. 2024, ICLR), not for each.

    Attributes:
        alpha: the largest share, in the mean.
        kind: in the mean, the only one that is given.
        patients: with at least one CTC, that it rests on.
        wanting: how many more of them would be needed; 0: the promise holds.
    """

    alpha: Annotated[float, Field(gt=0, lt=1)]
    kind: Literal["mean"]
    patients: Annotated[int, Field(ge=0)]
    wanting: Annotated[int, Field(ge=0)]

    @property
    def sentence(self) -> str:
        """For people."""
        miss = f"at most {100 * self.alpha:g} % of a patient's CTCs missed (LEUKOCYTE or not evaluable)"
        if self.wanting:
            found = f"{self.patients} patients with CTCs, {self.wanting} more are wanting"
            return f"no guarantee of {miss} in the mean over patients: {found}"
        return f"{miss} in the mean over patients, promised from {self.patients} patients with CTCs"


class Description(StrictModel):
    """checkpoint.json.

    Attributes:
        notice: said first wherever the checkpoint's calls appear; empty for none.
        promise: of the miss rate; None: none was tried.
        fingerprint: what the cells look like that it learned from; None: they were not measured.
        metrics: figures by name, as the training measured them.
        training: recipe, data and versions, for the record; not interpreted.
        split: patients by part; disjoint.
        files: sha256 of each of the other files.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=NAME)]
    notice: str
    input: InputSpec
    classes: tuple[Literal["LEUKOCYTE"], Literal["CTC"]]
    calibration: Calibration | None
    thresholds: Thresholds
    promise: Promise | None = None
    fingerprint: Fingerprint | None = None
    metrics: dict[str, float | int | str | None]
    training: dict[str, Any]
    split: dict[str, tuple[str, ...]]
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _fingerprint_of_its_channels(self) -> Self:
        if self.fingerprint is not None:
            wanted = set(self.input.channel_names)
            for known in self.fingerprint.channel_names:
                if not wanted <= known:
                    raise ValueError(f"fingerprint: of channels {sorted(known)}, expected all of {sorted(wanted)}")
        return self
