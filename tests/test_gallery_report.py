"""`edge-ctc report`: the committed calls of a run, and no other pictures than those that were called."""

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.gallery.collect import CONTROLS
from edge_ctc.gallery.pictures import display_range, shades
from edge_ctc.images.write_png import grey_png
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.galleries import shown_in, thumbnails_in
from tests.results import rows_of


def called(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> list[dict[str, str]]:
    """Five CTCs, five REVIEWs, ten leukocytes."""
    edge_ctc("classify-run", run, "--checkpoint", write_checkpoint(tmp_path / "any"))
    scores = [float(row["score"]) for row in rows_of(run)]
    cut = write_checkpoint(tmp_path / "cut", thresholds={"ctc": scores[4], "review": scores[9]})
    assert edge_ctc("classify-run", run, "--checkpoint", cut).code == 0
    return rows_of(run)


def test_candidates_review_and_controls_stand_in_the_file_by_rank_with_all_channels(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    rows = called(edge_ctc, run, tmp_path)
    finished = edge_ctc("report", run)
    assert finished.code == 0
    assert finished.out.splitlines()[-1] == str(run.parent / "run.ctc-gallery.html")
    shown = shown_in(run)
    assert [(cell["id"], cell["verdict"]) for cell in shown] == [(row["cell_id"], row["verdict"]) for row in rows]
    assert [cell["verdict"] for cell in shown] == ["CTC"] * 5 + ["REVIEW"] * 5 + ["LEUKOCYTE"] * 10
    for cell in shown:
        assert len(cell["pictures"]) == 4
        assert all(picture.startswith("data:image/png;base64,") for picture in cell["pictures"])


def test_a_picture_is_the_image_in_the_runs_one_range(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    called(edge_ctc, run, tmp_path)
    edge_ctc("report", run)
    shown = shown_in(run)
    pictures = [_decoded(cell["pictures"][2]) for cell in shown]
    counts = [np.asarray(Image.open(run / "Images" / f"{cell['id']}_PE.tif")).astype(float) for cell in shown]
    groups = [counts[:5], counts[5:10], counts[10:]]
    ends = [np.percentile(np.stack(group), (0.2, 99.8), method="inverted_cdf") for group in groups]
    low, high = min(dark for dark, _ in ends), max(bright for _, bright in ends)
    for picture, image in zip(pictures, counts, strict=True):
        wanted = np.clip((image - low) / (high - low), 0, 1) * 255
        assert np.abs(picture - wanted).max() <= 0.51


def _decoded(uri: str) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))).astype(float)


