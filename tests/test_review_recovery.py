"""The recovery list: what people confirmed, and nothing else."""

import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ctc.errors import DataError
from edge_ctc.results.calls import read_calls
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.hold import sole_reviewer
from edge_ctc.review.recovery import Recovery, Wanted, recovery_path, write_recovery
from edge_ctc.simulate import Layout, write_run
from tests.conftest import EdgeCtc
from tests.images import full_disk_at, result_place
from tests.reviews import CTC, LEUKOCYTE, VERDICTS, called, calls_with, committed, read_by

HEADER = (
    b"cell_id,cage_row,cage_col,role,matched_to,lowest_grade,readers,verdict,rank,run_id,made_at_utc,intended_use\r\n"
)


def rows_of(place: ResultPlace) -> list[dict[str, str]]:
    with recovery_path(place).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def ids(place: ResultPlace, role: str = "confirmed") -> list[str]:
    return [row["cell_id"] for row in rows_of(place) if row["role"] == role]


def written(
    place: ResultPlace, least_grade: int = 3, controls: int = 0, sizes: Mapping[str, float] | None = None
) -> Recovery:
    return write_recovery(place, Wanted(least_grade, controls), lambda call: (sizes or {}).get(call.cell_id))


def test_no_cell_is_on_the_list_by_the_machines_verdict_alone(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path, {str(number): CTC for number in range(50)})
    finished = edge_ctc("review", "recovery", tmp_path / "run 1", "--controls", 5)
    assert finished.code == 0
    assert recovery_path(place).read_bytes() == HEADER
    assert "0 confirmed cells" in finished.out
    assert "nobody has read a cell of this run" in finished.out
    assert "no cell is on the list by the machine's verdict alone" in finished.out


def test_a_confirmed_cell_has_its_id_cage_readers_and_lowest_grade(tmp_path: Path) -> None:
    calls = [replace(call, cage_row="A", cage_col="07") for call in calls_with(VERDICTS)]
    place = committed(result_place(tmp_path), calls)
    read_by(place, "M. Rossi", {"0003": 4})
    read_by(place, "@Verdi", {"0003": (3, ["cluster"])})
    written(place)
    (row,) = rows_of(place)
    assert row.pop("made_at_utc").endswith("Z")
    assert row == {
        "cell_id": "0003",
        "cage_row": "A",
        "cage_col": "07",
        "role": "confirmed",
        "matched_to": "",
        "lowest_grade": "3",
        "readers": "'@Verdi|M. Rossi",
        "verdict": "REVIEW",
        "rank": "3",
        "run_id": "run 1",
        "intended_use": "RUO",
    }


def test_readers_who_differ_doubt_debris_and_cells_without_a_grade_confirm_nothing(
    tmp_path: Path, edge_ctc: EdgeCtc
) -> None:
    verdicts = {str(number): CTC for number in range(1, 8)}
    place = called(tmp_path, verdicts)
    read_by(place, "A", {"1": 4, "2": 4, "3": (4, ["debris"]), "4": (4, ["doubt"]), "5": (None, ["cluster"]), "6": 2})
    read_by(place, "B", {"1": 3, "2": 2, "7": 4})
    read_by(place, "C", {"7": (None, ["doubt"])})
    finished = edge_ctc("review", "recovery", tmp_path / "run 1")
    assert ids(place) == ["1"]
    assert "not confirmed: 2: B grades 2" in finished.out
    assert "not confirmed: 3: A marks debris" in finished.out
    assert "not confirmed: 4: A marks doubt" in finished.out
    assert "not confirmed: 7: C marks doubt" in finished.out
    assert "not confirmed: 5" not in finished.out
    assert "not confirmed: 6" not in finished.out
    shown = json.loads(edge_ctc("review", "recovery", tmp_path / "run 1", "--json").out)
    assert (shown["confirmed"], shown["controls"], shown["exit_code"]) == (["1"], [], 0)
    assert [one["cell_id"] for one in shown["left_out"]] == ["2", "3", "4", "7"]


def test_the_last_grade_counts_and_one_that_was_taken_back_confirms_nothing(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4, "0002": 4, "0003": 1}, at="2026-11-23T20:00:00Z")
    read_by(place, "A", {"0001": 1, "0002": None, "0003": 4}, at="2026-11-23T21:00:00Z")
    written(place)
    assert ids(place) == ["0003"]


def test_only_definite_ones_where_that_is_asked_for(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4, "0002": 3, "0003": 4})
    read_by(place, "B", {"0003": 3})
    finished = edge_ctc("review", "recovery", tmp_path / "run 1", "--definite")
    assert ids(place) == ["0001"]
    assert "not confirmed: 0002: A grades 3" in finished.out
    assert "not confirmed: 0003: B grades 3" in finished.out


SIZES = {"1": 20.0, "2": 12.0, "3": 13.0, "4": 20.0, "5": 20.0, "6": 20.0, "7": 20.0, "8": 19.0, "9": 30.0}


def read_with_controls(folder: Path) -> ResultPlace:
    verdicts = {"1": CTC, "2": CTC} | {str(number): LEUKOCYTE for number in range(3, 10)}
    place = called(folder, verdicts)
    read_by(place, "A", {"1": 4, "2": 3, "3": 1, "4": 2, "5": (1, ["debris"]), "6": 1, "8": 1, "9": 1})
    read_by(place, "B", {"6": 2})
    return place


