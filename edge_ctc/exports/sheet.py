"""What the parts of a workbook say, tag by tag: the texts that sheets share, date styles, the rows of a sheet."""

import re
from collections.abc import Iterable, Iterator, Sequence

from edge_ctc.errors import DataError
from edge_ctc.exports.xml_tags import Row, TagReader, Unfit, Value, feed, read_part

MAX_COLUMNS = 256
_MAX_TEXT = 32_767
_MAX_FORMAT = 255
_MAX_TEXTS = 1_000_000
_MAX_ROW = 1 << 20
_MAX_CELLS = 500_000
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNSHOWN = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
"""What stands in a number format besides its own letters."""
_DATES = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
"""The built-in number formats that show a date or time (ECMA-376, 18.8.30)."""
_KINDS = {"b": "TRUE or FALSE", "e": "an error", "d": "a date"}


def read_texts(pieces: Iterable[bytes]) -> list[str]:
    """The texts that cells name by number. Raises as `feed`, and DataError where they are too many or too long."""
    reader = _SharedTexts()
    read_part(reader, pieces)
    return reader.texts


def read_date_styles(pieces: Iterable[bytes]) -> list[bool]:
    """Whether each cell style shows a number as a date or time. Raises as `feed`."""
    reader = _DateStyles()
    read_part(reader, pieces)
    return reader.is_date


def read_rows(pieces: Iterable[bytes], texts: Sequence[str], is_date: Sequence[bool]) -> Iterator[Row]:
    """The rows of one sheet, without blank values at their ends; rows that the sheet leaves out are left out.

    Raises:
        DataError: over 256 columns, a text too long for Excel, rows or cells out of order; and as `feed`.
        ValueError, LookupError: spoilt numbers.
    """
    return feed(_Sheet(texts, is_date), pieces)


class _Text(TagReader):
    """Gathers one text; what stands in a phonetic run is no part of it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._is_open = False
        self._is_phonetic = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - a Reader is told of them
        if tag == "rPh":
            self._is_phonetic = True
        elif tag in ("t", "v"):
            self._is_open = not self._is_phonetic

    def end(self, tag: str) -> None:
        if tag == "rPh":
            self._is_phonetic = False
        elif tag in ("t", "v"):
            self._is_open = False

    def text(self, text: str) -> None:
        if not self._is_open:
            return
        self._length += len(text)
        if self._length > _MAX_TEXT:
            raise DataError(f"a text of over {_MAX_TEXT} characters, which no cell of Excel holds; save it again")
        self._parts.append(text)

    def gathered(self) -> str:
        text = "".join(self._parts)
        self._parts.clear()
        self._length = 0
        return text


class _SharedTexts(_Text):
    """The texts that cells name by number."""

    wanted = frozenset({"t", "rPh", "si"})

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def end(self, tag: str) -> None:
        super().end(tag)
        if tag == "si":
            if len(self.texts) == _MAX_TEXTS:
                raise DataError(f"over {_MAX_TEXTS} shared texts; export the table of one run")
            self.texts.append(_unescaped(self.gathered()))


class _DateStyles(TagReader):
    """Which cell styles show a number as a date or time."""

    wanted = frozenset({"numFmt", "cellXfs", "xf"})

    def __init__(self) -> None:
        self.is_date: list[bool] = []
        self._formats: set[int] = set(_DATES)
        self._is_within = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "numFmt":
            shown = _UNSHOWN.sub("", attributes.get("formatCode", "")[:_MAX_FORMAT]).lower()
            if any(letter in shown for letter in "dmyhs"):
                self._formats.add(int(attributes.get("numFmtId", "-1")))
        elif tag == "cellXfs":
            self._is_within = True
        elif tag == "xf" and self._is_within:
            self.is_date.append(int(attributes.get("numFmtId", "0")) in self._formats)

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._is_within = False


class _Sheet(_Text):
    """The rows of one sheet; blank fields at a row's end are left out."""

    wanted = frozenset({"row", "c", "v", "f", "t", "rPh"})

    def __init__(self, texts: Sequence[str], is_date: Sequence[bool]) -> None:
        super().__init__()
        self._texts = texts
        self._is_date = is_date
        self._rows: list[Row] = []
        self._row = self._cells = 0
        self._fields: list[Value] = []
        self._column = -1
        self._kind, self._style = "n", 0
        self._is_formula = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if tag == "c":
            self._start_cell(attributes)
        elif tag == "f":
            self._is_formula = True
        elif tag == "row":
            row = int(attributes.get("r", self._row + 1))
            if not self._row < row <= _MAX_ROW:
                raise DataError(f"row {row} after row {self._row}, expected rising numbers; save it again as .xlsx")
            self._row, self._fields, self._column = row, [], -1

    def _start_cell(self, attributes: dict[str, str]) -> None:
        column = self._column + 1
        if reference := attributes.get("r"):
            found = _REFERENCE.fullmatch(reference)
            column = _column(found[1]) if found else -1
        if column <= self._column:
            raise DataError(f"row {self._row}: cells out of order; save it again as .xlsx")
        self._column = column
        self._cells += 1
        if self._cells > _MAX_CELLS:
            raise DataError(f"over {_MAX_CELLS} cells; export the columns that matter, or use CSV")
        self._kind = attributes.get("t", "n")
        self._style = int(attributes.get("s", 0))
        self._is_formula = False
        self.gathered()

    def end(self, tag: str) -> None:
        super().end(tag)
        if tag == "c":
            value = self._value(self.gathered())
            if value == "":
                return
            if self._column >= MAX_COLUMNS:
                raise DataError(f"line {self._row}: over {MAX_COLUMNS} columns; export the columns that matter")
            self._fields += [""] * (self._column - len(self._fields))
            self._fields.append(value)
        elif tag == "row":
            self._rows.append((self._row, self._fields))

    def _value(self, text: str) -> Value:
        if not text:
            return Unfit("a formula without a value (open it in Excel and save it)") if self._is_formula else ""
        if self._kind == "n":
            return self._number(text)
        if self._kind == "s":
            return self._texts[int(text)].strip() if text.isdecimal() else Unfit("no text")
        if self._kind in ("str", "inlineStr"):
            return _unescaped(text).strip()
        return Unfit(_KINDS.get(self._kind, "a value of an unknown kind"))

    def _number(self, text: str) -> Value:
        if self._style < len(self._is_date) and self._is_date[self._style]:
            return Unfit("a date")
        return float(text) if _NUMBER.fullmatch(text) else Unfit(f"{text[:20]!r} for a number")

    def taken(self) -> list[Row]:
        rows, self._rows = self._rows, []
        return rows


def _column(letters: str) -> int:
    """A is 0."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _unescaped(text: str) -> str:
    """Text with `_x000D_` and the like as the characters that they stand for; halves of a pair stay as written."""
    return _ESCAPED.sub(_character, text) if "_x" in text else text


def _character(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if code == 0 or 0xD800 <= code <= 0xDFFF else chr(code)
