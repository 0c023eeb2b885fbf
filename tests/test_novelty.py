import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis

from edge_ctc.checkpoint import NOVELTY, open_checkpoint, shipped_checkpoints
from edge_ctc.errors import CheckpointError
from edge_ctc.novelty import Novelty, read_novelty
from trainer.learning.novelty import FALSE_ALARMS, LEAST_HELD_OUT, fit_novelty

MIXED = np.eye(6) + 0.2 * np.random.default_rng(7).normal(size=(6, 6))
HERE = Path("novelty.npz")


def cells(count: int, centre: float, seed: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, 6)) @ MIXED + centre).astype(np.float32)


LEARNED = np.concatenate([cells(4000, 0, 1), cells(2000, 9, 2)])
IS_CTC = np.arange(6000) >= 4000


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    found = fit_novelty(LEARNED, IS_CTC, np.concatenate([cells(2000, 0, 3), cells(1000, 9, 4)]))
    assert found is not None
    return found


def test_the_score_is_the_mahalanobis_distance_to_the_nearer_class(novelty: Novelty) -> None:
    cell = cells(1, 4, 5)
    precision = np.linalg.inv(np.cov((LEARNED - novelty.centres[IS_CTC.astype(int)]).T))
    expected = min(mahalanobis(cell[0], centre, precision) for centre in novelty.centres)
    assert novelty.scores(cell)[0] == pytest.approx(expected, rel=0.01)
    assert novelty.score(cell[0]) == float(f"{novelty.scores(cell)[0]:.4g}")


def test_of_clean_cells_the_stated_share_lies_above_the_cut_and_of_strange_ones_all(novelty: Novelty) -> None:
    clean = np.concatenate([cells(20_000, 0, 6), cells(10_000, 9, 7)])
    assert (novelty.scores(clean) > novelty.cut).mean() == pytest.approx(FALSE_ALARMS, rel=0.5)
    assert (novelty.scores(cells(1000, 60, 8)) > novelty.cut).all()


def test_features_that_never_say_anything_do_no_harm() -> None:
    def with_silence(features: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.hstack([features, np.zeros((len(features), 3), np.float32)])

    found = fit_novelty(with_silence(LEARNED), IS_CTC, with_silence(cells(500, 0, 3)))
    assert found is not None
    assert np.isfinite(found.cut)


def test_few_cells_held_out_give_no_score() -> None:
    assert fit_novelty(LEARNED, IS_CTC, cells(LEAST_HELD_OUT - 1, 0, 3)) is None


def test_it_comes_back_from_its_file(novelty: Novelty) -> None:
    again = read_novelty(novelty.content(), HERE, 6)
    assert again.cut == novelty.cut
    assert np.array_equal(again.scores(LEARNED[:50]), novelty.scores(LEARNED[:50]))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (Novelty(np.zeros((2, 5), np.float32), np.eye(6, dtype=np.float32), 3.0), r"centres \(2, 5\)"),
        (Novelty(np.zeros((2, 6), np.float32), np.eye(5, dtype=np.float32), 3.0), r"whitening \(5, 5\)"),
        (Novelty(np.zeros((2, 6), np.float32), np.eye(6, dtype=np.float32), 0.0), "cut 0.0"),
        (Novelty(np.full((2, 6), np.nan, np.float32), np.eye(6, dtype=np.float32), 3.0), "6 features"),
    ],
)
def test_one_of_another_network_is_refused(spoilt: Novelty, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_novelty(spoilt.content(), HERE, 6)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"novelty\.npz: not the arrays"):
        read_novelty(content, HERE, 6)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK")])
def test_a_checkpoint_without_the_file_that_it_names_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    folder = shutil.copytree(shipped_checkpoints() / "reference", tmp_path / "copy")
    assert open_checkpoint(folder).novelty is not None
    spoil(folder / NOVELTY)
    with pytest.raises(CheckpointError, match=r"novelty\.npz"):
        open_checkpoint(folder)
