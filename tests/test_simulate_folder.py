import contextlib
import csv
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.errors import ConfigError, ResultsError
from edge_ctc.simulate import CHANNELS, SIDE_PX, Layout, arrival, simulate_cells, write_run
from edge_ctc.simulate.folder import cell_ids

WITH_COUNTS = (Layout.FLAT, Layout.PER_CELL, Layout.MULTIPAGE)


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file below, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def image(path: Path) -> NDArray[np.generic]:
    """As a reader of its own sees it."""
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as opened:
        return np.asarray(opened)


def counts(out: Path, cell_id: str, layout: Layout) -> NDArray[np.generic]:
    match layout:
        case Layout.FLAT:
            return np.stack([image(out / "Images" / f"{cell_id}_{channel}.tif") for channel in CHANNELS])
        case Layout.PER_CELL:
            return np.stack([image(out / f"Cell_{cell_id}" / f"{channel}.png") for channel in CHANNELS])
        case _:
            return image(out / "thumbs" / f"{cell_id}_thumb.tif")


# What lies where.


@pytest.mark.parametrize("layout", WITH_COUNTS)
def test_one_seed_gives_the_same_counts_in_every_layout(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 12, 3, 5, layout)
    truth = rows(tmp_path / "run.truth.csv")[1:]
    for cell, (cell_id, label) in zip(simulate_cells(12, 3, 5), truth, strict=True):
        assert (int(cell_id), label) == (cell.number, cell.label)
        found = counts(tmp_path / "run", cell_id, layout)
        assert found.dtype == np.uint16
        assert np.array_equal(found, cell.images)


def test_a_montage_is_one_row_of_panels_each_stretched_for_display(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 6, 2, 5, Layout.MONTAGE)
    for cell in simulate_cells(6, 2, 5):
        found = image(tmp_path / "run" / f"run_cell-{cell.number:05d}.png")
        assert found.dtype == np.uint8
        assert found.shape == (SIDE_PX + 4, 4 * SIDE_PX + 10)
        frame = np.ones(found.shape, bool)
        for place, counted in enumerate(cell.images.astype(float)):
            left = 2 + place * (SIDE_PX + 2)
            frame[2:-2, left : left + SIDE_PX] = False
            panel = found[2:-2, left : left + SIDE_PX].astype(float)
            shown = (counted - counted.min()) / (counted.max() - counted.min()) * 255
            assert (panel.min(), panel.max()) == (0, 255)
            assert np.abs(panel - shown).max() <= 0.5 + 1e-3
        assert (found[frame] == 128).all()


def test_the_instrument_changes_the_pixels_and_nothing_else(tmp_path: Path) -> None:
    for number, name in enumerate(["here", "there"]):
        write_run(tmp_path / name, 5, 2, 3, Layout.FLAT, instrument=number)
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] == there[name]] == ["cells.csv"]
    assert (tmp_path / "here.truth.csv").read_bytes() == (tmp_path / "there.truth.csv").read_bytes()


@pytest.mark.parametrize(
    ("layout", "cell_id", "names"),
    [
        (Layout.FLAT, "0002", [f"Images/0002_{channel}.tif" for channel in CHANNELS]),
        (Layout.PER_CELL, "00002", [f"Cell_00002/{channel}.png" for channel in CHANNELS]),
        (Layout.MULTIPAGE, "2", ["thumbs/2_thumb.tif"]),
        (Layout.MONTAGE, "00002", ["P 07_cell-00002.png"]),
    ],
)
def test_the_names_of_each_layout_hold_the_id_as_the_tables_do(
    tmp_path: Path, layout: Layout, cell_id: str, names: list[str]
) -> None:
    write_run(tmp_path / "P 07", 3, 1, 1, layout)
    found = contents(tmp_path / "P 07")
    assert set(names) <= set(found)
    assert len(found) == 3 * len(names) + 1
    assert rows(tmp_path / "P 07.truth.csv")[2][0] == cell_id
    assert rows(tmp_path / "P 07" / "cells.csv")[2] == [cell_id, "1", "2"]


@pytest.mark.parametrize(
    ("layout", "cells", "first"),
    [
        (Layout.FLAT, 9999, "0001"),
        (Layout.FLAT, 10000, "00001"),
        (Layout.PER_CELL, 99999, "00001"),
        (Layout.PER_CELL, 100000, "000001"),
        (Layout.MULTIPAGE, 100000, "1"),
        (Layout.MONTAGE, 100000, "000001"),
    ],
)
def test_a_large_run_pads_to_more_digits(layout: Layout, cells: int, first: str) -> None:
    assert cell_ids(cells, layout)[0] == first
    assert cell_ids(cells, layout)[-1] == str(cells)


