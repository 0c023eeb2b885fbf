"""The parts of a proposal that say which image shows what: channels, focal planes, panels. Names are never guessed."""

from collections.abc import Iterator

from edge_ctc.probe.measure import Channel
from edge_ctc.probe.sheets import sheet_names
from edge_ctc.probe.stripes import Stripes, find_stripes
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.toml_text import comment, question, quoted

_SHOWN = 12


def range_text(channel: Channel) -> str:
    """Sizes, depth and range of a channel's sample, in words."""
    sizes = ", ".join(
        f"{height} x {width} px" + (f" ({count})" if len(channel.sizes) > 1 else "")
        for (height, width), count in channel.sizes.most_common(4)
    )
    if not channel.pictures:
        return "no image of the sample decodes"
    low, high = channel.range
    return f"{sizes}, {' and '.join(channel.dtypes)}, counts {low} to {high}"


def focal_plane_part(found: Survey) -> Iterator[str]:
    """`[focal_plane]`, where names tell one."""
    planes = planes_of(found)
    if not planes:
        return
    names = ", ".join(planes[:_SHOWN]) + (", …" if len(planes) > _SHOWN else "")
    yield from question(
        f"Which of the focal planes {names} is read?",
        '"sharpest": the one with most contrast; in bright field that is a little off focus',
        '"middle": of those that a cell has',
        f'"named": always the same; then also plane = {quoted(planes[0])}, for instance',
    )
    yield "[focal_plane]"
    yield 'rule = "?"'


def planes_of(found: Survey) -> tuple[str, ...]:
    """The focal planes that names tell, each once."""
    family = found.names.family
    planes = [member.plane for member in family.members if member.plane is not None] if family else []
    return tuple(sorted(set(planes), key=lambda plane: (len(plane), plane)))


def montage_part(found: Survey) -> Iterator[str]:
    """`[montage]`, where each cell has one picture: what was measured, and nothing but questions."""
    if found.layout != "one-image":
        return
    pictures = [counts for _, counts in found.channels[0].pictures]
    yield from question(
        "Which channel stands in which panel, and how wide are gutter and border?",
        f"the picture: {range_text(found.channels[0])}",
        *_hints(find_stripes(pictures)),
        'panels: rows of channel names as in [[channels]], "" for a panel that is not read',
        "gutter_px: between two panels; border_px: around all of them",
    )
    yield "[montage]"
    yield 'panels = [["?"]]'
    yield 'gutter_px = "?"'
    yield 'border_px = "?"'


def _hints(stripes: tuple[Stripes, Stripes] | None) -> Iterator[str]:
    for what, along in zip(("rows", "columns"), stripes or (), strict=False):
        runs = [f"{first} to {last}" if last > first else f"{first}" for first, last in along.runs]
        more = ", …" if len(runs) > _SHOWN else ""
        said = ", ".join(runs[:_SHOWN]) + more if runs else "none"
        yield f"{what} of one single count in every picture, of 0 to {along.side_px - 1}: {said}"


def channel_parts(found: Survey) -> Iterator[str]:
    """`[[channels]]`: the tokens as found, and always the question what each of them shows."""
    sheets = sheet_names(found)
    yield from question(
        "What does each channel show? Confirm it with the staining protocol and the sheets, whatever names say.",
        "name: as checkpoints name it, BF, DAPI, PE, APC for the shipped ones",
        "marker: for people, as bright field, nucleus, CK, CD45",
        *_page_notes(found),
    )
    for place, channel in enumerate(found.channels):
        if place:
            yield ""
        yield "[[channels]]"
        yield from comment(f"{channel.token or 'the picture'}: {channel.cells} cells, {range_text(channel)}")
        yield from comment(f"sheet: {sheets[place]}" + _own(channel))
        yield 'name = "?"'
        token = _token(found, channel)
        if token:
            yield f"token = {quoted(token)}"
        yield 'marker = "?"'


def _page_notes(found: Survey) -> list[str]:
    if found.layout == "one-image":
        return ["of a montage: one such part for each panel, without a token"]
    if found.layout != "multipage":
        return []
    if _has_own_names(found):
        return ["the files name their pages: token is that name, and finds the page"]
    return ["the order of these parts is the order of the pages: say so for each page"]


def _has_own_names(found: Survey) -> bool:
    return all(len(channel.own_names) == 1 for channel in found.channels)


def _own(channel: Channel) -> str:
    return f"; the files themselves call it {', '.join(channel.own_names)}" if channel.own_names else ""


def _token(found: Survey, channel: Channel) -> str:
    if found.layout == "multipage":
        return channel.own_names[0] if _has_own_names(found) else ""
    return channel.token
