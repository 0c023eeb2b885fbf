"""Labels: one table, and every way in which it can contradict itself."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.errors import DataError, InputMissingError
from trainer.cells.labels import Label, read_labels
from trainer.cells.not_held import no_such_cell

HEADER = "run_id,cell_id,label,patient\n"
READ_HEADER = "run_id,cell_id,label,patient,reader,truth\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_labels_keep_leading_zeros_and_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,0017,CTC,p1\nrun1,17,LEUKOCYTE,p1\n")
    assert read_labels(path).cells == (
        Label("run1", "0017", is_ctc=True, patient="p1"),
        Label("run1", "17", is_ctc=False, patient="p1"),
    )


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "patient,label,cell_id,run_id,remark\r\np1,CTC,1,run1,round\r\n", "utf-8-sig")
    assert read_labels(path).cells == (Label("run1", "1", is_ctc=True, patient="p1"),)


def test_a_row_repeated_word_for_word_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,1,CTC,p1\nrun1,1,CTC,p1\n")
    assert len(read_labels(path).cells) == 1


@pytest.mark.parametrize("second", ["LEUKOCYTE,p1", "CTC,p2"])
def test_two_rows_that_contradict_each_other_are_refused(tmp_path: Path, second: str) -> None:
    path = written(tmp_path, HEADER + f"run1,1,CTC,p1\nrun1,1,{second}\n")
    with pytest.raises(
        DataError, match=r"line 3: cell 1 of run run1 is labelled before, otherwise \(CTC of patient p1, here"
    ):
        read_labels(path)


def test_an_unknown_label_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,1,ctc,p1\n")
    with pytest.raises(DataError, match="line 2: label 'ctc', expected LEUKOCYTE or CTC"):
        read_labels(path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "run_id,cell_id,class\nrun1,1,CTC\n")
    with pytest.raises(DataError, match=r"column label, patient missing, found run_id, cell_id, class"):
        read_labels(path)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_with_another_separator_is_told_so(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path, HEADER.replace(",", mark) + mark.join(("run1", "1", "CTC", "p1\n")))
    with pytest.raises(DataError, match=re.escape(f"columns parted by {mark!r}, expected by ','")):
        read_labels(path)


@pytest.mark.parametrize("row", ["run1,1,CTC,\n", "run1,1,CTC\n", "run1,1,CTC,p1,more\n"])
def test_a_row_with_an_empty_or_surplus_field_is_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataError, match="line 2"):
        read_labels(written(tmp_path, HEADER + row))


@pytest.mark.parametrize("content", [b"", HEADER.encode(), b"\xff\xfe\x00", HEADER.encode() + b'"run1,1'])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.csv"):
        read_labels(path)


def test_a_missing_file_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="no such file"):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize("row", ["run1 ,1,CTC,a", "run1, 1,CTC,a", "run1,1,CTC,a "])
def test_blanks_around_a_field_are_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"run_id,cell_id,label,patient\n{row}\n")
    with pytest.raises(DataError, match="blanks around"):
        read_labels(path)


@pytest.mark.parametrize("patient", ["nan", "NaN", "None", "#N/A"])
def test_what_a_spreadsheet_writes_for_an_empty_patient_is_no_patient(tmp_path: Path, patient: str) -> None:
    with pytest.raises(DataError, match=f"line 3: patient '{patient}' stands for an empty field"):
        read_labels(written(tmp_path, HEADER + f"run1,1,CTC,a\nrun1,2,CTC,{patient}\n"))


@pytest.mark.parametrize("other", ["P1", "p\uff11"])
def test_one_patient_in_two_spellings_would_be_on_both_sides_of_a_split_and_is_refused(
    tmp_path: Path, other: str
) -> None:
    with pytest.raises(DataError, match=f"patients 'p1' and '{other}' differ in case"):
        read_labels(written(tmp_path, HEADER + f"run1,1,CTC,p1\nrun1,2,CTC,p2\nrun1,3,CTC,{other}\n"))


def test_a_cell_that_two_readers_agree_on_keeps_both_names_and_its_source_of_truth(tmp_path: Path) -> None:
    rows = "run1,1,CTC,p1,Anna,genomics\nrun1,2,LEUKOCYTE,p1,,\nrun1,1,CTC,p1,Bruno,genomics\n"
    labels = read_labels(written(tmp_path, READ_HEADER + rows))
    assert labels.cells == (
        Label("run1", "1", True, "p1", ("Anna", "Bruno"), "genomics"),
        Label("run1", "2", False, "p1"),
    )
    assert labels.conflicts == ()


def test_readers_that_differ_are_listed_and_the_cell_is_kept_as_the_majority_says(tmp_path: Path) -> None:
    rows = "".join(f"run1,1,{label},p1,{reader},\n" for label, reader in READINGS)
    labels = read_labels(written(tmp_path, READ_HEADER + rows))
    (conflict,) = labels.conflicts
    assert conflict.label == labels.cells[0] == Label("run1", "1", False, "p1", ("Anna", "Bruno", "Carla"))
    assert str(conflict) == "run1 cell 1: CTC by Bruno; LEUKOCYTE by Anna, Carla; counts as LEUKOCYTE"


READINGS = (("LEUKOCYTE", "Anna"), ("CTC", "Bruno"), ("LEUKOCYTE", "Carla"))


@given(st.lists(st.booleans(), min_size=1, max_size=7))
def test_the_majority_counts_and_a_tie_is_a_ctc(tmp_path_factory: pytest.TempPathFactory, said: list[bool]) -> None:
    rows = "".join(f"run1,1,{'CTC' if ctc else 'LEUKOCYTE'},p1,r{index},\n" for index, ctc in enumerate(said))
    labels = read_labels(written(tmp_path_factory.mktemp("labels"), READ_HEADER + rows))
    assert labels.cells[0].is_ctc == (said.count(True) >= said.count(False))
    assert bool(labels.conflicts) == (len(set(said)) == 2)


@pytest.mark.parametrize(
    ("second", "remedy"),
    [
        ("LEUKOCYTE,p1,Anna,", "by Anna, here LEUKOCYTE of patient p1, by Anna.*keep one row for each reader"),
        ("CTC,p2,Bruno,", "mend patient or truth"),
        ("CTC,p1,Bruno,genomics", "mend patient or truth"),
        ("LEUKOCYTE,p1,,", "name the reader in each"),
    ],
)
def test_rows_that_are_not_two_readers_opinions_are_refused(tmp_path: Path, second: str, remedy: str) -> None:
    path = written(tmp_path, READ_HEADER + f"run1,1,CTC,p1,Anna,\nrun1,1,{second}\n")
    with pytest.raises(DataError, match=rf"line 3: cell 1 of run run1 is labelled before.*{remedy}"):
        read_labels(path)


@pytest.mark.parametrize(
    ("wanted", "held", "meant"),
    [
        ("7", ["0006", "0007", "0070"], "0007"),
        ("0007", ["6", "7"], "7"),
        ("Cell_7", ["cell_0006", "cell_0007"], "cell_0007"),
        ("cel_7_BF", ["cell_7_BF", "tile_7_BF"], "cell_7_BF"),
    ],
)
def test_a_cell_id_that_differs_by_leading_zeros_or_a_letter_is_guessed(
    wanted: str, held: list[str], meant: str
) -> None:
    assert f'no such cell (did you mean "{meant}"?); ' in no_such_cell(wanted, "run1", held)


@pytest.mark.parametrize(
    ("wanted", "held"), [("0004", ["0060", "0003", "0040"]), ("cell_0004", ["cell_0060"]), ("x7", ["0007"]), ("4", [])]
)
def test_another_number_is_another_cell_whose_images_may_be_missing(wanted: str, held: list[str]) -> None:
    said = no_such_cell(wanted, "run1", held)
    assert "did you mean" not in said
    assert "its images may be missing from the run" in said


def test_of_the_cells_that_a_run_holds_ten_are_named() -> None:
    said = no_such_cell("0999", "run1", [f"{number:04d}" for number in range(130)])
    assert "(it holds 0000, 0001, 0002, 0003, 0004, 0005, 0006, 0007, 0008, 0009 and 120 more)" in said