@pytest.mark.parametrize("layout", [Layout.FLAT, Layout.MULTIPAGE])
def test_tiffs_are_plain_and_say_nothing_but_their_pixels(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 6, 3, 1, layout)
    files = sorted((tmp_path / "run").rglob("*.tif"))
    heads: set[frozenset[str]] = set()
    for file in files:
        with tifffile.TiffFile(file) as tiff:
            for page in [frame.aspage() for frame in tiff.pages]:
                assert (page.compression, page.photometric) == (1, 1)
                assert (str(page.dtype), page.shape) == ("uint16", (SIDE_PX, SIDE_PX))
                heads.add(frozenset(tag.name for tag in page.tags))
    assert len({file.stat().st_size for file in files}) == 1
    assert len(heads) == 1
    assert not heads.pop() & {"ImageDescription", "DateTime", "Software"}


@pytest.mark.parametrize("layout", [Layout.PER_CELL, Layout.MONTAGE])
def test_pngs_are_grey_and_say_nothing_but_their_pixels(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 3, 1, 1, layout)
    files = sorted((tmp_path / "run").rglob("*.png"))
    assert files
    for file in files:
        with Image.open(file) as opened:
            opened.load()
            assert opened.format == "PNG"
            assert opened.mode == ("L" if layout is Layout.MONTAGE else "I;16")
            assert opened.info == {}


@pytest.mark.parametrize("layout", list(Layout))
def test_the_folder_holds_images_and_cages_and_nothing_of_the_truth(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 50, 10, 1, layout)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    table = rows(tmp_path / "run" / "cells.csv")
    assert [path.name for path in files if path.suffix not in {".tif", ".png"}] == ["cells.csv"]
    assert table[0] == ["cell_id", "cage_row", "cage_col"]
    assert [row[0] for row in table] == [row[0] for row in rows(tmp_path / "run.truth.csv")]
    assert table[41][1:] == ["2", "1"]


