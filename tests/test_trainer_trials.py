"""The trials on simulated patients: their scores are the product's, their splits and errors what they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ctc.checkpoint import open_checkpoint, shipped_checkpoints
from edge_ctc.errors import ConfigError
from edge_ctc.simulate import Layout, write_run
from tests.conftest import EdgeCtc
from tests.results import rows_of
from trainer.decision.promise import mean_loss
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.reference import INSTRUMENTS
from trainer.trials.promise import Line, jackknife_error, line_of, pool_of, split
from trainer.trials.promise import promise_trial as run_promise_trial
from trainer.trials.rare import rare_trial as run_rare_trial
from trainer.trials.simulated_scores import Cohort, scored

COHORT = Cohort(first_seed=500, patients=2, cells=20, fewest_ctcs=2, most_ctcs=5)


class Listener:
    """A `Reporter` that counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    def say(self, text: str) -> None:  # noqa: ARG002
        self.heard += 1

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        self.heard += 1


def table(patients: int = 40, seed: int = 0) -> OutOfFold:
    """Each patient with 1 to 4 CTCs around a level of its own, one in six of them not evaluable, and 20 leukocytes."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for patient in range(patients):
        ctcs = rng.integers(1, 5)
        logits = np.append(rng.normal(rng.normal(3, 1), 1, ctcs), rng.normal(-2, 1, 20)).astype(np.float32)
        for cell, logit in enumerate(logits.tolist()):
            name = (0, 0, f"run-{patient}", f"{cell:03}", str(patient), "CTC" if cell < ctcs else "LEUKOCYTE")
            lost = cell == 0 and patient % 6 == 0
            rows.append((*name, "" if lost else logit, "", "NOT_EVALUABLE" if lost else "LEUKOCYTE", 0.1))
    return OutOfFold.of_rows(rows)


def test_the_scores_are_those_of_the_products_calls(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(shipped_checkpoints() / "reference")
    (found,) = scored(COHORT, [checkpoint], tmp_path / "kept", Listener())
    for seed in COHORT.seeds:
        run = tmp_path / f"simulated-{seed}"
        write_run(run, 20, COHORT.ctcs(seed), seed, Layout.MULTIPAGE, instrument=seed % INSTRUMENTS)
        assert edge_ctc("classify-run", run, "--out", tmp_path / "out", "--checkpoint", checkpoint.folder).code == 0
        calls = sorted(rows_of(tmp_path / "out" / run.name), key=lambda row: int(row["cell_id"]))
        mine = found.run_id == run.name
        assert [float(row["score"]) for row in calls] == pytest.approx(found.logit[mine].tolist(), abs=1e-4)
        assert [row["verdict"] for row in calls] == found.verdict[mine].tolist()


def test_kept_scores_are_read_and_nothing_is_simulated_again(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(shipped_checkpoints() / "reference-bf")
    first, second = Listener(), Listener()
    (before,), (after,) = (scored(COHORT, [checkpoint], tmp_path, listener) for listener in (first, second))
    assert (first.heard, second.heard) == (2, 0)
    assert before.to_csv() == after.to_csv()


def test_patients_whom_a_checkpoint_has_seen_are_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(shipped_checkpoints() / "reference")
    with pytest.raises(ConfigError, match=r"reference: trained or validated with the simulated patients \['10000"):
        scored(Cohort(100_000, 3, 20, 2, 5), [checkpoint], tmp_path, Listener())


def test_every_number_of_ctcs_is_drawn_and_their_mean_is_the_prevalence() -> None:
    cohort = Cohort(0, 2000, 50, 1, 4)
    drawn = [cohort.ctcs(seed) for seed in cohort.seeds]
    assert set(drawn) == {1, 2, 3, 4}
    assert np.mean(drawn) / 50 == pytest.approx(cohort.prevalence, abs=0.002)


@pytest.mark.parametrize("cut", [-np.inf, 0.0, 2.5, np.inf])
def test_the_pools_loss_is_the_promises_loss(cut: float) -> None:
    pool = pool_of(table(), 1.0)
    assert pool.missed(cut).mean() == pytest.approx(mean_loss(pool.patients, cut))
    assert pool.missed(cut)[3] == pytest.approx(mean_loss(pool.patients[3:4], cut))


def test_review_is_counted_below_the_ctc_cut_alone() -> None:
    found = table()
    pool = pool_of(found, 1.0)
    inside = (found.logit >= -1.5) & (found.logit < 1.0)
    assert pool.reviewed(-1.5).tolist() == [int((inside & (found.patient == str(p))).sum()) for p in order_of(found)]
    assert pool.reviewed(1.0).sum() == 0
    assert pool.cells.sum() == len(found.logit)


def order_of(found: OutOfFold) -> list[str]:
    return list(dict.fromkeys(found.patient.tolist()))


def test_the_jackknife_of_means_of_single_values_is_their_standard_error() -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    left_out = [float(np.delete(values, place).mean()) for place in range(30)]
    assert jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / 30**0.5)


def test_splits_of_shared_patients_keep_the_promise_and_hold_everyone_else_out() -> None:
    pool = pool_of(table(60), 1.0)
    found = split(pool, np.arange(60), 0.2, 15, 300)
    error = found.losses.std(ddof=1) / 300**0.5
    assert 0.05 < found.losses.mean() <= 0.2 + 2 * error
    with pytest.raises(ConfigError, match="60 patients, 60 of them to lay the cut; simulate more"):
        split(pool, np.arange(60), 0.2, 60, 1)


def test_a_split_measures_those_who_are_held_out() -> None:
    rows = [
        (0, 0, f"run-{patient}", cell, str(patient), label, score, "", "LEUKOCYTE", 0.1)
        for patient in range(10)
        for cell, label, score in (("1", "CTC", float(patient)), ("2", "LEUKOCYTE", -5.0))
    ]
    # Nine patients with one CTC each may lose none: the cut is the lowest of the nine, and the tenth lies below or not.
    found = split(pool_of(OutOfFold.of_rows(rows), 4.0), np.arange(10), 0.1, 9, 300)
    assert set(found.losses.tolist()) == {0.0, 1.0}
    assert found.losses.mean() == pytest.approx(0.1, abs=0.05)


def test_too_few_patients_are_a_line_without_a_figure() -> None:
    line = line_of("reference", pool_of(table(), 1.0), 0.05, 9, 10)
    assert line == Line("reference", 0.05, 9)
    assert line.text == "| reference | 0.05 | 9 | no guarantee | | | | | |"


def test_a_pool_whose_first_patient_has_torn_ctcs_is_tried_all_the_same() -> None:
    found = table(40)
    mine = (found.patient == order_of(found)[0]) & found.is_ctc
    torn = replace(
        found,
        logit=np.where(mine, np.float32("nan"), found.logit),
        p_ctc=np.where(mine, np.nan, found.p_ctc),
        verdict=np.where(mine, "NOT_EVALUABLE", found.verdict),
    )
    line = line_of("reference", pool_of(torn, 1.0), 0.2, 9, 10)
    assert line.splits is not None
    assert "no guarantee" not in line.text


def test_the_promise_trial_writes_its_table(tmp_path: Path) -> None:
    run_promise_trial(tmp_path, 20, 20, 5)
    text = (tmp_path / "promise.md").read_text()
    assert text.startswith(
        "20 simulated patients (seeds 200000 to 200019), 20 cells each, 1 to 10 of them CTCs; 5 random"
    )
    assert text.count("\n| reference | ") == text.count("\n| reference-bf | ") == 3
    assert "\n| reference | 0.05 | 9 | no guarantee |" in text


def test_the_rare_trial_writes_its_table(tmp_path: Path) -> None:
    run_rare_trial(tmp_path, 2, 60, 6)
    text = (tmp_path / "rare.md").read_text()
    assert (
        "2 simulated patients (seeds 300000 to 300001), one run each, 6 CTCs in 60 cells; p_ctc at prevalence 0.1"
        in text
    )
    assert text.count("\n| simulated-300000 | ") == 2
    assert text.count("- recall in the best 20 of a run: ") == 2
    assert text.count("of 12 CTCs; slope ") == 2
