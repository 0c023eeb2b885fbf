"""Questions of a proposed profile that nobody has answered yet."""

import tomllib
from collections.abc import Iterator
from typing import Any

from edge_ctc.errors import ConfigError

UNANSWERED = "?"


def refuse_unanswered(content: bytes, source: str) -> None:
    """Refuse TOML in which a key still says "?".

    Raises:
        ConfigError: every such key is named; `source` names the file.
    """
    if keys := unanswered(content):
        raise ConfigError(
            f"{source}: {len(keys)} question(s) not answered: {', '.join(keys)}; put an answer in the place of each "
            f'"{UNANSWERED}", as the QUESTION above it says'
        )


def unanswered(content: bytes) -> tuple[str, ...]:
    """The keys of a TOML file that still say "?"; none where it is no TOML, which its reader says better."""
    try:
        return tuple(_unanswered(tomllib.loads(content.decode("utf-8-sig")), ""))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return ()


def _unanswered(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unanswered(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        if UNANSWERED in value:
            yield where
        for place, inner in enumerate(value, 1):
            if not isinstance(inner, str):
                yield from _unanswered(inner, f"{where}[{place}]")
    elif value == UNANSWERED:
        yield where
