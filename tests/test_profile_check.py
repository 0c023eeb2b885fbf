"""A profile proven on a run: what is fine is said in a line, what hinders a cell or file is a fault."""

from pathlib import Path

import numpy as np
import pytest

from edge_ctc.cli import app, run_app
from tests.conftest import EdgeCtc
from tests.images import some_counts, tiff
from tests.probe_runs import SIMULATED, italian_per_cell, montage, write_table
from tests.results import tree

PLANES = """
schema_version = 1
name = "celle"
layout = "per-cell"
images = ["Cellula_{cell_id}/{channel}_z{plane}.png", "Cellula_{cell_id}/{channel}.png"]
bits = 12
focal_plane = {rule = "middle"}
channels = [{name = "BF", token = "CampoChiaro"}, {name = "DAPI", token = "Blu"}, {name = "PE", token = "Arancione"}]
ignore = ["Rosso.png"]
"""


def with_table(run: Path, rows: list[list[str]]) -> Path:
    write_table(run / "cells.csv", [["cell_id", "cage_row", "cage_col"], *rows], "utf-8", ",")
    return run


def test_a_run_as_the_profile_says_ends_with_0_and_nothing_is_written(edge_ctc: EdgeCtc, run: Path) -> None:
    before = tree(run.parent)
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 0
    assert "FAULT" not in finished.out
    assert "ok     cells                    20, 0001 to 0020" in finished.out
    assert "240" not in finished.out
    assert "80 images of cells, 1 table(s), 0 ignored" in finished.out
    assert "checkpoint reference-bf  takes 20 of 20 cells (BF, uint16)" in finished.out
    assert tree(run.parent) == before


def test_files_not_accounted_for_are_grouped_and_end_with_2(edge_ctc: EdgeCtc, run: Path) -> None:
    for number in range(4):
        (run / "Images" / f"{number:04d}_PerCP.tif").write_bytes(tiff(some_counts()))
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "4 not accounted for" in finished.out
    assert "4 like Images/#_PerCP.tif: Images/0000_PerCP.tif" in finished.out


def test_images_that_do_not_decode_are_grouped_by_reason(edge_ctc: EdgeCtc, run: Path) -> None:
    for number in (3, 4):
        path = run / "Images" / f"{number:04d}_PE.tif"
        path.write_bytes(b"GIF89a" + path.read_bytes()[6:])
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "2: expected a TIFF, got a GIF file" in finished.out
    assert "takes 18 of 20 cells (BF, DAPI, PE, APC, uint16)" in finished.out
    assert "takes 20 of 20 cells (BF, uint16)" in finished.out


def test_cells_that_lack_a_channel_or_have_it_twice_or_in_two_sizes_are_faults(edge_ctc: EdgeCtc, run: Path) -> None:
    images = run / "Images"
    (images / "0001_PE.tif").unlink()
    (images / "0002_PE.tiff").write_bytes((images / "0002_PE.tif").read_bytes())
    (images / "0003_PE.tif").write_bytes(tiff(some_counts(16, 16, bits=12)))
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "PE: 1 cells without it: 0001" in finished.out
    assert "cell 0002: Images/0002_PE.tif, Images/0002_PE.tiff" in finished.out
    assert "cell 0003: BF 64 x 64, DAPI 64 x 64, PE 16 x 16, APC 64 x 64" in finished.out
    assert "takes 17 of 20 cells (BF, DAPI, PE, APC, uint16)" in finished.out


