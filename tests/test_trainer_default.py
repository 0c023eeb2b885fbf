"""The promise of the default recipe, kept through the product path."""

from pathlib import Path

import pytest
from sklearn.metrics import average_precision_score

from edge_ctc.checkpoint import open_checkpoint
from edge_ctc.classify import classify_run
from edge_ctc.console.runs import RunReporter
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.results.calls import read_calls
from edge_ctc.simulate import Layout, write_run
from edge_ctc.truth import read_truth
from trainer.fit import Order, fit
from trainer.progress import ConsoleReporter
from trainer.recipe import built_in_recipe
from trainer.reference import simulate_patients

UNSEEN_SEED = 77


@pytest.mark.timeout(600)
def test_the_default_recipe_finds_the_ctcs_of_an_unseen_simulated_patient(tmp_path: Path) -> None:
    with ConsoleReporter() as reporter:
        labels = simulate_patients(tmp_path / "runs", range(500, 506), (80, 16), reporter)
        fit(Order(tmp_path / "runs", labels, tmp_path / "checkpoint", built_in_recipe()), reporter)
    unseen = tmp_path / "unseen"
    write_run(unseen, 200, 20, UNSEEN_SEED, Layout.FLAT)
    with OpenModels() as models, RunReporter(quiet=True) as silent:
        outcome = classify_run(Request(unseen, checkpoint=tmp_path / "checkpoint"), models, silent)
    truth = read_truth(tmp_path / "unseen.truth.csv")
    scores = {call.cell_id: call.score for call in read_calls(outcome.place.calls)}
    assert len(scores) == 200
    found = average_precision_score([truth[cell_id] == "CTC" for cell_id in scores], list(scores.values()))
    assert found >= 0.5
    checkpoint = open_checkpoint(tmp_path / "checkpoint")
    assert checkpoint.novelty is not None
    assert checkpoint.description.fingerprint is not None
    assert checkpoint.description.fingerprint.runs is not None
    assert all(call.ood_score is not None for call in read_calls(outcome.place.calls))
