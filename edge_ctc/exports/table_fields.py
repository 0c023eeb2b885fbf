"""One field of a table: where its column stands, and what it says as text or as a number."""

import difflib
import math
import re
from collections.abc import Sequence

from edge_ctc.exports.xml_tags import Unfit, Value

_EXACT = 10**15
"""Excel keeps 15 digits of a number."""
_NUMBERS = {
    ".": re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ",": re.compile(r"[+-]?(?:[0-9]+(?:,[0-9]*)?|,[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}


def place_of(column: str, header: Sequence[str], delimiter: str) -> int:
    """Where the column stands in the header.

    Raises:
        ValueError: it is not there, or more than once. The message lists the columns.
    """
    if header.count(column) > 1:
        raise ValueError(f"{header.count(column)} columns {quoted(column)}, expected one; rename the others")
    if column in header:
        return header.index(column)
    by_fold = {found.casefold(): found for found in header}
    near = difflib.get_close_matches(column.casefold(), list(by_fold), n=1)
    meant = f" (did you mean {quoted(by_fold[near[0]])}?)" if near else ""
    columns = ", ".join(map(quoted, header[:20])) + (", …" if len(header) > 20 else "")
    other = next((mark for mark in ";\t," if len(header) == 1 and mark != delimiter and mark in header[0]), None)
    advice = f"declare delimiter = {other!r}" if other else "declare the column as the table spells it"
    raise ValueError(f"no column {quoted(column)}{meant}; found {columns or 'no columns'}; {advice}")


def text_of(value: Value, column: str, *, is_key: bool = False) -> str:
    """A value as text; a number as Excel would show it, but for keys whole numbers only.

    Raises:
        ValueError: the value is no text, or a number that Excel does not keep exactly.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) < _EXACT:
        if value.is_integer():
            return str(int(value))
        if not is_key:
            return repr(value)
    expected = "text or a whole number of at most 15 digits" if is_key else "text"
    raise ValueError(f"column {quoted(column)}: found {shown(value)}, expected {expected}; format the column as Text")


def number_of(value: Value, column: str, decimal: str) -> float | None:
    """A finite number; None where the value is blank.

    Raises:
        ValueError: it is anything else, such as a number with separated thousands.
    """
    if value == "":
        return None
    number = math.nan
    if isinstance(value, float):
        number = value
    elif isinstance(value, str) and _NUMBERS[decimal].fullmatch(value):
        number = float(value.replace(",", "."))
    if math.isfinite(number):
        return number
    raise ValueError(
        f"column {quoted(column)}: found {shown(value)}, expected a number with {decimal!r} before its decimals and "
        "nothing between thousands, or a blank; mend it, or declare decimal as the table has it"
    )


def shown(value: Value) -> str:
    """A value for a message."""
    if isinstance(value, Unfit):
        return value.what
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Hostile text for a message: short, and with nothing in it that cannot be printed."""
    return repr(text if len(text) <= 60 else text[:60] + "…")
