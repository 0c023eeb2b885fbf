from pathlib import Path
from typing import Any

import pytest

from edge_ctc.errors import NotARunError, RunUnreadableError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.run_table import RunTable, read_run_table
from edge_ctc.exports.runs import read_run

PROFILE: dict[str, Any] = {
    "schema_version": 1,
    "name": "ours",
    "layout": "flat",
    "images": "{cell_id}_{channel}.tif",
    "channels": ({"name": "BF"},),
}
TABLE = {"file": "cells.csv", "cell_id": "id", "cage_row": "row", "cage_col": "col"}


def read(folder: Path, table: str | bytes | None, images: tuple[str, ...] = ("01", "02"), **declared: Any) -> RunTable:
    for cell in images:
        (folder / f"{cell}_BF.tif").write_bytes(b"x")
    if table is not None:
        (folder / "cells.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    profile = Profile.model_validate(PROFILE | {"table": TABLE | declared})
    return read_run_table(read_run(list_files(folder), profile), profile)


def test_a_cell_gets_its_cage_from_its_row(tmp_path: Path) -> None:
    table = read(tmp_path, "id,row,col\n01,3,40\n02,3,41\n")
    assert {cell: (row.cage_row, row.cage_col) for cell, row in table.rows.items()} == {
        "01": ("3", "40"),
        "02": ("3", "41"),
    }
    assert table.without_images == {}
    assert len(table.sha256 or "") == 64


def test_a_cell_that_only_the_table_names_is_expected(tmp_path: Path) -> None:
    table = read(tmp_path, "id,row,col\n01,3,40\n05,9,9\n")
    assert list(table.without_images) == ["05"]
    assert table.rows["05"].cage_row == "9"
    assert table.without_images["05"].files == ()


def test_a_table_that_lists_more_than_was_exported_expects_nothing(tmp_path: Path) -> None:
    table = read(tmp_path, "id,row,col\n01,3,40\n05,9,9\n", rows="any-cells")
    assert list(table.without_images) == []
    assert list(table.rows) == ["01"]


def test_a_name_in_the_table_is_matched_with_the_listing_and_never_opened(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "03_BF.tif").write_bytes(b"outside")
    for name in ("..\\02_BF.tif", "../03_BF.tif", "/etc/passwd", "sub/../04_BF.tif"):
        text = f"file,row,col\n01_BF.tif,1,1\n{name},2,2\n"
        table = read(run, text, cell_id=None, image="file")
        assert f"line 3: '{name}' is no image of a cell by the profile" in table.problem
        assert list(read(run, text, cell_id=None, image="file", rows="any-cells").rows) == ["01"]


def test_an_image_that_the_table_names_and_that_is_not_there_is_an_expected_cell(tmp_path: Path) -> None:
    table = read(tmp_path, "file,row,col\n01_BF.tif,1,1\n07_BF.TIF,2,2\n", cell_id=None, image="file")
    assert list(table.without_images) == ["07"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"id,row,col\n01,\xe8,2\n", "cells.csv: "),
        ("id;row;col\n01;1;2\n", "delimiter = ';'"),
        ("id,row\n01,1\n", "no column 'col'"),
        ("id,row,col\n01,1,1\n01,2,2\n", "'01' stands in line 2 too"),
        ("id,row,col\n1,1,1\n2,2,2\n", "cell_id_digits = 2"),
        ("id,row,col\n01,1,1\nTotal,,\n", "line 3: 'Total' is no id of a cell"),
        ("", "cells.csv: "),
    ],
)
def test_a_spoilt_table_is_a_problem_that_says_what_to_do(tmp_path: Path, table: str | bytes, reason: str) -> None:
    found = read(tmp_path, table)
    assert reason in found.problem
    assert not found.rows
    with pytest.raises(NotARunError, match="requires the table"):
        read(tmp_path, table, presence="required")


def test_an_absent_table_is_no_problem_unless_it_is_required(tmp_path: Path) -> None:
    assert read(tmp_path, None) == RunTable()
    with pytest.raises(NotARunError, match=r"no table cells\.csv, which profile ours requires"):
        read(tmp_path, None, presence="required")


def test_two_files_that_may_be_the_table_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "cells2.csv").write_text("id,row,col\n")
    found = read(tmp_path, "id,row,col\n01,1,1\n", file="cells*.csv")
    assert found.problem == "cells.csv, cells2.csv: each may be the table cells*.csv, expected one"


def test_a_table_that_changes_while_it_is_read_gives_no_row_now(tmp_path: Path) -> None:
    (tmp_path / "01_BF.tif").write_bytes(b"x")
    table = tmp_path / "cells.csv"
    table.write_text("id,row,col\n01,1,1\n")
    profile = Profile.model_validate(PROFILE | {"table": TABLE})
    run = read_run(list_files(tmp_path), profile)
    table.write_text("id,row,col\n01,1,1\n02,2,2\n")
    with pytest.raises(RunUnreadableError, match=r"cells\.csv: changed"):
        read_run_table(run, profile)
