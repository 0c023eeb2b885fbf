from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import Profile, built_in_profiles, compile_names, load_profile

FLAT = """
schema_version = 1
name = "ours"
layout = "flat"
images = "{cell_id}_{channel}.tif"
[[channels]]
name = "PE"
[[channels]]
name = "PerCP"
"""


def profile(*channels: str, **changes: Any) -> Profile:
    names = channels or ("BF", "DAPI")
    return Profile.model_validate(
        {
            "schema_version": 1,
            "name": "ours",
            "layout": "flat",
            "images": "{cell_id}_{channel}.tif",
            "channels": tuple({"name": name} for name in names),
        }
        | changes
    )


def test_the_built_in_profiles_load_by_name() -> None:
    assert [loaded.profile.name for loaded in built_in_profiles()] == ["flat", "multipage"]
    for loaded in built_in_profiles():
        assert load_profile(loaded.profile.name) == loaded
        assert loaded.profile.channel_names == ("BF", "DAPI", "PE", "APC")
        assert len(loaded.sha256) == 64


def test_a_file_is_loaded_and_another_byte_is_another_profile(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(FLAT)
    first = load_profile(str(path))
    assert first.profile.channel_names == ("PE", "PerCP")
    path.write_text(FLAT + "\n")
    second = load_profile(str(path))
    assert second.profile == first.profile
    assert second.sha256 != first.sha256


def test_a_misspelt_built_in_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(ConfigError, match='did you mean "multipage"'):
        load_profile("multpage")


def test_a_name_too_long_for_any_file_is_refused_as_every_other() -> None:
    with pytest.raises(ConfigError, match="neither a file nor a built-in"):
        load_profile("x" * 5000)


def test_an_unknown_key_is_refused_with_the_key_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(FLAT + 'tokn = "x"\n')
    with pytest.raises(ConfigError, match=r'unknown key .did you mean "token"'):
        load_profile(str(path))


def test_pe_never_matches_percp() -> None:
    for channels in (("PE", "PerCP"), ("PerCP", "PE")):
        names = compile_names(profile(*channels))
        assert names.match("1_PE.tif") == ("1", "PE")
        assert names.match("1_PerCP.tif") == ("1", "PerCP")
    assert compile_names(profile("PE")).match("1_PerCP.tif") is None
    assert compile_names(profile("PE")).match("1_PE2.tif") is None
    assert compile_names(profile("PE")).match("1_CPE.tif") is None


def test_leading_zeros_belong_to_the_id() -> None:
    names = compile_names(profile())
    assert names.match("0017_BF.tif") == ("0017", "BF")
    assert names.match("17_BF.tif") == ("17", "BF")


@pytest.mark.parametrize("suffix", ["tif", "tiff", "TIF", "TIFF", "Tif"])
@pytest.mark.parametrize("declared", [".tif", ".tiff", ".TIF"])
def test_the_spellings_of_the_suffix_count_as_one(declared: str, suffix: str) -> None:
    names = compile_names(profile(images="{cell_id}_{channel}" + declared))
    assert names.match(f"1_bf.{suffix}") == ("1", "BF")


@pytest.mark.parametrize("name", ["1_BF.png", "1_BFxtif", "1_BF.tif.part", "x1_BF.tif", "1_BF.tifff", "a/1_BF.tif"])
def test_a_name_that_matches_in_part_is_no_image(name: str) -> None:
    assert compile_names(profile()).match(name) is None


def test_upper_and_lower_case_count_as_one_in_folders_and_channels_alike() -> None:
    names = compile_names(load_profile("flat").profile)
    assert names.match("IMAGES/1_dapi.TIF") == ("1", "DAPI")


@pytest.mark.parametrize("name", ["1_DAP\u0131.tif", "1_DAP\u0130.tif", "1_\u017f.tif", "1_\u212a.tif"])
def test_letters_that_only_some_languages_fold_match_or_do_not_but_never_crash(name: str) -> None:
    # A regular expression takes the dotless i for an i, casefold does not.
    found = compile_names(profile("DAPI", "S", "K")).match(name)
    assert found is None or found[1] in ("DAPI", "S", "K")


@given(st.text(max_size=8), st.sampled_from(["DAPI", "PE", "SSK"]))
def test_whatever_stands_in_the_place_of_a_channel_is_a_channel_or_no_image(text: str, channel: str) -> None:
    names = compile_names(profile("DAPI", "PE", "SSK"))
    for token in (text, text + channel, channel.lower() + text):
        found = names.match(f"1_{token}.tif")
        assert found is None or found == ("1", next(n for n in ("DAPI", "PE", "SSK") if n.lower() == token.lower()))


def test_a_token_is_how_names_spell_a_channel_and_its_signs_mean_themselves() -> None:
    ours = profile(channels=({"name": "CK", "token": "C.K(+)"}, {"name": "BF"}))
    names = compile_names(ours)
    assert names.match("1_c.k(+).tif") == ("1", "CK")
    assert names.match("1_CK.tif") is None
    assert names.match("1_CxK(+).tif") is None


def test_a_multipage_file_shows_all_channels() -> None:
    names = compile_names(load_profile("multipage").profile)
    assert names.match("thumbs/17_thumb.tif") == ("17", None)
    assert names.match("thumbs/17_segm.tif") is None


@pytest.mark.parametrize("sign", ["|", "\n", "\t", "\x7f", "\u200b", "\udcff", "\u2028"])
def test_a_name_with_a_bar_or_what_cannot_be_printed_is_no_image(sign: str) -> None:
    names = compile_names(profile(cell_id="[^_]+"))
    assert names.match("1 è_BF.tif") == ("1 è", "BF")
    assert names.match(f"1{sign}_BF.tif") is None


@pytest.mark.parametrize(
    "channels",
    [
        ({"name": "PE"}, {"name": "pe"}),
        ({"name": "PE"}, {"name": "CK", "token": "pe"}),
        ({"name": "A", "token": "x"}, {"name": "B", "token": "X"}),
    ],
)
def test_a_channel_or_token_that_stands_twice_is_refused(channels: tuple[dict[str, str], ...]) -> None:
    with pytest.raises(ValidationError, match="each is wanted once"):
        profile(channels=channels)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": "{cell_id}.tif"},
        {"images": "{channel}.tif"},
        {"images": "{cell_id}_{cell_id}_{channel}.tif"},
        {"images": "{cell_id}_{channel}_{channel}.tif"},
        {"layout": "multipage"},
    ],
)
def test_a_wrong_number_of_placeholders_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"wants \{c"):
        profile(**changes)


