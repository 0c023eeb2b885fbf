"""What is said of the data before a training: tables, conflicts, and cells that are one cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ctc.appearance import QUANTILES, Fingerprint
from edge_ctc.errors import DataError
from edge_ctc.simulate import CHANNELS, SimulatedCell, simulate_cells
from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.fingerprint import describe, fingerprint
from trainer.cells.labels import Conflict, Label
from trainer.cells.same_cells import SAME, identical, near_identical

JURKAT = Path(__file__).parents[2] / "shared" / "data" / "jurkat_ifc" / "cells.npz"
NOISE = np.array([33.0, 7.0, 7.0, 7.0])


@pytest.fixture(scope="module")
def cells() -> list[SimulatedCell]:
    """Two patients' cells, 60 and 60."""
    return [cell for seed in (5, 6) for cell in simulate_cells(60, 24, seed)]


def dataset_of(cells: Sequence[LabelledCell]) -> Dataset:
    return Dataset(tuple(cells), (), 0, CHANNELS, (), "uint16", 12, 0.5, "counts")


def labelled(counts: NDArray[Any], cell_id: str, is_ctc: bool = False, patient: str = "p1") -> LabelledCell:
    return LabelledCell(Label("run1", cell_id, is_ctc, patient), counts, counts[:0])


def two_patients(cells: Sequence[SimulatedCell]) -> list[LabelledCell]:
    return [
        labelled(cell.images, f"{place:03d}", cell.label == "CTC", f"p{1 + place // 60}")
        for place, cell in enumerate(cells)
    ]


def again(images: NDArray[np.uint16], seed: int = 0) -> NDArray[np.uint16]:
    """The same cell photographed again: moved by two pixels and three, turned, mirrored, with fresh noise."""
    moved = np.pad(images, [(0, 0), (3, 3), (3, 3)], mode="edge")[:, 5:69, :64]
    noise = np.random.default_rng(seed).normal(0, NOISE[:, None, None], images.shape)
    return np.clip(np.rint(np.rot90(moved, 1, (1, 2))[..., ::-1] + noise), 0, 4095).astype(np.uint16)


def test_the_report_counts_classes_of_each_patient_and_says_light_and_sizes(cells: list[SimulatedCell]) -> None:
    members = two_patients(cells)
    members[3] = labelled(cells[3].images[:, 2:60, :], "003", patient="p1")
    lines = describe(dataset_of(members), ()).lines
    first, second = (sum(cell.label.is_ctc for cell in members if cell.label.patient == one) for one in ("p1", "p2"))
    assert lines[:3] == (
        "patients: 2",
        f"  p1: {first} CTC, {60 - first} LEUKOCYTE",
        f"  p2: {second} CTC, {60 - second} LEUKOCYTE",
    )
    assert [line.split(":")[0] for line in lines[3:7]] == [f"channel {name}" for name in CHANNELS]
    assert lines[7:] == ("images: 119 of 64 x 64 pixels, 1 of 58 x 64 pixels",)


def test_thousands_of_patients_are_counted_and_the_first_of_them_named(cells: list[SimulatedCell]) -> None:
    members = [labelled(cell.images, f"{place:03}", patient=f"p{place:03}") for place, cell in enumerate(cells[:60])]
    report = describe(dataset_of(members), ())
    assert len(report.patients) == 60
    assert report.lines[0] == "patients: 60"
    assert report.lines[50].startswith("  p049: ")
    assert report.lines[51] == "  and 10 more"


def test_the_report_measures_what_the_simulator_put_in(cells: list[SimulatedCell]) -> None:
    report = describe(dataset_of(two_patients(cells)), ())
    by_channel = dict(zip(CHANNELS, report.intensity, strict=True))
    assert by_channel["BF"].background > 1000
    assert by_channel["PE"].ctc > 2 * by_channel["PE"].leukocyte
    assert by_channel["APC"].leukocyte > 2 * by_channel["APC"].ctc
    assert all(3 < one.noise < 60 for one in report.intensity)


def test_every_conflict_is_listed(cells: list[SimulatedCell]) -> None:
    conflicts = [Conflict(Label("run1", str(place), True, "p1"), ("Anna",), ("Bruno",)) for place in range(9)]
    lines = describe(dataset_of(two_patients(cells)), conflicts).lines
    assert "cells that readers labelled differently, kept: 9" in lines
    assert sum("CTC by Anna; LEUKOCYTE by Bruno; counts as CTC" in line for line in lines) == 9


def test_the_same_bytes_within_a_patient_are_listed_and_contradict_where_the_labels_do(
    cells: list[SimulatedCell],
) -> None:
    members = [
        *two_patients(cells),
        labelled(cells[0].images.copy(), "twin", is_ctc=cells[0].label != "CTC"),
        labelled(cells[1].images.copy(), "copy", is_ctc=cells[1].label == "CTC"),
    ]
    report = describe(dataset_of(members), ())
    assert [[label.cell_id for label in group] for group in report.identical] == [["000", "twin"], ["001", "copy"]]
    assert report.contradictions == report.identical[:1]
    assert "  cell 000 of run run1, cell twin of run run1, labelled CTC and LEUKOCYTE" in report.lines
    assert "  cell 001 of run run1, cell copy of run run1" in report.lines
    assert report.near_identical == ()


