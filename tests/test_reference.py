"""The shipped checkpoints: what they are good for, and that everything made with them says what they are."""

from pathlib import Path

import pytest

from edge_ctc.checkpoint import open_checkpoint, shipped_checkpoints
from edge_ctc.engine.onnx_cpu import OnnxCpuEngine
from edge_ctc.parity import replay
from edge_ctc.results.commit import ResultPlace
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import compare_with_truth
from tests.conftest import EdgeCtc
from tests.results import manifest_of, rows_of

NOTICE = "learned from simulated cells, a demonstration, no clinical use"
UNSEEN_SEED = 20_261
"""Training patients have seeds from 100,000 on."""

BRIGHT_FIELD = """
schema_version = 1
name = "bright-field"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
ignore = ["*_DAPI.tif", "*_PE.tif", "*_APC.tif", "cells.csv"]
channels = [{name = "BF"}]
"""


@pytest.fixture(scope="module")
def big_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 cells, 50 of them CTC, of a patient that no training saw."""
    folder = tmp_path_factory.mktemp("big") / "run"
    write_run(folder, 1000, 50, UNSEEN_SEED, Layout.FLAT)
    return folder


@pytest.mark.parametrize("name", ["reference", "reference-bf"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_both_replay_their_reference_cells_at_both_precisions(name: str, precision: str) -> None:
    checkpoint = open_checkpoint(shipped_checkpoints() / name)
    with OnnxCpuEngine(checkpoint, "fp16" if precision == "fp16" else "fp32") as engine:
        parity = replay(engine, checkpoint)
    assert 24 <= parity.cells <= 64
    assert parity.largest_difference <= parity.tolerance


def test_together_they_weigh_15_mb_at_most() -> None:
    files = [path for name in ("reference", "reference-bf") for path in (shipped_checkpoints() / name).iterdir()]
    assert sum(path.stat().st_size for path in files) <= 15_000_000


@pytest.mark.parametrize("name", ["reference", "reference-bf"])
def test_the_first_line_of_the_card_says_that_it_is_a_demonstration(name: str) -> None:
    card = (shipped_checkpoints() / name / "MODEL_CARD.md").read_text("utf-8")
    assert NOTICE in card.splitlines()[0]


@pytest.mark.parametrize("name", ["reference", "reference-bf"])
def test_no_patient_both_trained_and_validated(name: str) -> None:
    split = open_checkpoint(shipped_checkpoints() / name).description.split
    assert split["train"]
    assert split["validation"]
    assert not set(split["train"]) & set(split["validation"])


def test_four_channels_find_the_ctcs_of_an_unseen_patient(edge_ctc: EdgeCtc, big_run: Path, tmp_path: Path) -> None:
    finished = edge_ctc("classify-run", big_run, "--out", tmp_path)
    assert finished.code == 0
    assert "checkpoint reference (" in finished.out.splitlines()[0]
    comparison = compare_with_truth(ResultPlace(tmp_path, "run"), big_run.parent / "run.truth.csv")
    assert comparison.ctcs == 50
    assert comparison.f1 is not None
    assert comparison.f1 >= 0.8


def test_bright_field_alone_is_neither_blind_nor_perfect(edge_ctc: EdgeCtc, big_run: Path, tmp_path: Path) -> None:
    profile = tmp_path / "bf.toml"
    profile.write_text(BRIGHT_FIELD)
    finished = edge_ctc("classify-run", big_run, "--out", tmp_path, "--profile", profile)
    assert finished.code == 0
    assert "checkpoint reference-bf (" in finished.out.splitlines()[0]
    comparison = compare_with_truth(ResultPlace(tmp_path, "run"), big_run.parent / "run.truth.csv")
    assert comparison.f1 is not None
    assert 0.6 <= comparison.f1 <= 0.9


def test_everything_made_with_them_says_that_it_is_a_demonstration(edge_ctc: EdgeCtc, run: Path) -> None:
    finished = edge_ctc("classify-run", run)
    assert NOTICE in finished.out
    assert all(NOTICE in row["intended_use"] for row in rows_of(run))
    assert NOTICE in manifest_of(run)["intended_use"]
    assert NOTICE in edge_ctc("candidates", run, "--top", 2).out


def test_a_profile_whose_channels_no_shipped_checkpoint_takes_needs_one_named(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "pe.toml"
    profile.write_text(BRIGHT_FIELD.replace('"BF"', '"PE"').replace('"*_PE.tif"', '"*_BF.tif"'))
    finished = edge_ctc("classify-run", run, "--profile", profile)
    assert finished.code == 78
    assert "--checkpoint" in finished.err


def test_the_choice_is_made_per_run_never_per_cell(edge_ctc: EdgeCtc, run: Path) -> None:
    (run / "Images" / "0002_DAPI.tif").unlink()
    assert edge_ctc("classify-run", run).code == 2
    assert {row["checkpoint_name"] for row in rows_of(run)} == {"reference"}
    assert [row["cell_id"] for row in rows_of(run) if row["verdict"] == "NOT_EVALUABLE"] == ["0002"]
