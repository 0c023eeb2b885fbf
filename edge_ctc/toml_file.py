"""One TOML file into one strict pydantic model; a misspelt key is refused with the key that was meant."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

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
            Unknown keys come first: one that is missing may be one of them, misspelt.
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
        unknown_first = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        faults = "; ".join(_fault(fault, model, content) for fault in unknown_first)
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
    return f"{where}: {unknown_key(model, fault['loc'])}{at}"


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


def unknown_key(model: type[BaseModel], place: Sequence[str | int], root: str = "") -> str:
    """What is wrong with a key that `model` does not know where it stands, and which was meant.

    Args:
        model: of the whole table.
        place: where the key stands, as pydantic names it; the key is its last part.
        root: name of the table in its file, where it is not the file itself.
    """
    key = str(place[-1])
    own = _keys_at(model, place[:-1])
    headers: dict[str, str] = {}
    for header, known in _tables(model, root):
        headers.setdefault(known, header)
    if key in headers:
        return f"unknown key here; it belongs {headers[key]}"
    if near := _nearest(key, own):
        return f'unknown key (did you mean "{near}"?)'
    if near := _nearest(key, list(headers)):
        return f'unknown key (did you mean "{near}", {headers[near]}?)'
    return f"unknown key (known: {', '.join(own)})"


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys of the table that `place` leads to; of several models that may stand there, of all."""
    models = [model]
    for part in place:
        # What names no field is the number in a list, or the kind of a union.
        fields = [one.model_fields[part] for one in models if isinstance(part, str) and part in one.model_fields]
        models = [within for field in fields for within in _models_in(field.annotation)] or models
    return list(dict.fromkeys(key for one in models for key in one.model_fields))


def _tables(model: type[BaseModel], name: str) -> Iterator[tuple[str, str]]:
    """Every key within `model`, behind where it belongs."""
    here = f"under [{name}]" if name else "at the top, before the first [table]"
    for key in model.model_fields:
        yield here, key
    for key, field in model.model_fields.items():
        for within in _models_in(field.annotation):
            yield from _tables(within, f"{name}.{key}" if name else key)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if get_origin(annotation) is None:
        return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _nearest(found: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(found, known, n=1)), None)


def did_you_mean(found: str, known: Sequence[str]) -> str:
    """` (did you mean "…"?)` for the nearest of `known`, else the list of what is known."""
    near = _nearest(found, known)
    return f' (did you mean "{near}"?)' if near else f" (known: {', '.join(known)})"
