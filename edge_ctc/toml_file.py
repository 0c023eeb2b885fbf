"""One TOML file into one strict pydantic model; a misspelt key is refused with the key that was meant."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_ctc.errors import ConfigError

MAX_BYTES = 1 << 20


class StrictModel(BaseModel):
    """Frozen, refuses unknown keys and silent type conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


ModelT = TypeVar("ModelT", bound=StrictModel)


def read_toml(path: Path, model: type[ModelT]) -> ModelT:
    """Read `path` as `model`.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or a key is unknown, missing or wrong.
            Every fault is listed, each with its key, its line and, for an unknown one, the nearest known key.
    """
    return parse_toml(read_toml_bytes(path), str(path), model)


def read_toml_bytes(path: Path) -> bytes:
    """The file's bytes, at most 1 MiB.

    Raises:
        ConfigError: the file cannot be read or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; a settings file is smaller")
    return content


def parse_toml(content: bytes, source: str, model: type[ModelT]) -> ModelT:
    """Parse TOML `content`; `source` names it in errors. Raises as `read_toml`."""
    try:
        table = _tuples(tomllib.loads(content.decode("utf-8-sig")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid TOML ({error}); mend that line") from error
    try:
        return model.model_validate(table)
    except ValidationError as error:
        faults = "; ".join(_fault(fault, model, content) for fault in error.errors())
        raise ConfigError(f"{source}: {faults}") from error


def _tuples(value: Any) -> Any:
    # TOML knows arrays only, and the strict models hold tuples because they are frozen.
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _fault(fault: Any, model: type[BaseModel], content: bytes) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "file"
    if fault["type"] == "missing":
        return f"{where}: missing; add it"
    line = line_of(content, *fault["loc"])
    at = f" (line {line})" if line else ""
    if fault["type"] != "extra_forbidden":
        message = fault["msg"].removeprefix("Value error, ")
        found = "" if fault["type"] == "value_error" else f", found {fault['input']!r}"
        return f"{where}: {message}{found}{at}"
    meant = did_you_mean(str(fault["loc"][-1]), _known_keys(model))
    return f"{where}: unknown key{meant}{at}"


_TABLE = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_-]+)\s*\]")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*=""")


def line_of(content: bytes, *keys: str | int) -> int | None:
    """The line, from 1, on which TOML `content` gives the value that `keys` lead to; None where no line does.

    `keys` as pydantic names a place: `("steps",)`, or `("lenses", 0, "power")` for a key of the first `[[lenses]]`.
    """
    table: tuple[str | int, ...] = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(content.decode("utf-8-sig", "replace").split("\n"), 1):
        if header := _TABLE.match(line):
            name = header[2]
            table = (name, seen.get(name, 0)) if header[1] == "[[" else (name,)
            seen[name] = seen.get(name, 0) + 1
            if table == keys:
                return number
        elif (key := _KEY.match(line)) and keys[: len(table) + 1] == (*table, key[1] or key[2] or key[3]):
            return number
    return None


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys = list(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += _known_keys(part)
    return keys


def did_you_mean(found: str, known: Sequence[str]) -> str:
    """` (did you mean "…"?)` for the nearest of `known`, else the list of what is known."""
    near = difflib.get_close_matches(found, known, n=1)
    return f' (did you mean "{near[0]}"?)' if near else f" (known: {', '.join(known)})"
