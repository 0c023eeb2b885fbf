"""XML reported tag by tag, nothing kept: what a hostile file can cost is what its bytes cost."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.parsers import expat

from edge_ctc.errors import DataError

_MAX_DEPTH = 64
_MAX_TAGS = 1_000_000


@dataclass(frozen=True, slots=True)
class Unfit:
    """What a field holds that is neither text nor number; it matters only in a column that is used."""

    what: str


Value = str | float | Unfit
Row = tuple[int, list[Value]]


class TagReader:
    """Is told of the tags of one part that it wants, without their namespaces, and gives the rows that are whole."""

    wanted: frozenset[str]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag opens."""

    def end(self, tag: str) -> None:
        """A tag closes."""

    def text(self, text: str) -> None:
        """Text, perhaps only a piece of it."""

    def taken(self) -> list[Row]:
        """Rows that are whole and were not given yet."""
        return []


class _TagList(TagReader):
    def __init__(self, wanted: str) -> None:
        self.wanted = frozenset({wanted})
        self.tags: list[dict[str, str]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - all are of the one name wanted
        self.tags.append({name[name.rfind("}") + 1 :]: value for name, value in attributes.items()})


def read_tags(pieces: Iterable[bytes], wanted: str) -> list[dict[str, str]]:
    """The attributes of each tag of this name in a small part, without their namespaces. Raises as `feed`."""
    reader = _TagList(wanted)
    read_part(reader, pieces)
    return reader.tags


def read_part(reader: TagReader, pieces: Iterable[bytes]) -> None:
    """Tell `reader` of a whole part that has no rows. Raises as `feed`."""
    for _ in feed(reader, pieces):
        pass


def feed(reader: TagReader, pieces: Iterable[bytes]) -> Iterator[Row]:
    """Tell `reader` of the part in `pieces`, and give its rows as soon as they are whole.

    Raises:
        DataError: a DOCTYPE, with which every attack by entities starts; tags nested over 64 deep; over 1.5
            million tags.
        xml.parsers.expat.ExpatError: no XML.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    wanted = reader.wanted
    depth = tags = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, tags
        tags += 1
        if tags > _MAX_TAGS:
            raise DataError(f"over {_MAX_TAGS} tags in one part; export the columns that matter, or use CSV")
        depth += 1
        # expat keeps 150 bytes for each open tag.
        if depth > _MAX_DEPTH:
            raise DataError(f"tags nested over {_MAX_DEPTH} deep; save it again as .xlsx")
        name = tag[tag.rfind("}") + 1 :]
        if name in wanted:
            reader.start(name, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        name = tag[tag.rfind("}") + 1 :]
        if name in wanted:
            reader.end(name)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    for piece in pieces:
        parser.Parse(piece, False)
        yield from reader.taken()
    parser.Parse(b"", True)
    yield from reader.taken()


def _refuse(*_: object) -> None:
    raise DataError("holds a DOCTYPE, which no workbook has; save it again as .xlsx")
