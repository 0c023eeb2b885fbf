"""The channels that one file shows, as counts: by its name, by its pages, or by its panels."""

from collections.abc import Sequence

from edge_ctc.errors import ImageError
from edge_ctc.exports.profile import Profile
from edge_ctc.images.content import OpenImage, check_bits, open_image
from edge_ctc.images.montage import cut
from edge_ctc.preprocess import Counts


def channels_of(content: bytes, name: str, profile: Profile, wanted: Sequence[str]) -> dict[str, Counts]:
    """The wanted channels of one file.

    Args:
        content: the whole file.
        name: for errors.
        profile: how the run is laid out.
        wanted: channels by name; where each file shows one channel, the one that the file's name tells.

    Returns:
        uint8 or uint16 (H, W) per channel, exactly the counts stored.

    Raises:
        ImageError: torn, of another kind, or not as the profile declares; the message begins with `name`.
    """
    image = open_image(content, name)
    match profile.layout:
        case "multipage":
            pages = _pages(image, profile)
            counts = {channel: image.page(pages[channel]) for channel in wanted}
        case "montage":
            counts = _panels(image, profile, wanted)
        case _:
            _check_page_count(image, 1)
            _check_own_name(image, profile, wanted[0])
            counts = {wanted[0]: image.page(0)}
    for one in counts.values():
        check_bits(one, profile.bits, name)
    return counts


def _check_page_count(image: OpenImage, expected: int) -> None:
    if image.pages != expected:
        raise ImageError(f"{image.name}: expected {expected} page(s), got {image.pages}")


def _own_names(image: OpenImage, profile: Profile) -> list[str]:
    """What the file itself calls its pages, case-folded; empty where it says nothing or the profile ignores it."""
    return [] if profile.ome_names == "ignored" else [own.casefold() for own in image.channel_names]


def _check_own_name(image: OpenImage, profile: Profile, channel: str) -> None:
    own = _own_names(image, profile)
    for one in profile.channels:
        if one.name != channel and one.spelling.casefold() in own:
            raise ImageError(
                f"{image.name}: named as {channel}, but its OME-XML says {one.spelling}; find out which, then mend the "
                'export or set ome_names = "ignored" in the profile'
            )


def _pages(image: OpenImage, profile: Profile) -> dict[str, int]:
    """The page of each channel: by the names that the file carries, else by the profile's order."""
    own = _own_names(image, profile)
    if not own:
        _check_page_count(image, len(profile.channels))
        return {name: page for page, name in enumerate(profile.channel_names)}
    spellings = [channel.spelling.casefold() for channel in profile.channels]
    if any(own.count(spelling) != 1 for spelling in spellings):
        raise ImageError(
            f"{image.name}: its OME-XML calls the pages {', '.join(image.channel_names)}, expected each of "
            f"{', '.join(channel.spelling for channel in profile.channels)} once; give these names as token in the "
            'profile, or set ome_names = "ignored" there to go by the order of the pages'
        )
    return {channel.name: own.index(channel.spelling.casefold()) for channel in profile.channels}


def _panels(image: OpenImage, profile: Profile, wanted: Sequence[str]) -> dict[str, Counts]:
    _check_page_count(image, 1)
    montage = profile.montage
    if montage is None:
        raise ValueError(f"profile {profile.name}: layout montage without [montage]")
    grid = (len(montage.panels), len(montage.panels[0]))
    picture = image.page(0)
    try:
        panels = cut(picture, grid, montage.gutter_px, montage.border_px)
    except ImageError as error:
        raise ImageError(f"{image.name}: {error}") from error
    by_channel = dict(zip(montage.in_order, panels, strict=True))
    return {channel: by_channel[channel] for channel in wanted}
