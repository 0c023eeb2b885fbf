"""Image names to templates: which part of a name tells the cell, and which names differ in nothing else."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_ctc.cells import ImageFile
from edge_ctc.exports.names import CELL_ID

_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
ID_FORMS = ("[0-9]+", "[A-Za-z]+[0-9]+", _UUID, "[A-Za-z0-9]+")
"""What an id may look like, as regular expressions, the plainest first."""
UUID_FORM = ID_FORMS.index(_UUID)
_SLOTS = (r"([0-9]+)", r"([A-Za-z]+[0-9]+|[0-9]+)", rf"({_UUID}|[0-9]+)", r"([A-Za-z0-9]+)")

_SUFFIXES = {".tif": ".tif", ".tiff": ".tif", ".png": ".png", ".bmp": ".bmp"}
_MOST_VALUES = 16
_WILD = "*"


@dataclass(frozen=True, slots=True)
class Kind:
    """Images whose names differ in nothing but the cell.

    Attributes:
        template: path below the run without its suffix, with `{cell_id}`.
        suffix: ".tif" (".tiff" too), ".png" or ".bmp".
        files: by id; several where names differ in upper and lower case, or in what the template leaves open.
        doubts: why another part of the names may tell the cell, in words.
    """

    template: str
    suffix: str
    files: Mapping[str, Sequence[ImageFile]]
    doubts: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many files."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True, slots=True)
class Templates:
    """All images by template.

    Attributes:
        kinds: the one with most files first.
        unread: images in whose name nothing tells a cell.
    """

    kinds: tuple[Kind, ...]
    unread: tuple[ImageFile, ...]


def image_suffix(name: str) -> str:
    """The suffix as patterns write it, ".tif" for ".tiff"; empty where it is no image's."""
    stem, _, suffix = name.rpartition(".")
    return _SUFFIXES.get(f".{suffix.lower()}", "") if stem and not stem.endswith("/") else ""


def by_number(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sorts numbers by value."""
    if text.isascii() and text.isdigit():
        return ((0, int(text), ""),), text
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts), text


def find_templates(images: Sequence[ImageFile], form: int) -> Templates:
    """Sort images by template.

    Args:
        images: files with an image's suffix.
        form: index into `ID_FORMS`, what the part of a name that tells its cell may look like.
    """
    skeletons = _skeletons(images, re.compile(_SLOTS[form]))
    known: set[str] = set()
    found: dict[tuple[str, str], _Growing] = {}
    unread: list[ImageFile] = []
    # Where numbers vary most comes first: what is a cell there tells which number is the cell elsewhere.
    for skeleton in sorted(skeletons, key=lambda one: (-max(one.distinct, default=0), one.literals)):
        place = skeleton.place_of_id(known)
        if place is None:
            unread += [file for _, file in skeleton.files]
            continue
        known.update(values[place] for values, _ in skeleton.files)
        doubts = tuple(skeleton.doubts(place))
        for template, cell_id, file in skeleton.templates(place):
            kind = found.setdefault((template.casefold(), skeleton.suffix), _Growing(template, doubts))
            kind.add(cell_id, file)
    kinds = [Kind(one.template, suffix, one.files, one.doubts) for (_, suffix), one in found.items()]
    kinds.sort(key=lambda one: (-one.count, one.template, one.suffix))
    return Templates(tuple(kinds), tuple(unread))


class _Growing:
    def __init__(self, template: str, doubts: tuple[str, ...]) -> None:
        self.template = template
        self.doubts = doubts
        self.files: dict[str, list[ImageFile]] = {}
        self._spelling: dict[str, str] = {}

    def add(self, cell_id: str, file: ImageFile) -> None:
        known = self._spelling.setdefault(cell_id.casefold(), cell_id)
        self.files.setdefault(known, []).append(file)


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """Names that are the same but for their slots.

    Attributes:
        literals: what stands before, between and after the slots.
        distinct: how many different values each slot has.
        files: with the values of their slots.
    """

    literals: tuple[str, ...]
    suffix: str
    distinct: tuple[int, ...]
    files: Sequence[tuple[tuple[str, ...], ImageFile]]

    def place_of_id(self, known: set[str]) -> int | None:
        """The slot that varies most; where none varies, the first with a value that is a cell's elsewhere."""
        if not self.distinct:
            return None
        most = max(self.distinct)
        if most > 1 or not known:
            return self.distinct.index(most)
        return next((place for place, value in enumerate(self.files[0][0]) if value in known), None)

    def doubts(self, place: int) -> Iterator[str]:
        """Other slots that may tell the cell as well."""
        for rival, distinct in enumerate(self.distinct):
            if (
                rival != place
                and distinct > 1
                and 2 * distinct >= self.distinct[place]
                and not self._same(place, rival)
            ):
                yield (
                    f"in {self.files[0][1].name} the part {self.files[0][0][rival]} varies about as much "
                    f"({distinct} values) as {self.files[0][0][place]} ({self.distinct[place]} values)"
                )

    def templates(self, place: int) -> Iterator[tuple[str, str, ImageFile]]:
        """(template, id, file) of each file."""
        roles = [self._role(place, slot) for slot in range(len(self.distinct))]
        for values, file in self.files:
            slots = [value if role is None else role for value, role in zip(values, roles, strict=True)]
            parts = [part for pair in zip(self.literals, slots, strict=False) for part in pair]
            yield "".join([*parts, self.literals[-1]]), values[place], file

    def _role(self, place: int, slot: int) -> str | None:
        """What stands for a slot in a template; None: its value."""
        if slot == place or (self.distinct[slot] > 1 and self._same(place, slot)):
            return CELL_ID
        few = self.distinct[slot] <= min(_MOST_VALUES, max(1, self.distinct[place]))
        return None if few else _WILD

    def _same(self, one: int, other: int) -> bool:
        return all(values[one] == values[other] for values, _ in self.files)


def _skeletons(images: Sequence[ImageFile], slots: re.Pattern[str]) -> list[_Skeleton]:
    found: dict[tuple[str, ...], list[tuple[tuple[str, ...], ImageFile]]] = defaultdict(list)
    spelling: dict[tuple[str, ...], tuple[str, ...]] = {}
    for file in images:
        stem, _, suffix = file.name.rpartition(".")
        parts = slots.split(stem)
        key = (_SUFFIXES[f".{suffix.lower()}"], *map(str.casefold, parts[::2]))
        spelling.setdefault(key, tuple(parts[::2]))
        found[key].append((tuple(parts[1::2]), file))
    return [
        _Skeleton(
            spelling[key], key[0], tuple(len(set(column)) for column in zip(*(v for v, _ in files), strict=True)), files
        )
        for key, files in found.items()
    ]
