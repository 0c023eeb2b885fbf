"""Delimited text to records: the encoding is declared and held to, and everything is bounded before it is parsed."""

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Literal

from edge_ctc.errors import DataError

Encoding = Literal["utf-8", "cp1252", "utf-16"]
Delimiter = Literal[",", ";", "\t"]

MAX_BYTES = 32 << 20
MAX_FIELD = 32_767
"""Characters: as many as Excel holds in a cell."""
_MAX_LINE = 1 << 20
"""Characters between two line ends."""
_PIECE = 1 << 16
_CODECS = {"utf-8": "utf-8-sig", "cp1252": "cp1252", "utf-16": "utf-16"}
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_delimited(
    content: bytes, name: str, encoding: Encoding, delimiter: Delimiter
) -> Iterator[tuple[int, list[str]]]:
    """(line on which it starts, counted from 1; its fields without blanks around them) of each record.

    Quotes are doubled within quoted fields, which may hold line ends.

    Raises:
        DataError: over 32 MiB, another encoding than declared, a NUL, quotes that do not close, a field of over
            32,767 characters, a line of over a million.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{name}: {len(content)} bytes, expected at most {MAX_BYTES}; export the table of one run")
    _check_mark(content, name, encoding)
    fault = _fault(content, encoding)
    if fault is not None:
        raise DataError(f"{name}: {fault}; {_advice(content, encoding)}")
    # A stream, since the whole text of a hostile table could take four times its bytes.
    with io.TextIOWrapper(io.BytesIO(content), _CODECS[encoding], newline="") as text:
        yield from _records(text, name, delimiter)


def _records(text: io.TextIOWrapper, name: str, delimiter: Delimiter) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_lines(text, name), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields and max(map(len, fields)) > MAX_FIELD:
                raise DataError(f"{name}: line {line}: a field of over {MAX_FIELD} characters; mend or remove it")
            yield line, [field.strip() for field in fields]
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name}: line {line}: not valid CSV ({error}); mend that line, its quotes above all"
        ) from error


def _lines(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise DataError(f"{name}: a line of over {_MAX_LINE} characters, which no table has; export it again")
        yield line


def _check_mark(content: bytes, name: str, encoding: Encoding) -> None:
    """The byte order mark at the start tells an encoding for certain: it may not contradict the profile."""
    found = next((other for mark, other in _MARKS.items() if content.startswith(mark)), None)
    if found is None and encoding == "utf-16" and content:
        raise DataError(f"{name}: starts without the mark of UTF-16; {_advice(content, encoding)}")
    if found is not None and found != encoding:
        raise DataError(
            f"{name}: starts with the mark of {found.upper()}, but the profile declares {encoding}; "
            f'declare encoding = "{found}"'
        )


def _fault(content: bytes, encoding: str) -> str | None:
    """The first thing that text of this encoding does not hold; None: there is none."""
    decoder = codecs.getincrementaldecoder(_CODECS[encoding])()
    line = 1
    for start in range(0, len(content) + 1, _PIECE):
        held = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(content[start : start + _PIECE], final=start + _PIECE > len(content))
        except UnicodeError as error:
            at = start - held + getattr(error, "start", 0)
            byte = f"0x{content[at]:02X}" if at < len(content) else "the end"
            return f"byte {at} ({byte}) is no {encoding}, as the profile declares"
        nul = piece.find("\0")
        if nul >= 0:
            return f"line {line + piece.count(chr(10), 0, nul)} holds a NUL, which {encoding} text never has"
        line += piece.count("\n")
    return None


def _advice(content: bytes, encoding: str) -> str:
    if encoding != "utf-8" and _fault(content, "utf-8") is None:
        return 'declare encoding = "utf-8"'
    if encoding != "cp1252" and _fault(content, "cp1252") is None:
        return 'declare encoding = "cp1252" if Excel saved it as CSV in Italy, else save it as UTF-8'
    return "declare the encoding that it was saved in, or save it as CSV UTF-8"