def test_the_same_cells_are_not_evaluable_when_the_run_is_called(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    images = run / "Images"
    (images / "0001_PE.tif").unlink()
    (images / "0002_PE.tiff").write_bytes((images / "0002_PE.tif").read_bytes())
    (images / "0003_PE.tif").write_bytes(tiff(some_counts(16, 16, bits=12)))
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 2
    calls = (run.parent / "run.ctc-calls.csv").read_text("utf-8")
    assert calls.count("NOT_EVALUABLE") == 3


def test_counts_beyond_the_declared_bits_are_a_fault(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(
        'schema_version = 1\nname = "ours"\nlayout = "flat"\nbits = 8\nignore = ["*.csv", "*_PE.tif", "*_APC.tif"]\n'
        'images = "Images/{cell_id}_{channel}.tif"\nchannels = [{name = "BF"}, {name = "DAPI"}]\n'
    )
    finished = edge_ctc("profile", "check", ours, run)
    assert finished.code == 2
    assert "expected counts of 8 bits" in finished.out


def test_focal_planes_are_counted_and_the_unread_ones_ignored(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(PLANES)
    finished = edge_ctc("profile", "check", ours, italian_per_cell(tmp_path / "P07"))
    assert finished.code == 0, finished.out
    assert "focal planes             read: 1 (12)" in finished.out
    assert "36 images of cells, 0 table(s), 36 ignored" in finished.out


def test_rows_without_images_are_a_fault_and_cells_without_a_row_a_note(edge_ctc: EdgeCtc, run: Path) -> None:
    with_table(run, [[f"{number:04d}", "1", str(number)] for number in range(2, 23)])
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "1 cells are not in the table: 0001" in finished.out
    assert "2 rows without images: 0021, 0022" in finished.out


def test_features_are_shown_with_their_extremes_and_blanks(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    rows = [["Nr", "Area"], *([f"{number:04d}", f"{number},5" if number > 2 else ""] for number in range(1, 21))]
    write_table(run / "cells.csv", rows, "cp1252", ";")
    ours = tmp_path / "ours.toml"
    channels = ", ".join(f'{{name = "{name}"}}' for name, _ in SIMULATED)
    ours.write_text(
        'schema_version = 1\nname = "ours"\nlayout = "flat"\nimages = "Images/{cell_id}_{channel}.tif"\n'
        f"channels = [{channels}]\n[table]\n"
        'file = "cells.csv"\ndelimiter = ";"\ndecimal = ","\ncell_id = "Nr"\nfeatures = ["Area"]\n'
    )
    finished = edge_ctc("profile", "check", ours, run)
    assert finished.code == 0, finished.out
    assert "3.5 / 12 / 20.5 (min / median / max), 2 blank" in finished.out


def test_a_table_that_is_not_as_declared_is_a_fault(edge_ctc: EdgeCtc, run: Path) -> None:
    (run / "cells.csv").write_text("cell_id;cage_row\n0001;1\n")
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "FAULT  table" in finished.out


def test_a_profile_that_finds_no_cell_ends_with_65(edge_ctc: EdgeCtc, run: Path) -> None:
    finished = edge_ctc("profile", "check", "multipage", run)
    assert finished.code == 65
    assert "Images/0001_APC.tif" in finished.err


def test_a_run_that_is_not_there_ends_with_66(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    assert edge_ctc("profile", "check", "flat", tmp_path / "nowhere").code == 66


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('schema_version = 1\nname = "?"\n', "1 question(s) not answered: name"),
        ("schema_version = 1\n[focal_plane]\nrule = '?'\n", "focal_plane.rule"),
        ('[montage]\npanels = [["?"]]\n', "montage.panels[1]"),
        ('ignore = ["?", "x"]\n', "not answered: ignore;"),
        ("schema_version = [", "not valid TOML"),
        ("schema_version = 2\n", "schema_version"),
    ],
)
def test_a_profile_that_is_wrong_ends_with_78_and_names_the_key(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, text: str, said: str
) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(text)
    finished = edge_ctc("profile", "check", ours, run)
    assert finished.code == 78
    assert said in finished.err


def test_a_profile_without_the_suffix_toml_has_its_questions_named_too(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.profile"
    ours.write_text('name = "?"\n')
    assert "question(s) not answered: name" in edge_ctc("profile", "check", ours, run).err


def test_pictures_that_look_stretched_under_a_profile_of_counts_are_noted(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = montage(tmp_path / "P07")
    ours = tmp_path / "ours.toml"
    ours.write_text(
        'schema_version = 1\nname = "ours"\nlayout = "montage"\nimages = "*_cell-{cell_id}.png"\n'
        'channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]\n'
        '[montage]\npanels = [["BF", "DAPI", "PE", "APC"]]\ngutter_px = 2\nborder_px = 2\n'
    )
    finished = edge_ctc("profile", "check", ours, run)
    assert finished.code == 0, finished.out
    assert 'then intensity = "display"' in finished.out


def test_images_of_two_depths_are_a_fault(edge_ctc: EdgeCtc, run: Path) -> None:
    (run / "Images" / "0001_BF.tif").write_bytes(tiff(np.full((64, 64), 7, np.uint8)))
    finished = edge_ctc("profile", "check", "flat", run)
    assert finished.code == 2
    assert "images of uint16 and uint8" in finished.out


def test_the_help_shows_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_app(app, "edge-ctc", ["profile", "--help"])
    assert "check" in capsys.readouterr().out
