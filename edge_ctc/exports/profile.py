"""Profiles: how a lab's export is laid out on disk, so that names become cells and channels without a guess."""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_ctc.errors import ConfigError
from edge_ctc.preprocess import Bits, PixelSize
from edge_ctc.toml_file import StrictModel, did_you_mean, parse_toml, read_toml_bytes

CELL_ID = "{cell_id}"
CHANNEL = "{channel}"
_SUFFIXES = {".tif": r"\.tiff?", ".tiff": r"\.tiff?"}
"""A pattern's suffix, as the regular expression of all its spellings."""


class Channel(StrictModel):
    """One channel of the export.

    Attributes:
        name: as checkpoints name it.
        token: as file names spell it, whole; the name by default.
        marker: what it shows, for people.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]*$")]
    token: Annotated[str, Field(min_length=1)] | None = None
    marker: str = ""

    @property
    def spelling(self) -> str:
        """The token that stands in file names."""
        return self.token or self.name


class Profile(StrictModel):
    """A profile as its TOML file says it.

    Attributes:
        name: stands in every call.
        layout: "flat", one file per channel per cell; "multipage", one TIFF per cell with a page per channel.
        images: path of an image below the run, with `{cell_id}` and, for flat, `{channel}`. Upper and
            lower case count as one; `.tif` stands for `.tiff` too.
        cell_id: regular expression of an id.
        ignore: file names or paths below the run that are no images, `*` and `?` allowed.
        channels: for multipage in page order.
        pixel_size_um: micrometres per pixel, or "unknown".
        bits: used bits per count (12 in a 16-bit file), or "unknown".
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    layout: Literal["flat", "multipage"]
    images: str
    cell_id: str = "[0-9]+"
    ignore: tuple[str, ...] = ()
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    pixel_size_um: PixelSize = "unknown"
    bits: Bits = "unknown"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        wanted = {CELL_ID: 1, CHANNEL: 1 if self.layout == "flat" else 0}
        for place, count in wanted.items():
            if self.images.count(place) != count:
                raise ValueError(f"images {self.images!r}: layout {self.layout} wants {place} {count} time(s)")
        if Path(self.images).suffix.lower() not in _SUFFIXES:
            raise ValueError(f"images {self.images!r}: expected a name ending in {' or '.join(_SUFFIXES)}")
        for spellings in (self.channel_names, tuple(channel.spelling for channel in self.channels)):
            if len({spelling.casefold() for spelling in spellings}) != len(spellings):
                raise ValueError(f"channels {spellings}: each is wanted once, whatever its case")
        try:
            compile_names(self)
        except re.error as error:
            raise ValueError(f"cell_id {self.cell_id!r}: no regular expression in its place ({error})") from error
        return self

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels by name, in the profile's order."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A profile's `images`, compiled.

    Attributes:
        pattern: matches the whole path below the run.
        by_token: channel name by case-folded token; empty where a file shows all channels.
    """

    pattern: re.Pattern[str]
    by_token: Mapping[str, str]

    def match(self, name: str) -> tuple[str, str | None] | None:
        """(cell_id, channel) of an image's path; the channel is None where a file shows all. None: no image.

        A path with `|` (it separates names in the calls) or with what cannot be printed is no image.
        """
        found = self.pattern.fullmatch(name)
        if found is None or not found["cell_id"] or "|" in name or not name.isprintable():
            return None
        if not self.by_token:
            return found["cell_id"], None
        # The pattern folds more letters than casefold does, a dotless i for instance: such a token is none of ours.
        channel = self.by_token.get(found["channel"].casefold())
        return None if channel is None else (found["cell_id"], channel)


def compile_names(profile: Profile) -> NamePattern:
    """The pattern that tells a cell's images from all other files. Tokens match whole: PE is not PerCP."""
    suffix = Path(profile.images).suffix
    stem = re.escape(profile.images[: -len(suffix)])
    stem = stem.replace(re.escape(CELL_ID), f"(?P<cell_id>{profile.cell_id})")
    if profile.layout == "multipage":
        tokens: dict[str, str] = {}
    else:
        tokens = {channel.spelling.casefold(): channel.name for channel in profile.channels}
        spellings = "|".join(re.escape(channel.spelling) for channel in profile.channels)
        stem = stem.replace(re.escape(CHANNEL), f"(?P<channel>{spellings})")
    return NamePattern(re.compile(stem + _SUFFIXES[suffix.lower()], re.IGNORECASE), tokens)


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile with the hash of the file that says it."""

    profile: Profile
    sha256: str


def load_profile(name_or_file: str) -> LoadedProfile:
    """A built-in profile by name, else the profile in a TOML file.

    Raises:
        ConfigError: neither a built-in's name nor a file, or the file is no valid profile.
    """
    built_in = {loaded.profile.name: loaded for loaded in built_in_profiles()}
    if name_or_file in built_in:
        return built_in[name_or_file]
    path = Path(name_or_file)
    if not _is_file(path):
        meant = did_you_mean(name_or_file, list(built_in))
        raise ConfigError(f"profile {name_or_file}: neither a file nor a built-in profile{meant}")
    return _load(read_toml_bytes(path), str(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


@functools.cache
def built_in_profiles() -> tuple[LoadedProfile, ...]:
    """The profiles that travel with edge_ctc, by name."""
    folder = resources.files("edge_ctc.exports") / "profiles"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(_load(file.read_bytes(), file.name) for file in files)


def _load(content: bytes, source: str) -> LoadedProfile:
    return LoadedProfile(parse_toml(content, source, Profile), hashlib.sha256(content).hexdigest())
