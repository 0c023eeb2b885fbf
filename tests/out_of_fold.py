"""Out-of-fold tables for tests, by a model of the world: patients who differ, cells that score around them."""

import numpy as np

from edge_ctc.cells import Verdict
from trainer.cells.labels import CLASSES
from trainer.evaluation.fold_result import Row
from trainer.evaluation.out_of_fold import OutOfFold

SHARE = 0.2


def table_of(
    *,
    patients: int = 12,
    cells: int = 30,
    seeds: int = 2,
    skill: float = 2.0,
    seed: int = 0,
    not_evaluable: float = 0.0,
    calibrated: bool = True,
) -> OutOfFold:
    """A run per patient, who are dealt into three folds.

    A CTC scores higher by `skill`; at unit variance that makes p_ctc exact.

    Truth and patients are of `seed` alone; the scores differ between the repetitions.
    """
    world = np.random.default_rng(seed)
    is_ctc = world.random((patients, cells)) < SHARE
    if cells > 1:
        is_ctc[:, 0], is_ctc[:, 1] = True, False
    torn = world.random((patients, cells)) < not_evaluable
    rows: list[Row] = []
    for repetition in range(seeds):
        scores = skill * (is_ctc - 0.5) + np.random.default_rng([seed, repetition]).standard_normal(is_ctc.shape)
        for patient, cell in np.ndindex(patients, cells):
            logit = float(np.float32(skill * scores[patient, cell]))
            named = (f"run-{patient}", f"{cell:04}", f"p{patient}", CLASSES[int(is_ctc[patient, cell])])
            place = (repetition, patient % 3, *named)
            if torn[patient, cell]:
                rows.append((*place, None, None, Verdict.NOT_EVALUABLE.value, SHARE))
                continue
            p = 1 / (1 + np.exp(-(logit + np.log(SHARE / (1 - SHARE)))))
            verdict = Verdict.CTC if logit > 1 else Verdict.REVIEW if logit > 0 else Verdict.LEUKOCYTE
            rows.append((*place, logit, float(p) if calibrated else None, verdict.value, SHARE))
    return OutOfFold.of_rows(rows)
