"""Where the flags of a cell cut: by the cells that the checkpoint learned from.

Both classes count together, so that an ordinary CTC is not flagged for being no leukocyte, and a little beyond them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from edge_ctc.appearance import Fingerprint, Quantiles
from edge_ctc.nuclei import nuclear_channel

_WIDER = 1.1
"""By what factor sharpness, size and saturation may leave the training cells' 1 and 99 %."""

_SATURATED_SHARE = 0.01
"""Share of a channel's pixels at full scale from which its intensity is no longer a measurement [assumed], where the
training's cells were not saturated more often."""

_DIMMER = 2.0
"""By what factor the nuclear stain may be dimmer than in the dimmest hundredth of the training's CTCs: each has a
nucleus, while leukocytes' labels include debris."""

_APART = 0.5
"""Of the median leukocyte's diameter: two nuclei lie further apart, the lobes of one nucleus nearer."""

_GRAINS = 12
"""Pixels are taken together until a leukocyte is so many wide: nuclei are looked for at one scale in all labs."""


@dataclass(frozen=True, slots=True)
class SharpnessCuts:
    """Of one channel.

    Attributes:
        low: below it a cell is blurred.
        high: the sharpest cells, for people.
        always_seen: nearly all training cells of both classes show something in it, so that no sharpness at all is
            blur, too; else it means that this cell is not stained.
    """

    low: float
    high: float
    always_seen: bool

    def share_of(self, sharpness: float) -> float:
        """The sharpness over its cut; 1 where it says nothing of focus."""
        return sharpness / self.low if self.low > 0 and (sharpness > 0 or self.always_seen) else 1.0


@dataclass(frozen=True, slots=True)
class FlagCuts:
    """The cuts that a fingerprint gives, made once per run.

    Attributes:
        saturated: share of pixels at full scale, of each channel.
        sharpness: of each channel.
        diameter_px: (low, high).
        nothing_px: an area of a smaller diameter is no cell's.
        apart_px: two nuclei lie further apart.
        grain_px: of `separation_px`.
        nuclear: index of the channel that shows nuclei; None: none, or nobody said which.
        nuclear_light: counts above background that the dimmest nucleus gives, in the mean over its cell.
        nuclear_px: diameter of the smallest cell that it is meant for.
    """

    saturated: tuple[float, ...]
    sharpness: tuple[SharpnessCuts, ...]
    diameter_px: tuple[float, float]
    nothing_px: float
    apart_px: float
    grain_px: int
    nuclear: int | None
    nuclear_light: float
    nuclear_px: float

    @classmethod
    def of(cls, fingerprint: Fingerprint, markers: Mapping[str, str]) -> Self:
        """The cuts for cells with these channels.

        Args:
            fingerprint: of the checkpoint.
            markers: what each of the network's channels shows, in the profile's words, by its name, in the network's
                order; "" where the profile does not say.

        Raises:
            KeyError: the fingerprint has no such channel, a mistake of the caller.
        """
        low_px, high_px = _range([fingerprint.leukocyte.diameter_px, fingerprint.ctc.diameter_px])
        middle_px = fingerprint.leukocyte.diameter_px[3]
        nuclear = nuclear_channel(markers)
        return cls(
            saturated=tuple(_saturated(fingerprint, name) for name in markers),
            sharpness=tuple(_sharpness(fingerprint, name) for name in markers),
            diameter_px=(low_px / _WIDER, high_px * _WIDER),
            nothing_px=low_px / 2,
            apart_px=_APART * middle_px,
            grain_px=max(1, round(middle_px / _GRAINS)),
            nuclear=None if nuclear is None else list(markers).index(nuclear),
            nuclear_light=0.0 if nuclear is None else fingerprint.ctc.channels[nuclear].brightness[0] / _DIMMER,
            nuclear_px=_lowest_seen(fingerprint.ctc.diameter_px) or middle_px,
        )


def saturated_without_fingerprint(channels: int) -> tuple[float, ...]:
    """`FlagCuts.saturated` where nothing is known of the training's cells."""
    return (_SATURATED_SHARE,) * channels


def _saturated(fingerprint: Fingerprint, channel: str) -> float:
    most = max(one.channels[channel].saturated[-1] for one in (fingerprint.leukocyte, fingerprint.ctc))
    return max(_SATURATED_SHARE, most * _WIDER)


def _sharpness(fingerprint: Fingerprint, channel: str) -> SharpnessCuts:
    classes = [one.channels[channel].sharpness for one in (fingerprint.leukocyte, fingerprint.ctc)]
    low, high = _range(classes)
    return SharpnessCuts(low / _WIDER, high * _WIDER, all(quantiles[0] > 0 for quantiles in classes))


def _range(classes: Sequence[Quantiles]) -> tuple[float, float]:
    """From the lowest 1 % of any class to the highest 99 %; 0 as 1 % means that nothing was seen: the next above it."""
    return min(map(_lowest_seen, classes)), max(quantiles[-1] for quantiles in classes)


def _lowest_seen(quantiles: Quantiles) -> float:
    return next((value for value in quantiles if value > 0), 0.0)
