"""The probe through the command line: a folder that nobody has described, a proposal, answers, a proven profile."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import tifffile
from PIL import Image

from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import load_profile
from edge_ctc.exports.questions import unanswered
from tests.conftest import EdgeCtc
from tests.images import some_counts, tiff
from tests.probe_runs import (
    SIMULATED,
    answered,
    german_flat,
    italian_per_cell,
    montage,
    multipage,
    with_bytes,
    write_table,
)
from tests.results import rows_of, tree

GERMAN_ANSWERS = {
    "bits": "12",
    "cage_row": '"Käfig Zeile"',
    "cage_col": '"Käfig Spalte"',
    "rows": '"cells-with-images"',
}
ITALIAN_ANSWERS = {"bits": "12", "rule": '"sharpest"'}
PAGES_ANSWERS = {"bits": "12", "ignore": '["thumbs/*_segm.tif", "DONE.txt"]'}
PANELS_ANSWERS = {
    "layout": '"montage"',
    "intensity": '"display"',
    "panels": '[["BF", "DAPI", "PE", "APC"]]',
    "gutter_px": "2",
    "border_px": "2",
}
ITALIAN_NAMES = (SIMULATED[2], SIMULATED[1], SIMULATED[0], SIMULATED[3])
"""Tokens are sorted: Arancione, Blu, CampoChiaro, Rosso."""


def proposal_of(run: Path) -> Path:
    return run.with_name(f"{run.name}.ctc-probe") / "profile.toml"


def probed(edge_ctc: EdgeCtc, run: Path) -> str:
    finished = edge_ctc("probe", run)
    assert finished.code == 0, finished.err
    return proposal_of(run).read_text("utf-8")


def keys_of(text: str) -> dict[str, object]:
    return tomllib.loads(text)


def test_a_german_flat_export_is_read_by_its_tokens_and_its_table(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    proposal = keys_of(probed(edge_ctc, run))
    assert proposal["layout"] == "flat"
    assert proposal["images"] == ["Einzelzell Bilder (Export)/Zelle_{cell_id}_{channel}.tif"]
    assert proposal["ignore"] == ["FERTIG.ok"]
    assert proposal["channels"] == [{"name": "?", "token": f"Ch{n}", "marker": "?"} for n in (1, 2, 3, 4)]
    assert proposal["table"] == {
        "file": "Zellübersicht.csv",
        "presence": "optional",
        "encoding": "cp1252",
        "delimiter": ";",
        "decimal": ",",
        "cell_id": "Zelle Nr.",
        "cell_id_digits": 4,
        "cage_row": "?",
        "cage_col": "?",
        "features": ["Fläche µm²"],
        "rows": "?",
    }


def test_a_folder_for_each_cell_is_read_with_its_focal_planes(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    proposal = keys_of(probed(edge_ctc, italian_per_cell(tmp_path / "P07")))
    assert proposal["layout"] == "per-cell"
    assert proposal["images"] == ["Cellula_{cell_id}/{channel}_z{plane}.png", "Cellula_{cell_id}/{channel}.png"]
    assert proposal["focal_plane"] == {"rule": "?"}


def test_pages_are_channels_whose_order_is_a_question(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    proposal = keys_of(probed(edge_ctc, multipage(tmp_path / "P07")))
    assert proposal["layout"] == "multipage"
    assert proposal["images"] == ["thumbs/{cell_id}_thumb.tif"]
    assert proposal["ignore"] == ["?", "DONE.txt"]
    assert proposal["channels"] == [{"name": "?", "marker": "?"}] * 4


def test_names_that_files_carry_are_tokens_and_never_decide_the_name(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    names = ("Brightfield", "DAPI", "PE", "APC")
    proposal = keys_of(probed(edge_ctc, multipage(tmp_path / "P07", names=names)))
    assert proposal["channels"] == [{"name": "?", "token": name, "marker": "?"} for name in names]


def test_pages_named_in_another_order_in_each_file_are_told_apart_by_their_names(
    edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    for number in range(1, 13):
        names = ["DAPI", "PE"] if number % 2 else ["PE", "DAPI"]
        counts = np.stack([np.full((8, 8), 50 if name == "PE" else 900, np.uint16) for name in names])
        counts[:, 0, 0] = 60
        path = tmp_path / "P07" / f"{number}.ome.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(
            path, counts, ome=True, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": names}}
        )
    finished = edge_ctc("probe", tmp_path / "P07")
    assert "8 x 8 px, uint16, counts 60 to 900" in finished.out
    assert "8 x 8 px, uint16, counts 50 to 60" in finished.out
    assert [channel["token"] for channel in keys_of(proposal_of(tmp_path / "P07").read_text())["channels"]] == [  # type: ignore[attr-defined]
        "DAPI",
        "PE",
    ]


def test_a_montage_is_measured_and_its_geometry_left_to_a_person(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    text = probed(edge_ctc, montage(tmp_path / "P07"))
    proposal = keys_of(text)
    assert (proposal["layout"], proposal["images"]) == ("?", ["*_cell-{cell_id}.png"])
    assert proposal["montage"] == {"panels": [["?"]], "gutter_px": "?", "border_px": "?"}
    assert (proposal["bits"], proposal["intensity"]) == (8, "?")
    assert "0 to 1, 66 to 67, 132 to 133, 198 to 199, 264 to 265" in text


LAYOUTS: Mapping[str, tuple[Callable[[Path], Path], Mapping[str, str], Sequence[tuple[str, str]], int]] = {
    "flat": (german_flat, GERMAN_ANSWERS, SIMULATED, 20),
    "per-cell": (italian_per_cell, ITALIAN_ANSWERS, ITALIAN_NAMES, 12),
    "multipage": (multipage, PAGES_ANSWERS, SIMULATED, 12),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_proposal_is_refused_until_answered_then_proven_and_called(
    edge_ctc: EdgeCtc, tmp_path: Path, layout: str
) -> None:
    make, answers, channels, cells = LAYOUTS[layout]
    run = make(tmp_path / "P07")
    text = probed(edge_ctc, run)
    refused = edge_ctc("profile", "check", proposal_of(run), run)
    assert refused.code == 78
    assert "channels[1].name" in refused.err
    assert edge_ctc("classify-run", run, "--profile", proposal_of(run)).code == 78
    ours = tmp_path / "ours.toml"
    ours.write_text(answered(text, answers, channels), "utf-8")
    proven = edge_ctc("profile", "check", ours, run)
    assert proven.code == 0, proven.out + proven.err
    assert f"takes {cells} of {cells} cells (BF, DAPI, PE, APC, uint16)" in proven.out
    called = edge_ctc("classify-run", run, "--profile", ours)
    assert called.code == 0, called.err
    rows = rows_of(run)
    assert len(rows) == cells
    assert all(row["score"] for row in rows)


def test_a_montage_once_answered_is_proven_for_checkpoints_that_learned_from_such_pictures(
    edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    run = montage(tmp_path / "P07")
    text = probed(edge_ctc, run)
    one = '[[channels]]\nname = "?"\nmarker = "?"\n'
    text = text[: text.index("[[channels]]\n")] + 4 * one
    ours = tmp_path / "ours.toml"
    ours.write_text(answered(text, PANELS_ANSWERS, SIMULATED))
    proven = edge_ctc("profile", "check", ours, run)
    assert proven.code == 0, proven.out + proven.err
    assert "learned from counts, the profile says display" in proven.out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_single_question_blocks(tmp_path: Path, edge_ctc: EdgeCtc, layout: str) -> None:
    make, answers, channels, _ = LAYOUTS[layout]
    run = make(tmp_path / "P07")
    text = probed(edge_ctc, run)
    ours = tmp_path / "ours.toml"
    for left_open in unanswered(text.encode()):
        key = left_open.rpartition(".")[2]
        if key in ("name", "marker"):
            place = int(left_open[len("channels[") : left_open.index("]")]) - 1
            some = [list(channel) for channel in channels]
            some[place][0 if key == "name" else 1] = "?"
            half = answered(text, answers, [(name, marker) for name, marker in some])
        else:
            half = answered(text, {name: value for name, value in answers.items() if name != key}, channels)
        ours.write_text(half, "utf-8")
        assert unanswered(half.encode()) == (left_open,)
        finished = edge_ctc("profile", "check", ours, run)
        assert finished.code == 78
        assert left_open in finished.err


def test_the_name_of_a_channel_is_a_question_also_where_the_token_is_dapi(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    text = probed(edge_ctc, german_flat(tmp_path / "P07", tokens=("BF", "DAPI", "PE", "PerCP")))
    channels = keys_of(text)["channels"]
    assert channels == [{"name": "?", "token": t, "marker": "?"} for t in ("BF", "DAPI", "PE", "PerCP")]
    (tmp_path / "p.toml").write_text(answered(text, GERMAN_ANSWERS, [("?", "x")] * 4), "utf-8")
    with pytest.raises(ConfigError, match="name"):
        load_profile(str(tmp_path / "p.toml"))


def test_pe_and_percp_are_two_tokens(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07", tokens=("PE", "PerCP", "PE-Cy7", "APC"))
    proposal = keys_of(probed(edge_ctc, run))
    assert [one["token"] for one in proposal["channels"]] == ["APC", "PE", "PE-Cy7", "PerCP"]  # type: ignore[attr-defined]
    assert {path.name for path in proposal_of(run).parent.glob("*.png")} == {
        "APC.png",
        "PE.png",
        "PE-Cy7.png",
        "PerCP.png",
    }


def test_a_probe_never_writes_into_the_run(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    before = tree(run), run.stat().st_mtime_ns
    probed(edge_ctc, run)
    assert (tree(run), run.stat().st_mtime_ns) == before
    refused = edge_ctc("probe", run, "--out", run / "proposal")
    assert refused.code == 78
    assert (tree(run), run.stat().st_mtime_ns) == before


def test_the_same_folder_gives_the_same_proposal_and_pictures_byte_for_byte(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    outputs = []
    for place in ("one", "two"):
        assert edge_ctc("probe", run, "--out", tmp_path / place).code == 0
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()})
    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == ["Ch1.png", "Ch2.png", "Ch3.png", "Ch4.png", "profile.toml"]


def test_answers_in_an_earlier_proposal_are_kept(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    probed(edge_ctc, run)
    proposal_of(run).write_text("# answered\n")
    finished = edge_ctc("probe", run)
    assert finished.code == 0
    assert proposal_of(run).read_text() == "# answered\n"
    assert proposal_of(run).with_name("profile.new.toml").exists()
    assert "kept as it is" in finished.out


def test_a_folder_that_is_not_there_ends_with_66(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    assert edge_ctc("probe", tmp_path / "nowhere").code == 66


@pytest.mark.parametrize("files", [{}, {"notes.txt": b"hello\n"}, {"Thumbs.db": b"x", "a/b/c.docx": b"x"}])
def test_a_folder_without_images_is_shown_and_ends_with_65(
    edge_ctc: EdgeCtc, tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "P07").mkdir()
    finished = edge_ctc("probe", with_bytes(tmp_path / "P07", files))
    assert finished.code == 65
    assert f"{len(files)} files" in finished.out
    assert not proposal_of(tmp_path / "P07").parent.exists()


def test_a_place_that_cannot_be_written_ends_with_73(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    (tmp_path / "taken").write_text("a file")
    assert edge_ctc("probe", run, "--out", tmp_path / "taken").code == 73


def test_a_folder_of_runs_is_said_and_its_first_run_probed(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    for name in ("2026-11-24_P08", "2026-11-23_P07"):
        german_flat(tmp_path / "exports" / name, count=12)
    finished = edge_ctc("probe", tmp_path / "exports")
    assert finished.code == 0
    assert "2 folder(s) that each look like a run; probing the first by name: 2026-11-23_P07" in finished.out
    assert keys_of(proposal_of(tmp_path / "exports").read_text("utf-8"))["runs"] == "*"


def test_runs_two_folders_down_give_a_deeper_glob(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    for name in ("P07/2026-11-23", "P08/2026-11-24", "P08/2026-11-25"):
        german_flat(tmp_path / "exports" / name, count=12)
    finished = edge_ctc("probe", tmp_path / "exports")
    assert "probing the first by name: P07/2026-11-23" in finished.out
    assert keys_of(proposal_of(tmp_path / "exports").read_text("utf-8"))["runs"] == "*/*"


@pytest.mark.parametrize("make", [italian_per_cell, multipage, german_flat, montage])
def test_one_run_is_never_taken_for_a_folder_of_runs(
    edge_ctc: EdgeCtc, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    assert "look like a run" not in edge_ctc("probe", make(tmp_path / "P07")).out


def test_a_folder_for_each_channel_is_one_run(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    image = tiff(some_counts())
    files = {f"{token}/Cell_{n:03d}.tif": image for token in ("BF", "DAPI", "PE") for n in range(1, 13)}
    proposal = keys_of(probed(edge_ctc, with_bytes(tmp_path / "P07", files)))
    assert proposal["images"] == ["{channel}/Cell_{cell_id}.tif"]


def test_mixed_layouts_are_grouped_and_named(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    image = tiff(some_counts())
    with_bytes(run, {f"Overview/field_{n}.tif": image for n in range(1, 4)} | {"logo.png": b"\x89PNG", "x.jpg": b"y"})
    (run / "link.png").symlink_to(run / "logo.png")
    finished = edge_ctc("probe", run)
    assert finished.code == 0
    assert "Overview/field_#.tif" in finished.out
    assert "not understood: differs from the others in its folder; decodes, 1 page(s)" in finished.out
    assert "not understood: nothing in its name tells a cell; decodes: no: " in finished.out
    assert "not followed" in finished.out
    proposal = keys_of(proposal_of(run).read_text("utf-8"))
    assert proposal["ignore"] == ["?", "FERTIG.ok", "x.jpg"]


def test_torn_images_are_counted_with_the_reason(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    torn = run / "Einzelzell Bilder (Export)" / "Zelle_0001_Ch3.TIF"
    torn.write_bytes(torn.read_bytes()[:500])
    finished = edge_ctc("probe", run)
    assert "Ch3: 1 of the sample do not decode: " in finished.out
    assert "Zelle_0001_Ch3.TIF" in finished.out


def test_cells_that_lack_a_channel_and_images_that_differ_in_case_are_named(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    images = run / "Einzelzell Bilder (Export)"
    (images / "Zelle_0004_Ch2.TIF").unlink()
    (images / "zelle_0005_ch1.tif").write_bytes((images / "Zelle_0005_Ch1.TIF").read_bytes())
    finished = edge_ctc("probe", run)
    assert "without Ch2: 1 cells, 0004" in finished.out
    assert "several images of one channel: 1 cells" in finished.out


def test_few_cells_make_the_pattern_a_question(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    proposal = keys_of(probed(edge_ctc, german_flat(tmp_path / "P07", count=3)))
    assert proposal["images"] == "?"


def test_wells_are_ids_of_a_letter_and_a_number(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    image = tiff(some_counts())
    files = {
        f"img/{row}{column}_{token}.tif": image
        for row in "ABCDEFGH"
        for column in range(1, 13)
        for token in ("BF", "DAPI")
    }
    proposal = keys_of(probed(edge_ctc, with_bytes(tmp_path / "P07", files)))
    assert proposal["cell_id"] == "[A-Za-z]+[0-9]+"
    assert proposal["images"] == ["img/{cell_id}_{channel}.tif"]


def test_two_numbers_that_vary_alike_make_the_pattern_a_question(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    image = tiff(some_counts())
    files = {f"{n:04d}_{7 * n:05d}_{token}.tif": image for n in range(1, 21) for token in ("BF", "DAPI")}
    finished = edge_ctc("probe", with_bytes(tmp_path / "P07", files))
    assert keys_of(proposal_of(tmp_path / "P07").read_text())["images"] == "?"
    assert "varies about as much" in finished.out


@pytest.mark.parametrize(
    ("encoding", "delimiter", "decimal"),
    [("utf-8", ",", "."), ("utf-8-sig", ";", ","), ("cp1252", ";", ","), ("utf-16", "\t", ","), ("utf-8", "\t", ".")],
)
def test_a_table_in_each_dialect_is_recognised(
    edge_ctc: EdgeCtc, tmp_path: Path, encoding: str, delimiter: str, decimal: str
) -> None:
    run = german_flat(tmp_path / "P07")
    (run / "Zellübersicht.csv").unlink()
    rows = [["Zelle", "Größe"], *([f"{n:04d}", f"{n}{decimal}5"] for n in range(1, 21))]
    write_table(run / "Zellen.csv", rows, encoding, delimiter)
    table = keys_of(probed(edge_ctc, run))["table"]
    assert isinstance(table, dict)
    expected = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    assert (table["encoding"], table["delimiter"], table["decimal"]) == (expected, delimiter, decimal)
    assert (table["cell_id"], table["features"]) == ("Zelle", ["Größe"])


def test_a_decimal_that_no_number_tells_is_a_question(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    rows = [["Zelle", "Pixel"], *([f"{n:04d}", str(n + 100)] for n in range(1, 21))]
    write_table(run / "Zellübersicht.csv", rows, "cp1252", ";")
    table = keys_of(probed(edge_ctc, run))["table"]
    assert isinstance(table, dict)
    assert table["decimal"] == "?"


def test_two_columns_that_may_be_the_id_block_until_one_is_chosen(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    rows = [["Nr", "Zelle"], *([str(n), f"{n:04d}"] for n in range(1, 21))]
    write_table(run / "Zellübersicht.csv", rows, "cp1252", ";")
    text = probed(edge_ctc, run)
    assert '# cell_id = "Nr"' in text
    assert '# cell_id = "Zelle"' in text
    (tmp_path / "p.toml").write_text(answered(text, GERMAN_ANSWERS | {"decimal": '","'}, SIMULATED), "utf-8")
    assert "cell_id, image: expected one of the two" in edge_ctc("profile", "check", tmp_path / "p.toml", run).err


def test_a_column_of_cages_that_counts_like_the_cells_is_a_candidate_for_both(
    edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    run = german_flat(tmp_path / "P07")
    rows = [["Identità", "Riga", "Colonna"], *([str(n), "1", str(n)] for n in range(1, 21))]
    write_table(run / "Zellübersicht.csv", rows, "cp1252", ";")
    text = probed(edge_ctc, run)
    assert '# cell_id = "Identità"' in text
    assert '# cell_id = "Colonna"' in text
    assert '"Riga", "Colonna"' in text


def test_a_workbook_is_recognised(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    (run / "Zellübersicht.csv").unlink()
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Zelle", "Fläche"])
    for number in range(1, 21):
        sheet.append([number, number + 0.5])
    book.save(run / "Zellen.xlsx")
    table = keys_of(probed(edge_ctc, run))["table"]
    assert isinstance(table, dict)
    assert (table["file"], table["cell_id"], table["cell_id_digits"]) == ("Zellen.xlsx", "Zelle", 4)
    assert "delimiter" not in table
    assert "decimal" not in table


def test_a_table_that_names_images_is_joined_by_them(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    rows = [["Bild", "x"], *([f"Zelle_{n:04d}_Ch1.TIF", f"{n},5"] for n in range(1, 21))]
    write_table(run / "Zellübersicht.csv", rows, "cp1252", ";")
    table = keys_of(probed(edge_ctc, run))["table"]
    assert isinstance(table, dict)
    assert table["image"] == "Bild"


def test_twelve_bits_shifted_up_and_pictures_that_were_stretched_are_remarked(
    edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    shifted = tiff((some_counts(bits=12) * 16).astype(np.uint16))
    files = {f"{n:03d}_{token}.tif": shifted for n in range(1, 13) for token in ("BF", "DAPI")}
    finished = edge_ctc("probe", with_bytes(tmp_path / "P07", files))
    assert "every count is a multiple of 16" in finished.out
    assert keys_of(proposal_of(tmp_path / "P07").read_text())["bits"] == "?"
    finished = edge_ctc("probe", montage(tmp_path / "P08"))
    assert "looks stretched" in finished.out


def test_a_sheet_holds_as_many_pictures_as_it_says(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    white = np.full((60, 60), 4095, np.uint16)
    white[0, 0] = 0
    files = {f"{n:03d}_{token}.tif": tiff(white) for n in range(1, 101) for token in ("BF", "DAPI")}
    run = with_bytes(tmp_path / "P07", files)
    finished = edge_ctc("probe", run)
    assert "  BF     100    24" in finished.out
    with Image.open(proposal_of(run).with_name("BF.png")) as picture:
        sheet = np.asarray(picture)
    zoomed = round(170 / 60) * 60
    assert int(np.count_nonzero(sheet == 255)) // (zoomed * zoomed - 9) == 24


def test_a_column_that_meets_an_id_by_chance_is_asked_for(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    run = german_flat(tmp_path / "P07")
    rows = [["Probe", "Area"], *([f"s{n}", "1" if n == 7 else str(n + 300)] for n in range(1, 21))]
    write_table(run / "Zellübersicht.csv", rows, "cp1252", ";")
    text = probed(edge_ctc, run)
    assert '\n# cell_id = "Area"' in text
    assert "ids of cells in 1 of 20 rows" in text
