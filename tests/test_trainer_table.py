"""Tables of recipes to compare: strict, with the key that was meant, and no arm that is another one again."""

from itertools import pairwise
from pathlib import Path

import pytest

from edge_ctc.errors import ConfigError
from trainer.cells.folds import Folds, Sample
from trainer.recipe import Augmentation
from trainer.table import Table, load_table

RECIPES = Path(__file__).parents[1] / "trainer" / "recipes"
BASE = """\
schema_version = 1
name = "base"
epochs = 2
[augmentation]
shift_px = 3
gain_sigma = 0.4
"""
HEAD = """\
schema_version = 1
name = "two arms"
recipe = "base.toml"
folds = 3
seeds = 2
baseline = "all"
"""
ARMS = """\
[[arms]]
name = "all"
[[arms]]
name = "still"
[arms.recipe.augmentation]
shift_px = 0
"""
STARTED = """\
[[arms]]
name = "started"
[arms.recipe]
start = "given"
"""


def loaded(folder: Path, text: str, start: Path | None = None) -> Table:
    (folder / "base.toml").write_text(BASE)
    path = folder / "table.toml"
    path.write_text(text)
    return load_table(path, start)


def test_an_arm_is_the_recipe_beside_the_table_but_for_what_it_says(tmp_path: Path) -> None:
    table = loaded(tmp_path, HEAD + ARMS)
    assert (table.folds, table.baseline) == (Folds(3, 2), "all")
    first, second = (arm.recipe for arm in table.arms)
    assert first.augmentation == Augmentation(shift_px=3, gain_sigma=0.4)
    assert second == first.model_copy(update={"augmentation": Augmentation(shift_px=0, gain_sigma=0.4)})


def test_a_sample_is_learned_from(tmp_path: Path) -> None:
    table = loaded(tmp_path, HEAD + "sample = { ctcs = 6, leukocytes = 9 }\n" + ARMS)
    assert table.folds.sample == Sample(6, 9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "fold = 3\n" + ARMS, r'fold: unknown key \(did you mean "folds"\?\)'),
        (HEAD + ARMS + "shift = 3\n", r'arm still: augmentation\.shift: unknown key \(did you mean "shift_px"\?\)'),
        (HEAD + ARMS.replace("shift_px = 0", "shift_px = -1"), r"arm still: augmentation\.shift_px: Input should be"),
        (HEAD + ARMS.replace("[arms.recipe.augmentation]\nshift_px = 0", "recipe = { epoch = 3 }"), '"epochs"'),
        (HEAD + ARMS.replace("[arms.recipe.augmentation]\nshift_px", "recipe.augmentation"), r"still: augmentation: "),
        (HEAD + ARMS.replace('"still"', '"All"'), r"arms \['all'\] are named twice"),
        (HEAD + ARMS.replace('"still"', '"../still"'), r"arms\.1\.name: "),
        (
            HEAD + ARMS + "epochs = 3\n",
            r"augmentation\.epochs: unknown key here; it belongs under \[arms\.recipe\]",
        ),
        (HEAD.replace('"all"', '"stil"') + ARMS, r'baseline \'stil\': no such arm \(did you mean "still"\?\)'),
        (HEAD + ARMS[: ARMS.rindex("[[arms]]")], "at least 2 items"),
        (HEAD + ARMS.replace("shift_px = 0", "shift_px = 3"), r"arms \['all', 'still'\] are one recipe"),
        (HEAD + ARMS.replace("[arms.recipe.augmentation]\nshift_px = 0", "recipe = { seed = 3 }"), "are one recipe"),
        (HEAD + "sample = { ctcs = 0, leukocytes = 9 }\n" + ARMS, r"sample\.ctcs: "),
        (HEAD.replace("base.toml", "no.toml") + ARMS, r"no\.toml: cannot be read"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, text)


def test_weights_from_outside_fill_the_arms_that_want_them_and_no_other(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.touch()
    table = loaded(tmp_path, HEAD + ARMS + STARTED, weights)
    assert [arm.recipe.start for arm in table.arms] == ["random", "random", str(weights)]


@pytest.mark.parametrize(
    ("arms", "start", "said"),
    [
        (ARMS + STARTED, None, r"arms \['started'\] have start .*name the weights with --start FILE"),
        (ARMS, "base.toml", "no arm has start .*leave out --start"),
        (ARMS + STARTED, "no.pt", r"no\.pt: no such file"),
    ],
)
def test_weights_are_given_where_they_are_wanted_and_only_there(
    tmp_path: Path, arms: str, start: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, HEAD + arms, None if start is None else tmp_path / start)


def switched_on(augmentation: Augmentation) -> set[str]:
    return {name for name, value in augmentation if value not in (0, False, "none")}


def test_each_arm_of_the_table_of_few_jurkat_cells_adds_to_the_one_before(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.touch()
    table = load_table(RECIPES / "jurkat-few.toml", weights)
    assert table.folds == Folds(3, 5, Sample(60, 226))
    recipes = {arm.name: arm.recipe for arm in table.arms}
    growing = ("none", "geometry", "+intensity-and-noise", "+defocus", "all")
    kinds = [switched_on(recipes[name].augmentation) for name in growing]
    assert kinds[0] == set()
    assert all(fewer < more for fewer, more in pairwise(kinds))
    assert [recipes[name].auxiliary_channels for name in growing] == [(), (), (), (), ("PI",)]
    beside = ("all", "all+turns-averaged", "all-from-imagenet")
    assert len({recipes[name].augmentation for name in beside}) == 1
    best = recipes["geometry-from-imagenet+turns-averaged"]
    assert (best.augmentation, best.start) == (recipes["geometry"].augmentation, recipes["all-from-imagenet"].start)


def test_the_table_of_all_jurkat_cells_never_holds_out_those_for_development(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.touch()
    table = load_table(RECIPES / "jurkat-full.toml", weights)
    assert table.folds == Folds(3, 3)
    assert not switched_on(table.arms[0].recipe.augmentation)
    assert all(switched_on(arm.recipe.augmentation) for arm in table.arms[1:])
    assert {arm.recipe.split.train_only for arm in table.arms} == {("develop",)}
