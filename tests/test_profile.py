import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import Profile, built_in_profiles, load_profile

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
    assert [loaded.profile.name for loaded in built_in_profiles()] == ["flat", "montage", "multipage", "per-cell"]
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
        names = profile(*channels).name_patterns()
        assert names.read("1_PE.tif") == ("1", "PE", None)
        assert names.read("1_PerCP.tif") == ("1", "PerCP", None)
    assert profile("PE").name_patterns().read("1_PerCP.tif") is None
    assert profile("PE").name_patterns().read("1_PE2.tif") is None
    assert profile("PE").name_patterns().read("1_CPE.tif") is None


def test_leading_zeros_belong_to_the_id() -> None:
    names = profile().name_patterns()
    assert names.read("0017_BF.tif") == ("0017", "BF", None)
    assert names.read("17_BF.tif") == ("17", "BF", None)


@pytest.mark.parametrize("suffix", ["tif", "tiff", "TIF", "TIFF", "Tif"])
@pytest.mark.parametrize("declared", [".tif", ".tiff", ".TIF"])
def test_the_spellings_of_the_suffix_count_as_one(declared: str, suffix: str) -> None:
    names = profile(images="{cell_id}_{channel}" + declared).name_patterns()
    assert names.read(f"1_bf.{suffix}") == ("1", "BF", None)


@pytest.mark.parametrize("name", ["1_BF.png", "1_BFxtif", "1_BF.tif.part", "x1_BF.tif", "1_BF.tifff", "a/1_BF.tif"])
def test_a_name_that_matches_in_part_is_no_image(name: str) -> None:
    assert profile().name_patterns().read(name) is None


def test_upper_and_lower_case_count_as_one_in_folders_and_channels_alike() -> None:
    names = load_profile("flat").profile.name_patterns()
    assert names.read("IMAGES/1_dapi.TIF") == ("1", "DAPI", None)


@pytest.mark.parametrize("name", ["1_DAP\u0131.tif", "1_DAP\u0130.tif", "1_\u017f.tif", "1_\u212a.tif"])
def test_letters_that_only_some_languages_fold_match_or_do_not_but_never_crash(name: str) -> None:
    # A regular expression takes the dotless i for an i, casefold does not.
    found = profile("DAPI", "S", "K").name_patterns().read(name)
    assert found is None or found.channel in ("DAPI", "S", "K")


@given(st.text(max_size=8), st.sampled_from(["DAPI", "PE", "SSK"]))
def test_whatever_stands_in_the_place_of_a_channel_is_a_channel_or_no_image(text: str, channel: str) -> None:
    names = profile("DAPI", "PE", "SSK").name_patterns()
    for token in (text, text + channel, channel.lower() + text):
        found = names.read(f"1_{token}.tif")
        assert found is None or found[:2] == (
            "1",
            next(n for n in ("DAPI", "PE", "SSK") if n.lower() == token.lower()),
        )


def test_a_token_is_how_names_spell_a_channel_and_its_signs_mean_themselves() -> None:
    ours = profile(channels=({"name": "CK", "token": "C.K(+)"}, {"name": "BF"}))
    names = ours.name_patterns()
    assert names.read("1_c.k(+).tif") == ("1", "CK", None)
    assert names.read("1_CK.tif") is None
    assert names.read("1_CxK(+).tif") is None


def test_a_multipage_file_shows_all_channels() -> None:
    names = load_profile("multipage").profile.name_patterns()
    assert names.read("thumbs/17_thumb.tif") == ("17", None, None)
    assert names.read("thumbs/17_segm.tif") is None


@pytest.mark.parametrize("sign", ["|", "\n", "\t", "\x7f", "\u200b", "\udcff", "\u2028"])
def test_a_name_with_a_bar_or_what_cannot_be_printed_is_no_image(sign: str) -> None:
    names = profile(cell_id="[^_]+").name_patterns()
    assert names.read("1 è_BF.tif") == ("1 è", "BF", None)
    assert names.read(f"1{sign}_BF.tif") is None


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


