import csv
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_ctc.errors import ConfigError, ResultsError
from edge_ctc.simulate import CHANNELS, SIDE_PX, Layout, SimulatedCell, simulate_cells, write_run
from edge_ctc.simulate.folder import cell_ids

PATIENTS = range(12)
KINDS = {
    "CTC": {"ctc", "ctc_bland", "ctc_marker_low"},
    "LEUKOCYTE": {"lymphocyte", "granulocyte", "monocyte", "doublet", "debris", "dead"},
}


@dataclass(frozen=True, slots=True)
class Pool:
    """The cells of all patients together: counts `(N, 4, 64, 64)`, and the truth, each `(N,)`."""

    images: NDArray[np.uint16]
    is_ctc: NDArray[np.bool_]
    diameters: NDArray[np.float64]
    kinds: NDArray[np.str_]


@pytest.fixture(scope="module")
def pool() -> Pool:
    cells = list(itertools.chain.from_iterable(simulate_cells(120, 24, p) for p in PATIENTS))
    return Pool(
        images=np.stack([cell.images for cell in cells]),
        is_ctc=np.array([cell.label == "CTC" for cell in cells]),
        diameters=np.array([cell.diameter_um for cell in cells]),
        kinds=np.array([cell.kind for cell in cells]),
    )


def either_way(area: float) -> float:
    return max(area, 1 - area)


def centre(radius_px: float) -> NDArray[np.bool_]:
    axis = np.arange(SIDE_PX) - (SIDE_PX - 1) / 2
    mask: NDArray[np.bool_] = np.hypot(axis[:, None], axis[None, :]) < radius_px
    return mask


