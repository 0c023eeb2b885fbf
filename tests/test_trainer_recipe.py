"""Recipes: strict, with the key that was meant."""

import re
from pathlib import Path

import pytest

from edge_ctc.errors import ConfigError
from trainer.recipe import Augmentation, Recipe, SplitRecipe, built_in_recipe, load_recipe

SMALLEST = 'schema_version = 1\nname = "mine"\nepochs = 1\n'


def loaded(folder: Path, more: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(SMALLEST + more)
    return load_recipe(path)


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'learning_rat: unknown key \(did you mean "learning_rate"\?\)'):
        loaded(tmp_path, "learning_rat = 0.1\n")


def test_an_unknown_key_of_a_table_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='did you mean "shift_px"'):
        loaded(tmp_path, "[augmentation]\nshift = 1\n")


def test_a_key_of_a_table_that_stands_at_the_top_is_told_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rotation: unknown key here; it belongs under \[augmentation\] \(line 4\)"):
        loaded(tmp_path, 'rotation = "none"\n')


def test_a_key_like_no_other_is_told_with_those_of_its_own_place_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: ") as told:
        loaded(tmp_path, "xyzzy = 1\n")
    assert "epochs" in str(told.value)
    assert "shift_px" not in str(told.value)
    assert "train_only" not in str(told.value)


def test_a_patient_named_for_two_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"patients \['a'\] are named twice"):
        loaded(tmp_path, '[split]\ntrain = ["a", "b"]\nvalidation = ["a"]\n')


def test_a_start_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="width 32: start 'IMAGENET1K_V1' has 64"):
        loaded(tmp_path, 'width = 32\nstart = "IMAGENET1K_V1"\n')


def test_frozen_norms_want_a_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="frozen"):
        loaded(tmp_path, 'norm = "frozen"\n')


@pytest.mark.parametrize(
    "more",
    [
        'channels = ["BF", "BF"]\n',
        'channels = ["BF", "PE"]\nstains = ["PE", "PE"]\n',
        'channels = ["BF"]\nauxiliary_channels = ["PE", "PE"]\n[augmentation]\nauxiliary = 0.1\n',
    ],
)
def test_a_channel_named_twice_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(ConfigError, match="name each once"):
        loaded(tmp_path, more)


def test_a_built_in_recipe_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'x': no built-in of that name \(known: fast, .*paper.*, sister\)"):
        built_in_recipe("x.toml")
    with pytest.raises(ConfigError, match=r"recipe '\.\./recipe': no built-in"):
        built_in_recipe("../recipe.toml")


@pytest.mark.parametrize(
    "more", ["epochs = 0\n", "batch_size = 2\n", "width = 12\n", "seed = -1\n", 'norm = "layer"\n', "layer4 = 1\n"]
)
def test_values_out_of_range_are_refused(tmp_path: Path, more: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('schema_version = 1\nname = "mine"\n' + ("" if "epochs" in more else "epochs = 1\n") + more)
    with pytest.raises(ConfigError, match=more.split(maxsplit=1)[0]):
        load_recipe(path)


def test_every_recipe_that_travels_is_valid() -> None:
    folder = Path(__file__).parents[1] / "trainer" / "recipes"
    others = {"jurkat-profile.toml", "jurkat-few.toml", "jurkat-full.toml", "jurkat-develop.toml"}
    names = [file.name for file in folder.glob("*.toml") if file.name not in others]
    assert {built_in_recipe(name).name for name in names} == {Path(name).stem for name in names}
    assert {"fast", "multi-channel", "paper", "sister"} <= {Path(name).stem for name in names}


def test_the_reference_recipes_carry_their_notice() -> None:
    for name in ("reference.toml", "reference-bf.toml"):
        assert built_in_recipe(name).notice == "learned from simulated cells, a demonstration, no clinical use"


def test_the_guide_names_every_key_of_a_recipe() -> None:
    root = Path(__file__).parents[1]
    told = set(re.findall(r"`([a-z0-9_]+)[^`]*`", (root / "docs" / "training.md").read_text("utf-8")))
    assert set(Recipe.model_fields) - {"schema_version", "augmentation", "split"} <= told
    told |= set(re.findall(r"`([a-z0-9_]+)[^`]*`", (root / "docs" / "augmentation.md").read_text("utf-8")))
    assert set(Augmentation.model_fields) | set(SplitRecipe.model_fields) <= told
