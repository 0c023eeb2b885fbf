"""A checkpoint without calibration: the best cells of each run are REVIEW, however high or low they score."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_ctc import durable
from edge_ctc.classify import Step, classify_seen
from edge_ctc.console.runs import RunReporter
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import load_profile
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request, Seen
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.results import manifest_of, rows_of, tree

CHANNELS = ("BF", "DAPI", "PE", "APC")
NEVER = 99.0
"""A score that no cell of the run reaches."""


@pytest.fixture
def scores(edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path) -> list[float]:
    """Of the run's 20 cells, falling."""
    out = tmp_path / "plain"
    edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", out)
    return [float(row["score"]) for row in rows_of(run, out)]


def by_rank(folder: Path, top: int, ctc: float = NEVER) -> Path:
    """A checkpoint without calibration that reviews by rank."""
    return write_checkpoint(folder, calibration=None, thresholds={"ctc": ctc, "review_top": top})


def verdicts(run: Path) -> list[str]:
    return [row["verdict"] for row in rows_of(run)]


def cut(run: Path) -> float:
    """The one in every row."""
    (found,) = {float(row["threshold_review"]) for row in rows_of(run)}
    return found


def test_the_best_cells_of_a_run_are_ctc_or_review_and_the_cut_stands_in_every_row(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, scores: list[float]
) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", by_rank(tmp_path / "c", top=8, ctc=scores[2]))
    assert finished.code == 0
    rows = rows_of(run)
    assert verdicts(run) == ["CTC"] * 3 + ["REVIEW"] * 5 + ["LEUKOCYTE"] * 12
    assert cut(run) == scores[7]
    assert {row["threshold_ctc"] for row in rows} == {str(scores[2])}
    assert {row["reason"] for row in rows[3:8]} == {"among the 8 best of the run"}
    assert {row["p_ctc"] for row in rows} == {""}
    manifest = manifest_of(run)
    assert manifest["checkpoint"]["thresholds"] == {"ctc": scores[2], "review_top": 8}
    assert manifest["verdicts"] == {"CTC": 3, "REVIEW": 5, "LEUKOCYTE": 12, "NOT_EVALUABLE": 0}


