import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ctc.errors import NotARunError, RunMissingError, RunUnreadableError
from edge_ctc.exports.choose import choose_profile
from edge_ctc.exports.listing import display_name, find_runs, list_files
from edge_ctc.exports.profile import FocalPlane, Profile, load_profile
from edge_ctc.exports.runs import Run, read_run

FLAT = load_profile("flat").profile


def with_files(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def ids_of(run: Run) -> list[str]:
    return [cell.cell_id for cell in run.cells]


def own_ids(pattern: str) -> Profile:
    return FLAT.model_copy(update={"cell_id": pattern})


PARTS = st.one_of(
    st.sampled_from(["Images", "images", "@eaDir", ".git", "a.ctc-gallery", "sub folder", "thumbs"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=6),
).filter(lambda part: part not in (".", ".."))
LAST = st.one_of(
    st.from_regex(r"\A0?[0-9]_(BF|dapi|PE|PerCP)\.(tif|TIFF|png)\Z"),
    st.sampled_from(["cells.csv", "Thumbs.db", "~$x.csv", "a.tmp", "run.ctc-calls.csv", "run.truth.csv", "notes.txt"]),
    PARTS,
)
PATHS = st.lists(st.tuples(st.lists(PARTS, max_size=2), LAST).map(lambda path: "/".join([*path[0], path[1]])))


def without_clashes(names: Iterable[str]) -> set[str]:
    """No name that is a folder of another."""
    found = set(names)
    return {name for name in found if not any(other.startswith(name + "/") for other in found)}


@given(PATHS.map(without_clashes))
@example({"Images/1_BF.tif", "Images/1_BF.tiff", "images/1_bf.TIF", "cells.csv", "Images/01_PE.tif", "x"})
@settings(max_examples=80, deadline=None)
def test_every_file_on_disk_is_accounted_for_exactly_once(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        listing = list_files(with_files(Path(folder), names))
    run = read_run(listing, FLAT)
    of_cells = [file.name for cell in run.cells for file in cell.files]
    others = [file.name for file in (*run.tables, *run.ignored, *run.unaccounted)]
    assert sorted(of_cells + others) == sorted(names)
    assert len(set(ids_of(run))) == len(run.cells)


def test_a_file_is_listed_with_its_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.tif").write_bytes(b"12345")
    os.utime(tmp_path / "a" / "b.tif", ns=(1, 1_700_000_000_123_456_700))
    (file,) = list_files(tmp_path).files
    assert (file.name, file.size, file.mtime_ns) == ("a/b.tif", 5, 1_700_000_000_123_456_700)


def test_a_run_is_named_by_its_folder_however_it_was_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_files(tmp_path / "Rún 1 (è)", ["Images/1_BF.tif"])
    monkeypatch.chdir(run)
    for way in (run, Path(), Path("Images/.."), tmp_path / "Rún 1 (è)" / "."):
        assert read_run(list_files(way), FLAT).run_id == "Rún 1 (è)"


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    outside = with_files(tmp_path / "outside", ["Images/9_BF.tif"])
    run = with_files(tmp_path / "run", ["Images/1_BF.tif"])
    (run / "Images" / "2_BF.tif").symlink_to(outside / "Images" / "9_BF.tif")
    (run / "Images" / "3_BF.tif").symlink_to("1_BF.tif")
    (run / "Images" / "4_BF.tif").symlink_to("nowhere")
    (run / "more").symlink_to(outside)
    (run / "loop").symlink_to(run)
    os.mkfifo(run / "Images" / "5_BF.tif")
    listing = list_files(run)
    assert [file.name for file in listing.files] == ["Images/1_BF.tif"]
    assert listing.links == (*(f"Images/{number}_BF.tif" for number in (2, 3, 4, 5)), "loop", "more")
    assert read_run(listing, FLAT).links == listing.links


@pytest.mark.parametrize(
    "name",
    [
        "Images/Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "~$cells.xlsx",
        "Images/1_BF.tif.tmp",
        "Images/1_BF.part",
        "Images/.1_BF.tif",
        ".hidden/Images/1_BF.tif",
        "Images/@eaDir/1_BF.tif",
        "@EADIR/a/b/c",
        "run.ctc-calls.csv",
        "run.ctc-calls.20260102T030405.000006Z.csv",
        "run.ctc-run.json",
        "deeper/run.ctc-run.json",
        "run.truth.csv",
        "run.ctc-gallery/sheet.png",
        ".run.ctc-calls.csv.tmp-old",
        "run.ctc-probe/profile.toml",
    ],
)
def test_what_is_no_image_by_its_name_is_ignored(tmp_path: Path, name: str) -> None:
    run = read_run(list_files(with_files(tmp_path, [name])), FLAT)
    assert [file.name for file in run.ignored] == [name]


@pytest.mark.parametrize("name", ["cells.csv", "Cells.CSV"])
def test_the_table_is_told_from_images_and_from_other_tables(tmp_path: Path, name: str) -> None:
    run = read_run(list_files(with_files(tmp_path, [name, "tables/cells.csv", "other.csv"])), FLAT)
    assert [file.name for file in run.tables] == [name]
    assert [file.name for file in run.unaccounted] == ["other.csv", "tables/cells.csv"]


@pytest.mark.parametrize("name", ["notes.txt", "1_BF.tif", "Images/1_PerCP.tif", "Images/Thumbs.db.tif", "tmp"])
def test_what_nobody_names_is_unaccounted(tmp_path: Path, name: str) -> None:
    run = read_run(list_files(with_files(tmp_path, [name])), FLAT)
    assert [file.name for file in run.unaccounted] == [name]
    assert not run.cells


def test_a_glob_with_a_folder_means_the_path_and_one_without_any_folder(tmp_path: Path) -> None:
    profile = load_profile("multipage").profile
    run = read_run(list_files(with_files(tmp_path, ["thumbs/1_segm.tif", "other/1_segm.tif", "a/DONE.txt"])), profile)
    assert [file.name for file in run.ignored] == ["a/DONE.txt", "thumbs/1_segm.tif"]
    assert [file.name for file in run.unaccounted] == ["other/1_segm.tif"]


def test_the_files_of_a_cell_come_in_the_order_of_the_channels(tmp_path: Path) -> None:
    names = [f"Images/1_{channel}.tif" for channel in ("APC", "BF", "PE", "DAPI")]
    (cell,) = read_run(list_files(with_files(tmp_path, names)), FLAT).cells
    assert cell.channels == ("BF", "DAPI", "PE", "APC")
    assert [file.name for file in cell.files] == [f"Images/1_{channel}.tif" for channel in cell.channels]


def test_two_files_that_claim_one_channel_both_belong_to_the_cell(tmp_path: Path) -> None:
    names = ["Images/1_BF.tif", "Images/1_BF.tiff", "Images/1_bf.tif"]
    (cell,) = read_run(list_files(with_files(tmp_path, names)), FLAT).cells
    assert cell.channels == ("BF",) * 3


def test_cells_come_by_number_and_ids_that_differ_in_zeros_are_two_cells(tmp_path: Path) -> None:
    names = [f"Images/{cell}_BF.tif" for cell in ("10", "2", "02", "1", "100")]
    assert ids_of(read_run(list_files(with_files(tmp_path, names)), FLAT)) == ["1", "02", "2", "10", "100"]


def test_letters_in_ids_sort_beside_numbers(tmp_path: Path) -> None:
    names = [f"Images/{cell}_BF.tif" for cell in ("b2", "a10", "a2", "10", "a", "9a", "9")]
    found = ids_of(read_run(list_files(with_files(tmp_path, names)), own_ids("[a-z0-9]+")))
    assert found == ["9", "9a", "10", "a", "a2", "a10", "b2"]


def test_digits_of_other_scripts_in_an_id_sort_somehow(tmp_path: Path) -> None:
    names = [f"Images/{cell}_BF.tif" for cell in ("1\u00b2", "\u00b2", "\u0663", "1")]
    assert ids_of(read_run(list_files(with_files(tmp_path, names)), own_ids(".+")))[0] == "1"


def test_every_built_in_layout_is_recognised(tmp_path: Path) -> None:
    flat = with_files(tmp_path / "a", ["Images/1_BF.tif", "cells.csv", "Thumbs.db"])
    pages = with_files(tmp_path / "b", ["thumbs/1_thumb.tif", "thumbs/1_segm.tif", "DONE.txt"])
    folders = with_files(tmp_path / "c", ["Cell_1/BF.png", "Cell_1/PE.png", "cells.csv"])
    montages = with_files(tmp_path / "d", ["d_cell-1.png", "cells.csv"])
    found = ((flat, "flat"), (pages, "multipage"), (folders, "per-cell"), (montages, "montage"))
    for folder, name in found:
        loaded, run = choose_profile(list_files(folder))
        assert loaded == load_profile(name)
        assert ids_of(run) == ["1"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["cells.csv"], "its 1 files .flat: no image; montage: no image; multipage: no image; per-cell: no image"),
        (
            ["Images/1_BF.tif", "thumbs/1_thumb.tif"],
            "flat: 1 cells, 1 files not .*thumbs/1_thumb.tif; .*multipage: 1 cell",
        ),
        ([f"{letter}.txt" for letter in "abcd"], "flat: 0 cells, 4 files not accounted for: a.txt, b.txt, c.txt, …"),
        (["a\nb\x1b[2J"], r"not accounted for: a\\nb\\x1b\[2J"),
    ],
)
def test_a_folder_that_no_profile_accounts_for_is_no_run_and_says_why(
    tmp_path: Path, names: list[str], reason: str
) -> None:
    with pytest.raises(NotARunError, match=f"no built-in profile accounts for .*{reason}"):
        choose_profile(list_files(with_files(tmp_path, names)))


def test_a_profile_that_nearly_fits_is_named_with_the_strangers(tmp_path: Path) -> None:
    folder = with_files(tmp_path, ["Images/1_BF.tif", "notes.txt"])
    with pytest.raises(NotARunError, match=r"flat fits but for 1 files not .*: notes\.txt; .*--profile flat"):
        choose_profile(list_files(folder))


def test_an_empty_folder_is_called_empty(tmp_path: Path) -> None:
    with pytest.raises(NotARunError, match="holds no file"):
        choose_profile(list_files(tmp_path))


def test_a_missing_folder_and_a_file_in_its_place_are_told_apart_from_a_failing_share(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file", tmp_path / "file" / "below"):
        what = "is a file" if folder.is_file() else "no such folder"
        with pytest.raises(RunMissingError, match=f"{folder}: {what}"):
            list_files(folder)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), FileNotFoundError(2, "vanished")])
