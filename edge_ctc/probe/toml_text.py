"""TOML as text: strings and comments that hold whatever a file may be called."""

import textwrap
from collections.abc import Iterable

from edge_ctc.exports.listing import display_name

_WIDTH = 116
_ESCAPES = {'"': '\\"', "\\": "\\\\"}
_REPLACEMENT = "�"


def quoted(text: str) -> str:
    """A basic string (TOML 1.0, "String"): what cannot be printed is escaped.

    A lone surrogate, which stands for a byte that is no UTF-8, has no place in TOML: U+FFFD stands for it.
    """
    return f'"{"".join(map(_character, text))}"'


def _character(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return _REPLACEMENT
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def strings(texts: Iterable[str]) -> str:
    """An array of strings."""
    return f"[{', '.join(map(quoted, texts))}]"


def comment(text: str) -> list[str]:
    """Lines of a comment, wrapped, nothing in them that cannot be printed."""
    lines = [part for line in text.split("\n") for part in _wrapped(display_name(line))]
    return [f"# {line}" if line else "#" for line in lines]


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def question(asked: str, *notes: str) -> list[str]:
    """A line `# QUESTION: …` and what helps to answer it; the line below them holds the key."""
    lines = [f"# QUESTION: {display_name(asked)}"]
    for note in notes:
        lines += comment(f"  - {note}")
    return ["", *lines]
