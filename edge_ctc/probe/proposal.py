"""What a probe found as a profile to be answered: every unsure choice is a question that the loader refuses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_ctc import __version__
from edge_ctc.exports.listing import display_name
from edge_ctc.probe.channel_text import channel_parts, focal_plane_part, montage_part
from edge_ctc.probe.groups import Group
from edge_ctc.probe.layout import image_patterns, misread
from edge_ctc.probe.leftovers import ignore_lines
from edge_ctc.probe.measure import Channel
from edge_ctc.probe.survey import Survey
from edge_ctc.probe.table_text import table_part
from edge_ctc.probe.toml_text import comment, question, quoted, strings

PROFILE_NAME = "our-export"
_FULL_SCALE = 65535


@dataclass(frozen=True, slots=True)
class Proposal:
    """A profile to be answered.

    Attributes:
        text: TOML.
        questions: each in one line, in the order of the file.
    """

    text: str
    questions: tuple[str, ...]


def propose(found: Survey, groups: Sequence[Group]) -> Proposal:
    """The profile of the survey's run; its layout is known.

    Args:
        found: what was seen.
        groups: of its files.
    """
    lines = [
        *_head(found),
        *_layout(found),
        *ignore_lines(found, groups),
        *_runs(found),
        *_pixels(found),
        *focal_plane_part(found),
        *montage_part(found),
        *table_part(found),
        *channel_parts(found),
    ]
    questions = tuple(line.removeprefix("# QUESTION: ") for line in lines if line.startswith("# QUESTION: "))
    return Proposal("\n".join(lines) + "\n", questions)


def _head(found: Survey) -> Iterator[str]:
    yield from comment(
        f"A proposal of edge-ctc {__version__} for runs like {display_name(found.run_name)}: "
        f"{len(found.cell_ids)} cells in {len(found.listing.files)} files. It is no profile yet: every line that "
        "begins with QUESTION has to be answered by a person who knows the export and its staining, in the place of "
        'the "?" below it. Then prove it:'
    )
    yield from comment("  edge-ctc profile check THIS_FILE RUN")
    yield ""
    yield "schema_version = 1"
    yield f"name = {quoted(PROFILE_NAME)}" + "  # stands in every call; choose your own"


def _layout(found: Survey) -> Iterator[str]:
    family = found.names.family
    if family is None:
        raise ValueError("a proposal without images")
    in_names = found.layout in ("flat", "per-cell")
    patterns = image_patterns(family, found.run_name, channels_in_names=in_names)
    if found.layout == "one-image":
        yield from _one_image(found)
    else:
        yield f"layout = {quoted(found.layout or '')}"
    fault = misread(family, patterns, found.names.cell_id, channels_in_names=in_names)
    doubts = [*found.doubts, *([fault] if fault else [])]
    if doubts:
        yield from question("Which part of a name tells the cell, and which the channel?", *doubts)
        yield from comment(f"  images = {strings(patterns)}  # was found, and may be wrong")
        yield 'images = "?"'
    else:
        yield f"images = {strings(patterns)}  # upper and lower case count as one"
    yield f"cell_id = {quoted(found.names.cell_id)}  # {_ids(found)}"


def _one_image(found: Survey) -> Iterator[str]:
    family = found.names.family
    single = image_patterns(family, found.run_name, channels_in_names=True) if family else ()
    yield from question(
        "Does the one picture of each cell show several channels side by side, or one? Look at the picture sheet.",
        'several: layout = "montage", and answer [montage] below',
        *(
            [f'one: layout = "flat" and images = {strings(single)}, and take [montage] out']
            if single
            else ['one: layout = "montage" too, with a single panel']
        ),
    )
    yield 'layout = "?"'


def _ids(found: Survey) -> str:
    ids = found.cell_ids
    widths = sorted({len(cell_id) for cell_id in ids})
    width = f"all of {widths[0]} characters" if len(widths) == 1 else f"of {widths[0]} to {widths[-1]} characters"
    zeros = ", leading zeros belong to them" if any(cell_id.startswith("0") for cell_id in ids) else ""
    return f"{ids[0]} to {ids[-1]}, {width}{zeros}"


def _runs(found: Survey) -> Iterator[str]:
    glob = found.below.glob if found.below else "*"
    yield f"runs = {quoted(glob)}  # which folders below the export folder are runs; */* for patient/run"


def _pixels(found: Survey) -> Iterator[str]:
    yield ""
    yield from comment(
        "Micrometres per pixel: no file tells it surely, so it is not guessed. Ask the instrument's maker or measure "
        'it; "unknown" is allowed, and is said in every call.'
    )
    yield 'pixel_size_um = "unknown"'
    yield from _bits(found.channels)
    yield from _intensity(found.channels)
    if any(channel.own_names for channel in found.channels) and found.layout == "multipage":
        yield 'ome_names = "honoured"  # the files name their pages, as token below; against the order of the pages'


def _bits(channels: tuple[Channel, ...]) -> Iterator[str]:
    dtypes = {dtype for channel in channels for dtype in channel.dtypes}
    used = max(channel.used_bits for channel in channels)
    shifted = [channel for channel in channels if channel.is_shifted]
    if dtypes == {"uint8"}:
        yield "bits = 8"
        return
    if dtypes == {"uint16"} and used > 12 and not shifted:
        yield f"bits = 16  # the sample uses {used}"
        return
    notes = [f"the largest count of the sample takes {used} bits"]
    if used <= 12:
        notes.append('12 if the camera has 12: a count above 4095 is then refused; 16 if it has 16; else "unknown"')
    if shifted:
        names = ", ".join(channel.token for channel in shifted)
        notes.append(f"every count of {names} is a multiple of 16: 12 bits that were shifted up by four; then 16")
    if len(dtypes) > 1:
        notes.append("some images have 8 bits, others 16: one run wants one depth")
    yield from question('How many bits of a count does the camera use: 8, 12, 16 or "unknown"?', *notes)
    yield 'bits = "?"'


def _intensity(channels: tuple[Channel, ...]) -> Iterator[str]:
    stretched = [channel for channel in channels if channel.looks_stretched]
    has_bytes = any("uint8" in channel.dtypes for channel in channels)
    full = [channel for channel in channels if _always_full(channel)]
    if not has_bytes and not full:
        yield 'intensity = "counts"  # as the camera counted'
        return
    notes = ['"counts": as the camera counted, comparable between cells', '"display": each image was stretched']
    for channel in channels:
        said = "looks stretched: nearly every image reaches both ends" if channel in (*stretched, *full) else "does not"
        notes.append(f"{channel.token or 'the picture'}: {said}")
    yield from question("Do the shades mean counts, or were images stretched to be looked at?", *notes)
    yield 'intensity = "?"'


def _always_full(channel: Channel) -> bool:
    return channel.dtypes == ("uint16",) and all(
        int(counts.min()) == 0 and int(counts.max()) == _FULL_SCALE for _, counts in channel.pictures
    )