def test_a_share_that_fails_while_it_is_listed_gives_no_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    scandir = os.scandir

    def failing_below(path: Path) -> object:
        if path.name == "Images":
            raise error
        return scandir(path)

    with_files(tmp_path, ["a.tif", "Images/1_BF.tif"])
    monkeypatch.setattr(os, "scandir", failing_below)
    with pytest.raises(RunUnreadableError, match="try again"):
        list_files(tmp_path)


def test_a_name_that_is_no_utf8_is_listed_as_the_disk_spells_it_and_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    name = os.fsdecode(b"Images/1_BF\xe8.tif")
    (tmp_path / name).touch()
    run = read_run(list_files(tmp_path), own_ids(".+"))
    assert [file.name for file in run.unaccounted] == [name]
    with pytest.raises(NotARunError, match=r"Images/1_BF\\udce8\.tif"):
        choose_profile(list_files(tmp_path))


def test_a_folder_that_is_no_utf8_is_walked(tmp_path: Path) -> None:
    below = tmp_path / os.fsdecode(b"\xff")
    below.mkdir()
    (below / "a.tif").touch()
    assert [file.name for file in list_files(tmp_path).files] == [os.fsdecode(b"\xff/a.tif")]


def test_a_name_with_a_newline_is_one_unaccounted_file(tmp_path: Path) -> None:
    run = read_run(list_files(with_files(tmp_path, ["Images/1\n_BF.tif", "Images/1_BF.tif\n"])), own_ids(r"[\s0-9]+"))
    assert len(run.unaccounted) == 2
    assert not run.cells


