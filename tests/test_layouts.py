"""One simulated run in every layout, through the whole walk; and the tables beside it."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_ctc.exports.profile import Profile, load_profile
from edge_ctc.simulate import Layout, simulate_cells, write_run
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.galleries import shown_in
from tests.results import manifest_of, row_of, rows_of, tree

CELLS, CTCS, SEED = 12, 4, 3
LOSSLESS = (Layout.FLAT, Layout.PER_CELL, Layout.MULTIPAGE)
COUNTS_MONTAGE = """
schema_version = 1
name = "montage-of-counts"
layout = "montage"
images = "*_cell-{cell_id}.png"
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
montage = {panels = [["BF", "DAPI"], ["PE", "APC"]], gutter_px = 3, border_px = 1}
"""


def simulated(folder: Path, layout: Layout) -> Path:
    run = folder / layout.value / "run"
    run.parent.mkdir(parents=True)
    write_run(run, CELLS, CTCS, SEED, layout)
    return run


def verdicts(run: Path) -> dict[int, tuple[str, str, str]]:
    return {int(row["cell_id"]): (row["verdict"], row["score"], row["rank"]) for row in rows_of(run)}


def counts_montage(folder: Path) -> Path:
    """The same cells as 16-bit montages of two rows: no pixel is lost."""
    run = folder / "counts" / "run"
    run.mkdir(parents=True)
    for cell in simulate_cells(CELLS, CTCS, SEED):
        picture = np.full((133, 133), 77, np.uint16)
        picture[0], picture[-1], picture[:, 0], picture[:, -1] = 5, 5, 5, 5
        for place, image in enumerate(cell.images):
            top, left = 1 + place // 2 * 67, 1 + place % 2 * 67
            picture[top : top + 64, left : left + 64] = image
        Image.fromarray(picture).save(run / f"x_cell-{cell.number}.png")
    return run


def test_the_lossless_layouts_of_one_run_give_identical_verdicts(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    profile = tmp_path / "montage.toml"
    profile.write_text(COUNTS_MONTAGE)
    runs = [simulated(tmp_path, layout) for layout in LOSSLESS]
    for run in runs:
        assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    runs.append(counts_montage(tmp_path))
    assert edge_ctc("classify-run", runs[-1], "--checkpoint", checkpoint, "--profile", profile).code == 0
    first = verdicts(runs[0])
    assert len(first) == CELLS
    assert len({score for _, score, _ in first.values()}) == CELLS
    assert all(verdicts(run) == first for run in runs[1:])


def test_a_model_of_counts_refuses_every_cell_of_a_display_stretched_montage(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = simulated(tmp_path, Layout.MONTAGE)
    finished = edge_ctc("classify-run", run)
    assert finished.code == 2
    rows = rows_of(run)
    assert len(rows) == CELLS
    assert {row["verdict"] for row in rows} == {"NOT_EVALUABLE"}
    assert all("the profile says display, the checkpoint was trained on counts" in row["reason"] for row in rows)
    assert all("display_stretched" in row["flags"].split("|") for row in rows)


def test_a_model_of_shades_takes_the_montage_and_still_flags_it(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    shades = write_checkpoint(tmp_path / "shades", dtype="uint8", input={"intensity": "display"})
    run = simulated(tmp_path, Layout.MONTAGE)
    assert edge_ctc("classify-run", run, "--checkpoint", shades).code == 0
    assert all("display_stretched" in row["flags"].split("|") for row in rows_of(run))
    assert edge_ctc("report", run).code == 0
    assert shown_in(run)[0]["id"] == rows_of(run)[0]["cell_id"]


def test_a_model_of_shades_refuses_counts(edge_ctc: EdgeCtc, tmp_path: Path, run: Path) -> None:
    shades = write_checkpoint(tmp_path / "shades", input={"intensity": "display"})
    assert edge_ctc("classify-run", run, "--checkpoint", shades).code == 2
    assert all("the profile says counts, the checkpoint" in row["reason"] for row in rows_of(run))


@pytest.mark.parametrize("layout", list(Layout))
def test_every_cell_of_a_built_in_layout_gets_its_cage(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path, layout: Layout
) -> None:
    run = simulated(tmp_path, layout)
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    with (run / "cells.csv").open(newline="", encoding="utf-8") as file:
        cages = {row["cell_id"]: (row["cage_row"], row["cage_col"]) for row in csv.DictReader(file)}
    assert {row["cell_id"]: (row["cage_row"], row["cage_col"]) for row in rows_of(run)} == cages
    manifest = manifest_of(run)
    assert manifest["table"] == {"cells": CELLS, "without_images": 0, "not_in_table": 0, "problem": ""}
    assert [(file["name"], file["state"]) for file in manifest["tables"]] == [("cells.csv", "used")]
    files = manifest["files"]
    assert files["on_disk"] == files["used"] + files["ignored"] + files["failed"] + files["pending"]


def focal(folder: Path, rule: str) -> Profile:
    """The per-cell profile with planes of bright field."""
    built_in = load_profile("per-cell").profile
    text = f"""
