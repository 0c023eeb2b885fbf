"""Raw counts to network input: the only such code, used by the trainer and by every engine.

A cell is padded or centre-cropped to the network's side, never stretched: its size is information.
Counts are scaled by a range fixed in the checkpoint, never by the image's or the run's own extremes:
stretching destroys marker strength, which is information too.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edge_ctc.errors import ConfigError, ImageError
from edge_ctc.toml_file import StrictModel

Counts = NDArray[np.uint8] | NDArray[np.uint16]
Unknown = Literal["unknown"]
PixelSize = Annotated[float, Field(gt=0, le=10)] | Unknown
Bits = Literal[8, 12, 16] | Unknown
Intensity = Literal["counts", "display"]
"""What a pixel's value means: the camera's counts, or a shade that was stretched to be looked at."""
Finite = Annotated[float, Field(allow_inf_nan=False)]

_PIXEL_SIZE_TOLERANCE = 0.01
"""Relative. Vendors round the pixel size to two or three digits; 1 % of a 10 um cell is 0.1 um."""


class ChannelInput(StrictModel):
    """How one channel enters the network.

    Attributes:
        name: the channel, as the profile names it.
        range: (low, high) in counts, mapped linearly to 0..1 without clipping; or "raw", counts as they are.
    """

    name: Annotated[str, Field(min_length=1)]
    range: tuple[Finite, Finite] | Literal["raw"]

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range != "raw" and not self.range[0] < self.range[1]:
            raise ValueError(f"range {self.range}: low must be below high")
        return self


class InputSpec(StrictModel):
    """What a network takes: travels in the checkpoint, whose hash stands in every call.

    Attributes:
        channels: in the order of the input's axis 1.
        side_px: height and width of the input, pixels.
        dtype: of the image files; another one is refused, since its counts mean something else.
        bits: used bits per count, where known.
        pixel_size_um: micrometres per pixel, where known.
        intensity: what it learned from; images of the other kind are refused.
    """

    channels: Annotated[tuple[ChannelInput, ...], Field(min_length=1)]
    side_px: Annotated[int, Field(ge=8, le=1024)]
    dtype: Literal["uint8", "uint16"]
    bits: Bits = "unknown"
    pixel_size_um: PixelSize = "unknown"
    intensity: Intensity = "counts"

    @model_validator(mode="after")
    def _channels_differ(self) -> Self:
        names = self.channel_names
        if len(set(names)) != len(names):
            raise ValueError(f"channels {names}: each is wanted once")
        return self

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels by name, in input order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, side, side) of one network input."""
        return (len(self.channels), self.side_px, self.side_px)


def check_channels(network: str, spec: InputSpec, declared: Sequence[str]) -> None:
    """Refuse a run that lacks a channel of the network's, by the names that its profile declares.

    Raises:
        ConfigError: a channel lacks; `network` names the checkpoint.
    """
    lacking = [name for name in spec.channel_names if name not in declared]
    if lacking:
        raise ConfigError(
            f"checkpoint {network} takes {list(spec.channel_names)}, the profile declares {list(declared)}: "
            f"{lacking} lack; use a checkpoint trained on the run's channels"
        )


def check_fit(spec: InputSpec, pixel_size_um: PixelSize, bits: Bits) -> None:
    """Refuse a run whose pixel size or bit depth is known to differ from the network's.

    Args:
        spec: of the checkpoint.
        pixel_size_um: of the run, as its profile declares it.
        bits: of the run, as its profile declares it.

    Raises:
        ConfigError: both sides are known and differ (pixel size by more than 1 %).
    """
    if _differ(pixel_size_um, spec.pixel_size_um, _PIXEL_SIZE_TOLERANCE):
        raise ConfigError(
            f"pixel_size_um: the profile says {pixel_size_um}, the checkpoint was trained at {spec.pixel_size_um}; "
            "cells would change their size: use a checkpoint trained at the run's pixel size"
        )
    if _differ(bits, spec.bits, 0):
        raise ConfigError(
            f"bits: the profile says {bits}, the checkpoint was trained on {spec.bits}; "
            "use a checkpoint trained on images of the run's depth"
        )


def _differ(run: float | Unknown, network: float | Unknown, tolerance: float) -> bool:
    return run != "unknown" and network != "unknown" and abs(run - network) > tolerance * network


def prepare(
    images: Sequence[Counts], spec: InputSpec, out: NDArray[np.float32], named: Sequence[str] | None = None
) -> None:
    """Write one cell's network input into `out`.

    Args:
        images: one (H, W) array of counts per channel, in the order of `spec.channels`.
        spec: what the network takes.
        out: float32 (C, side, side), overwritten: range-scaled counts. An image smaller than `side` is
            padded by repeating its edge pixels (a constant would draw a frame that no cell has), a
            larger one cropped about its centre; where the difference is odd, the extra row or column
            is at the bottom or right.
        named: what errors call each image; the channels by default.

    Raises:
        ImageError: an image has another dtype, is not (H, W), is empty, or differs in size from the
            first channel's.
        ValueError: the number of images or the shape of `out` is wrong, a mistake of the caller.
    """
    if len(images) != len(spec.channels) or out.shape != spec.shape:
        raise ValueError(f"{len(images)} images into {out.shape}, expected {spec.shape}")
    for image, name, channel, plane in zip(images, named or spec.channel_names, spec.channels, out, strict=True):
        _check(image, name, images[0].shape, spec.dtype)
        _place(image, plane)
        if channel.range != "raw":
            low, high = channel.range
            np.subtract(plane, np.float32(low), out=plane)
            np.multiply(plane, np.float32(1.0 / (high - low)), out=plane)


def _check(image: Counts, name: str, shape: tuple[int, ...], dtype: str) -> None:
    if image.ndim != 2 or image.dtype != dtype or image.size == 0:
        raise ImageError(f"{name}: expected {dtype} (H, W), got {image.dtype} {image.shape}")
    if image.shape != shape:
        raise ImageError(f"{name}: {image.shape} px, another channel of this cell has {shape}; expected one size")


def _place(image: Counts, plane: NDArray[np.float32]) -> None:
    if image.shape == plane.shape:
        plane[:] = image
        return
    rows = _centred(image.shape[0], plane.shape[0])
    columns = _centred(image.shape[1], plane.shape[1])
    plane[:] = image[np.ix_(rows, columns)]


def _centred(found: int, wanted: int) -> NDArray[np.intp]:
    """For each of `wanted` places the row of an image with `found` rows; edge rows are repeated."""
    first = (found - wanted) // 2 if found >= wanted else -((wanted - found) // 2)
    return np.clip(np.arange(first, first + wanted), 0, found - 1)