@given(st.text(), st.binary(max_size=20))
def test_a_shown_name_is_printable_and_a_plain_one_is_itself(text: str, raw: bytes) -> None:
    for name in (text, raw.decode("utf-8", "surrogateescape")):
        shown = display_name(name)
        assert shown.isprintable()
        assert shown == name or not name.isprintable()


PLANES = Profile.model_validate(
    {
        "schema_version": 1,
        "name": "planes",
        "layout": "per-cell",
        "images": ("Cell_{cell_id}/{channel}.png", "Cell_{cell_id}/{channel}_z{plane}.png"),
        "channels": ({"name": "BF"}, {"name": "DAPI"}),
        "focal_plane": {"rule": "sharpest"},
    }
)


def of_planes(names: list[str], folder: Path, **focal_plane: str) -> Run:
    wanted = PLANES.model_copy(update={"focal_plane": FocalPlane.model_validate(focal_plane)})
    return read_run(list_files(with_files(folder, names)), wanted)


STACK = [f"Cell_1/BF_z{plane}.png" for plane in ("-4", "0", "4", "10")] + ["Cell_1/DAPI.png"]


def test_the_sharpest_of_the_planes_is_chosen_among_all_of_them(tmp_path: Path) -> None:
    (cell,) = of_planes(STACK, tmp_path, rule="sharpest").cells
    assert cell.channels == ("BF",) * 4 + ("DAPI",)
    assert cell.planes == ("-4", "0", "10", "4", None)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [({"rule": "middle"}, "Cell_1/BF_z0.png"), ({"rule": "named", "plane": "10"}, "Cell_1/BF_z10.png")],
)
def test_a_plane_that_is_not_read_is_ignored_by_name(tmp_path: Path, rule: dict[str, str], kept: str) -> None:
    run = of_planes(STACK, tmp_path, **rule)
    (cell,) = run.cells
    assert [file.name for file in cell.files] == [kept, "Cell_1/DAPI.png"]
    assert len(run.ignored) == 3