def test_the_same_bytes_in_two_patients_are_refused_by_both_names(cells: list[SimulatedCell]) -> None:
    members = [*two_patients(cells), labelled(cells[7].images.copy(), "stray", patient="p2")]
    with pytest.raises(DataError, match=r"cell 007 of run run1 and cell stray of run run1.*patients p1 and p2"):
        describe(dataset_of(members), ())


def test_a_cell_photographed_again_as_another_patients_is_listed_and_not_refused(cells: list[SimulatedCell]) -> None:
    bright = max(range(60), key=lambda place: int(cells[place].images[1].max()))
    members = [*two_patients(cells), labelled(again(cells[bright].images), "again", patient="p2")]
    report = describe(dataset_of(members), ())
    (pair,) = report.across_patients
    assert {pair.first.cell_id, pair.second.cell_id} == {f"{bright:03d}", "again"}
    assert "pairs of cells that look the same, between patients: check them: 1" in report.lines


def test_images_that_show_nothing_are_not_one_cell() -> None:
    blank = np.full((4, 16, 16), 100, np.uint16)
    assert identical([blank, blank.copy()]) == ()
    assert near_identical([blank, blank.copy()], NOISE) == ()


def test_no_two_simulated_cells_are_taken_for_one_and_most_copies_are_found(cells: list[SimulatedCell]) -> None:
    images = [cell.images for cell in cells]
    assert near_identical(images, NOISE) == ()
    copies = [again(one, seed) for seed, one in enumerate(images)]
    found = {(pair.first, pair.second) for pair in near_identical([*images, *copies], NOISE)}
    wanted = {(place, place + len(images)) for place in range(len(images))}
    assert found <= wanted
    assert len(found) > 0.8 * len(wanted)


@given(place=st.integers(0, 119), quarters=st.integers(0, 3), mirrored=st.booleans(), gain=st.sampled_from([1, 2, 5]))
@settings(max_examples=20, deadline=None)
def test_turns_mirrors_gain_and_offset_hide_no_copy(
    cells: list[SimulatedCell], place: int, quarters: int, mirrored: bool, gain: int
) -> None:
    image = cells[place].images
    copy = np.rot90(image[..., ::-1] if mirrored else image, quarters, (1, 2)) * gain + 90
    (pair,) = near_identical([image, copy], NOISE)
    assert pair.correlation == pytest.approx(1, abs=1e-3)


def test_cells_in_larger_images_than_the_grid_are_compared_too() -> None:
    rows, columns = np.mgrid[:100, :100]
    light = 100 + 900 * (np.hypot(rows - 45, columns - 50) < 20) * (1 + np.sin(rows / 3))
    image = np.rint(light)[None].astype(np.uint16)
    assert len(near_identical([image, np.roll(image, 7, 1)], NOISE[:1])) == 1


def test_the_fingerprint_holds_quantiles_of_both_classes_and_survives_json(cells: list[SimulatedCell]) -> None:
    found = fingerprint(dataset_of(two_patients(cells)))
    assert (found.patients, found.sides_px) == (2, (64, 64))
    assert found.ctc.cells + found.leukocyte.cells == 120
    assert tuple(found.ctc.channels) == CHANNELS
    assert found.ctc.channels["PE"].brightness[3] > found.leukocyte.channels["PE"].brightness[3]
    assert 10 < found.leukocyte.diameter_px[3] < 35
    text = found.model_dump_json()
    assert Fingerprint.model_validate_json(text) == found
    assert len(text) < 6000


def test_a_fingerprint_of_one_class_is_refused(cells: list[SimulatedCell]) -> None:
    members = [labelled(cell.images, str(place)) for place, cell in enumerate(cells[:4])]
    with pytest.raises(DataError, match="all 4 cells are of one class"):
        fingerprint(dataset_of(members))


def test_quantiles_are_those_of_the_class_alone() -> None:
    flat = [np.full((4, 20, 20), level, np.uint16) for level in range(100, 201)]
    members = [labelled(counts, str(place), is_ctc=place > 50) for place, counts in enumerate(flat)]
    found = fingerprint(dataset_of(members)).leukocyte.channels["BF"].background
    assert found == tuple(round(100 + 50 * share, 2) for share in QUANTILES)


@pytest.mark.real
@pytest.mark.skipif(not JURKAT.is_file(), reason=f"the real Jurkat images are not at {JURKAT}")
def test_real_cells_are_not_taken_for_one_another_and_real_duplicates_are_found() -> None:
    with np.load(JURKAT) as archive:
        images = archive["images"][:, :2]
    noise = np.array([5.2, 3.1])
    pairs = near_identical(list(images[:2000]), noise)
    assert all(pair.correlation >= SAME for pair in pairs)
    assert len(pairs) <= 5
    copy = np.rot90(images[100], 1, (1, 2)) // 4
    assert len(near_identical([images[100], copy], noise)) == 1