@pytest.mark.parametrize("images", ["{cell_id}_{channel}.png", "{cell_id}_{channel}"])
def test_images_that_are_no_tiff_are_refused(images: str) -> None:
    with pytest.raises(ValidationError, match="ending in"):
        profile(images=images)


@pytest.mark.parametrize("cell_id", ["[0-9", "(", "*", "a{2,1}", "(?P<cell_id>[0-9]+)", "(?i)[a-z]+", r"(a)\1"])
def test_a_cell_id_that_cannot_be_compiled_in_its_place_is_refused_with_the_profile(cell_id: str) -> None:
    with pytest.raises(ValidationError, match="cell_id"):
        profile(cell_id=cell_id)


@pytest.mark.parametrize("cell_id", ["[0-9]*", "", "a?"])
def test_a_cell_id_that_may_be_empty_names_no_cell(cell_id: str) -> None:
    try:
        names = compile_names(profile(cell_id=cell_id))
    except ValidationError:
        return
    assert names.match("_BF.tif") is None


def test_alternatives_of_a_cell_id_stay_within_it() -> None:
    names = compile_names(profile(cell_id="a|b"))
    assert names.match("b_BF.tif") == ("b", "BF")
    assert names.match("a") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"layout": "grid"},
        {"name": "../x"},
        {"name": ""},
        {"channels": ()},
        {"channels": ({"name": "a|b"},)},
        {"channels": ({"name": "BF", "token": ""},)},
        {"bits": 10},
        {"bits": "12"},
        {"pixel_size_um": 0.0},
        {"pixel_size_um": -1.0},
        {"pixel_size_um": float("nan")},
        {"pixel_size_um": float("inf")},
        {"pixel_size_um": "0.5"},
        {"pixel_size": 0.5},
    ],
)
def test_a_value_that_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        profile(**changes)