def test_the_middle_of_an_even_number_of_planes_is_the_lower_one_by_number(tmp_path: Path) -> None:
    (cell,) = of_planes([f"Cell_1/BF_z{plane}.png" for plane in (10, 9, 2, 11)], tmp_path, rule="middle").cells
    assert cell.planes == ("9",)


def test_a_named_plane_that_is_not_there_leaves_its_channel_without_a_file(tmp_path: Path) -> None:
    (cell,) = of_planes(STACK, tmp_path, rule="named", plane="7").cells
    assert cell.channels == ("DAPI",)


def exported(folder: Path, *runs: str) -> Path:
    for run in runs:
        (folder / run).mkdir(parents=True)
    return folder


def test_a_glob_says_which_folders_are_runs(tmp_path: Path) -> None:
    export = exported(tmp_path, "P1/2026-01-02/run1", "P1/2026-01-02/.hidden", "P2/2026-01-03/run1", "p3/@eaDir/x")
    (export / "P1" / "notes.txt").write_text("")
    assert [path.name for path in find_runs(export, "*")] == ["P1", "P2", "p3"]
    deep = find_runs(export, "*/*/*")
    assert [str(path.relative_to(export)) for path in deep] == ["P1/2026-01-02/run1", "P2/2026-01-03/run1"]
    assert [path.name for path in find_runs(export, "P?")] == ["P1", "P2", "p3"]
    assert find_runs(export, "*/*/*/*") == ()


def test_a_link_to_a_run_is_no_run(tmp_path: Path) -> None:
    export = exported(tmp_path, "out/real", "export/one")
    (export / "export" / "link").symlink_to(export / "out" / "real")
    assert [path.name for path in find_runs(export / "export", "*")] == ["one"]


def test_an_export_folder_that_is_not_there_is_missing_not_empty(tmp_path: Path) -> None:
    with pytest.raises(RunMissingError, match="no such folder"):
        find_runs(tmp_path / "absent", "*")