MONTAGE = {"layout": "montage", "images": "*_{cell_id}.png", "montage": {"panels": (("BF", "DAPI"),)}}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"images": "{cell_id}.tif"}, "{channel} is wanted once"),
        ({"images": "{channel}.tif"}, "{cell_id} is missing"),
        ({"images": "{cell_id}_{channel}_{channel}.tif"}, "{channel} is wanted once"),
        ({"images": "{cell_id}_{channel}_{focus}.tif"}, "{focus} is no placeholder"),
        ({"images": "{cell_id}{channel}.tif"}, "nothing tells where one ends"),
        ({"images": "*{cell_id}_{channel}.tif"}, "nothing tells where one ends"),
        ({"images": "{cell_id}_{channel}_z{plane}.tif"}, "[focal_plane] are wanted together"),
        ({"focal_plane": {"rule": "middle"}}, "[focal_plane] are wanted together"),
        ({"layout": "multipage"}, "{channel} is wanted nowhere"),
        ({"layout": "per-cell"}, "wants {cell_id} in the name of a folder"),
        ({"layout": "montage", "images": "{cell_id}.png"}, "[montage] is wanted for the layout montage"),
        ({"montage": {"panels": (("BF", "DAPI"),)}}, "[montage] is wanted for the layout montage, and only there"),
        (MONTAGE | {"montage": {"panels": (("BF", "PE"),)}}, "expected each of the channels"),
        (MONTAGE | {"montage": {"panels": (("BF",), ("DAPI", ""))}}, "as many panels as the first"),
        ({"images": "{cell_id}_{channel}.jpg"}, "ending in"),
        ({"images": "{cell_id}_{channel}"}, "ending in"),
        ({"images": ()}, "at least 1"),
    ],
)
def test_a_layout_whose_parts_do_not_fit_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(fault)):
        profile(**changes)


@pytest.mark.parametrize("plane", [{"rule": "named"}, {"rule": "middle", "plane": "0"}, {"rule": "best"}])
def test_a_rule_for_focal_planes_that_says_too_much_or_too_little_is_refused(plane: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        profile(images="{cell_id}_{channel}_z{plane}.tif", focal_plane=plane)


def test_a_folder_and_a_name_must_agree_on_the_id_where_both_say_it() -> None:
    names = profile(layout="per-cell", images="Cell_{cell_id}/{cell_id}_{channel}.png").name_patterns()
    assert names.read("Cell_01/01_BF.png") == ("01", "BF", None)
    assert names.read("Cell_01/02_BF.png") is None


def test_a_star_stands_for_anything_within_one_name() -> None:
    names = profile(**MONTAGE).name_patterns()
    assert names.read("run 1_7.png") == ("7", None, None)
    assert names.read("_7.png") == ("7", None, None)
    assert names.read("a/b_7.png") is None


def test_several_patterns_read_one_channel_with_planes_and_another_without() -> None:
    both = ("Cell_{cell_id}/{channel}.png", "Cell_{cell_id}/{channel}_z{plane}.png")
    names = profile(layout="per-cell", images=both, focal_plane={"rule": "sharpest"}).name_patterns()
    assert names.read("Cell_1/BF_z-2.png") == ("1", "BF", "-2")
    assert names.read("Cell_1/DAPI.png") == ("1", "DAPI", None)


def test_a_name_that_can_be_read_in_two_ways_is_no_image() -> None:
    ours = profile(cell_id=".+", channels=({"name": "CK", "token": "PE"}, {"name": "CD45", "token": "A_PE"}))
    assert ours.name_patterns().read("7_A_PE.tif") is None
    assert ours.name_patterns().read("7_PE.tif") == ("7", "CK", None)


@pytest.mark.parametrize("cell_id", ["[0-9", "(", "*", "a{2,1}", "(?P<cell_id>[0-9]+)", "(?i)[a-z]+", r"(a)\1"])
def test_a_cell_id_that_cannot_be_compiled_in_its_place_is_refused_with_the_profile(cell_id: str) -> None:
    with pytest.raises(ValidationError, match="cell_id"):
        profile(cell_id=cell_id)


@pytest.mark.parametrize("cell_id", ["[0-9]*", "", "a?"])
def test_a_cell_id_that_may_be_empty_names_no_cell(cell_id: str) -> None:
    try:
        names = profile(cell_id=cell_id).name_patterns()
    except ValidationError:
        return
    assert names.read("_BF.tif") is None


def test_alternatives_of_a_cell_id_stay_within_it() -> None:
    names = profile(cell_id="a|b").name_patterns()
    assert names.read("b_BF.tif") == ("b", "BF", None)
    assert names.read("a") is None


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


@pytest.mark.parametrize(
    ("images", "cell_id", "name"),
    [
        ("*-{channel}-*_{cell_id}.tif", "[0-9]+", "x-BF-DAPI-s_0001.tif"),
        ("*_{cell_id}_*_{channel}.tif", "[0-9]+", "P1_0001_12_x_BF.tif"),
        ("{cell_id}_{channel}_*.tif", "[0-9_A-Z]+", "1_BF_DAPI_x.tif"),
    ],
)
def test_a_name_that_holds_two_ids_or_two_channels_is_no_image(images: str, cell_id: str, name: str) -> None:
    assert profile(images=images, cell_id=cell_id).name_patterns().read(name) is None


def test_a_question_left_open_is_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(FLAT + 'marker = "?"\n')
    with pytest.raises(ConfigError, match=r"1 question\(s\) not answered: channels\[2\]\.marker"):
        load_profile(str(path))
