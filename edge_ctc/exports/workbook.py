"""XLSX to records, cell by cell, in bounded memory.

A ZIP of XML parts, of which four are read: the list of sheets, one sheet, the texts that sheets share, and the
styles, since only a style tells a date from a number. openpyxl builds a tree of each row: 28 KB of hostile XLSX took it
27 s and 1.9 GB. Here expat reports tag by tag, nothing is kept but the row at hand, and a DOCTYPE, with which every
attack by entities starts, is refused.
"""

import io
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from edge_ctc.errors import DataError
from edge_ctc.exports.sheet import read_date_styles, read_rows, read_texts
from edge_ctc.exports.xml_tags import Row, read_tags

MAX_BYTES = 32 << 20
_MAX_ENTRIES = 1000
_MAX_PART = 12 << 20
"""Bytes of one unpacked part."""
_MAX_INDEX = 1 << 20
"""Bytes of one unpacked part that only lists others."""
_PIECE = 1 << 20
"""Bytes; expat starts anew on an unfinished tag with every piece, so that small ones would take it long."""
_ENTRY = b"PK\x01\x02"
_OLE = b"\xd0\xcf\x11\xe0"
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    expat.ExpatError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What zipfile, zlib and expat raise on a spoilt file."""


def read_workbook(content: bytes, name: str, sheet: str | None) -> Iterator[Row]:
    """(row number, its fields, at least as many as the first row has) of each row of one sheet.

    Args:
        content: the XLSX file.
        name: of the file, for errors.
        sheet: which sheet; None is the only one.

    Raises:
        DataError: no XLSX, encrypted, over 32 MiB or 12 MiB unpacked, spoilt, another sheet, over 256 columns.
    """
    _check_size(content, name)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from _rows(_Parts(archive), sheet)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except _UNREADABLE as error:
        raise DataError(f"{name}: cannot be read as XLSX ({error}); save it again as .xlsx, or as CSV UTF-8") from error


def _check_size(content: bytes, name: str) -> None:
    if len(content) > MAX_BYTES:
        raise DataError(f"{name}: {len(content)} bytes, expected at most {MAX_BYTES}; export the table of one run")
    if content.startswith(_OLE):
        raise DataError(f"{name}: has a password or is an old .xls; save it as .xlsx without a password")
    # zipfile keeps an object for each entry: they are counted before it sees the file.
    entries = content.count(_ENTRY)
    if entries > _MAX_ENTRIES:
        raise DataError(f"{name}: {entries} parts, expected at most {_MAX_ENTRIES}; save it again as .xlsx")


class _Parts:
    """The parts of a workbook, each unpacked only as far as it may go."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def pieces(self, path: str, limit: int) -> Iterator[bytes]:
        """The unpacked bytes of a part.

        Raises:
            DataError: it is missing, encrypted or larger than `limit`.
        """
        try:
            entry = self._archive.getinfo(path)
        except KeyError:
            raise DataError(f"has no part {path!r}; save it again as .xlsx") from None
        if entry.flag_bits & 1:
            raise DataError(f"part {path} is encrypted; save it without a password")
        if entry.file_size > limit:
            raise DataError(f"part {path}: {entry.file_size} bytes unpacked, expected at most {limit}; use CSV instead")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"part {path} is packed in a way that Excel never uses; save it again as .xlsx")
        with self._archive.open(entry) as part:
            while piece := part.read(_PIECE):
                yield piece

    def tags(self, path: str, wanted: str) -> list[dict[str, str]]:
        """The attributes of each tag of this name in a part that lists others."""
        return read_tags(self.pieces(path, _MAX_INDEX), wanted)

    def related(self, path: str) -> dict[str, tuple[str, str]]:
        """(kind, path) of each part that the part at `path` relates to, by id."""
        folder, _, last = path.rpartition("/")
        found: dict[str, tuple[str, str]] = {}
        for attributes in self.tags(posixpath.join(folder, "_rels", f"{last}.rels"), "Relationship"):
            if attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
                kind = attributes.get("Type", "").rpartition("/")[2]
                found[attributes.get("Id", "")] = kind, target.lstrip("/")
        return found


def _rows(parts: _Parts, wanted: str | None) -> Iterator[Row]:
    book = next((path for kind, path in parts.related("").values() if kind == "officeDocument"), None)
    if book is None:
        raise DataError("is a ZIP, but no XLSX; save it as .xlsx")
    related = parts.related(book)
    path = _chosen(_sheets(parts, book, related), wanted)
    by_kind = dict(related.values())
    texts = read_texts(parts.pieces(by_kind["sharedStrings"], _MAX_PART)) if "sharedStrings" in by_kind else []
    is_date = read_date_styles(parts.pieces(by_kind["styles"], _MAX_PART)) if "styles" in by_kind else []
    width = 0
    for row, values in read_rows(parts.pieces(path, _MAX_PART), texts, is_date):
        width = width or len(values)
        yield row, values + [""] * (width - len(values))


def _sheets(parts: _Parts, book: str, related: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Path by name of the sheets that hold cells."""
    found = {}
    for attributes in parts.tags(book, "sheet"):
        kind, path = related.get(attributes.get("id", ""), ("", ""))
        if kind == "worksheet":
            found[attributes.get("name", "")] = path
    return found


def _chosen(sheets: dict[str, str], wanted: str | None) -> str:
    names = ", ".join(repr(name[:60]) for name in list(sheets)[:20])
    if wanted is None:
        if len(sheets) != 1:
            raise DataError(f"{len(sheets)} sheets ({names}), expected one; declare sheet = its name")
        return next(iter(sheets.values()))
    if wanted not in sheets:
        raise DataError(f"no sheet {wanted!r}; it has {names}; declare one of them")
    return sheets[wanted]
