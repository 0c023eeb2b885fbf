"""The pictures of an evaluation: they hold what they say, the same figures give the same bytes."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edge_ctc.description import Thresholds
from tests.out_of_fold import table_of
from tests.trainer_cells import dataset_of
from trainer.cells.dataset import Dataset
from trainer.evaluation.calibration_evidence import CalibrationEvidence, calibration_evidence
from trainer.evaluation.fold_result import FoldResult, Row
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.learning.work_folder import Epoch
from trainer.pages import sheet
from trainer.pages.plots import _wilson, confusion_matrix, precision_recall, reliability, training_curves
from trainer.pages.sheet import worst_errors

TABLE = table_of(not_evaluable=0.05)


def evidence() -> CalibrationEvidence:
    found = calibration_evidence(TABLE, None)
    assert found is not None
    return found


def results(epochs: tuple[int, ...], stopping: bool) -> list[FoldResult]:
    return [
        FoldResult(
            schema_version=1,
            fingerprint="0" * 64,
            seed=0,
            fold=fold,
            cells={},
            thresholds=Thresholds(ctc=1.0, review=0.0),
            calibration=None,
            promise=None,
            epochs=tuple(
                Epoch(loss=1 / (1 + e), stopping_loss=2 / (1 + e) if stopping else None) for e in range(count)
            ),
            rows=(),
        )
        for fold, count in enumerate(epochs)
    ]


PLOTS: dict[str, Callable[[], bytes]] = {
    "curves": lambda: training_curves(results((3, 5), stopping=True)),
    "curves of one epoch": lambda: training_curves(results((1,), stopping=False)),
    "precision and recall": lambda: precision_recall(TABLE),
    "reliability": lambda: reliability(evidence()),
    "confusion": lambda: confusion_matrix(TABLE),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_png_with_something_on_it_and_the_same_bytes_each_time(name: str) -> None:
    content = PLOTS[name]()
    assert content == PLOTS[name]()
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 500
        assert not {"Software", "Creation Time"}.intersection(picture.info)
        assert len(set(picture.convert("L").tobytes())) > 20


def test_a_reliability_plot_does_without_the_bins_that_are_empty() -> None:
    found = evidence()
    bins = tuple(replace(one, cells=0.0, expected=0.0, ctcs=0.0) for one in found.bins[2:])
    assert reliability(replace(found, bins=(*found.bins[:2], *bins))) != reliability(found)


@pytest.mark.parametrize(
    ("ctcs", "cells", "low", "high"),
    [
        (0, 8, 0.0, 0.3244),
        (10, 40, 0.1419, 0.4019),
        (1, 3, 0.0615, 0.7923),
        (1, 1, 0.2065, 1.0),
        (200, 200, 0.9812, 1.0),
    ],
)
def test_the_interval_of_a_share_is_scipys_and_wide_where_all_or_none_are_found(
    ctcs: int, cells: int, low: float, high: float
) -> None:
    """scipy.stats.binomtest(ctcs, cells).proportion_ci(method="wilson")."""
    share = ctcs / cells
    down, up = _wilson(share, cells)
    assert (share - down, share + up) == pytest.approx((low, high), abs=1e-4)


def table_for(dataset: Dataset, scores: dict[tuple[str, str], float | None]) -> OutOfFold:
    rows: list[Row] = []
    for cell in dataset.cells:
        label = cell.label
        score = scores.get((label.run_id, label.cell_id), 0.0)
        said = "CTC" if label.is_ctc else "LEUKOCYTE"
        verdict = "NOT_EVALUABLE" if score is None else "REVIEW"
        rows.append((0, 0, label.run_id, label.cell_id, label.patient, said, score, None, verdict, 0.2))
    return OutOfFold.of_rows(rows)


def drawn(dataset: Dataset, table: OutOfFold, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The captions of each half of the sheet, from the top."""
    halves: dict[str, list[str]] = {}
    draw = sheet._draw

    def spy(figure, title, cells, look):  # type: ignore[no-untyped-def]
        draw(figure, title, cells, look)
        halves[title] = [text.get_text() for axes in figure.axes for text in axes.texts]

    monkeypatch.setattr(sheet, "_draw", spy)
    worst_errors(table, dataset)
    return halves


def test_the_sheet_shows_the_lowest_ctcs_and_the_highest_leukocytes_with_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = dataset_of(patients=6, cells=12, ctcs=3, channels=2)
    scores = {("run2", "001"): -3.25, ("run4", "000"): -2.0, ("run1", "007"): 4.5, ("run0", "002"): None}
    halves = drawn(dataset, table_for(dataset, scores), monkeypatch)
    ctcs, leukocytes = halves["CTCs, lowest scores, 12 of 18"], halves["Leukocytes, highest scores, 12 of 54"]
    assert ctcs[0] == "run2\ncell 001\nscore -3.25"
    assert ctcs[1] == "run4\ncell 000\nscore -2.00"
    assert leukocytes[0] == "run1\ncell 007\nscore +4.50"
    assert len(ctcs) == len(leukocytes) == 12
    assert not any("run0\ncell 002" in text for text in ctcs)


def test_a_sheet_of_one_ctc_has_room_for_the_leukocytes(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(patients=1, cells=8, ctcs=1)
    halves = drawn(dataset, table_for(dataset, {}), monkeypatch)
    assert [len(texts) for texts in halves.values()] == [1, 7]


def test_every_channel_has_one_display_range_for_all_cells() -> None:
    dataset = dataset_of(patients=3, cells=10, channels=2)
    cells = [replace(cell, counts=cell.counts * np.array([1, 3], np.uint16)[:, None, None]) for cell in dataset.cells]
    ranges = sheet._display_ranges(cells)
    assert ranges[1][1] == pytest.approx(3 * sheet._display_ranges(dataset.cells)[1][1])
    assert ranges[0] == sheet._display_ranges(dataset.cells)[0]
    low, high = np.percentile(np.stack([cell.counts[0] for cell in cells]), (0.5, 99.8))
    assert ranges[0] == (low, high)