def measured_sizes(bright: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Measure as a technician would: how far the image departs from its background."""
    counts = bright.astype(float)
    background = np.median(counts, axis=(1, 2), keepdims=True)
    noise = 1.48 * np.median(np.abs(counts - background)[:, :8], axis=(1, 2), keepdims=True)
    areas: NDArray[np.float64] = (np.abs(counts - background) > 5 * noise).sum(axis=(1, 2))
    return np.sqrt(areas) + np.linspace(0, 1e-3, len(counts))


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def pixels(out: Path, cell_id: str, layout: Layout) -> NDArray[np.uint16]:
    if layout is Layout.MULTIPAGE:
        return np.asarray(tifffile.imread(out / "thumbs" / f"{cell_id}_thumb.tif"))
    names = [out / "Images" / f"{cell_id}_{channel}.tif" for channel in CHANNELS]
    return np.stack([tifffile.imread(name) for name in names])


def same(first: SimulatedCell, second: SimulatedCell) -> bool:
    return (
        (first.number, first.label, first.kind, first.diameter_um)
        == (second.number, second.label, second.kind, second.diameter_um)
    ) and np.array_equal(first.images, second.images)


@pytest.mark.parametrize("layout", list(Layout))
def test_one_seed_gives_the_same_pixels_in_every_layout(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 12, 3, 5, layout)
    truth = rows(tmp_path / "run.truth.csv")[1:]
    for cell, (cell_id, label) in zip(simulate_cells(12, 3, 5), truth, strict=True):
        assert (int(cell_id), label) == (cell.number, cell.label)
        assert np.array_equal(pixels(tmp_path / "run", cell_id, layout), cell.images)


def test_one_seed_gives_the_same_cells_twice() -> None:
    pairs = zip(simulate_cells(10, 4, 3), simulate_cells(10, 4, 3), strict=True)
    assert all(same(first, second) for first, second in pairs)


def test_a_cell_does_not_depend_on_the_cells_before_it() -> None:
    # All are CTCs, so that the two runs differ in nothing but their length.
    assert same(list(simulate_cells(7, 7, 3))[6], list(simulate_cells(10, 10, 3))[6])


def test_another_seed_gives_other_pixels() -> None:
    first, second = (next(simulate_cells(1, 1, seed)) for seed in (3, 4))
    assert not np.array_equal(first.images, second.images)


def test_cells_are_numbered_from_one_and_so_many_are_ctcs() -> None:
    cells = list(simulate_cells(40, 7, 2))
    assert [cell.number for cell in cells] == list(range(1, 41))
    assert sum(cell.label == "CTC" for cell in cells) == 7


@pytest.mark.parametrize(("ctcs", "label"), [(0, "LEUKOCYTE"), (5, "CTC")])
def test_a_run_may_hold_no_ctc_or_nothing_else(ctcs: int, label: str) -> None:
    assert {cell.label for cell in simulate_cells(5, ctcs, 2)} == {label}


def test_the_seed_shuffles_the_places_of_ctcs() -> None:
    places = {tuple(cell.number for cell in simulate_cells(20, 4, seed) if cell.label == "CTC") for seed in range(4)}
    assert len(places) == 4


def test_images_hold_twelve_bit_counts_that_seldom_saturate(pool: Pool) -> None:
    assert pool.images.dtype == np.uint16
    assert pool.images.shape[1:] == (4, SIDE_PX, SIDE_PX)
    assert pool.images.max() <= 4095
    assert (pool.images == 4095).mean() < 1e-3
    assert (pool.images == 0).mean() < 1e-3


def test_every_kind_occurs_under_its_own_label(pool: Pool) -> None:
    assert set(pool.kinds[pool.is_ctc].tolist()) == KINDS["CTC"]
    assert set(pool.kinds[~pool.is_ctc].tolist()) == KINDS["LEUKOCYTE"]


def test_leukocytes_have_the_published_median_diameter(pool: Pool) -> None:
    single = np.isin(pool.kinds, ("lymphocyte", "granulocyte", "monocyte"))
    assert np.median(pool.diameters[single]) == pytest.approx(9.4, abs=0.4)


def test_patients_differ_in_the_diameters_of_their_ctcs() -> None:
    medians = [np.median([c.diameter_um for c in simulate_cells(15, 15, p)]) for p in range(8)]
    assert 6.5 < min(medians) < 9.0
    assert 10.5 < max(medians) < 14.0


def test_patients_differ_in_the_instruments_background() -> None:
    corners = np.array(
        [[cell.images[:, :6, :6].mean(axis=(1, 2)) for cell in simulate_cells(6, 1, patient)] for patient in range(6)]
    )
    assert (corners.mean(axis=1).std(axis=0) > 3 * corners.std(axis=1).mean(axis=0)).all()


def test_the_true_diameter_alone_does_not_tell_a_ctc(pool: Pool) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, pool.diameters)) <= 0.80


def test_the_measured_diameter_alone_does_not_tell_a_ctc(pool: Pool) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, measured_sizes(pool.images[:, 0]))) <= 0.80


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_mean_of_one_channel_alone_does_not_tell_a_ctc(pool: Pool, channel: int) -> None:
    assert either_way(roc_auc_score(pool.is_ctc, pool.images[:, channel].mean(axis=(1, 2)))) <= 0.90


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_mean_over_the_cell_alone_does_not_tell_a_ctc(pool: Pool, channel: int) -> None:
    inner = pool.images[:, channel, centre(10)].mean(axis=1)
    assert either_way(roc_auc_score(pool.is_ctc, inner)) <= 0.90


def test_markers_point_the_right_way(pool: Pool) -> None:
    over = pool.images[:, :, centre(10)].mean(axis=2) - pool.images[:, :, ~centre(28)].mean(axis=2)
    assert roc_auc_score(pool.is_ctc, over[:, 2]) > 0.75
    assert roc_auc_score(pool.is_ctc, over[:, 3]) < 0.25


@pytest.mark.parametrize("channel", range(4), ids=CHANNELS)
def test_the_empty_corners_tell_nothing(pool: Pool, channel: int) -> None:
    corner = pool.images[:, channel, :5, :5].astype(float)
    assert 0.43 < roc_auc_score(pool.is_ctc, corner.mean(axis=(1, 2))) < 0.57
    assert 0.43 < roc_auc_score(pool.is_ctc, corner.std(axis=(1, 2))) < 0.57


def test_the_flat_layout_names_one_padded_file_for_each_channel(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 2, 1, 1, Layout.FLAT)
    names = {path.name for path in (tmp_path / "run" / "Images").iterdir()}
    assert names == {f"{cell}_{channel}.tif" for cell in ("0001", "0002") for channel in CHANNELS}
    assert [row[0] for row in rows(tmp_path / "run.truth.csv")] == ["cell_id", "0001", "0002"]


def test_the_multipage_layout_names_one_unpadded_file_for_each_cell(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 2, 1, 1, Layout.MULTIPAGE)
    names = {path.name for path in (tmp_path / "run" / "thumbs").iterdir()}
    assert names == {"1_thumb.tif", "2_thumb.tif"}
    assert [row[0] for row in rows(tmp_path / "run.truth.csv")] == ["cell_id", "1", "2"]


@pytest.mark.parametrize(("cells", "first"), [(9999, "0001"), (10000, "00001")])
def test_a_large_run_pads_to_more_digits(cells: int, first: str) -> None:
    assert cell_ids(cells, Layout.FLAT)[0] == first


@pytest.mark.parametrize("layout", list(Layout))
def test_images_are_plain_grey_tiffs_that_say_nothing_else(tmp_path: Path, layout: Layout) -> None:
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


@pytest.mark.parametrize("layout", list(Layout))
def test_the_folder_holds_images_and_cages_and_nothing_of_the_truth(tmp_path: Path, layout: Layout) -> None:
    write_run(tmp_path / "run", 50, 10, 1, layout)
    others = [p for p in (tmp_path / "run").rglob("*") if p.is_file() and p.suffix != ".tif"]
    table = rows(tmp_path / "run" / "cells.csv")
    assert others == [tmp_path / "run" / "cells.csv"]
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


def test_a_rate_paces_the_cells(tmp_path: Path) -> None:
    start = time.monotonic()
    write_run(tmp_path / "run", 4, 1, 1, Layout.MULTIPAGE, rate=20)
    assert time.monotonic() - start >= 3 / 20


@pytest.mark.parametrize(
    ("cells", "ctcs", "seed", "named"),
    [(0, 0, 1, "cells"), (5, -1, 1, "ctcs"), (5, 6, 1, "ctcs"), (5, 1, -1, "seed")],
)
def test_counts_that_no_run_can_have_are_refused(tmp_path: Path, cells: int, ctcs: int, seed: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        simulate_cells(cells, ctcs, seed)
    with pytest.raises(ConfigError, match=named):
        write_run(tmp_path / "run", cells, ctcs, seed, Layout.FLAT)
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


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", 2, 1, 1, Layout.FLAT)
    assert (tmp_path / "run" / "cells.csv").exists()


def test_a_place_that_cannot_be_written_is_an_error_of_results(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="file"):
        write_run(tmp_path / "file" / "run", 2, 1, 1, Layout.FLAT)
