"""Cells that are only glanced at: small, many in one picture, and not read twice."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_ctc.cell_reader import CellReader, Evidence
from edge_ctc.cells import Cell
from edge_ctc.checkpoint import open_checkpoint, shipped_checkpoints
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import built_in_profiles
from edge_ctc.exports.runs import read_run
from edge_ctc.gallery import called_run
from edge_ctc.gallery.called_run import CalledRun
from edge_ctc.gallery.pictures import DisplayRange
from edge_ctc.gallery.thumbnails import ACROSS, DOWN, SIDE_PX, Miniature, MiniatureKeeper, miniature, sheet
from edge_ctc.preprocess import Counts
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc


@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_a_miniature_is_the_mean_of_each_part(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)
    small = miniature(image)
    shrink = min(1.0, SIDE_PX / max(height, width))
    assert small.shape == (max(1, round(height * shrink)), max(1, round(width * shrink)))
    # Each pixel many times, so that no part ends within one.
    rows, columns = small.shape
    parts = image.repeat(rows, axis=0).repeat(columns, axis=1).reshape(rows, height, columns, width)
    assert np.abs(small - parts.mean(axis=(1, 3))).max() <= 0.51


def test_of_an_image_larger_than_any_cell_the_middle_is_shown() -> None:
    image = np.zeros((3000, 2000), np.uint8)
    image[1250:1750, 750:1250] = 200
    assert miniature(image).shape == (SIDE_PX, SIDE_PX)
    assert miniature(image)[1:-1, 1:-1].min() == 200


def test_each_cell_lies_in_its_place_on_the_sheet_and_no_light_of_it_in_anothers() -> None:
    miniatures: list[Miniature | None] = [None] * (ACROSS * DOWN)
    miniatures[ACROSS + 3] = np.full((SIDE_PX, SIDE_PX), 400, np.uint16)
    miniatures[-1] = np.full((SIDE_PX, 16), 200, np.uint16)
    picture = Image.open(io.BytesIO(sheet(miniatures, DisplayRange(0, 400))))
    assert (picture.format, picture.mode) == ("JPEG", "L")
    tiles = np.asarray(picture).reshape(DOWN, SIDE_PX, ACROSS, SIDE_PX).swapaxes(1, 2).astype(int)
    bright, last = tiles[1, 3].copy(), tiles[-1, -1].copy()
    assert bright.min() >= 253
    assert np.abs(last[:, 8:24] - 128).max() <= 2
    assert max(last[:, :8].max(), last[:, 24:].max()) <= 2
    tiles[1, 3] = tiles[-1, -1] = 0
    assert tiles.max() <= 2


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More leukocytes than are controls."""
    write_run(tmp_path / "many", 260, 2, 5, Layout.FLAT)
    return tmp_path / "many"


@pytest.mark.parametrize("channels", [("BF", "DAPI", "PE", "APC"), ("DAPI", "BF"), ("PE",)])
def test_what_was_kept_while_the_run_was_called_is_what_the_disk_shows(
    edge_ctc: EdgeCtc, many: Path, tmp_path: Path, channels: tuple[str, ...]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "none", channels=channels, thresholds={"ctc": 1e6, "review": 1e6})
    assert edge_ctc("classify-run", many, "--checkpoint", checkpoint).code == 0
    page = many.with_name("many.ctc-gallery.html")
    drawn = page.read_bytes()
    assert b".sheet-0 {" in drawn
    page.unlink()
    assert edge_ctc("report", many).code == 0
    assert page.read_bytes() == drawn


def test_a_called_image_is_not_read_once_more_for_its_thumbnail(
    edge_ctc: EdgeCtc, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    class Noted(CellReader):
        def counts(self, cell: Cell) -> tuple[list[Counts], Evidence]:
            read.append(cell.cell_id)
            return super().counts(cell)

    monkeypatch.setattr(called_run, "CellReader", Noted)
    none = write_checkpoint(tmp_path / "none", thresholds={"ctc": 1e6, "review": 1e6})
    assert edge_ctc("classify-run", many, "--checkpoint", none).code == 0
    assert len(read) == 200


def test_no_more_miniatures_are_kept_than_memory_is_meant_for(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_ctc.gallery.thumbnails._MOST_KEPT", 2)
    (profile,) = (one.profile for one in built_in_profiles() if one.profile.name == "flat")

    run = read_run(list_files(many), profile)
    keeper = MiniatureKeeper(CalledRun.of(run, profile, open_checkpoint(shipped_checkpoints() / "reference").input))
    for cell in run.cells[:5]:
        keeper.keep(cell, [np.zeros((64, 64), np.uint16)] * 4)
    assert list(keeper.kept) == [cell.cell_id for cell in run.cells[:2]]
