"""Splits and folds: by patient, disjoint, both classes on each side."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ctc.errors import ConfigError, DataError
from trainer.cells.dataset import LabelledCell
from trainer.cells.folds import FoldCells, Folds, Sample, fold_cells, held_out_folds
from trainer.cells.labels import Label
from trainer.cells.split import Split, make_split, with_stopping
from trainer.recipe import Recipe, SplitRecipe

RECIPE = Recipe(schema_version=1, name="tiny", epochs=1, split=SplitRecipe(train_only=("line",)))

EMPTY = np.zeros((1, 8, 8), np.uint16)


def cells_of(**patients: str) -> list[LabelledCell]:
    """One cell per letter: C is a CTC, anything else a leukocyte."""
    return [
        LabelledCell(Label("run", f"{patient}{index}", kind == "C", patient), EMPTY, EMPTY)
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


def test_the_one_way_to_part_three_patients_is_found_where_a_greedy_deal_misses_it() -> None:
    assert make_split(cells_of(a="L", b="CL", c="C"), SplitRecipe(), 0) == Split(("a", "c"), ("b",))


def test_patients_who_are_only_trained_on_never_validate_and_never_stop() -> None:
    cells = cells_of(line="CCC", a="CL", b="CL", c="CL", d="CL")
    for seed in range(20):
        recipe = SplitRecipe(train_only=("line",))
        split = with_stopping(make_split(cells, recipe, seed), cells, recipe, seed)
        assert "line" in split.train
        assert split.validation
        assert split.stopping


def test_ctcs_of_a_cell_line_alone_leave_the_only_patient_with_ctcs_to_validate() -> None:
    recipe = SplitRecipe(train_only=("line",))
    split = make_split(cells_of(line="CCC", a="CL", b="LL", c="L"), recipe, 0)
    assert "a" in split.validation
    assert "line" in split.train


def test_a_patient_who_is_only_trained_on_and_has_no_cell_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names \['line'\]"):
        make_split(cells_of(a="CL", b="CL"), SplitRecipe(train_only=("line",)), 0)


def test_stopping_patients_come_from_the_trained_on_alone() -> None:
    cells = cells_of(**{f"p{number}": "CLL" for number in range(12)})
    plain = make_split(cells, SplitRecipe(), 3)
    split = with_stopping(plain, cells, SplitRecipe(), 3)
    assert split.validation == plain.validation
    assert sorted(split.train + split.stopping) == sorted(plain.train)
    assert 1 <= len(split.stopping) <= len(split.train)


def test_stopping_is_refused_where_one_side_would_lack_a_class() -> None:
    cells = cells_of(a="CL", b="CL")
    with pytest.raises(DataError, match="one side lacks a class"):
        with_stopping(Split(("a",), ("b",)), cells, SplitRecipe(), 0)


@settings(deadline=None, max_examples=50)
@given(
    kinds=st.lists(st.sampled_from(["C", "L", "CL", "CLLL", "LLL"]), min_size=4, max_size=20),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**31 - 1),
    patience=st.sampled_from([None, 3]),
    sample=st.sampled_from([None, Sample(2, 3)]),
)
def test_in_every_fold_no_two_parts_share_a_patient_and_each_has_both_classes(
    kinds: list[str], folds: int, seed: int, patience: int | None, sample: Sample | None
) -> None:
    cells = cells_of(line="CL", **{f"p{index}": kind for index, kind in enumerate(kinds)})
    recipe = RECIPE.model_copy(update={"seed": seed, "patience": patience})
    try:
        held_out = held_out_folds([cell.label for cell in cells], recipe.split, folds, seed)
        parts = [fold_cells(cells, members, recipe, sample) for members in held_out]
    except DataError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert re.search(
            "ask for fewer|label cells of more patients|one side lacks a class|of one patient|both classes", told
        )
        return
    assert sorted(patient for members in held_out for patient in members) == sorted(f"p{i}" for i in range(len(kinds)))
    for fold in parts:
        sides = [fold.train, fold.validation, fold.held_out, *([fold.stopping] if patience else [])]
        members = [{cell.label.patient for cell in side} for side in sides]
        assert sum(len(side) for side in members) == len(set().union(*members))
        assert all({cell.label.is_ctc for cell in side} == {True, False} for side in sides)
        if sample is None:
            assert "line" in members[0]
            assert len(set().union(*members)) == len(kinds) + 1


def test_folds_follow_from_the_seed_and_differ_between_seeds() -> None:
    labels = [cell.label for cell in cells_of(**{f"p{number}": "CLL" for number in range(12)})]
    first, again, other = (held_out_folds(labels, SplitRecipe(), 3, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_a_fold_that_would_lack_a_class_is_named() -> None:
    labels = [cell.label for cell in cells_of(a="CCC", b="LL", c="LLL", d="L")]
    with pytest.raises(
        DataError, match=r"2 folds, but only 1 patients.* have a CTC: fold 1 would have none.*label cells"
    ):
        held_out_folds(labels, SplitRecipe(), 2, 0)


def test_a_greedy_deal_that_leaves_a_fold_without_a_class_is_named() -> None:
    labels = [cell.label for cell in cells_of(a="L", b="CL", c="C")]
    with pytest.raises(DataError, match=r"seed 0, fold \d: patients .* have not both classes; ask for fewer folds"):
        held_out_folds(labels, SplitRecipe(), 2, 0)


def test_cells_without_donors_are_3000_patients_and_still_dealt_in_seconds() -> None:
    cells = cells_of(**{f"p{number}": "C" if number % 5 == 0 else "L" for number in range(3000)})
    began = time.monotonic()
    held_out = held_out_folds([cell.label for cell in cells], SplitRecipe(), 3, 0)
    fold = fold_cells(cells, held_out[0], RECIPE.model_copy(update={"split": SplitRecipe()}), Sample(60, 226))
    assert time.monotonic() - began < 10
    assert [len(members) for members in held_out] == [1000, 1000, 1000]
    assert sum(cell.label.is_ctc for cell in fold.train) == 60
    assert len(fold.train) == 286


def test_a_sample_is_drawn_anew_for_every_seed_and_fold_and_is_the_same_for_the_same() -> None:
    cells = cells_of(**{f"p{number}": "CCLLL" for number in range(9)})
    held_out = held_out_folds([cell.label for cell in cells], SplitRecipe(), 3, 0)

    def drawn(fold: int, seed: int) -> list[str]:
        recipe = RECIPE.model_copy(update={"seed": seed, "split": SplitRecipe()})
        return [cell.label.cell_id for cell in fold_cells(cells, held_out[fold], recipe, Sample(3, 4)).train]

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


def test_a_sample_larger_than_what_is_there_is_refused() -> None:
    cells = cells_of(**{f"p{number}": "CLL" for number in range(8)})
    with pytest.raises(DataError, match=r"\d CTCs to learn from, the sample wants 60; ask for fewer"):
        fold_cells(cells, ("p0",), RECIPE.model_copy(update={"split": SplitRecipe()}), Sample(60, 1))


def test_parts_of_a_fold_that_share_a_patient_cannot_be_built() -> None:
    cells = tuple(cells_of(a="CL", b="CL"))
    with pytest.raises(DataError, match=r"\['a', 'b'\] stand in two parts of a fold"):
        FoldCells(train=cells, stopping=(), validation=cells, held_out=())


@pytest.mark.parametrize(("folds", "seeds"), [(1, 1), (2, 0)])
def test_fewer_than_two_folds_or_no_seed_are_refused(folds: int, seeds: int) -> None:
    with pytest.raises(ConfigError, match="expected 2 folds and 1 seed"):
        Folds(folds, seeds)


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 1 of each"):
        Sample(0, 5)
