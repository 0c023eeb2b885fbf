"""Splits: by patient, disjoint, both classes on both sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ctc.errors import ConfigError, DataError
from trainer.data import LabelledCell
from trainer.labels import Label
from trainer.recipe import SplitRecipe
from trainer.split import Split, make_split


def cells_of(**patients: str) -> list[LabelledCell]:
    """One cell per letter: C is a CTC, anything else a leukocyte."""
    return [
        LabelledCell(Label("run", f"{patient}{index}", kind == "C", patient), np.zeros((1, 8, 8), np.uint16), ())
        for patient, kinds in patients.items()
        for index, kind in enumerate(kinds)
    ]


def test_one_patient_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match=r"of one patient \(a\).*label cells of another patient"):
        make_split(cells_of(a="CL"), SplitRecipe(), 0)


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="all 4 cells are LEUKOCYTE"):
        make_split(cells_of(a="LL", b="LL"), SplitRecipe(), 0)


def test_ctcs_of_one_patient_alone_are_refused() -> None:
    with pytest.raises(DataError, match="one side lacks a class"):
        make_split(cells_of(a="CL", b="LL", c="L"), SplitRecipe(), 0)


def test_patients_of_one_class_each_are_joined_until_both_sides_have_both() -> None:
    split = make_split(cells_of(a="C", b="L", c="C", d="L"), SplitRecipe(), 3)
    assert len(split.validation) == 2


def test_the_recipes_validation_patients_are_taken_and_the_rest_trains() -> None:
    split = make_split(cells_of(a="CL", b="CL", c="CL"), SplitRecipe(validation=("b",)), 0)
    assert split == Split(train=("a", "c"), validation=("b",))


def test_patients_named_for_neither_part_are_listed_as_unused() -> None:
    split = make_split(cells_of(a="CL", b="CL", c="CL"), SplitRecipe(train=("c",), validation=("b",)), 0)
    assert split == Split(train=("c",), validation=("b",), unused=("a",))


def test_a_patient_that_the_labels_do_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names \['x'\], the labels have \['a', 'b'\]"):
        make_split(cells_of(a="CL", b="CL"), SplitRecipe(validation=("x",)), 0)


def test_a_part_of_one_class_is_refused_even_if_the_recipe_names_it() -> None:
    with pytest.raises(DataError, match=r"validation patients .* have not both classes"):
        make_split(cells_of(a="CL", b="L"), SplitRecipe(validation=("b",)), 0)


def test_an_overlapping_split_cannot_be_built() -> None:
    with pytest.raises(DataError, match=r"\['b'\] stand in two parts"):
        Split(train=("a", "b"), validation=("b",))


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["C", "L", "CL", "CLLL"]), min_size=2, max_size=12),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_split_names_every_patient_once_and_both_sides_have_both_classes(kinds: list[str], seed: int) -> None:
    cells = cells_of(**{f"p{index}": kind for index, kind in enumerate(kinds)})
    try:
        split = make_split(cells, SplitRecipe(), seed)
    except DataError:
        # It may give up only where no split can do it: fewer than two patients with one of the classes.
        assert min(sum(letter in kind for kind in kinds) for letter in "CL") < 2
        return
    assert sorted(split.train + split.validation) == sorted(f"p{index}" for index in range(len(kinds)))
    for part in (split.train, split.validation):
        assert {cell.label.is_ctc for cell in cells if cell.label.patient in part} == {True, False}
    assert split == make_split(cells, SplitRecipe(), seed)


def test_patients_without_an_evaluable_cell_stand_among_the_unused() -> None:
    split = Split(("a",), ("b",), ("c",)).with_unused({"a", "b", "d"})
    assert (split.train, split.validation, split.unused) == (("a",), ("b",), ("c", "d"))