def test_a_checkpoint_with_a_cut_leaves_no_trace_of_ranks(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert manifest_of(run)["checkpoint"]["thresholds"] == {"ctc": 0.0, "review": -0.5}
    assert cut(run) == -0.5
    assert not any("best of the run" in row["reason"] for row in rows_of(run))


def test_cells_that_score_as_the_last_of_the_best_are_reviewed_with_it(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    ours = by_rank(tmp_path / "c", top=4)
    edge_ctc("classify-run", run, "--checkpoint", ours)
    fourth = rows_of(run)[3]["cell_id"]
    for channel in CHANNELS:
        shutil.copy(run / "Images" / f"{fourth}_{channel}.tif", run / "Images" / f"0099_{channel}.tif")
    edge_ctc("classify-run", run, "--checkpoint", ours)
    assert manifest_of(run)["cells_reused"] == 20
    assert verdicts(run) == ["REVIEW"] * 5 + ["LEUKOCYTE"] * 16
    assert edge_ctc("verify-run", run).code == 0


@pytest.mark.parametrize("top", [20, 21, 1_000_000])
def test_a_run_of_no_more_cells_is_reviewed_whole(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, scores: list[float], top: int
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", by_rank(tmp_path / "c", top))
    assert verdicts(run) == ["REVIEW"] * 20
    assert cut(run) == scores[-1]
    assert edge_ctc("verify-run", run).code == 0


def test_where_enough_cells_are_ctc_none_is_reviewed(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, scores: list[float]
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", by_rank(tmp_path / "c", top=4, ctc=scores[6]))
    assert verdicts(run) == ["CTC"] * 7 + ["LEUKOCYTE"] * 13
    assert cut(run) == scores[6]


def test_in_a_run_without_an_evaluable_cell_the_cut_is_that_for_ctc(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    for image in run.glob("Images/*_PE.tif"):
        image.write_bytes(b"")
    assert edge_ctc("classify-run", run, "--checkpoint", by_rank(tmp_path / "c", top=4)).code == 2
    assert verdicts(run) == ["NOT_EVALUABLE"] * 20
    assert cut(run) == NEVER
    assert edge_ctc("verify-run", run, "--recompute").code == 0


def test_a_torn_image_takes_no_place_among_the_best(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, scores: list[float]
) -> None:
    ours = by_rank(tmp_path / "c", top=4)
    edge_ctc("classify-run", run, "--checkpoint", ours)
    best = rows_of(run)[0]["cell_id"]
    (run / "Images" / f"{best}_PE.tif").write_bytes(b"")
    assert edge_ctc("classify-run", run, "--checkpoint", ours).code == 2
    assert verdicts(run) == ["REVIEW"] * 4 + ["LEUKOCYTE"] * 15 + ["NOT_EVALUABLE"]
    assert cut(run) == scores[4]
    assert edge_ctc("verify-run", run).code == 0


def test_a_second_call_touches_nothing(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    ours = by_rank(tmp_path / "c", top=4)
    edge_ctc("classify-run", run, "--checkpoint", ours)
    before = tree(run.parent)
    assert "nothing to do" in edge_ctc("classify-run", run, "--checkpoint", ours).out
    assert tree(run.parent) == before


def look(run: Path, checkpoint: Path, *, is_quiet: bool) -> Step:
    """What the daemon does for a run in which every file has settled."""
    nothing: frozenset[str] = frozenset()
    seen = Seen(list_files(run), nothing, nothing, nothing, may_be_over=is_quiet, is_quiet=is_quiet)
    with OpenModels() as models, RunReporter(quiet=True) as reporter, durable.sole_writer(run.parent):
        return classify_seen(Request(run, load_profile("flat"), checkpoint), seen, models, reporter)


def timeless(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [row | {"classified_at_utc": ""} for row in rows]


def test_while_a_run_grows_the_cut_moves_and_rows_that_stood_get_their_new_verdict(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    ours = by_rank(tmp_path / "c", top=4)
    whole = shutil.copytree(run, tmp_path / "elsewhere" / "run")
    edge_ctc("classify-run", whole, "--checkpoint", ours)
    ranks = [row["cell_id"] for row in rows_of(whole)]
    # Every second place of the ranking comes first.
    late = [path for cell_id in ranks[1::2] for path in (run / "Images").glob(f"{cell_id}_*")]
    moved = [path.rename(tmp_path / path.name) for path in late]

    first = look(run, ours, is_quiet=False)
    assert first.state == "called"
    early = {row["cell_id"]: row for row in rows_of(run)}
    assert {row["run_state"] for row in early.values()} == {"partial"}
    assert [cell_id for cell_id, row in early.items() if row["verdict"] == "REVIEW"] == ranks[0:8:2]
    assert cut(run) == float(early[ranks[6]]["score"])

    before = tree(run.parent)
    assert look(run, ours, is_quiet=False).state == "unchanged"
    assert tree(run.parent) == before

    for path in moved:
        path.rename(run / "Images" / path.name)
    assert look(run, ours, is_quiet=True).is_done
    now = {row["cell_id"]: row for row in rows_of(run)}
    assert manifest_of(run)["cells_reused"] == 10
    assert [cell_id for cell_id, row in now.items() if row["verdict"] == "REVIEW"] == ranks[:4]
    assert (early[ranks[4]]["verdict"], now[ranks[4]]["verdict"]) == ("REVIEW", "LEUKOCYTE")
    assert now[ranks[4]]["classified_at_utc"] == early[ranks[4]]["classified_at_utc"]
    assert timeless(rows_of(run)) == timeless(rows_of(whole))
    assert edge_ctc("verify-run", run, "--checkpoint", ours, "--recompute").code == 0

    before = tree(run.parent)
    assert look(run, ours, is_quiet=True).state == "unchanged"
    assert tree(run.parent) == before


def test_a_cell_that_falls_among_the_best_again_is_reviewed_again(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    ours = by_rank(tmp_path / "c", top=4)
    edge_ctc("classify-run", run, "--checkpoint", ours)
    ranks = [row["cell_id"] for row in rows_of(run)]
    for channel in CHANNELS:
        shutil.copy(run / "Images" / f"{ranks[-1]}_{channel}.tif", run / "Images" / f"{ranks[0]}_{channel}.tif")
    edge_ctc("classify-run", run, "--checkpoint", ours)
    found = [row["cell_id"] for row in rows_of(run) if row["verdict"] == "REVIEW"]
    assert found == ranks[1:5]
    assert manifest_of(run)["cells_reused"] == 19
    assert edge_ctc("verify-run", run).code == 0
