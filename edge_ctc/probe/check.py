"""A profile proven on a run: a finding for each aspect, from names to the shipped checkpoints."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from edge_ctc.cells import ImageFile
from edge_ctc.errors import NotARunError
from edge_ctc.exports.listing import Listing
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.plan import REFERENCE_NAMES
from edge_ctc.probe.check_beside import checkpoint_finding, table_findings
from edge_ctc.probe.findings import SHOWN, Finding, Verdict, few
from edge_ctc.probe.groups import shape_of
from edge_ctc.probe.tally import ChannelTally, Tally, tally

_SHAPES = 12
"""Shapes of names, or reasons, that are shown."""


def check_profile(
    listing: Listing, profile: Profile, decoding: Callable[[int], Callable[[int], None]]
) -> list[Finding]:
    """Prove a profile on a run: every name, every image, the table.

    Args:
        listing: of the run.
        profile: to be proven.
        decoding: told how many files will be decoded, gives what is told after each.

    Raises:
        NotARunError: the profile finds no cell.
        RunUnreadableError: the disk failed or a file changed.
    """
    run = read_run(listing, profile)
    if not run.cells:
        raise NotARunError(
            f"{listing.folder}: profile {profile.name} finds no cell among {len(listing.files)} files, the first "
            f"{listing.files[0].name if listing.files else '(none)'}; mend images and channels in the profile"
        )
    found = tally(run, profile, decoding(sum(len(cell.files) for cell in run.cells)))
    return [
        _cells(run),
        _files(run),
        *_images(found),
        *_channels(found, profile),
        *table_findings(run, profile),
        *(checkpoint_finding(name, found, profile) for name in REFERENCE_NAMES),
    ]


def _cells(run: Run) -> Finding:
    ids = [cell.cell_id for cell in run.cells]
    return Finding("cells", Verdict.OK, f"{len(ids)}, {ids[0]} to {ids[-1]}")


def _files(run: Run) -> Finding:
    used = sum(len(cell.files) for cell in run.cells)
    said = f"{used} images of cells, {len(run.tables)} table(s), {len(run.ignored)} ignored"
    said += f", {len(run.links)} links not followed" if run.links else ""
    more = [f"ignored: {line}" for line in _shapes(run.ignored)]
    if not run.unaccounted:
        return Finding("files", Verdict.OK, said, tuple(more))
    lost = [f"not accounted for: {line}" for line in _shapes(run.unaccounted)]
    return Finding("files", Verdict.FAULT, f"{said}, {len(run.unaccounted)} not accounted for", (*lost, *more))


def _shapes(files: Sequence[ImageFile]) -> list[str]:
    shapes: dict[str, list[str]] = {}
    for file in files:
        shapes.setdefault(shape_of(file.name), []).append(file.name)
    order = sorted(shapes, key=lambda shape: (-len(shapes[shape]), shape))
    lines = [f"{len(shapes[shape])} like {shape}: {few(shapes[shape])}" for shape in order[:_SHAPES]]
    return [*lines, *([f"and {len(order) - _SHAPES} more shapes"] if len(order) > _SHAPES else [])]


def _images(found: Tally) -> Iterator[Finding]:
    failed = sum(map(len, found.failed.values()))
    good = sum(channel.images for channel in found.channels.values())
    if failed:
        yield Finding("decoding", Verdict.FAULT, f"{failed} files do not decode", tuple(_reasons(found)))
    else:
        yield Finding("decoding", Verdict.OK, f"every file decodes, {good} images of channels")
    lacking = {name: [cell.cell_id for cell in found.cells if name in cell.missing] for name in found.channels}
    lines = [f"{name}: {len(ids)} cells without it: {few(ids)}" for name, ids in lacking.items() if ids]
    yield _finding("complete", lines, f"each cell has {', '.join(found.channels)}")
    twice = [f"cell {cell.cell_id}: {few(cell.ambiguous)}" for cell in found.cells if cell.ambiguous]
    yield _finding("unambiguous", _first(twice), "no two images claim one channel of a cell")
    mixed = [f"cell {cell.cell_id}: {_forms(cell.forms)}" for cell in found.cells if cell.mixed]
    yield _finding("one size per cell", _first(mixed), "the images of each cell have one size")
    if found.planes:
        said = ", ".join(f"{plane} ({count})" for plane, count in sorted(found.planes.items()))
        yield Finding("focal planes", Verdict.OK, f"read: {said}")


def _reasons(found: Tally) -> list[str]:
    """Why files do not decode, reasons that differ in numbers alone together."""
    alike: dict[str, dict[str, list[str]]] = {}
    for reason, names in found.failed.items():
        alike.setdefault(shape_of(reason), {})[reason] = names
    together = [(next(iter(one)), [name for names in one.values() for name in names]) for one in alike.values()]
    together.sort(key=lambda one: -len(one[1]))
    lines = [f"{len(names)}: {reason} ({few(names)})" for reason, names in together[:_SHAPES]]
    return [*lines, *([f"and {len(together) - _SHAPES} more reasons"] if len(together) > _SHAPES else [])]


def _forms(forms: dict[str, tuple[tuple[int, int], str]]) -> str:
    return ", ".join(f"{name} {size[0]} x {size[1]}" for name, (size, _) in forms.items())


def _first(lines: list[str]) -> list[str]:
    return [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more cells"] if len(lines) > SHOWN else [])]


def _finding(aspect: str, faults: Iterable[str], good: str) -> Finding:
    faults = tuple(faults)
    return Finding(aspect, Verdict.FAULT, "not so:", faults) if faults else Finding(aspect, Verdict.OK, good)


def _channels(found: Tally, profile: Profile) -> Iterator[Finding]:
    markers = {channel.name: channel.marker for channel in profile.channels}
    for name, channel in found.channels.items():
        if not channel.images:
            yield Finding(f"channel {name}", Verdict.FAULT, "no image decodes")
            continue
        notes = list(_notes(channel, profile))
        marker = f"({markers[name]}) " if markers[name] else ""
        used = f"{channel.high.bit_length()} bits used, {profile.bits} declared"
        said = f"{marker}{_sizes(channel)}, counts {channel.low} to {channel.high}, {used}"
        yield Finding(f"channel {name}", Verdict.NOTE if notes else Verdict.OK, said, tuple(notes))
    dtypes = sorted({form[1] for channel in found.channels.values() for form in channel.forms})
    if len(dtypes) > 1:
        yield Finding("depth", Verdict.FAULT, f"images of {' and '.join(dtypes)}: a checkpoint takes one of them")


def _sizes(channel: ChannelTally) -> str:
    forms = channel.forms.most_common(4)
    shown = [
        f"{size[0]} x {size[1]} px {dtype}" + (f" ({count})" if len(channel.forms) > 1 else "")
        for (size, dtype), count in forms
    ]
    return ", ".join(shown) + (", …" if len(channel.forms) > len(forms) else "")


def _notes(channel: ChannelTally, profile: Profile) -> Iterator[str]:
    used = channel.high.bit_length()
    if len(channel.forms) > 1:
        yield "more than one size: smaller ones are padded, larger ones cropped about their middle"
    if profile.bits == 16 and used <= 12:
        yield "declared bits = 16, and 12 fit"
    if profile.intensity == "counts" and 2 * channel.stretched > channel.images:
        yield (
            f"{channel.stretched} of {channel.images} images reach both 0 and 255, as if stretched to be looked at; "
            'then intensity = "display"'
        )
