"""What the images of a run do to its verdicts and to the light in its gallery, through the command line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.checkpoint import open_checkpoint, shipped_checkpoints
from edge_ctc.decision import MOST_DOUBTED
from edge_ctc.novelty import Novelty
from edge_ctc.simulate import Layout, write_run
from tests.conftest import EdgeCtc
from tests.defects import blurred
from tests.results import manifest_of, rows_of

CELLS = 120


@pytest.fixture
def large_run(tmp_path: Path) -> Path:
    """Of the default instrument, which the shipped checkpoint learned from."""
    folder = tmp_path / "run"
    write_run(folder, CELLS, 4, seed=902, layout=Layout.FLAT)
    return folder


def change(run: Path, cells: range, by: Callable[[NDArray[np.uint16]], NDArray[np.uint16]]) -> None:
    for number in cells:
        for path in (run / "Images").glob(f"{number:04d}_*"):
            with Image.open(path) as image:
                counts = np.asarray(image)
            Image.fromarray(by(counts.astype(np.uint16))).save(path)


def blur(counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
    found: NDArray[np.uint16] = blurred(counts[None, None], 3)[0, 0]
    return found


def brighten(counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
    found: NDArray[np.uint16] = np.clip(counts.astype(float) * 2, 0, 4095).astype(np.uint16)
    return found


def light(run: Path) -> str:
    found = re.search(r"Trust in this run: ([A-Z ]+)<", (run.parent / "run.ctc-gallery.html").read_text("utf-8"))
    assert found is not None
    return found[1]


def test_an_ordinary_run_is_green_and_few_of_its_cells_are_doubted(edge_ctc: EdgeCtc, large_run: Path) -> None:
    assert edge_ctc("classify-run", large_run).code == 0
    assert light(large_run) == "GREEN"
    assert sum(", but " in row["reason"] for row in rows_of(large_run)) <= 0.05 * CELLS
    assert all(float(row["ood_score"]) > 0 for row in rows_of(large_run))


def test_a_leukocyte_out_of_focus_goes_to_review_with_its_reason(edge_ctc: EdgeCtc, large_run: Path) -> None:
    edge_ctc("classify-run", large_run)
    doubtless = {row["cell_id"]: row["verdict"] for row in rows_of(large_run) if "blur" not in row["flags"]}
    change(large_run, range(20, 30), blur)
    edge_ctc("classify-run", large_run)
    changed = [row for row in rows_of(large_run) if row["cell_id"] in doubtless and 20 <= int(row["cell_id"]) < 30]
    flagged = [row for row in changed if "blur" in row["flags"].split("|")]
    assert len(flagged) >= 9
    assert {row["verdict"] for row in flagged} <= {"REVIEW", "CTC"}
    assert all(
        row["reason"].endswith("but blur") for row in flagged if float(row["score"]) < float(row["threshold_review"])
    )
    gallery = (large_run.parent / "run.ctc-gallery.html").read_text("utf-8")
    assert re.search(r"blur: \S+( \S+)? sharpness [0-9.e-]+, training cells [0-9.e-]+ to [0-9.e-]+", gallery)


def test_a_run_of_another_gain_is_red(edge_ctc: EdgeCtc, large_run: Path) -> None:
    change(large_run, range(CELLS + 1), brighten)
    assert edge_ctc("classify-run", large_run).code == 0
    assert light(large_run) == "RED"


def test_a_run_whose_channels_changed_places_is_red_and_not_a_run_of_reviews(
    edge_ctc: EdgeCtc, large_run: Path
) -> None:
    images = large_run / "Images"
    for number in range(1, CELLS + 1):
        field, nucleus = images / f"{number:04d}_BF.tif", images / f"{number:04d}_DAPI.tif"
        field.rename(images / "other")
        nucleus.rename(field)
        (images / "other").rename(nucleus)
    assert edge_ctc("classify-run", large_run).code == 0
    novelty = open_checkpoint(shipped_checkpoints() / "reference").novelty
    assert novelty is not None
    rows = rows_of(large_run)
    assert sum(float(row["ood_score"]) > novelty.cut for row in rows) > MOST_DOUBTED * CELLS
    assert not any("out of distribution" in row["reason"] for row in rows)
    assert light(large_run) == "RED"
    assert "out of distribution: " in (large_run.parent / "run.ctc-gallery.html").read_text("utf-8")
    assert edge_ctc("verify-run", large_run).code == 0


def test_a_doubt_of_more_than_a_fifth_of_the_run_makes_it_red(edge_ctc: EdgeCtc, large_run: Path) -> None:
    change(large_run, range(1, 41), lambda counts: np.roll(counts, 26, axis=1))
    edge_ctc("classify-run", large_run)
    rows = rows_of(large_run)
    assert sum("edge" in row["flags"].split("|") for row in rows) > MOST_DOUBTED * CELLS
    assert not any("but edge" in row["reason"] for row in rows)
    assert light(large_run) == "RED"
    gallery = (large_run.parent / "run.ctc-gallery.html").read_text("utf-8")
    assert re.search(r"edge: \d\d% of the cells, at most 10% expected", gallery)


@pytest.mark.parametrize("left", [1, 2, 19])
def test_a_run_of_which_few_images_are_left_is_not_judged(edge_ctc: EdgeCtc, large_run: Path, left: int) -> None:
    edge_ctc("classify-run", large_run)
    for path in (large_run / "Images").iterdir():
        if int(path.name[:4]) > left:
            path.unlink()
    assert edge_ctc("report", large_run).code == 2
    assert light(large_run) == "NOT JUDGED"
    assert f"images of {left} cells" in (large_run.parent / "run.ctc-gallery.html").read_text("utf-8")


def test_a_file_that_cannot_be_read_any_more_costs_its_picture_alone(edge_ctc: EdgeCtc, large_run: Path) -> None:
    edge_ctc("classify-run", large_run, "--checkpoint", shipped_checkpoints() / "reference-bf")
    (large_run / "Images" / "0005_PE.tif").unlink()
    (large_run / "Images" / "0005_PE.tif").mkdir()
    assert edge_ctc("report", large_run).code == 2


def test_verify_finds_strangeness_that_somebody_changed(
    edge_ctc: EdgeCtc, large_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = Novelty.score
    monkeypatch.setattr(Novelty, "score", lambda novelty, features: 0.1 * scored(novelty, features))
    edge_ctc("classify-run", large_run)
    monkeypatch.undo()
    finished = edge_ctc("verify-run", large_run, "--recompute")
    assert finished.code == 65
    assert "ood_score" in finished.out


def test_the_manifest_holds_what_the_gallery_judges_by(edge_ctc: EdgeCtc, large_run: Path) -> None:
    edge_ctc("classify-run", large_run)
    checkpoint = open_checkpoint(shipped_checkpoints() / "reference")
    assert checkpoint.novelty is not None
    found = manifest_of(large_run)["checkpoint"]
    assert found["ood_cut"] == checkpoint.novelty.cut
    assert found["fingerprint"] == checkpoint.description.model_dump(mode="json")["fingerprint"]
