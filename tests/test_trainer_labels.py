"""Labels: one table, and every way in which it can contradict itself."""

from pathlib import Path

import pytest

from edge_ctc.errors import DataError, InputMissingError
from trainer.labels import Label, read_labels

HEADER = "run_id,cell_id,label,patient\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_labels_keep_leading_zeros_and_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,0017,CTC,p1\nrun1,17,LEUKOCYTE,p1\n")
    assert read_labels(path) == (
        Label("run1", "0017", is_ctc=True, patient="p1"),
        Label("run1", "17", is_ctc=False, patient="p1"),
    )


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "patient,label,cell_id,run_id,remark\r\np1,CTC,1,run1,round\r\n", "utf-8-sig")
    assert read_labels(path) == (Label("run1", "1", is_ctc=True, patient="p1"),)


def test_a_row_repeated_word_for_word_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,1,CTC,p1\nrun1,1,CTC,p1\n")
    assert len(read_labels(path)) == 1


@pytest.mark.parametrize("second", ["LEUKOCYTE,p1", "CTC,p2"])
def test_two_rows_that_contradict_each_other_are_refused(tmp_path: Path, second: str) -> None:
    path = written(tmp_path, HEADER + f"run1,1,CTC,p1\nrun1,1,{second}\n")
    with pytest.raises(DataError, match=r"line 3: cell 1 of run run1 is labelled before.*keep one row"):
        read_labels(path)


def test_an_unknown_label_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "run1,1,ctc,p1\n")
    with pytest.raises(DataError, match="line 2: label 'ctc', expected LEUKOCYTE or CTC"):
        read_labels(path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "run_id,cell_id,class\nrun1,1,CTC\n")
    with pytest.raises(DataError, match=r"\['label', 'patient'\] missing"):
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
