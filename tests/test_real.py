"""Real single-cell images: every pixel that we read is the one that the microscope's makers stored.

The images are Jurkat cells from an imaging flow cytometer (BSD-3-Clause), bright field and a nuclear stain, 12-bit
counts in uint16. They lie beside the checkout, not in it. They are no evidence about CTCs.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from edge_ctc.cell_reader import CellReader
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import load_profile
from edge_ctc.exports.runs import read_run
from edge_ctc.preprocess import InputSpec
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.results import manifest_of, rows_of
from trainer.learning.model import seeded_model
from trainer.learning.start import apply_start, read_start, unfold_norms
from trainer.recipe import Recipe

JURKAT = Path(__file__).parents[2] / "shared" / "data" / "jurkat_ifc" / "cells.npz"
WEIGHTS = JURKAT.parents[2] / "weights" / "resnet18_stem_to_layer3.pt"
CHANNELS = ("BF", "DAPI")
SIDE_PX = 40

pytestmark = pytest.mark.real

PROFILE = """
schema_version = 1
name = "jurkat-{layout}"
layout = "{layout}"
images = "{images}"
bits = 12
channels = [{{name = "BF"}}, {{name = "DAPI"}}]
"""
IMAGES = {"flat": "Images/{cell_id}_{channel}.tif", "multipage": "thumbs/{cell_id}_thumb.tif"}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint16]:
    """uint16 (7917, 2, 40, 40): bright field and nuclear stain."""
    with np.load(JURKAT, allow_pickle=False) as arrays:
        found: NDArray[np.uint16] = arrays["images"][:, :2]
    assert found.shape == (7917, 2, SIDE_PX, SIDE_PX)
    return found


def write_layout(run: Path, layout: str, images: NDArray[np.uint16]) -> Path:
    """Write the cells as a run, and return the profile that reads it."""
    for number, cell in enumerate(images, 1):
        if layout == "multipage":
            path = run / "thumbs" / f"{number}_thumb.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, cell, photometric="minisblack", metadata=None)
            continue
        for channel, image in zip(CHANNELS, cell, strict=True):
            path = run / "Images" / f"{number:04d}_{channel}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, image, photometric="minisblack", metadata=None)
    profile = run.parent / "profile.toml"
    profile.write_text(PROFILE.format(layout=layout, images=IMAGES[layout]))
    return profile


@pytest.mark.skipif(not JURKAT.is_file(), reason=f"the real Jurkat images are not at {JURKAT}")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("layout", ["flat", "multipage"])
def test_every_real_cell_is_called_and_every_pixel_is_the_source(
    edge_ctc: EdgeCtc, tmp_path: Path, layout: str, images: NDArray[np.uint16]
) -> None:
    run = tmp_path / "exports" / "jurkat"
    profile = write_layout(run, layout, images)
    checkpoint = write_checkpoint(tmp_path / "means", channels=CHANNELS, side_px=SIDE_PX, input={"bits": 12})

    assert edge_ctc("classify-run", run, "--profile", profile, "--checkpoint", checkpoint).code == 0
    assert manifest_of(run)["cells"] == {"total": 7917, "called": 7917, "not_evaluable": 0, "pending": 0}

    loaded = load_profile(str(profile))
    spec = InputSpec.model_validate(manifest_of(run)["checkpoint"]["input"], strict=False)
    reader = CellReader(run, loaded.profile, spec)
    cells = {int(cell.cell_id): cell for cell in read_run(list_files(run), loaded.profile).cells}
    scores = {int(row["cell_id"]): float(row["score"]) for row in rows_of(run)}
    for number, source in enumerate(images, 1):
        counts, _ = reader.counts(cells[number])
        assert np.array_equal(np.stack(counts), source)
    expected = images.reshape(7917, 2, -1).mean(axis=2) / 4095 @ np.array([0.5, 1.0])
    assert scores == pytest.approx(dict(enumerate(expected, 1)), abs=1e-5)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the partial ImageNet weights are not at {WEIGHTS}")
def test_real_imagenet_weights_start_a_network_of_our_channels_and_unfold_without_moving_its_output() -> None:
    recipe = Recipe(schema_version=1, name="start", layer4=False, start=str(WEIGHTS), epochs=1)
    start = read_start(recipe)
    model = seeded_model(2, recipe)
    said = apply_start(model, start, recipe)
    assert "start: conv1.weight adapted from 3 to 2 channels" in said
    cells = torch.rand((16, 2, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, _ = model.eval()(cells)
        assert unfold_norms(model, start, cells)
        after, _ = model.eval()(cells)
    assert torch.allclose(before, after, atol=1e-4)
    assert float(before.std()) > 0
