"""docs/profiles.md says what is so: its profiles load, its keys are all there are, its pictures are small."""

import re
import tomllib
from pathlib import Path

import pytest

from edge_ctc.exports.profile import Channel, FocalPlane, Montage, Profile
from edge_ctc.exports.table_profile import TableProfile
from edge_ctc.toml_file import parse_toml

PAGE = Path(__file__).parents[1] / "docs" / "profiles.md"
TEXT = PAGE.read_text("utf-8")
PROFILES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", PROFILES, ids=lambda text: str(tomllib.loads(text)["name"]))
def test_every_profile_on_the_page_loads(text: str) -> None:
    assert parse_toml(text.encode(), "docs/profiles.md", Profile).channels


def test_the_page_shows_every_layout() -> None:
    layouts = {str(tomllib.loads(text)["layout"]) for text in PROFILES}
    assert layouts == {"flat", "per-cell", "multipage", "montage"}


@pytest.mark.parametrize("model", [Profile, Channel, FocalPlane, Montage, TableProfile])
def test_every_key_stands_in_the_table(model: type[Profile]) -> None:
    keys = TEXT[TEXT.index("## Every key") :]
    assert [key for key in model.model_fields if f"`{key}`" not in keys and f"[{key}]" not in keys] == []


def test_the_pictures_of_the_page_are_there_and_small() -> None:
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", TEXT)
    assert len(pictures) == 5
    assert all((PAGE.parent / picture).stat().st_size < 300_000 for picture in pictures)
