"""Questions of a proposal that nobody has answered yet."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import LoadedProfile, load_profile
from edge_ctc.toml_file import read_toml_bytes

UNANSWERED = "?"


def load_answered(name_or_file: str) -> LoadedProfile:
    """A profile whose questions are all answered.

    Raises:
        ConfigError: a key still says "?": every such key is named; and as `edge_ctc.exports.profile.load_profile`.
    """
    path = Path(name_or_file)
    keys = unanswered(read_toml_bytes(path)) if _is_file(path) else ()
    if keys:
        raise ConfigError(
            f"{path}: {len(keys)} question(s) not answered: {', '.join(keys)}; put an answer in the place of each "
            f'"{UNANSWERED}", as the QUESTION above it says'
        )
    return load_profile(name_or_file)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


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
