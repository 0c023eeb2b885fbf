"""What tells that a cell is like none of the training: `python -m tests.benchmarks.novelty` prints the table.

With a path, that of the Jurkat cells (`cells.npz`), the checkpoint for bright field alone is asked, about them too.

Every method sees the same features of the shipped network: those of patients that it learned from to be fitted on, of
others on the same instruments to be cut on, and then of new patients, as they are and with near shifts.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from edge_ctc.checkpoint import Checkpoint, open_checkpoint, shipped_checkpoints
from edge_ctc.preprocess import prepare
from edge_ctc.simulate import simulate_cells
from edge_ctc.simulate.instruments import Instrument
from tests.defects import Counts, amplified, blurred, dimmed, gone, moved
from trainer.learning.export import onnx_scores
from trainer.learning.novelty import fit_novelty
from trainer.trials.jurkat import read_cells

Features = NDArray[np.float32]
Score = Callable[[Features], NDArray[np.float64]]
"""Features (N, D) to how strange they are (N,)."""

FALSE_ALARMS = (0.01, 0.02)
FITTED, CUT, NEW = range(100_000, 100_024), range(43_000, 43_012), range(44_000, 44_020)
"""Patients; the first are among those that the checkpoints learned from."""

CELLS, CTCS = 150, 15
NEIGHBOURS = 10


def features(checkpoint: Checkpoint, cells: Counts) -> Features:
    spec = checkpoint.input
    places = [("BF", "DAPI", "PE", "APC").index(name) for name in spec.channel_names]
    out = np.empty((len(cells), len(places), spec.side_px, spec.side_px), np.float32)
    for cell, place in zip(cells[:, places], out, strict=True):
        prepare(list(cell), spec, place, spec.channel_names)
    return onnx_scores(checkpoint.models["fp32"], out).features


def known(seed: int) -> int:
    """An instrument that the checkpoints learned from."""
    return seed % 12


def unknown(seed: int) -> int:
    """One that they did not."""
    return 300 + seed % 100


def patients(seeds: range, instruments: Callable[[int], int]) -> Iterator[tuple[Counts, NDArray[np.bool_], int]]:
    for seed in seeds:
        cells = list(simulate_cells(CELLS, CTCS, seed, instruments(seed)))
        yield np.stack([cell.images for cell in cells]), np.array([cell.label == "CTC" for cell in cells]), seed


def shifted(cells: Counts, dark: float) -> Mapping[str, Counts]:
    channels = range(cells.shape[1])
    return {
        "as they are": cells,
        "blurred, 1 px": blurred(cells, 1),
        "blurred, 2 px": blurred(cells, 2),
        "gain x 0.5": amplified(cells, 0.5, dark),
        "gain x 1.5": amplified(cells, 1.5, dark),
        "gain x 2": amplified(cells, 2, dark),
        "all stains x 0.5": dimmed(cells, 0.5, list(channels[1:])),
        "cut off by 20 px": moved(cells, 20),
        "no cell": gone(cells),
        "gain x 4": amplified(cells, 4, dark),
        "BF and DAPI change places": cells[:, [1, 0, 2, 3]],
        "DAPI and PE change places": cells[:, [0, 2, 1, 3]],
        "noise over the whole range": np.random.default_rng(0).integers(0, 4096, cells.shape).astype(np.uint16),
    }


def methods(fitted: Features, is_ctc: NDArray[np.bool_], held_out: Features) -> Mapping[str, Score]:
    ours = fit_novelty(fitted, is_ctc, held_out)
    assert ours is not None
    single = LedoitWolf().fit(fitted)
    planes = PCA(0.95).fit(fitted)
    neighbours = NearestNeighbors(metric="cosine").fit(fitted)
    return {
        "Mahalanobis, nearer class": ours.scores,
        "Mahalanobis, one class": single.mahalanobis,
        "residual of PCA, 95 %": lambda seen: np.linalg.norm(
            seen - planes.inverse_transform(planes.transform(seen)), axis=1
        ),
        f"neighbour {NEIGHBOURS}, cosine": lambda seen: neighbours.kneighbors(seen, NEIGHBOURS)[0][:, -1],
    }


def main() -> None:
    """Simulate, fit, cut and count."""
    archives = [Path(one) for one in sys.argv[1:]]
    checkpoint = open_checkpoint(shipped_checkpoints() / ("reference-bf" if archives else "reference"))
    learned = [(features(checkpoint, cells), is_ctc) for cells, is_ctc, _ in patients(FITTED, known)]
    fitted, is_ctc = (np.concatenate(part) for part in zip(*learned, strict=True))
    cut_on = np.concatenate([features(checkpoint, cells) for cells, _, _ in patients(CUT, known)])
    found: dict[str, list[Features]] = {}
    for place, instruments in (("seen", known), ("new", unknown)):
        for cells, _, seed in patients(NEW, instruments):
            dark = Instrument.of(instruments(seed)).offset
            for shift, changed in shifted(cells, dark).items():
                found.setdefault(f"{shift} | {place}", []).append(features(checkpoint, changed))
    for archive in archives:
        jurkat = read_cells(archive).images[::4, :1]
        found["Jurkat cells | another"] = [features(checkpoint, jurkat)]
    scores = methods(fitted, is_ctc, cut_on)
    sys.stdout.write(
        f"{checkpoint.name}; share above the cuts of {' and '.join(f'{one:.0%}' for one in FALSE_ALARMS)}\n\n"
    )
    sys.stdout.write(f"| shift | instruments | {' | '.join(scores)} |\n|---|---|{'---|' * len(scores)}\n")
    cuts = {
        method: np.quantile(score(cut_on), [1 - share for share in FALSE_ALARMS]) for method, score in scores.items()
    }
    for shift, of_runs in found.items():
        seen = np.concatenate(of_runs)
        cells_ = (
            " ".join(f"{(score(seen) > cut).mean():.2f}" for cut in cuts[method]) for method, score in scores.items()
        )
        sys.stdout.write(f"| {shift} | {' | '.join(cells_)} |\n")


if __name__ == "__main__":
    main()
