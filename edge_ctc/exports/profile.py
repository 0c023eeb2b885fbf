"""Profiles: how a lab's export is laid out on disk, so that names become cells and channels without a guess."""

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edge_ctc.cells import CsvDialect
from edge_ctc.errors import ConfigError
from edge_ctc.exports.names import CELL_ID, PLANE, NamePatterns, compile_names, faults_of
from edge_ctc.exports.questions import refuse_unanswered
from edge_ctc.exports.tables import TableProfile
from edge_ctc.preprocess import Bits, Intensity, PixelSize
from edge_ctc.toml_file import StrictModel, did_you_mean, parse_toml, read_toml_bytes

_UNREAD_PANEL = ""


class Channel(StrictModel):
    """One channel of the export.

    Attributes:
        name: as checkpoints name it.
        token: as file names, or the file itself (OME-TIFF), spell it, whole; the name by default.
        marker: what it shows, for people.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]*$")]
    token: Annotated[str, Field(min_length=1)] | None = None
    marker: str = ""

    @property
    def spelling(self) -> str:
        """The token that stands in file names."""
        return self.token or self.name


class FocalPlane(StrictModel):
    """Which of several focal planes of a channel is read.

    Attributes:
        rule: "sharpest", by `edge_ctc.images.focus`; "middle" of the planes that are there, the lower one of an even
            number; "named", always the same.
        plane: the named plane, as file names spell it.
    """

    rule: Literal["sharpest", "middle", "named"]
    plane: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.rule == "named") != (self.plane is not None):
            raise ValueError(
                f"rule {self.rule!r}, plane {self.plane!r}: plane is wanted for the rule named, and only there"
            )
        return self


class Montage(StrictModel):
    """Where the channels of a cell stand in its one picture.

    Attributes:
        panels: rows of channel names, panels of equal size; "" is a panel that is not read (a composite).
        gutter_px: between two panels.
        border_px: around all of them.
    """

    panels: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...], Field(min_length=1)]
    gutter_px: Annotated[int, Field(ge=0, le=256)] = 0
    border_px: Annotated[int, Field(ge=0, le=256)] = 0

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        if len({len(row) for row in self.panels}) != 1:
            raise ValueError(f"panels {self.panels}: every row wants as many panels as the first")
        return self

    @property
    def in_order(self) -> tuple[str, ...]:
        """The panels from left to right, row by row."""
        return tuple(name for row in self.panels for name in row)


class Profile(StrictModel):
    """A profile as its TOML file says it.

    Attributes:
        name: stands in every call.
        layout: "flat" and "per-cell", one file per channel per cell, per-cell with a folder for each cell; "multipage",
            one TIFF per cell with a page per channel; "montage", one picture per cell with a panel per channel.
        images: path of an image below the run, or several such patterns: `{cell_id}`, `{channel}` (flat, per-cell),
            `{plane}` (a focal plane), `*` for any characters within one name. Upper and lower case count as one;
            `.tif` stands for `.tiff` too.
        cell_id: regular expression of an id.
        ignore: file names or paths below the run that are no images, `*` and `?` allowed.
        channels: for multipage in page order.
        focal_plane: wanted where `images` has `{plane}`.
        montage: wanted for the layout montage.
        table: of the cells, beside them.
        sentinel: path below the run of a file that the instrument writes when the export is over; while it is absent,
            a run ends by its table or by not growing any more.
        ome_names: whether the channel names that an OME-TIFF itself carries say which page is which, against the order
            of `channels`. A file without names goes by the order.
        intensity: "counts" of the camera; "display" where the export stretched each image to be looked at.
        pixel_size_um: micrometres per pixel, or "unknown".
        bits: used bits per count (12 in a 16-bit file), or "unknown".
        runs: glob of the run folders under the export folder, one part per level: `*`, or `*/*/*` for
            patient/date/run.
        csv: how calls are written; "excel-it" for Excel in Italian.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    layout: Literal["flat", "per-cell", "multipage", "montage"]
    images: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    cell_id: str = "[0-9]+"
    ignore: tuple[str, ...] = ()
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    focal_plane: FocalPlane | None = None
    montage: Montage | None = None
    table: TableProfile | None = None
    sentinel: Annotated[str, Field(min_length=1)] | None = None
    ome_names: Literal["honoured", "ignored"] = "honoured"
    intensity: Intensity = "counts"
    pixel_size_um: PixelSize = "unknown"
    bits: Bits = "unknown"
    runs: Annotated[str, Field(pattern=r"^[^/]+(/[^/]+)*$")] = "*"
    csv: CsvDialect = "rfc4180"

    @field_validator("images", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, images: Any) -> Any:
        return (images,) if isinstance(images, str) else images

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for image in self.images:
            if faults := faults_of(image, channels_in_names=self.has_channels_in_names):
                raise ValueError(f"images {image!r} of layout {self.layout}: {', '.join(faults)}")
            if self.layout == "per-cell" and CELL_ID not in str(PurePosixPath(image).parent):
                raise ValueError(f"images {image!r}: layout per-cell wants {CELL_ID} in the name of a folder")
        for spellings in (self.channel_names, tuple(channel.spelling for channel in self.channels)):
            if len({spelling.casefold() for spelling in spellings}) != len(spellings):
                raise ValueError(f"channels {spellings}: each is wanted once, whatever its case")
        self._check_parts()
        try:
            self.name_patterns()
        except re.error as error:
            raise ValueError(f"cell_id {self.cell_id!r}: no regular expression in its place ({error})") from error
        return self

    def _check_parts(self) -> None:
        if (self.focal_plane is not None) != any(PLANE in image for image in self.images):
            raise ValueError(
                f"images {self.images}: {PLANE} and the part [focal_plane] are wanted together or not at all"
            )
        if (self.montage is not None) != (self.layout == "montage"):
            raise ValueError(
                f"layout {self.layout}: the part [montage] is wanted for the layout montage, and only there"
            )
        if self.montage is not None:
            shown = sorted(name for name in self.montage.in_order if name != _UNREAD_PANEL)
            if shown != sorted(self.channel_names):
                raise ValueError(f"panels {shown}: expected each of the channels {sorted(self.channel_names)} once")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels by name, in the profile's order."""
        return tuple(channel.name for channel in self.channels)

    def markers_of(self, names: Iterable[str]) -> dict[str, str]:
        """What each of these channels shows, in people's words; "" where this profile does not say."""
        markers = {channel.name: channel.marker for channel in self.channels}
        return {name: markers.get(name, "") for name in names}

    @property
    def has_channels_in_names(self) -> bool:
        """Whether each file shows one channel, which its name tells."""
        return self.layout in ("flat", "per-cell")

    def name_patterns(self) -> NamePatterns:
        """`images`, compiled."""
        tokens = {channel.spelling: channel.name for channel in self.channels} if self.has_channels_in_names else {}
        return compile_names(self.images, self.cell_id, tokens)


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile with the hash of the file that says it."""

    profile: Profile
    sha256: str


def load_profile(name_or_file: str) -> LoadedProfile:
    """A built-in profile by name, else the profile in a TOML file.

    Raises:
        ConfigError: neither a built-in's name nor a file, or the file is no valid profile, or leaves a question open.
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
    refuse_unanswered(content, source)
    return LoadedProfile(parse_toml(content, source, Profile), hashlib.sha256(content).hexdigest())
