from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, InputMissingError, NotARunError
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import Former, ResultPlace, commit
from edge_ctc.truth import Comparison, compare_with_truth, read_truth
from tests.images import CALL, manifest_of, not_evaluable, result_place

HEADER = "cell_id,label\r\n"


def called(verdicts: Mapping[str, Verdict]) -> list[Call]:
    return [
        not_evaluable(cell_id) if verdict is Verdict.NOT_EVALUABLE else replace(CALL, cell_id=cell_id, verdict=verdict)
        for cell_id, verdict in verdicts.items()
    ]


def run_of(folder: Path, verdicts: Mapping[str, Verdict]) -> ResultPlace:
    place = result_place(folder)
    calls = called(verdicts)
    commit(place, calls, manifest_of(calls), Former(None))
    return place


def truth(folder: Path, text: str) -> Path:
    path = folder / "run 1.truth.csv"
    path.write_bytes(text.encode())
    return path


VERDICTS = {
    "1": Verdict.CTC,
    "2": Verdict.CTC,
    "3": Verdict.CTC,
    "4": Verdict.REVIEW,
    "5": Verdict.REVIEW,
    "6": Verdict.LEUKOCYTE,
    "7": Verdict.LEUKOCYTE,
    "8": Verdict.NOT_EVALUABLE,
    "09": Verdict.LEUKOCYTE,
}


def test_each_count_is_what_its_name_says(tmp_path: Path) -> None:
    ctcs = {"1", "2", "4", "6", "8"}
    rows = "".join(f"{cell},{'CTC' if cell in ctcs else 'LEUKOCYTE'}\r\n" for cell in reversed(VERDICTS))
    found = compare_with_truth(run_of(tmp_path, VERDICTS), truth(tmp_path, HEADER + rows))
    assert found == Comparison(ctcs=5, found=2, in_review=1, false_calls=1)
    precision, recall = 2 / 3, 2 / 5
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(
    ("comparison", "f1"),
    [
        (Comparison(0, 0, 0, 0), None),
        (Comparison(3, 0, 3, 0), 0.0),
        (Comparison(0, 0, 0, 2), 0.0),
        (Comparison(3, 3, 0, 0), 1.0),
        (Comparison(2, 2, 0, 2), pytest.approx(2 / 3)),
    ],
)
def test_f1_is_that_of_the_verdict_ctc_and_none_where_there_is_nothing_to_find(
    comparison: Comparison, f1: float | None
) -> None:
    assert comparison.f1 == f1


@pytest.mark.parametrize(
    ("rows", "stranger"),
    [
        ("1,CTC\r\n", "2"),
        ("1,CTC\r\n2,CTC\r\n3,CTC\r\n", "3"),
        ("1,CTC\r\n02,CTC\r\n", "02"),
        ("", "1"),
    ],
)
def test_labels_of_other_cells_than_those_called_are_refused(tmp_path: Path, rows: str, stranger: str) -> None:
    place = run_of(tmp_path, {"1": Verdict.CTC, "2": Verdict.LEUKOCYTE})
    with pytest.raises(DataError, match=rf"cells \['{stranger}'.* a label or a call, not both"):
        compare_with_truth(place, truth(tmp_path, HEADER + rows))


def test_a_run_that_is_not_committed_cannot_be_compared(tmp_path: Path) -> None:
    path = truth(tmp_path, HEADER)
    with pytest.raises(NotARunError, match="no committed calls"):
        compare_with_truth(result_place(tmp_path), path)
    place = run_of(tmp_path, {"1": Verdict.CTC})
    place.calls.write_bytes(place.calls.read_bytes().replace(b"CTC", b"REVIEW"))
    with pytest.raises(NotARunError, match="changed after it was committed"):
        compare_with_truth(place, path)


def test_labels_are_read_with_leading_zeros_further_columns_and_a_mark_of_windows(tmp_path: Path) -> None:
    text = "\ufefflabel,reader,cell_id\nCTC,è,0017\nLEUKOCYTE,b,17\n"
    assert read_truth(truth(tmp_path, text)) == {"0017": "CTC", "17": "LEUKOCYTE"}


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        (HEADER + "1,REVIEW\n", r"labels \['REVIEW'\]"),
        (HEADER + "1,ctc\n", "labels"),
        (HEADER + "1,CTC \n", "labels"),
        (HEADER + "1,\n", "labels"),
        (HEADER + "1\n", "labels"),
        (HEADER + "1\n2,maybe\n", "labels"),
        (HEADER + "1,CTC\n1,CTC\n", "twice for a cell"),
        (HEADER + "1,CTC\n1,LEUKOCYTE\n", "twice for a cell"),
        ("cell_id;label\n1;CTC\n", "expected CSV with cell_id,label"),
        ("cell,label\n1,CTC\n", "expected CSV with cell_id,label"),
        ("cell_id\n1\n", "expected CSV with cell_id,label"),
        ("", "expected CSV with cell_id,label"),
        ("cell,class\n", "expected CSV with cell_id,label"),
    ],
)
def test_labels_with_a_fault_are_refused_by_file(tmp_path: Path, text: str, telling: str) -> None:
    path = truth(tmp_path, text)
    with pytest.raises(DataError, match=f"{path}: .*{telling}"):
        read_truth(path)


def test_labels_that_are_no_text_are_refused_by_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for content in (b"cell_id,label\n\xe8,CTC\n", "cell_id,label\n1,CTC\n".encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}: cannot be read"):
            read_truth(path)
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be read"):
        read_truth(tmp_path)
    with pytest.raises(InputMissingError, match=r"none\.csv: no such file"):
        read_truth(tmp_path / "none.csv")
