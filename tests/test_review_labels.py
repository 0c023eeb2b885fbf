"""Reviewed cells as labels: the trainer itself reads them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_ctc.errors import ConfigError, DataError, InputMissingError
from edge_ctc.results.commit import Former, ResultPlace, commit
from edge_ctc.review.labelling import LabelRow, make_labels, read_patients, write_labels
from tests.conftest import EdgeCtc
from tests.images import manifest_of
from tests.reviews import CTC, LEUKOCYTE, VERDICTS, called, calls_with, read_by
from trainer.cells.labels import read_labels


def rows_in(path: Path) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_the_trainers_own_reader_takes_the_labels_with_readers_and_conflicts(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    place = called(tmp_path)
    read_by(place, "M. Rossi", {"0001": 4, "0002": 3, "0004": 1, "0005": (None, ["doubt"])})
    read_by(place, 'A. "Verdi", b', {"0001": 3, "0002": 2}, blind=False)
    path = tmp_path / "labels.csv"
    finished = edge_ctc("review", "labels", tmp_path / "run 1", "--patient", "P07", "--to", path)
    assert finished.code == 0
    assert "5 labels of 3 cells; 1 labelled differently by readers" in finished.out
    assert "not read blind: 2 labels, which may echo" in finished.out
    labels = read_labels(path)
    assert [(one.run_id, one.cell_id, one.is_ctc, one.patient) for one in labels.cells] == [
        ("run 1", "0001", True, "P07"),
        ("run 1", "0002", True, "P07"),
        ("run 1", "0004", False, "P07"),
    ]
    assert labels.cells[0].readers == ('A. "Verdi", b', "M. Rossi")
    assert labels.cells[0].truth == "gallery review"
    (conflict,) = labels.conflicts
    assert (conflict.ctc, conflict.leukocyte) == (("M. Rossi",), ('A. "Verdi", b',))
    assert rows_in(path)[0] == ("run 1", "0001", "CTC", "P07", 'A. "Verdi", b', "gallery review")


@pytest.mark.parametrize(("least_sure", "kept"), [(1, ["0001", "0002", "0003", "0004"]), (2, ["0001", "0004"])])
def test_every_grade_is_a_label_and_of_definite_ones_only_where_all_readers_are_sure(
    tmp_path: Path, least_sure: int, kept: list[str]
) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4, "0002": 4, "0003": 3, "0004": 1, "0005": (1, ["debris"])})
    read_by(place, "B", {"0002": 2})
    made = make_labels([place], {"run 1": "P07"}, least_sure)
    assert list(dict.fromkeys(row.cell_id for row in made.rows)) == kept
    assert {row.cell_id: row.label for row in made.rows if row.reader == "A"} == {
        cell_id: LEUKOCYTE if cell_id == "0004" else CTC for cell_id in kept
    }
    assert (made.debris, made.unsure, made.cells) == (1, 4 - len(kept), len(kept))


def test_readings_of_other_images_are_no_labels(tmp_path: Path) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4, "0002": 4})
    called(tmp_path, images="of another scan")
    with pytest.raises(DataError, match="no cell of these runs has a grade"):
        make_labels([place], {"run 1": "P07"}, 1)
    read_by(place, "A", {"0001": 4}, at="2026-11-23T21:00:00Z")
    made = make_labels([place], {"run 1": "P07"}, 1)
    assert ([row.cell_id for row in made.rows], made.stale) == (["0001"], 1)


def other_run(folder: Path, run_id: str) -> ResultPlace:
    place = ResultPlace(folder, run_id)
    calls = calls_with(VERDICTS)
    manifest = manifest_of(calls, run_id=run_id)
    commit(place, [replace(call, run_id=run_id) for call in calls], manifest, Former(None))
    return place


def test_labels_of_several_runs_take_their_patients_from_a_table(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    read_by(called(tmp_path), "A", {"0001": 4})
    read_by(other_run(tmp_path, "=run 2"), "A", {"0001": 1})
    patients, path = tmp_path / "patients.csv", tmp_path / "labels.csv"
    patients.write_text("\ufeffrun_id,ward,patient\n=run 2,x,P08\nrun 1,x,P07\n", encoding="utf-8")
    runs = (tmp_path / "run 1", tmp_path / "=run 2")
    finished = edge_ctc("review", "labels", *runs, "--patients", patients, "--to", path, "--json")
    assert (finished.code, json.loads(finished.out)["rows"]) == (0, 2)
    assert [(one.run_id, one.patient, one.is_ctc) for one in read_labels(path).cells] == [
        ("run 1", "P07", True),
        ("=run 2", "P08", False),
    ]
    patients.write_text("run_id,patient\nrun 1,P07\n", encoding="utf-8")
    finished = edge_ctc("review", "labels", *runs, "--patients", patients, "--to", tmp_path / "more.csv")
    assert finished.code == 65
    assert "run =run 2: whose it is was not said" in finished.err
    assert not (tmp_path / "more.csv").exists()


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        ((), "say whose the runs are"),
        (("--patient", "P07", "--patients", "patients.csv"), "say whose the runs are"),
        (("--patient", "P07", "run 2"), "--patient is for one RUN"),
        (("--patient", "P07", "run 1"), "named twice"),
    ],
)
def test_whose_the_runs_are_must_be_said_once(
    tmp_path: Path, edge_ctc: EdgeCtc, options: tuple[str, ...], telling: str
) -> None:
    read_by(called(tmp_path), "A", {"0001": 4})
    named = [str(tmp_path / one) if one.startswith("run") else one for one in options]
    finished = edge_ctc("review", "labels", tmp_path / "run 1", "--to", tmp_path / "labels.csv", *named)
    assert finished.code == 64
    assert telling in finished.err
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize("patient", ["", " ", "P07 ", "nan", "None"])
def test_a_patients_name_that_the_trainer_would_refuse_is_refused(tmp_path: Path, patient: str) -> None:
    place = called(tmp_path)
    read_by(place, "A", {"0001": 4})
    with pytest.raises(DataError, match="patient"):
        make_labels([place], {"run 1": patient}, 1)


def test_one_patient_in_two_spellings_is_refused(tmp_path: Path) -> None:
    places = [called(tmp_path), other_run(tmp_path, "run 2")]
    for place in places:
        read_by(place, "A", {"0001": 4})
    with pytest.raises(DataError, match="'P07' and 'p07' differ in case"):
        make_labels(places, {"run 1": "P07", "run 2": "p07"}, 1)


def test_an_id_with_blanks_around_that_the_trainer_would_refuse_is_refused(tmp_path: Path) -> None:
    place = called(tmp_path, {" 1": CTC})
    read_by(place, "A", {" 1": 4})
    with pytest.raises(DataError, match="cell ' 1' of run run 1: is blank, or has blanks around"):
        make_labels([place], {"run 1": "P07"}, 1)


def test_labels_that_stand_there_are_never_overwritten(tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    read_by(called(tmp_path), "A", {"0001": 4})
    path = tmp_path / "labels.csv"
    path.write_bytes(b"mine")
    finished = edge_ctc("review", "labels", tmp_path / "run 1", "--patient", "P07", "--to", path)
    assert finished.code == 78
    assert "labels are never overwritten" in finished.err
    assert path.read_bytes() == b"mine"
    (tmp_path / "link.csv").symlink_to(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="never overwritten"):
        write_labels(tmp_path / "link.csv", [LabelRow("run 1", "1", CTC, "P07", "A")])


@pytest.mark.parametrize(
    ("content", "telling"),
    [
        (b"", "a column or a name is missing"),
        (b"run_id;patient\nrun 1;P07\n", "a column or a name is missing"),
        (b"run_id,patient\nrun 1\n", "a column or a name is missing"),
        (b"run_id,patient\nrun 1,P07\nrun 1,P08\n", "a run is named twice"),
        (b'run_id,patient\n"run 1', "no CSV"),
        (b"run_id,patient\nrun 1,R\xf6ssi\n", "cannot be read"),
    ],
)
def test_a_spoilt_table_of_patients_is_refused_by_name(tmp_path: Path, content: bytes, telling: str) -> None:
    path = tmp_path / "patients.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"patients\.csv: {telling}"):
        read_patients(path)


def test_a_table_of_patients_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"none\.csv: no such file"):
        read_patients(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_patients(tmp_path)
