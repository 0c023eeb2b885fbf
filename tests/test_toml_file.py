import contextlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.errors import ConfigError
from edge_ctc.toml_file import MAX_BYTES, StrictModel, did_you_mean, parse_toml, read_toml


class Lens(StrictModel):
    power: float


class Settings(StrictModel):
    schema_version: Literal[1] = 1
    name: str
    steps: int = 3
    lenses: tuple[Lens, ...] = ()


def test_a_file_becomes_its_model(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "è"\nsteps = 4\n[[lenses]]\npower = 20.0\n', "utf-8")
    assert read_toml(path, Settings) == Settings(name="è", steps=4, lenses=(Lens(power=20.0),))


def test_a_byte_order_mark_of_windows_is_passed_over() -> None:
    assert parse_toml(b'\xef\xbb\xbfname = "a"\r\n', "a.toml", Settings) == Settings(name="a")


def test_a_misspelt_key_is_refused_with_the_key_that_was_meant() -> None:
    with pytest.raises(ConfigError, match=r'a\.toml: stepz: unknown key \(did you mean "steps"\?\)'):
        parse_toml(b'name = "a"\nstepz = 4', "a.toml", Settings)


def test_a_misspelt_key_of_a_table_within_is_refused_with_the_key_that_was_meant() -> None:
    with pytest.raises(ConfigError, match=r'lenses\.0\.powr: unknown key \(did you mean "power"\?\)'):
        parse_toml(b'name = "a"\n[[lenses]]\npower = 1.0\npowr = 1.0', "a.toml", Settings)


def test_a_key_like_no_other_is_refused_with_all_that_are_known_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"known: schema_version, name, steps, lenses\)"):
        parse_toml(b'name = "a"\nxyzzy = 4', "a.toml", Settings)


def test_a_key_that_belongs_under_a_table_or_at_the_top_is_told_so() -> None:
    with pytest.raises(ConfigError, match=r"power: unknown key here; it belongs under \[lenses\] \(line 2\)"):
        parse_toml(b'name = "a"\npower = 1.0', "a.toml", Settings)
    with pytest.raises(ConfigError, match=r'powr: unknown key \(did you mean "power", under \[lenses\]\?\)'):
        parse_toml(b'name = "a"\npowr = 1.0', "a.toml", Settings)
    with pytest.raises(ConfigError, match=r"lenses.0.steps: unknown key here; it belongs at the top, before the first"):
        parse_toml(b'name = "a"\n[[lenses]]\npower = 1.0\nsteps = 4', "a.toml", Settings)


def test_a_misspelt_key_comes_before_the_missing_one_that_it_stands_for() -> None:
    with pytest.raises(ConfigError, match=r'nmae: unknown key \(did you mean "name"\?\).*; name: missing; add it$'):
        parse_toml(b'nmae = "a"', "a.toml", Settings)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"xyzzy: .*name: .*steps: "):
        parse_toml(b'steps = "four"\nxyzzy = 4', "a.toml", Settings)


@pytest.mark.parametrize("value", [b'"3"', b"3.0", b"true", b"[3]"])
def test_a_value_of_another_type_is_not_converted(value: bytes) -> None:
    with pytest.raises(ConfigError, match="steps"):
        parse_toml(b'name = "a"\nsteps = ' + value, "a.toml", Settings)


@pytest.mark.parametrize("content", [b"name = ", b"name", b'name = "a"\nname = "b"', b'name = "\xe8"', b"\0", b"[a"])
def test_what_is_no_toml_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"a\.toml: not valid TOML"):
        parse_toml(content, "a.toml", Settings)


@pytest.mark.parametrize("content", [b"name = " + b"[" * 20_000, b"name" + b".a" * 2_000 + b" = 1"])
def test_toml_nested_beyond_reason_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"a\.toml"):
        parse_toml(content, "a.toml", Settings)


@given(st.binary(max_size=60))
def test_whatever_the_bytes_they_are_a_model_or_a_config_error(content: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_toml(content, "a.toml", Settings), Settings)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=rf"{path}: cannot be read"):
            read_toml(path, Settings)


def test_a_file_too_large_for_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'name = "a"'.ljust(MAX_BYTES, b"\n"))
    assert read_toml(path, Settings).name == "a"
    path.write_bytes(b'name = "a"'.ljust(MAX_BYTES + 1, b"\n"))
    with pytest.raises(ConfigError, match="larger than"):
        read_toml(path, Settings)


def test_the_nearest_name_is_suggested_else_all_are_listed() -> None:
    assert did_you_mean("multpage", ["flat", "multipage"]) == ' (did you mean "multipage"?)'
    assert did_you_mean("zzz", ["flat", "multipage"]) == " (known: flat, multipage)"
