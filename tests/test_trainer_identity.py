"""Two sets of labelled cells are the same where a training would see the same, whatever the files."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trainer.cells.dataset import Dataset, LabelledCell, LeftOut
from trainer.cells.identity import dataset_sha256
from trainer.cells.labels import Label

LABEL = Label("run", "1", True, "p")
PIXELS = np.arange(2 * 4 * 6, dtype=np.uint16).reshape(2, 4, 6)


def dataset(cell: LabelledCell | None = None, **changes: Any) -> Dataset:
    cell = cell or LabelledCell(LABEL, PIXELS, PIXELS[:1])
    one = Dataset(
        cells=(cell,),
        left_out=(),
        unlabelled=0,
        channels=("BF", "DAPI"),
        auxiliary_channels=("PE",),
        dtype="uint16",
        bits=12,
        pixel_size_um=0.5,
        intensity="counts",
    )
    return replace(one, **changes)


CELL = LabelledCell(LABEL, PIXELS, PIXELS[:1])


@pytest.mark.parametrize(
    "other",
    [
        dataset(replace(CELL, counts=PIXELS[::-1])),
        dataset(replace(CELL, counts=PIXELS.reshape(2, 6, 4))),
        dataset(replace(CELL, counts=PIXELS.astype(np.uint32))),
        dataset(replace(CELL, auxiliary=PIXELS[1:])),
        dataset(replace(CELL, counts=PIXELS[:1], auxiliary=PIXELS[1:])),
        dataset(replace(CELL, label=replace(LABEL, is_ctc=False))),
        dataset(replace(CELL, label=replace(LABEL, patient="q"))),
        dataset(cells=(CELL, CELL)),
        dataset(left_out=(LeftOut(LABEL, "torn"),)),
        dataset(channels=("DAPI", "BF")),
        dataset(bits=16),
        dataset(pixel_size_um="unknown"),
        dataset(intensity="display"),
    ],
)
def test_other_pixels_labels_or_readings_are_another_data_set(other: Dataset) -> None:
    assert dataset_sha256(other) != dataset_sha256(dataset())


def test_who_read_a_cell_and_what_has_no_label_change_nothing_that_is_learned() -> None:
    read = replace(LABEL, readers=("a", "b"), truth="genomics")
    assert dataset_sha256(dataset(replace(CELL, label=read), unlabelled=7)) == dataset_sha256(dataset())