schema_version = 1
name = "planes"
layout = "per-cell"
images = ["Cell_{{cell_id}}/{{channel}}.png", "Cell_{{cell_id}}/{{channel}}_z{{plane}}.png"]
ignore = ["cells.csv"]
channels = [{", ".join(f'{{name = "{name}"}}' for name in built_in.channel_names)}]
focal_plane = {rule}
"""
    (folder / "planes.toml").write_text(text)
    return built_in


@pytest.mark.parametrize("rule", ['{rule = "named", plane = "1"}', '{rule = "middle"}', '{rule = "sharpest"}'])
def test_the_plane_that_the_rule_names_is_the_one_that_is_called(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path, rule: str
) -> None:
    plain = simulated(tmp_path, Layout.PER_CELL)
    edge_ctc("classify-run", plain, "--checkpoint", checkpoint)
    stacked = tmp_path / "stacked" / "run"
    shutil.copytree(plain, stacked)
    for cell in sorted(stacked.glob("Cell_*")):
        image = np.asarray(Image.open(cell / "PE.png")).astype(np.uint16)
        (cell / "PE.png").rename(cell / "PE_z1.png")
        for plane in (0, 2):
            flat = np.full_like(image, 100 + plane)
            flat[:4, :4] += 1  # no image of a camera is of one single count
            Image.fromarray(flat).save(cell / f"PE_z{plane}.png")
    focal(tmp_path, rule)
    finished = edge_ctc("classify-run", stacked, "--checkpoint", checkpoint, "--profile", tmp_path / "planes.toml")
    assert finished.code == 0
    assert verdicts(stacked) == verdicts(plain)


def test_two_files_of_one_plane_are_never_chosen_between(edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path) -> None:
    run = simulated(tmp_path, Layout.PER_CELL)
    shutil.copy(run / "Cell_00002" / "PE.png", run / "Cell_00002" / "PE_z0.png")
    focal(tmp_path, '{rule = "sharpest"}')
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--profile", tmp_path / "planes.toml")
    assert finished.code == 2
    assert "ambiguous: Cell_00002/PE.png, Cell_00002/PE_z0.png all claim PE" in row_of(run, "00002")["reason"]


def test_a_cell_that_only_the_table_names_gets_its_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    for image in (run / "Images").glob("0003_*"):
        image.unlink()
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 2
    assert "cells that the table names and no image shows: 1" in finished.out
    row = row_of(run, "0003")
    assert (row["verdict"], row["cage_row"], row["cage_col"], row["image_files"]) == ("NOT_EVALUABLE", "1", "3", "")
    assert row["reason"] == "no image: the run's table names the cell, no file shows it"
    assert manifest_of(run)["cells"] == {"total": 20, "called": 19, "not_evaluable": 1, "pending": 0}
    before = tree(run.parent)
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 2
    assert tree(run.parent) == before


def test_a_cell_that_the_table_does_not_name_is_called_and_flagged(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    table = run / "cells.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if "0004" not in line))
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    row = row_of(run, "0004")
    assert row["verdict"] != "NOT_EVALUABLE"
    assert "not_in_table" in row["flags"].split("|")
    assert manifest_of(run)["table"]["not_in_table"] == 1


def test_a_changed_table_moves_cages_and_computes_nothing(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    scores = {row["cell_id"]: row["score"] for row in rows_of(run)}
    table = run / "cells.csv"
    table.write_text(table.read_text().replace("0001,1,1", "0001,17,99"))
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert "0 cells to call, 20 unchanged rows kept" in finished.out
    assert (row_of(run, "0001")["cage_row"], row_of(run, "0001")["cage_col"]) == ("17", "99")
    assert {row["cell_id"]: row["score"] for row in rows_of(run)} == scores


def test_cages_of_a_table_that_vanished_stay_as_they_were(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    before = tree(run.parent)
    (run / "cells.csv").unlink()
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert [row["cage_col"] for row in rows_of(run) if row["cell_id"] == "0007"] == ["7"]
    assert {name: at for name, at in tree(run.parent).items() if "ctc" in str(name)} == {
        name: at for name, at in before.items() if "ctc" in str(name)
    }


def test_a_spoilt_optional_table_costs_the_cages_not_the_calls(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    (run / "cells.csv").write_text("cell_id,cage_row,cage_col\n0001,1\n")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 2
    assert "without its table: cells.csv: line 2" in finished.out
    manifest = manifest_of(run)
    assert "cells.csv: line 2" in manifest["table"]["problem"]
    assert [file["state"] for file in manifest["tables"]] == ["failed"]
    assert manifest["cells"]["called"] == 20
    assert {row["cage_row"] for row in rows_of(run)} == {""}


def test_a_spoilt_required_table_stops_the_run(edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path) -> None:
    text = Path("edge_ctc/exports/profiles/flat.toml").read_text(encoding="utf-8")
    (tmp_path / "strict.toml").write_text(text.replace("[table]\n", '[table]\npresence = "required"\n'))
    arguments = ("classify-run", run, "--checkpoint", checkpoint, "--profile", tmp_path / "strict.toml")
    content = (run / "cells.csv").read_bytes()
    (run / "cells.csv").unlink()
    absent = edge_ctc(*arguments)
    assert absent.code == 65
    assert "no table cells.csv" in absent.err
    (run / "cells.csv").write_bytes(content[:-3] + b"\x00\r\n")
    torn = edge_ctc(*arguments)
    assert torn.code == 65
    assert "requires the table" in torn.err
    assert not list(run.parent.glob("run.ctc-*"))
    (run / "cells.csv").write_bytes(content)
    assert edge_ctc(*arguments).code == 0


EXCEL = """
schema_version = 1
name = "ours"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
csv = "excel-it"
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
[table]
file = "cells.csv"
encoding = "cp1252"
delimiter = ";"
decimal = ","
cell_id = "Identità"
cell_id_digits = 4
cage_row = "Riga"
features = ["Area µm²"]
"""


def test_an_italian_lab_reads_and_writes_tables_as_its_excel_does(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    rows = "".join(f"{number};{number * 2};{number},5\r\n" for number in range(1, 21))
    (run / "cells.csv").write_bytes(("Identità;Riga;Area µm²\r\n" + rows).encode("cp1252"))
    (tmp_path / "ours.toml").write_text(EXCEL, encoding="utf-8")
    arguments = (run, "--checkpoint", checkpoint, "--profile", tmp_path / "ours.toml")
    assert edge_ctc("classify-run", *arguments).code == 0
    calls = (run.parent / "run.ctc-calls.csv").read_bytes()
    assert calls.startswith(b"\xef\xbb\xbfschema_version;run_id;")
    first = next(csv.DictReader(calls.decode("utf-8-sig").splitlines(), delimiter=";"))
    assert "," in first["score"]
    assert "." not in first["score"]
    assert int(first["cage_row"]) == 2 * int(first["cell_id"])
    assert manifest_of(run)["calls"]["csv"] == "excel-it"
    shown = edge_ctc("candidates", run, "--profile", tmp_path / "ours.toml", "--top", 1)
    assert "Area" in shown.out
    assert f"{int(first['cell_id'])}.5" in shown.out


def test_the_option_for_csv_wins_and_another_spelling_is_written_without_computing(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    arguments = ("classify-run", run, "--checkpoint", checkpoint)
    edge_ctc(*arguments, "--csv", "excel-it")
    assert manifest_of(run)["calls"]["csv"] == "excel-it"
    finished = edge_ctc(*arguments)
    assert "0 cells to call, 20 unchanged rows kept" in finished.out
    assert manifest_of(run)["calls"]["csv"] == "rfc4180"
    assert len(rows_of(run)) == 20


def test_every_run_under_an_export_folder_is_called_by_the_profiles_glob(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    export = tmp_path / "export"
    for patient in ("P1", "P2"):
        (export / patient / "2026-01-02").mkdir(parents=True)
        write_run(export / patient / "2026-01-02" / "run1", 3, 1, 1, Layout.FLAT)
    text = Path("edge_ctc/exports/profiles/flat.toml").read_text(encoding="utf-8")
    (tmp_path / "tree.toml").write_text(text.replace('layout = "flat"\n', 'layout = "flat"\nruns = "P*/*/*"\n'))
    out = tmp_path / "results"
    options = ("--checkpoint", checkpoint, "--profile", tmp_path / "tree.toml")
    assert edge_ctc("classify-run", "--export", export, "--out", out, *options).code == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.ctc-calls.csv")) == [
        "P1/2026-01-02/run1.ctc-calls.csv",
        "P2/2026-01-02/run1.ctc-calls.csv",
    ]
    assert edge_ctc("classify-run", "--export", export, *options).code == 0
    assert (export / "P2" / "2026-01-02" / "run1.ctc-calls.csv").is_file()


def test_a_run_and_an_export_folder_are_not_named_together(edge_ctc: EdgeCtc, run: Path) -> None:
    assert edge_ctc("classify-run", run, "--export", run.parent).code == 64
    assert edge_ctc("classify-run").code == 64


def test_an_export_folder_without_a_run_says_so(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    finished = edge_ctc("classify-run", "--export", tmp_path)
    assert finished.code == 66
    assert "holds no run folder" in finished.err


def test_calls_of_a_spoilt_table_that_is_mended_get_their_cages(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    arguments = ("classify-run", run, "--checkpoint", checkpoint)
    table = run / "cells.csv"
    good = table.read_text() + "0099,9,9\n"
    table.write_text(good)
    assert edge_ctc(*arguments).code == 2
    assert row_of(run, "0099")["cage_row"] == "9"
    table.write_text("torn\n")
    assert edge_ctc(*arguments).code == 2
    assert row_of(run, "0099")["verdict"] == "NOT_EVALUABLE"
    assert {row["cage_row"] for row in rows_of(run)} == {""}
    table.write_text(good)
    edge_ctc(*arguments)
    assert row_of(run, "0001")["cage_row"] == "1"


BY_IMAGE = """
schema_version = 1
name = "by-image"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
table = {file = "*cells.csv", image = "file", cage_row = "row"}
"""


def test_a_table_that_names_an_image_which_is_gone_of_a_cell_with_others(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "ours.toml").write_text(BY_IMAGE)
    rows = "".join(f"{number:04}_BF.tif,{number}\n" for number in range(1, 21))
    (run / "cells.csv").write_text("file,row\n" + rows)
    (run / "Images" / "0003_BF.tif").unlink()
    arguments = ("classify-run", run, "--checkpoint", checkpoint, "--profile", tmp_path / "ours.toml")
    assert edge_ctc(*arguments).code == 2
    assert len(rows_of(run)) == 20
    row = row_of(run, "0003")
    assert (row["reason"], row["cage_row"]) == ("channel BF is missing", "3")


def test_of_two_tables_one_is_taken_away_as_asked(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "ours.toml").write_text(BY_IMAGE)
    (run / "cells.csv").write_text("file,row\n" + "".join(f"{n:04}_BF.tif,{n}\n" for n in range(1, 21)))
    shutil.copy(run / "cells.csv", run / "old cells.csv")
    arguments = ("classify-run", run, "--checkpoint", checkpoint, "--profile", tmp_path / "ours.toml")
    assert "each may be the table" in edge_ctc(*arguments).out
    (run / "old cells.csv").unlink()
    assert edge_ctc(*arguments).code == 0
    assert row_of(run, "0007")["cage_row"] == "7"


def test_images_that_vanish_from_the_channels_taken_change_nothing(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright_field = write_checkpoint(tmp_path / "bf", channels=("BF",))
    edge_ctc("classify-run", run, "--checkpoint", bright_field)
    (run / "Images" / "0003_BF.tif").unlink()
    before = tree(run.parent)
    assert "nothing to do" in edge_ctc("classify-run", run, "--checkpoint", bright_field).out
    assert tree(run.parent) == before


def test_an_id_in_another_case_makes_its_cell_ambiguous_and_no_second_one(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    text = BY_IMAGE.replace("images =", 'cell_id = "[a-z0-9]+"\nimages =')
    (tmp_path / "ours.toml").write_text(text)
    for image in (run / "Images").glob("0003_*"):
        image.rename(image.with_name(image.name.replace("0003", "a3")))
    arguments = ("classify-run", run, "--checkpoint", checkpoint, "--profile", tmp_path / "ours.toml")
    edge_ctc(*arguments)
    shutil.copy(run / "Images" / "a3_BF.tif", run / "Images" / "A3_BF.tiff")
    assert edge_ctc(*arguments).code == 2
    rows = [row for row in rows_of(run) if row["cell_id"].casefold() == "a3"]
    assert [row["verdict"] for row in rows] == ["NOT_EVALUABLE"]
    assert "ambiguous" in rows[0]["reason"]


def test_results_within_the_export_folder_are_no_run(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    export = run.parent
    arguments = ("classify-run", "--export", export, "--out", export / "results", "--checkpoint", checkpoint)
    assert edge_ctc(*arguments).code == 0
    assert edge_ctc(*arguments).code == 0