def test_the_table_of_cells_is_written_last(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    table = tmp_path / "run" / "cells.csv"

    def advanced(more: int) -> None:
        seen.append((more, table.exists()))

    write_run(tmp_path / "run", 3, 1, 1, Layout.FLAT, advanced=advanced)
    assert seen == [(1, False), (1, False), (1, False)]
    assert table.stat().st_mtime_ns >= max(p.stat().st_mtime_ns for p in tmp_path.rglob("*.*"))


# How it arrives.


Look = dict[str, bytes]
"""What lay in a folder at one moment."""


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What lay in `paced` whenever the instrument paused; it does not wait, but it does everything in its order."""
    found: list[Look] = []
    monkeypatch.setattr(arrival, "_sleep_until", lambda _: found.append(contents(tmp_path / "paced")))
    return found


def states(looks: list[Look], final: Look) -> set[str]:
    """Which unfinished states of files were seen."""
    found: set[str] = set()
    for name, content in itertools.chain.from_iterable(look.items() for look in looks):
        whole = final[name.removesuffix(".tmp")]
        if name.endswith(".tmp"):
            found.add("temporary")
        elif len(content) == len(whole):
            found |= {"preallocated"} if not any(content) else {"half filled"} if content != whole else set()
        elif content:
            found.add("partial")
    return found


@pytest.mark.parametrize("layout", [Layout.FLAT, Layout.PER_CELL])
def test_with_a_rate_files_are_met_unfinished_and_the_run_ends_the_same(
    tmp_path: Path, looks: list[Look], layout: Layout
) -> None:
    write_run(tmp_path / "at once", 30, 5, 2, layout)
    (tmp_path / "paced").mkdir()
    write_run(tmp_path / "paced", 30, 5, 2, layout, rate=30)
    final = contents(tmp_path / "paced")
    assert final == contents(tmp_path / "at once")
    assert (tmp_path / "paced.truth.csv").read_bytes() == (tmp_path / "at once.truth.csv").read_bytes()
    assert states(looks, final) == {"temporary", "preallocated", "half filled", "partial"}
    assert not any("cells.csv" in look for look in looks)


def test_with_a_rate_a_cell_begins_before_the_files_of_another_are_whole(tmp_path: Path, looks: list[Look]) -> None:
    write_run(tmp_path / "paced", 30, 5, 2, Layout.FLAT, rate=30)
    final = contents(tmp_path / "paced")
    unfinished = [{name[:11] for name, content in look.items() if content != final.get(name)} for look in looks]
    newest = [max((name[:11] for name in look), default="") for look in looks]
    assert any(min(cells) < last for cells, last in zip(unfinished, newest, strict=True) if cells)
    assert all(
        int(last[7:]) - int(min(cells)[7:]) <= 1 for cells, last in zip(unfinished, newest, strict=True) if cells
    )


def test_a_reader_beside_the_instrument_meets_files_that_are_unfinished(tmp_path: Path) -> None:
    seen: set[tuple[str, bytes]] = set()
    writer = threading.Thread(target=write_run, args=(tmp_path / "run", 60, 5, 2, Layout.MULTIPAGE, 30))
    writer.start()
    while writer.is_alive():
        for path in (tmp_path / "run").rglob("*.tif*"):
            with contextlib.suppress(FileNotFoundError):
                seen.add((path.name, path.read_bytes()))
    writer.join()
    whole = {(name.rpartition("/")[2], content) for name, content in contents(tmp_path / "run").items()}
    assert len(whole) == 61
    assert len(seen - whole) > 3


def test_a_rate_paces_the_cells_and_takes_little_longer(tmp_path: Path) -> None:
    moments: list[float] = []
    start = time.monotonic()
    write_run(
        tmp_path / "run", 20, 1, 1, Layout.MULTIPAGE, rate=20, advanced=lambda _: moments.append(time.monotonic())
    )
    assert len(moments) == 20
    assert 19 / 20 <= time.monotonic() - start <= 22 / 20 + 1
    assert all(moment - start >= place / 20 for place, moment in enumerate(sorted(moments)))


def test_a_seed_draws_the_same_arrival_twice_and_another_seed_another() -> None:
    def shares_of(seed: int) -> list[list[float]]:
        rng = np.random.default_rng(seed)
        return [[share for share, _ in arrival.arrival_of(Path("x"), b"1234", rng)] for _ in range(200)]

    assert shares_of(1) == shares_of(1) != shares_of(2)
    assert 0.6 < np.mean([len(shares) == 1 for shares in shares_of(1)]) < 0.8
    assert max(map(max, shares_of(1))) <= 1


# What is refused, and what is left behind.


@pytest.mark.parametrize(
    ("cells", "ctcs", "seed", "instrument", "named"),
    [
        (0, 0, 1, 0, "cells"),
        (5, -1, 1, 0, "ctcs"),
        (5, 6, 1, 0, "ctcs"),
        (5, 1, -1, 0, "seed"),
        (5, 1, 1, -1, "instrument"),
    ],
)
def test_a_run_that_no_patient_or_instrument_can_give_is_refused(
    tmp_path: Path, cells: int, ctcs: int, seed: int, instrument: int, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        write_run(tmp_path / "run", cells, ctcs, seed, Layout.FLAT, instrument=instrument)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_never_ends_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        write_run(tmp_path / "run", 2, 1, 1, Layout.FLAT, rate=rate)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").write_text("mine")
    with pytest.raises(ResultsError, match="already"):
        write_run(tmp_path / "run", 2, 1, 1, Layout.FLAT)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "note.txt"]


@pytest.mark.parametrize("layout", list(Layout))
def test_an_empty_folder_is_taken(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", 2, 1, 1, layout)
    assert (tmp_path / "run" / "cells.csv").exists()


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("rate", [None, 100.0])
@pytest.mark.parametrize("broken_off", [KeyboardInterrupt, OSError])
def test_a_run_that_is_broken_off_leaves_nothing(
    tmp_path: Path, layout: Layout, rate: float | None, broken_off: type[BaseException]
) -> None:
    seen: list[int] = []

    def advanced(_: int) -> None:
        seen.append(len(contents(tmp_path / "run")))
        if len(seen) == 3:
            raise broken_off

    with pytest.raises(ResultsError if broken_off is OSError else broken_off):
        write_run(tmp_path / "run", 20, 1, 1, layout, rate=rate, advanced=advanced)
    assert seen[-1] >= 3
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_of_results(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="file"):
        write_run(tmp_path / "file" / "run", 2, 1, 1, Layout.FLAT)


def test_a_folder_beside_the_code_is_taken_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("P07"), 1, 0, 1, Layout.MONTAGE)
    assert sorted(os.listdir("P07")) == ["P07_cell-00001.png", "cells.csv"]


def test_the_files_of_a_cell_take_little_of_its_time(tmp_path: Path) -> None:
    start = time.process_time()
    assert len(list(simulate_cells(100, 5, 1))) == 100
    simulating = time.process_time() - start
    start = time.process_time()
    write_run(tmp_path / "run", 100, 5, 1, Layout.PER_CELL)
    assert time.process_time() - start < simulating + 100 * 0.01