def test_controls_are_leukocytes_of_the_machine_and_of_all_readers_nearest_in_size(tmp_path: Path) -> None:
    place = read_with_controls(tmp_path)
    written(place, controls=2, sizes=SIZES)
    assert (ids(place), ids(place, "control")) == (["1", "2"], ["8", "3"])
    assert [row["matched_to"] for row in rows_of(place)] == ["", "", "1", "2"]
    assert [row["lowest_grade"] for row in rows_of(place)] == ["4", "3", "1", "1"]
    written(place, controls=9, sizes=SIZES)
    assert [(row["cell_id"], row["matched_to"]) for row in rows_of(place)][2:] == [("8", "1"), ("3", "2"), ("9", "1")]
    written(place)
    assert ids(place, "control") == []


@pytest.mark.parametrize("unknown", ["1", "3"])
def test_a_cell_without_a_size_is_matched_to_none(tmp_path: Path, unknown: str) -> None:
    place = read_with_controls(tmp_path)
    written(place, controls=9, sizes={cell: size for cell, size in SIZES.items() if cell != unknown})
    matched = {(row["cell_id"], row["matched_to"]) for row in rows_of(place) if row["role"] == "control"}
    assert unknown not in {cell for pair in matched for cell in pair}
    assert len(matched) == (3 if unknown == "1" else 2)


def test_controls_of_a_real_run_have_the_sizes_of_its_confirmed_cells(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = tmp_path / "run 1"
    write_run(run, 60, 3, seed=906, layout=Layout.FLAT)
    edge_ctc("classify-run", run)
    place = result_place(tmp_path)
    calls = read_calls(place.calls)
    read_by(place, "A", {call.cell_id: 4 if call.verdict is CTC else 1 for call in calls})
    finished = edge_ctc("review", "recovery", run, "--controls", 4)
    assert finished.code == 0
    assert "4 leukocytes as controls, matched in size" in finished.out
    assert len({row["matched_to"] for row in rows_of(place)} - {""}) == min(4, len(ids(place)))
    shutil.rmtree(run)
    gone = edge_ctc("review", "recovery", run, "--controls", 4)
    assert gone.code != 0
    assert len(ids(place, "control")) == 4, "what stood there still stands"


def test_a_cell_read_on_other_images_is_refused_and_named(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4, "0002": 4, "0003": 4})
    called(tmp_path, VERDICTS, images="of another scan")
    read_by(place, "A", {"0001": 4}, at="2026-11-23T21:00:00Z")
    read_by(place, "B", {"0002": 4}, at="2026-11-23T21:00:00Z")
    finished = edge_ctc("review", "recovery", tmp_path / "run 1")
    assert finished.code == 2
    assert ids(place) == ["0001", "0002"], "what B read of today's image counts, what A read of the former one does not"
    assert "1 cell left out, read on other images than were called alone: read it again: 0003" in finished.out
    called(tmp_path, {"0005": CTC})
    finished = edge_ctc("review", "recovery", tmp_path / "run 1", "--json")
    assert (finished.code, json.loads(finished.out)["stale"]) == (2, ["0001", "0002", "0003"])
    assert ids(place) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(TEXT, TEXT)
@settings(max_examples=40, deadline=None)
def test_ids_and_cages_stand_in_the_list_exactly(
    tmp_path_factory: pytest.TempPathFactory, cell_id: str, cage: str
) -> None:
    calls = [replace(call, cage_row=cage) for call in calls_with({cell_id: CTC})]
    place = committed(result_place(tmp_path_factory.mktemp("run")), calls)
    read_by(place, "A", {cell_id: 4})
    written(place)
    (row,) = rows_of(place)
    assert (row["cell_id"], row["cage_row"]) == (cell_id, cage)


def test_an_id_that_a_spreadsheet_would_compute_stands_exactly_and_is_told(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path, {"=1+1": CTC, "0002": CTC})
    read_by(place, "A", {"=1+1": 4, "0002": 4})
    finished = edge_ctc("review", "recovery", tmp_path / "run 1")
    assert recovery_path(place).read_bytes().splitlines()[1].startswith(b"=1+1,")
    assert "=1+1: stands in the list exactly; a spreadsheet would take it for a formula" in finished.out


def test_a_list_is_made_anew_but_a_strangers_file_is_not_overwritten(tmp_path: Path) -> None:
    place = called(tmp_path)
    written(place)
    read_by(place, "A", {"0001": 4})
    written(place)
    assert ids(place) == ["0001"]
    recovery_path(place).write_bytes(b"well,cell\r\n")
    with pytest.raises(DataError, match="is no recovery list of edge-ctc, and is not overwritten"):
        written(place)
    assert recovery_path(place).read_bytes() == b"well,cell\r\n"


def test_a_run_that_still_grows_is_said(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    called(tmp_path, run_state="partial")
    assert "the run still grows" in edge_ctc("review", "recovery", tmp_path / "run 1").out


def test_neither_calls_nor_manifest_nor_readings_change(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    written(place)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after.pop("run 1.recovery.csv")
    assert after == before


def test_a_full_disk_and_another_writer_leave_the_former_list(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    written(place)
    read_by(place, "A", {"0001": 4})
    with sole_reviewer(place):
        assert edge_ctc("review", "recovery", tmp_path / "run 1").code == 75
    before = recovery_path(place).read_bytes()
    codes = []
    for failing in (2, 4, 5):  # the temporary file, its fsync, the old one aside
        full_disk_at(failing, lambda: codes.append(edge_ctc("review", "recovery", tmp_path / "run 1").code))
        assert recovery_path(place).read_bytes() == before
    assert codes
