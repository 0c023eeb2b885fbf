"""What the figures of an evaluation cannot tell, in words for the report."""

from collections.abc import Sequence

import numpy as np

from trainer.evaluation.figures import VERDICTS, Asked, Figure, RunRow
from trainer.evaluation.out_of_fold import OutOfFold

_FEW = 20


def what_figures_rest_on(table: OutOfFold, figures: Sequence[Figure]) -> str:
    """How many patients, leukocytes and resamples, where they are few."""
    patients = len(np.unique(table.patient))
    said = []
    if patients < _FEW:
        said.append(f"Only {patients} patients: intervals over fewer than {_FEW} are too narrow: be less sure.")
    missing = max(one.undefined for one in figures)
    if missing:
        said.append(f"Up to {missing} resamples of a figure had none, for want of a class or of a call; left out.")
    wrong = np.count_nonzero(~table.is_ctc & (table.verdict == VERDICTS[0])) / len(table.seeds)
    leukocytes = np.count_nonzero(~table.is_ctc) / len(table.seeds)
    said.append(f"The precision rests on {wrong:.1f} of {leukocytes:.0f} leukocytes called CTC.")
    if wrong == 0:
        said.append(
            f"None is not never: up to {3 / leukocytes:.2g} of them may be, at 95 % confidence (rule of three)."
        )
    if leukocytes < 1000:
        said.append(f"Specificity 0.999 cannot be told from 1 with {leukocytes:.0f} leukocytes.")
    return " ".join(said)


def what_recall_rests_on(runs: Sequence[RunRow], unlabelled: int, asked: Asked) -> str:
    """What the recall among the first candidates of a run leaves out.

    Args:
        runs: all of them.
        unlabelled: cells of these runs, which were not scored.
        asked: how many candidates.
    """
    with_ctcs = [one for one in runs if one.ctcs]
    small = sum(one.ctcs + one.leukocytes - one.not_evaluable <= asked.top for one in with_ctcs)
    said = [f"The recall at {asked.top} candidates is among labelled cells."]
    if unlabelled:
        said.append(f"{unlabelled} cells of these runs have no label and take no place: among them it may be lower.")
    if small:
        said.append(
            f"{small} of {len(with_ctcs)} runs with CTCs have no more than {asked.top} cells with a score: "
            "there every CTC with a score is found, however it scores."
        )
    return " ".join(said)
