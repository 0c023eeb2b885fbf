"""The daemon's settings: one TOML file, unknown keys refused, units in the names."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from edge_ctc.cells import CsvDialect
from edge_ctc.engine.runtimes import Runtime
from edge_ctc.engine_choice import OnStale
from edge_ctc.network import Precision
from edge_ctc.toml_file import StrictModel, read_toml

BESIDE: Literal["beside"] = "beside"


def _is_absolute(text: str) -> str:
    if not text.startswith("/") or ".." in Path(text).parts:
        raise ValueError(f"{text!r}: expected a path from the root, without `..`")
    return text


AbsolutePath = Annotated[str, AfterValidator(_is_absolute)]


class Settings(StrictModel):
    """What `edge-ctc watch` is told; `systemd/edge-ctc.toml` documents every key for people.

    Attributes:
        export_dir: the folder that the instrument, or its operator, exports into.
        profile: name of a built-in profile, or its TOML file.
        checkpoint: the trainer's folder; or reference, reference-bf: those that travel with the program.
        runtime: what computes; an engine of another runtime is never taken.
        results: "beside" each run, or a folder that takes the same relative paths.
        precision: of the engine.
        engines_dir: where built engines lie; None: in the state folder.
        stale_engine: what to do with an engine that fits GPU, driver, runtime or checkpoint no more.
        csv: how calls are written; None: as the profile says.
        mount: whether events of the export folder come from this machine's kernel: "share" where others write there;
            "auto" as the kind of mount says. With "share", a folder that is no mount of its own counts as away.
        look_every_s: seconds between two looks at the export folder; events only shorten that.
        settle_s: a file is ready after its size and time stayed the same for so many seconds.
        quiet_s: a run to which nothing was added or changed for so many seconds is complete, whatever its table says.
        stalled_after_s: a run that is not complete and does not grow is said to stall after so many seconds.
        partial_every_s: seconds between two partial calls of a run, at least.
        recheck_every_min: minutes between two looks at every file of a finished run.
        canary_every_min: minutes between two replays of the reference cells while there is nothing to call.
        answer_within_s: a share that gives no answer for so many seconds is said to be silent.
        batch_within_s: an engine that computes one batch for longer is taken for hung, and the process ends.
    """

    export_dir: AbsolutePath
    profile: Annotated[str, Field(min_length=1)]
    checkpoint: Annotated[str, Field(min_length=1)]
    runtime: Runtime
    results: Literal["beside"] | AbsolutePath = BESIDE
    precision: Precision = "fp32"
    engines_dir: AbsolutePath | None = None
    stale_engine: OnStale = "rebuild"
    csv: CsvDialect | None = None
    mount: Literal["auto", "local", "share"] = "auto"
    look_every_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    settle_s: Annotated[float, Field(ge=0.1, le=600)] = 2.0
    quiet_s: Annotated[float, Field(ge=1, le=86_400)] = 120.0
    stalled_after_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    partial_every_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    recheck_every_min: Annotated[float, Field(ge=0.1, le=10_080)] = 30.0
    canary_every_min: Annotated[float, Field(ge=0.1, le=1440)] = 10.0
    answer_within_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    batch_within_s: Annotated[float, Field(ge=1, le=3600)] = 60.0

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.quiet_s < self.settle_s:
            raise ValueError(f"quiet_s {self.quiet_s:g}: expected at least settle_s, {self.settle_s:g}")
        return self


def read_settings(path: Path) -> Settings:
    """The settings in `path`. Raises ConfigError, naming the line and what mends it."""
    return read_toml(path, Settings)
