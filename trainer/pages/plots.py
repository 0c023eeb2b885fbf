"""The plots of an evaluation, as PNG bytes: the same figures give the same bytes."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve

from trainer.evaluation.calibration_evidence import CalibrationEvidence
from trainer.evaluation.figures import VERDICTS, confusion
from trainer.evaluation.fold_result import FoldResult
from trainer.evaluation.out_of_fold import OutOfFold

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
"""Told apart by every kind of colour vision: Okabe and Ito, Color Universal Design (2008)."""

_SIDE_INCHES = (6.4, 4.8)
_DPI = 120


def training_curves(results: Sequence[FoldResult]) -> bytes:
    """Loss by epoch: a thin line for every fold and seed, a thick one for the mean where all of them go on."""
    figure, axes = _canvas()
    for name, colour, curves in _losses(results):
        for curve in curves:
            axes.plot(np.arange(1, len(curve) + 1), curve, color=colour, alpha=0.3, linewidth=0.8)
        shared = min(len(curve) for curve in curves)
        mean = np.mean([curve[:shared] for curve in curves], axis=0)
        axes.plot(np.arange(1, shared + 1), mean, color=colour, linewidth=2.2, marker="o", markersize=3, label=name)
    axes.set(xlabel="epoch", ylabel="loss (weighted cross-entropy, nats)")
    axes.set_title(f"Training curves, n = {len(results)} trainings (folds x seeds)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend()
    return png(figure)


def precision_recall(table: OutOfFold) -> bytes:
    """Precision by recall, a line per seed, all folds together; where nothing is called there is no precision."""
    figure, axes = _canvas()
    ctcs, cells = _cells(table)
    for number, seed in enumerate(table.seeds):
        one = table.of_seed(seed)
        score = np.unique(np.where(one.evaluable, one.logit, -np.inf), return_inverse=True)[1]
        precision, recall, _ = precision_recall_curve(one.is_ctc, score)
        label = "one seed" if number == 0 else None
        axes.plot(
            recall[:-1], precision[:-1], color=BLUE, alpha=0.7, linewidth=1.2, drawstyle="steps-post", label=label
        )
    axes.axhline(ctcs / cells, color=GREY, linestyle="--", linewidth=1.2, label=f"by chance, {ctcs / cells:.3g}")
    axes.set(xlabel="recall: share of the CTCs that are found", ylabel="precision: share of CTCs among those called")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    axes.set_title(f"Out of fold, n = {ctcs} CTCs in {cells} cells, {len(table.seeds)} seeds")
    axes.legend(loc="lower left")
    return png(figure)


def reliability(evidence: CalibrationEvidence) -> bytes:
    """Mean p_ctc of each bin against the share of CTCs in it, above how many cells it rests on.

    Without the first bin, whose many leukocytes would hide the cells of all others.
    """
    figure = Figure(figsize=(_SIDE_INCHES[0], 5.8), dpi=_DPI, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = evidence.bins[1:]
    filled = [one for one in bins if one.cells > 0]
    expected = [one.expected / one.cells for one in filled]
    found = [one.ctcs / one.cells for one in filled]
    spread = np.array([_wilson(share, one.cells) for share, one in zip(found, filled, strict=True)]).T
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="p_ctc is the share")
    axes.errorbar(
        expected,
        found,
        yerr=spread if filled else None,
        color=BLUE,
        marker="o",
        linewidth=1.6,
        capsize=3,
        label="out of fold, 95 % Wilson interval over cells",
    )
    axes.set(ylabel="share of CTCs", xlim=(0, 1), ylim=(-0.03, 1.03))
    axes.legend(loc="upper left")
    total = sum(one.cells for one in bins)
    axes.set_title(f"Reliability where p_ctc is {bins[0].low:g} or more, n = {total:.0f} cells per seed")
    for one in bins:
        _bar(below, one.low, one.high, one.cells)
    below.set(xlabel="p_ctc, mean of the bin above, range of the bin below", ylabel="cells per seed")
    below.margins(y=0.35)
    return png(figure)


def confusion_matrix(table: OutOfFold) -> bytes:
    """Verdicts by truth: counts, and in colour the share of the truth's cells."""
    figure, axes = _canvas()
    counts = confusion(table)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    picture = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(counts.shape):
        share = shares[row, column]
        ink = "white" if share < 0.6 else "black"
        text = f"{round(float(counts[row, column]), 1):g}\n{100 * share:.3g} %"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=11)
    axes.set_xticks([0, 1], [f"{name}\nn = {total:.0f}" for name, total in _totals(counts.sum(axis=0).tolist())])
    axes.set_yticks(range(len(VERDICTS)), [verdict.replace("_", "\n") for verdict in VERDICTS])
    axes.set(xlabel="what a person said", ylabel="verdict")
    axes.set_title(f"Out of fold, n = {_cells(table)[1]} cells, mean of {len(table.seeds)} seeds")
    figure.colorbar(picture, ax=axes, label="share of the cells of that class")
    return png(figure)


def png(figure: Figure) -> bytes:
    """The picture, without the time or the version that would make two of them differ."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _canvas() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIDE_INCHES, dpi=_DPI, layout="constrained")
    return figure, figure.subplots()


def _losses(results: Sequence[FoldResult]) -> list[tuple[str, str, list[list[float]]]]:
    learned = [[epoch.loss for epoch in one.epochs] for one in results]
    watched = [[epoch.stopping_loss for epoch in one.epochs if epoch.stopping_loss is not None] for one in results]
    curves = [("cells trained on, augmented", BLUE, learned)]
    return curves + ([("cells of stopping patients", ORANGE, watched)] if all(watched) else [])


def _wilson(share: float, cells: float) -> tuple[float, float]:
    """How far the 95 % interval of a share found among `cells` reaches down and up; also of 0 and 1, where it is wide.

    Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22:209 (1927).
    """
    z2 = 1.96**2
    centre = (share + z2 / (2 * cells)) / (1 + z2 / cells)
    half = (z2 * share * (1 - share) / cells + z2**2 / (4 * cells**2)) ** 0.5 / (1 + z2 / cells)
    # Rounding alone brings a bound past the share where it is 0 or 1.
    return max(share - centre + half, 0.0), max(centre + half - share, 0.0)


def _bar(axes: Axes, low: float, high: float, cells: float) -> None:
    axes.bar(low, cells, width=high - low, align="edge", color=BLUE, alpha=0.6, edgecolor="white")
    axes.annotate(f"{cells:.0f}", ((low + high) / 2, cells), ha="center", va="bottom", fontsize=9)


def _cells(table: OutOfFold) -> tuple[int, int]:
    """CTCs and all cells, each once."""
    one = table.of_seed(table.seeds[0])
    return int(np.count_nonzero(one.is_ctc)), len(one.is_ctc)


def _totals(totals: list[float]) -> list[tuple[str, float]]:
    return list(zip(("CTC", "LEUKOCYTE"), totals, strict=True))
