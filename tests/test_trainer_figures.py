"""Figures of out-of-fold tables: the libraries' values, patients' intervals, nothing that flatters."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from edge_ctc.errors import DataError
from tests.out_of_fold import SHARE, table_of
from trainer.evaluation.bootstrap import RESAMPLES, drawn_weights, resampled
from trainer.evaluation.calibration_evidence import calibration_evidence
from trainer.evaluation.figures import NAMES, Asked, Figure, confusion, differences, figures_of, per_run
from trainer.evaluation.out_of_fold import OutOfFold
from trainer.evaluation.verdict_counts import found_in_run
from trainer.learning import torchvision_on_cpu  # noqa: F401 - before torchmetrics
from trainer.pages import report

# isort: split
from torchmetrics.functional.retrieval import retrieval_recall

ASKED = Asked(prevalence=0.01, top=5)


def by_name(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def repeated(table: OutOfFold, weights: np.ndarray[tuple[int], np.dtype[np.int64]]) -> OutOfFold:
    """Every patient as often as `weights` says, each copy a patient with runs of their own."""
    rows = []
    for patient, weight in zip(np.unique(table.patient).tolist(), weights, strict=True):
        mine = np.flatnonzero(table.patient == patient)
        rows += [(place, copy) for copy in range(weight) for place in mine]
    places = np.array([place for place, _ in rows])
    copies = np.array([copy for _, copy in rows])
    columns = {name: getattr(table, name)[places] for name in OutOfFold.__slots__}
    for name in ("run_id", "patient"):
        columns[name] = np.char.add(columns[name], np.char.add("-", copies.astype(str)))
    return OutOfFold(**columns)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    skill=st.floats(0.2, 3),
    rounded=st.booleans(),
    weights=st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(lambda weights: sum(weights) > 0),
)
def test_a_resample_has_the_figures_of_the_table_in_which_its_patients_are_repeated(
    seed: int, skill: float, rounded: bool, weights: list[int]
) -> None:
    """Holds the weighted forms against scikit-learn and torchmetrics, ties and torn cells included."""
    table = table_of(patients=5, cells=12, seeds=1, skill=skill, seed=seed, not_evaluable=0.1)
    if rounded:
        table = replace(table, logit=np.round(table.logit))
    weighted = resampled(table, np.array([weights], np.float64), ASKED.prevalence, ASKED.top)[0]
    figures = figures_of(repeated(table, np.array(weights)), ASKED)
    assert weighted == pytest.approx([figure.value for figure in figures], abs=1e-6, nan_ok=True)


def test_the_plain_figures_are_scikit_learns() -> None:
    table = table_of(seeds=1)
    found = by_name(figures_of(table, ASKED))
    called = table.verdict == "CTC"
    assert found["f1_ctc"].value == pytest.approx(f1_score(table.is_ctc, called))
    assert found["f1_macro"].value == pytest.approx(f1_score(table.is_ctc, called, average="macro"))
    assert found["f1_weighted"].value == pytest.approx(f1_score(table.is_ctc, called, average="weighted"))
    assert found["average_precision"].value == pytest.approx(average_precision_score(table.is_ctc, table.logit))
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(table.is_ctc, table.logit))


def test_recall_among_the_first_of_each_run_is_torchmetrics_mean_over_runs_with_ctcs() -> None:
    table = table_of(seeds=1)
    expected = [
        float(
            retrieval_recall(
                torch.from_numpy(table.logit[table.run_id == run]),
                torch.from_numpy(table.is_ctc[table.run_id == run]),
                top_k=5,
            )
        )
        for run in np.unique(table.run_id)
    ]
    assert by_name(figures_of(table, ASKED))["recall_in_top"].value == pytest.approx(np.mean(expected))


def test_a_ctc_that_ties_with_a_leukocyte_at_the_end_of_the_list_is_no_find() -> None:
    table = table_of(patients=3, cells=8, seeds=1)
    level = replace(table, logit=np.zeros_like(table.logit))
    leukocytes = np.array([np.count_nonzero(~table.is_ctc[table.run_id == run]) for run in table.run_id])
    assert not found_in_run(level, int(leukocytes.min()))[0].any()
    assert found_in_run(level, 8)[0].sum() == table.is_ctc.sum()


def test_a_ctc_that_cannot_be_evaluated_is_not_found_even_where_the_run_has_room() -> None:
    table = table_of(patients=3, cells=4, seeds=1)
    logit, verdict, p_ctc = table.logit.copy(), table.verdict.astype("U16"), table.p_ctc.copy()
    logit[table.is_ctc], verdict[table.is_ctc], p_ctc[table.is_ctc] = np.nan, "NOT_EVALUABLE", np.nan
    lost = replace(table, logit=logit, verdict=verdict, p_ctc=p_ctc)
    found = by_name(figures_of(lost, Asked(prevalence=0.01, top=100)))
    assert not found_in_run(lost, 100)[0].any()
    for name in ("f1_ctc", "f1_at_half", "recall_in_top", "sensitivity_at_specificity_0.95", "roc_auc"):
        assert found[name].value == 0
    assert all(row.ctcs_missed == row.ctcs for row in per_run(lost, ASKED))


def test_losing_a_ctc_to_a_torn_image_raises_no_figure() -> None:
    whole = table_of(patients=8, cells=20, seeds=1)
    place = int(np.flatnonzero(whole.is_ctc)[whole.logit[whole.is_ctc].argmax()])
    logit, verdict, p_ctc = whole.logit.copy(), whole.verdict.astype("U16"), whole.p_ctc.copy()
    logit[place], verdict[place], p_ctc[place] = np.nan, "NOT_EVALUABLE", np.nan
    torn = replace(whole, logit=logit, verdict=verdict, p_ctc=p_ctc)
    for before, after in zip(figures_of(whole, ASKED), figures_of(torn, ASKED), strict=True):
        assert after.value <= before.value, before.name


def test_precision_at_the_prevalence_of_the_cells_is_their_precision() -> None:
    table = table_of(seeds=1)
    called = table.verdict == "CTC"
    found = by_name(figures_of(table, Asked(prevalence=float(table.is_ctc.mean()), top=5)))
    assert found["precision_at_prevalence"].value == pytest.approx(table.is_ctc[called].mean())


def test_precision_falls_with_the_prevalence_as_bayes_says() -> None:
    table = table_of(seeds=1)
    called = table.verdict == "CTC"
    sensitivity, false_alarms = called[table.is_ctc].mean(), called[~table.is_ctc].mean()
    found = by_name(figures_of(table, Asked(prevalence=0.001, top=5)))["precision_at_prevalence"].value
    assert found == pytest.approx(0.001 * sensitivity / (0.001 * sensitivity + 0.999 * false_alarms))


def test_precision_is_none_where_nothing_is_called() -> None:
    table = table_of(seeds=1)
    silent = replace(table, verdict=np.full(len(table.seed), "LEUKOCYTE"))
    found = by_name(figures_of(silent, ASKED))["precision_at_prevalence"]
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.undefined == RESAMPLES


def test_f1_at_even_odds_moves_with_the_learned_share_and_no_threshold() -> None:
    table = table_of(seeds=1)
    called = table.logit + np.log(SHARE / (1 - SHARE)) >= 0
    blind = replace(table, verdict=np.full(len(table.seed), "LEUKOCYTE"))
    assert by_name(figures_of(blind, ASKED))["f1_at_half"].value == pytest.approx(f1_score(table.is_ctc, called))
    even = replace(table, learned_share=np.full(len(table.seed), 0.5))
    assert by_name(figures_of(even, ASKED))["f1_at_half"].value == pytest.approx(
        f1_score(table.is_ctc, table.logit >= 0)
    )


def test_scores_so_high_that_a_sigmoid_makes_them_one_are_still_ranked() -> None:
    table = table_of(seeds=1)
    high = replace(table, logit=table.logit + np.float32(60), p_ctc=np.full(len(table.seed), np.nan))
    ranked = ("average_precision", "roc_auc", "sensitivity_at_specificity_0.95")
    before, after = by_name(figures_of(table, ASKED)), by_name(figures_of(high, ASKED))
    # float32 has fewer digits left at 60.
    assert [after[name].value for name in ranked] == pytest.approx([before[name].value for name in ranked], abs=0.01)


def test_figures_are_means_over_the_seeds() -> None:
    table = table_of(seeds=3)
    singles = [figures_of(table.of_seed(seed), ASKED) for seed in table.seeds]
    for place, figure in enumerate(figures_of(table, ASKED)):
        values = [single[place].value for single in singles]
        assert figure.value == pytest.approx(np.mean(values))
        assert figure.seed_sd == pytest.approx(np.std(values, ddof=1))


def test_intervals_are_over_patients_so_that_more_cells_of_the_same_patients_do_not_narrow_them() -> None:
    table = table_of(patients=10, cells=20, seeds=1)
    columns = {name: np.concatenate([getattr(table, name)] * 9) for name in OutOfFold.__slots__}
    columns["cell_id"] = np.char.add(columns["cell_id"], np.repeat(np.arange(9), len(table.seed)).astype(str))
    few, many = by_name(figures_of(table, ASKED))["f1_ctc"], by_name(figures_of(OutOfFold(**columns), ASKED))["f1_ctc"]
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """The AUC of two unit normals `skill` apart is known: Phi(skill / sqrt 2)."""
    truth = 0.9213503964748571
    held = 0
    for seed in range(40):
        auc = by_name(figures_of(table_of(patients=40, cells=6, seeds=1, seed=seed), ASKED))["roc_auc"]
        held += auc.low <= truth <= auc.high
    assert held >= 34


def test_resamples_without_a_class_are_left_out_and_counted() -> None:
    table = table_of(patients=12, cells=1, seeds=1, seed=2)
    figure = by_name(figures_of(table, ASKED))["roc_auc"]
    weights = drawn_weights(12, ASKED.seed)
    ctcs = weights @ table.is_ctc[np.argsort(table.patient)]
    assert figure.undefined == np.count_nonzero((ctcs == 0) | (ctcs == 12)) > 0
    assert 0 <= figure.low <= figure.high <= 1


def test_a_table_differs_from_itself_by_nothing() -> None:
    table = table_of()
    for figure in differences(table, table, ASKED):
        assert (figure.value, figure.low, figure.high) == (0, 0, 0)


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    table = table_of(patients=15, skill=1.0)
    draw = np.random.default_rng(1)
    better = replace(
        table,
        logit=(table.logit + 0.3 * table.is_ctc + 0.05 * draw.standard_normal(len(table.seed))).astype(np.float32),
    )
    difference = by_name(differences(table, better, ASKED))["average_precision"]
    first, second = (by_name(figures_of(one, ASKED))["average_precision"] for one in (table, better))
    assert difference.value == pytest.approx(second.value - first.value)
    assert difference.low > 0
    assert second.low < first.high
    assert by_name(differences(better, table, ASKED))["average_precision"].value == pytest.approx(-difference.value)


@pytest.mark.parametrize("other", [{"patients": 11}, {"seed": 1}, {"seeds": 1}])
def test_tables_of_other_cells_or_seeds_are_not_compared(other: dict[str, int]) -> None:
    with pytest.raises(DataError, match="two out-of-fold tables differ in"):
        differences(table_of(), table_of(**other), ASKED)  # type: ignore[arg-type]


def test_one_class_is_refused() -> None:
    table = table_of()
    with pytest.raises(DataError, match="cells of one class"):
        figures_of(replace(table, is_ctc=np.zeros_like(table.is_ctc)), ASKED)


def test_verdicts_and_runs_account_for_every_cell() -> None:
    table = table_of(not_evaluable=0.1)
    one = table.of_seed(0)
    counts = confusion(table)
    assert counts.sum(axis=0).tolist() == [one.is_ctc.sum(), (~one.is_ctc).sum()]
    runs = per_run(table, ASKED)
    assert sum(row.ctcs + row.leukocytes for row in runs) == len(one.seed)
    for row in runs:
        assert row.ctcs_called + row.ctcs_review + row.ctcs_missed == pytest.approx(row.ctcs)
        assert row.patients == (f"p{row.run_id.removeprefix('run-')}",)
    assert sum(row.ctcs_called for row in runs) == pytest.approx(counts[0, 0])


def test_a_run_expects_the_mean_of_the_seeds_that_have_probabilities() -> None:
    table = table_of()
    here = (table.run_id == "run-3") & (table.seed == 0)
    p_ctc = table.p_ctc.copy()
    p_ctc[(table.seed == 1) & (table.run_id == "run-3")] = np.nan
    p_ctc[table.run_id == "run-4"] = np.nan
    rows = {row.run_id: row.expected_ctcs for row in per_run(replace(table, p_ctc=p_ctc), ASKED)}
    assert rows["run-3"] == pytest.approx(table.p_ctc[here].sum())
    assert np.isnan(rows["run-4"])


def test_probabilities_that_are_right_refit_to_slope_one_and_sum_to_the_ctcs() -> None:
    evidence = calibration_evidence(table_of(patients=40, cells=150), None)
    assert evidence is not None
    assert evidence.slope == pytest.approx(1, abs=0.08)
    assert evidence.intercept == pytest.approx(0, abs=0.12)
    assert evidence.expected == pytest.approx(evidence.ctcs, rel=0.05)
    for one in evidence.bins:
        assert one.ctcs == pytest.approx(one.expected, rel=0.15)


def test_the_bins_of_p_ctc_begin_at_0_and_sum_to_every_cell_that_has_one() -> None:
    table = table_of()
    p_ctc = table.p_ctc.copy()
    p_ctc[:3], p_ctc[3], p_ctc[4] = np.nan, 0.0, 1.0
    evidence = calibration_evidence(replace(table, p_ctc=p_ctc), None)
    assert evidence is not None
    assert (evidence.bins[0].low, evidence.bins[0].high) == (0, 0.1)
    seeds = len(table.seeds)
    assert sum(one.cells for one in evidence.bins) == pytest.approx(len(p_ctc) / seeds - evidence.without)
    assert sum(one.expected for one in evidence.bins) == pytest.approx(evidence.expected)
    assert sum(one.ctcs for one in evidence.bins) == pytest.approx(evidence.ctcs)
    first = evidence.bins[0]
    row = f"| 0 to 0.1 | {first.cells:.1f} | {first.expected:.1f} | {first.ctcs:.1f} |"
    assert (
        f"| p_ctc | cells | sum of p_ctc | CTCs |\n| --- | --- | --- | --- |\n{row}\n"
        in report._calibration(evidence)[1]
    )


def test_probabilities_that_are_too_sure_refit_to_a_slope_under_one() -> None:
    table = table_of(patients=100)
    sure = 1 / (1 + (1 / table.p_ctc - 1) ** 2)
    evidence = calibration_evidence(replace(table, p_ctc=sure), None)
    assert evidence is not None
    assert evidence.slope == pytest.approx(0.5, abs=0.05)


def test_probabilities_for_another_prevalence_are_moved_to_that_of_the_cells() -> None:
    table = table_of(patients=150)
    found = float(table.is_ctc.mean())
    odds = table.p_ctc / (1 - table.p_ctc) * (0.01 / 0.99) / (found / (1 - found))
    right, moved = (
        calibration_evidence(table, None),
        calibration_evidence(replace(table, p_ctc=odds / (1 + odds)), 0.01),
    )
    assert right is not None
    assert moved is not None
    assert moved.moved_from == 0.01
    assert moved.expected == pytest.approx(right.expected, rel=1e-3)
    assert moved.intercept == pytest.approx(right.intercept, abs=1e-2)


def test_without_p_ctc_there_is_no_evidence_and_of_parted_classes_no_slope() -> None:
    assert calibration_evidence(table_of(calibrated=False), None) is None
    table = table_of()
    parted = calibration_evidence(replace(table, p_ctc=np.where(table.is_ctc, 0.9, 0.2)), None)
    assert parted is not None
    assert (parted.slope, parted.intercept) == (None, None)


def test_a_fold_whose_scores_lie_higher_spoils_the_one_ranking_and_not_the_folds_own() -> None:
    table = table_of(patients=30)
    shifted = replace(table, logit=table.logit + np.float32(20) * (table.fold == 1))
    before, after = (by_name(figures_of(one, ASKED)) for one in (table, shifted))
    assert after["average_precision"].value < before["average_precision"].value - 0.1
    own = "average_precision_per_fold"
    assert after[own] == before[own]
    assert before[own].low < before["average_precision"].value < before[own].high


def test_a_fold_of_one_class_has_no_ranking_of_its_own() -> None:
    table = table_of(patients=6, seeds=1)
    outside = table.of_fold(0)
    poor = replace(table, is_ctc=table.is_ctc & (table.fold != 0))
    figure = by_name(figures_of(poor, ASKED))["average_precision_per_fold"]
    assert outside.is_ctc.any()
    own = [average_precision_score(one.is_ctc, one.logit) for one in (table.of_fold(1), table.of_fold(2))]
    assert figure.value == pytest.approx(np.mean(own))


def test_every_figure_has_its_name() -> None:
    assert tuple(figure.name for figure in figures_of(table_of(), ASKED)) == NAMES
