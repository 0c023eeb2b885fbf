"""The daemon's settings: one TOML file, unknown keys refused, units in the names; checked without the share."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from edge_ctc.cells import CsvDialect
from edge_ctc.checkpoint import DESCRIPTION, open_checkpoint, shipped_checkpoints
from edge_ctc.engine.runtimes import Runtime
from edge_ctc.engine_choice import OnStale
from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles, load_profile
from edge_ctc.network import Precision
from edge_ctc.plan import REFERENCE_NAMES
from edge_ctc.preprocess import InputSpec, check_channels, check_fit
from edge_ctc.toml_file import StrictModel, line_of, parse_toml, read_toml_bytes

BESIDE: Literal["beside"] = "beside"


def _is_absolute(text: str) -> str:
    if text.startswith("//"):
        raise ValueError(f"{text!r}: is the name of a share; mount it, and name its mount point")
    if not text.startswith("/") or ".." in Path(text).parts or not text.isprintable():
        raise ValueError(f"{text!r}: expected a path from the root, in printable characters, without `..`")
    return text


def _is_beside_or_absolute(text: str) -> str:
    if text != BESIDE and not text.startswith("/"):
        raise ValueError(f'{text!r}: expected "beside", or a path from the root')
    return text if text == BESIDE else _is_absolute(text)


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
    results: Annotated[str, AfterValidator(_is_beside_or_absolute)] = BESIDE
    precision: Precision = "fp32"
    engines_dir: AbsolutePath | None = None
    stale_engine: OnStale = "rebuild"
    csv: CsvDialect | None = None
    mount: Literal["auto", "local", "share"] = "auto"
    look_every_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    settle_s: Annotated[float, Field(ge=0.1, le=600)] = 2.0
    quiet_s: Annotated[float, Field(ge=1, le=86_400, validate_default=True)] = 120.0
    stalled_after_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    partial_every_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    recheck_every_min: Annotated[float, Field(ge=0.1, le=10_080)] = 60.0
    canary_every_min: Annotated[float, Field(ge=0.1, le=1440)] = 10.0
    answer_within_s: Annotated[float, Field(ge=1, le=600)] = 5.0
    batch_within_s: Annotated[float, Field(ge=1, le=3600)] = 60.0

    @field_validator("quiet_s")
    @classmethod
    def _outlasts_settling(cls, quiet_s: float, others: ValidationInfo) -> float:
        settle_s = others.data.get("settle_s", quiet_s)
        if quiet_s < settle_s:
            raise ValueError(f"{quiet_s:g}: expected at least settle_s, {settle_s:g}; raise the one or lower the other")
        return quiet_s


@dataclass(frozen=True, slots=True)
class CheckedSettings:
    """Settings, and what they name, as far as it can be known without the share and without an engine.

    Attributes:
        settings: as the file says.
        profile: the one that is named, loaded.
        checkpoint: folder of the one that is named; every byte of it is as it was made, and it fits the profile.
        checkpoint_name: as its description says.
    """

    settings: Settings
    profile: LoadedProfile
    checkpoint: Path
    checkpoint_name: str


def check_settings(path: Path) -> CheckedSettings:
    """The settings in `path`, proved against all that they name on this machine.

    The export folder is never touched: it may be away, or hang whoever touches it.

    Raises:
        ConfigError: the file cannot be read, a value is wrong, or two do not fit; with line and mend.
        CheckpointError: the checkpoint is there and spoilt.
    """
    content = read_toml_bytes(path)
    settings = parse_toml(content, str(path), Settings)
    place = _Place(path, content)
    _check_folders(settings, place)
    profile = _profile(settings, place)
    checkpoint = _checkpoint_folder(settings, place)
    opened = open_checkpoint(checkpoint)
    try:
        check_channels(opened.name, opened.input, profile.profile.channel_names)
        check_fit(opened.input, profile.profile.pixel_size_um, profile.profile.bits)
        _check_intensity(opened.input, profile.profile)
    except ConfigError as error:
        raise place.fault("checkpoint", f"does not fit profile {settings.profile}: {error}") from error
    return CheckedSettings(settings, profile, checkpoint, opened.name)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a setting stands, for errors."""

    path: Path
    content: bytes

    def fault(self, key: str, text: str) -> ConfigError:
        line = line_of(self.content, key)
        return ConfigError(f"{self.path}{f', line {line}' if line else ''}: {key}: {text}")


def _check_folders(settings: Settings, place: _Place) -> None:
    """What must lie elsewhere than in the export folder, by the names alone."""
    named = {
        "results": None if settings.results == BESIDE else settings.results,
        "engines_dir": settings.engines_dir,
        "profile": settings.profile,
        "checkpoint": settings.checkpoint,
    }
    export = Path(os.path.normpath(settings.export_dir))
    for key, value in named.items():
        if value is None or not value.startswith("/"):
            continue
        folder = Path(os.path.normpath(value))
        # A results folder that is the export folder itself is as good as "beside".
        if export in folder.parents or (key != "results" and folder == export):
            raise place.fault(key, f"{value} lies inside export_dir {settings.export_dir}; {_ELSEWHERE[key]}")


_ELSEWHERE = {
    "results": 'name "beside", or a folder outside: inside, results would be taken for runs',
    "engines_dir": "name a folder on this machine's own disk",
    "profile": "copy it to this machine's own disk: without the share the daemon could not start",
    "checkpoint": "copy it to this machine's own disk: without the share the daemon could not start",
}


def _profile(settings: Settings, place: _Place) -> LoadedProfile:
    named = settings.profile
    if not named.startswith("/") and named not in {loaded.profile.name for loaded in built_in_profiles()}:
        known = ", ".join(loaded.profile.name for loaded in built_in_profiles())
        raise place.fault(
            "profile",
            f"{named!r} is no built-in profile ({known}); name one of them, or a TOML file by its path from /",
        )
    try:
        return load_profile(named)
    except ConfigError as error:
        raise place.fault("profile", str(error)) from error


def _check_intensity(spec: InputSpec, profile: Profile) -> None:
    """A daemon that may call no cell at all is a mistake; `classify-run` says so in every row instead."""
    if profile.intensity != spec.intensity:
        raise ConfigError(
            f"intensity: the profile says {profile.intensity}, the checkpoint was trained on {spec.intensity}; "
            "no cell could be called: use a checkpoint trained on such images, or let the instrument export others"
        )


def _checkpoint_folder(settings: Settings, place: _Place) -> Path:
    named = settings.checkpoint
    if named in REFERENCE_NAMES:
        return shipped_checkpoints() / named
    if not named.startswith("/"):
        raise place.fault(
            "checkpoint", f"{named!r}: expected a folder by its path from /, or {' or '.join(REFERENCE_NAMES)}"
        )
    try:
        names = os.listdir(named)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise place.fault(
            "checkpoint",
            f"{named} cannot be opened ({reason}); name the folder that the trainer wrote, readable to edge-ctc",
        ) from error
    if DESCRIPTION not in names:
        raise place.fault(
            "checkpoint", f"{named} holds no {DESCRIPTION}, so no checkpoint; name the folder that the trainer wrote"
        )
    return Path(named)