def test_beyond_the_controls_a_leukocyte_is_a_thumbnail_alone(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    write_run(tmp_path / "many", CONTROLS + 30, 2, 6, Layout.MULTIPAGE)
    none = write_checkpoint(tmp_path / "none", thresholds={"ctc": 1e6, "review": 1e6})
    assert edge_ctc("classify-run", tmp_path / "many", "--checkpoint", none).code == 0
    assert edge_ctc("report", tmp_path / "many").code == 0
    controls, rest = [cell["id"] for cell in shown_in(tmp_path / "many")], thumbnails_in(tmp_path / "many")
    assert len(controls) == CONTROLS
    ids = [row["cell_id"] for row in rows_of(tmp_path / "many")]
    assert sorted(controls + rest) == sorted(ids)
    assert controls == sorted(controls, key=ids.index)
    assert rest == sorted(rest, key=ids.index)
    # Drawn from all ranks, not the best 200 or the worst.
    assert min(map(ids.index, rest)) < 30
    assert max(map(ids.index, rest)) > CONTROLS


def test_a_run_without_candidates_says_so(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    none = write_checkpoint(tmp_path / "none", thresholds={"ctc": 1e6, "review": 1e6})
    edge_ctc("classify-run", run, "--checkpoint", none)
    edge_ctc("report", run)
    assert "No candidates" in (run.parent / "run.ctc-gallery.html").read_text(encoding="utf-8")


def test_images_that_were_not_called_are_not_shown(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    rows = called(edge_ctc, run, tmp_path)
    changed, gone, other = (rows[place]["cell_id"] for place in (0, 1, 19))
    shutil.copy(run / "Images" / f"{other}_PE.tif", run / "Images" / f"{changed}_PE.tif")
    (run / "Images" / f"{gone}_APC.tif").unlink()
    finished = edge_ctc("report", run)
    assert finished.code == 2
    assert "2 of 20 cells lack a picture" in finished.err
    assert "<strong>2 of 20 cells lack one</strong>" in run.with_name("run.ctc-gallery.html").read_text("utf-8")
    shown = {cell["id"]: cell["pictures"] for cell in shown_in(run)}
    assert shown[changed] == shown[gone] == []
    assert len(shown[other]) == 4
    assert "not the one that was called" in (run.parent / "run.ctc-gallery.html").read_text(encoding="utf-8")


def test_channels_that_the_network_does_not_see_are_shown_and_marked(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright = write_checkpoint(tmp_path / "bf", channels=("BF",))
    assert edge_ctc("classify-run", run, "--checkpoint", bright).code == 0
    assert edge_ctc("report", run).code == 0
    assert {len(cell["pictures"]) for cell in shown_in(run)} == {4}
    assert "PE (CK), not seen by the network" in (run.parent / "run.ctc-gallery.html").read_text(encoding="utf-8")


def test_a_channel_that_is_not_there_leaves_the_others(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    bright = write_checkpoint(tmp_path / "bf", channels=("BF",))
    edge_ctc("classify-run", run, "--checkpoint", bright)
    first = rows_of(run)[0]["cell_id"]
    (run / "Images" / f"{first}_PE.tif").unlink()
    assert edge_ctc("report", run).code == 2
    assert {cell["id"]: len(cell["pictures"]) for cell in shown_in(run)}[first] == 3


def test_a_run_that_was_not_called_has_no_gallery(edge_ctc: EdgeCtc, run: Path) -> None:
    finished = edge_ctc("report", run)
    assert finished.code == 65
    assert "run `edge-ctc classify-run` first" in finished.err


def test_a_gallery_needs_the_profile_of_the_calls(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    finished = edge_ctc("report", run, "--profile", "montage")
    assert finished.code == 65
    assert "was called with profile flat" in finished.err


def test_something_else_in_its_place_is_left_alone(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    (run.parent / "run.ctc-gallery.html").unlink()
    (run.parent / "run.ctc-gallery.html").mkdir()
    assert edge_ctc("report", run).code == 73
    assert (run.parent / "run.ctc-gallery.html").is_dir()


def test_a_few_bright_cells_among_many_dark_ones_are_not_all_white() -> None:
    dark = [np.full((8, 8), 100, np.uint16)] * 200
    bright = [np.arange(64, dtype=np.uint16).reshape(8, 8) * 60]
    shown = display_range([bright, [], dark])
    assert shown.low <= 100
    assert shown.high > 3700


@pytest.mark.parametrize("counts", [0, 4095])
def test_a_flat_image_has_a_picture(counts: int) -> None:
    flat = np.full((6, 4), counts, np.uint16)
    shown = display_range([[flat]])
    assert Image.open(io.BytesIO(grey_png(shades(flat, shown)))).size == (4, 6)


def test_what_holds_of_every_cell_is_said_once_in_the_header(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    rows = called(edge_ctc, run, tmp_path)
    assert all("pixel_size_unchecked" in row["flags"].split("|") for row in rows)
    edge_ctc("report", run)
    page = (run.parent / "run.ctc-gallery.html").read_text(encoding="utf-8")
    assert '<th scope="row">Every cell</th><td>pixel_size_unchecked</td>' in page
    assert "<bdi>pixel_size_unchecked</bdi>" not in page


def test_where_no_image_is_left_the_page_that_stands_is_left_alone(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    page = run.with_name("run.ctc-gallery.html")
    drawn = page.read_bytes()
    shutil.rmtree(run / "Images")
    finished = edge_ctc("report", run)
    assert finished.code == 65
    assert "no image of its 20 called cells is there" in finished.err
    assert page.read_bytes() == drawn


def test_a_leukocyte_that_is_asked_for_is_shown_in_all_channels(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    write_run(tmp_path / "many", CONTROLS + 30, 2, 5, Layout.MULTIPAGE)
    none = write_checkpoint(tmp_path / "none", thresholds={"ctc": 1e6, "review": 1e6})
    edge_ctc("classify-run", tmp_path / "many", "--checkpoint", none)
    asked = thumbnails_in(tmp_path / "many")[3]
    assert edge_ctc("report", tmp_path / "many", "--also", asked).code == 0
    shown = {cell["id"]: cell for cell in shown_in(tmp_path / "many")}
    assert (shown[asked]["verdict"], len(shown[asked]["pictures"])) == ("LEUKOCYTE", 4)
    assert len(shown) == CONTROLS + 1
    assert asked not in thumbnails_in(tmp_path / "many")
    finished = edge_ctc("report", tmp_path / "many", "--also", "nobody")
    assert finished.code == 65
    assert "--also nobody: no evaluable cell of this run has this id" in finished.err


def test_the_same_cells_are_controls_whatever_called_the_run(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    write_run(tmp_path / "many", CONTROLS + 30, 2, 5, Layout.MULTIPAGE)
    rests = []
    for name in ("one", "other"):
        none = write_checkpoint(tmp_path / name, thresholds={"ctc": 1e6, "review": 1e6})
        edge_ctc("classify-run", tmp_path / "many", "--checkpoint", none, "--out", tmp_path / f"{name}-out")
        (tmp_path / f"{name}-out" / "many.ctc-gallery.html").replace(tmp_path / "many.ctc-gallery.html")
        rests.append(sorted(thumbnails_in(tmp_path / "many")))
    assert rests[0] == rests[1]
