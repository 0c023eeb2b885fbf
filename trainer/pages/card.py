"""The model card: what a reader of the calls should know of the network, in one page."""

from collections.abc import Sequence
from typing import Any

from edge_ctc.description import Description

_LIMITS = """\
For research use only, not for diagnosis: this network marks cells for a person to look at, it diagnoses nobody.
It knows cells like those below. Images of another scanner, objective, staining or pixel size may be called with
full confidence and be wrong: measure it on labelled runs of your own before you rely on a figure."""

_ON_VALIDATION = """\
Thresholds, calibration and promise were chosen on the validation patients, so these figures flatter; those of patients
whom no choice saw are out-of-fold figures."""


def write_card(description: Description, out_of_fold: Sequence[str] = ()) -> str:
    """MODEL_CARD.md; the notice, where there is one, is its first line.

    Args:
        description: checkpoint.json; its training record is the trainer's.
        out_of_fold: Markdown lines, figures of an evaluation of the same recipe; empty where there is none.
    """
    parts = [description.notice] if description.notice else []
    parts += [
        f"# {description.name}",
        "A ResNet that scores single-cell images: the larger the score, the more like a circulating tumor cell.",
        "## Intended use and limits",
        _LIMITS,
        "## Input",
        _input(description),
        "## Cells it learned from",
        _cells(description),
        "## How it learned",
        _recipe(description.training["recipe"]),
        "## What its verdicts rest on",
        _rule(description),
        "## Figures on the validation patients",
        _ON_VALIDATION,
        _figures(description),
        "## Out-of-fold figures",
        "\n".join(out_of_fold) or "None: `python -m trainer evaluate` makes them, `python -m trainer card` adds them.",
    ]
    return "\n\n".join(parts) + "\n"


def _input(description: Description) -> str:
    spec = description.input
    lines = ["| channel | range, counts |", "|---|---|"]
    lines += [
        f"| {one.name} | {one.range if one.range == 'raw' else f'{one.range[0]:g} to {one.range[1]:g}'} |"
        for one in spec.channels
    ]
    size = f"{spec.side_px} px square, {spec.dtype}, bits: {spec.bits}, pixel size in um: {spec.pixel_size_um}"
    return "\n".join([f"{size}.", "", *lines])


def _cells(description: Description) -> str:
    training = description.training
    lines = ["| part | patients | CTC | leukocytes |", "|---|---|---|---|"]
    lines += [
        f"| {part} | {len(description.split[part])} | {counts['CTC']} | {counts['LEUKOCYTE']} |"
        for part, counts in training["cells"].items()
    ]
    left_out = f"Labelled cells left out because they could not be evaluated: {len(training['left_out'])}."
    return "\n".join([*lines, "", left_out, "", *(f"- {line}" for line in training["data"])])


def _recipe(recipe: dict[str, Any]) -> str:
    """All that differs from nothing; the whole recipe stands in checkpoint.json."""
    network = ("architecture", "layer4", "width", "norm", "start", "epochs", "patience", "batch_size", "seed")
    told = [f"{name} {recipe[name]}" for name in network]
    on = [f"{name} {value}" for name, value in recipe["augmentation"].items() if value not in (0, False, "none")]
    return f"Network and training: {', '.join(told)}.\n\nAugmentation: {', '.join(on) or 'none'}."


def _rule(description: Description) -> str:
    cuts, known, promise = description.thresholds, description.calibration, description.promise
    review = f"the {cuts.review_top} best of a run" if cuts.review is None else f"score from {cuts.review:.4g}"
    said = "none: p_ctc stays empty" if known is None else f"Platt, at a prevalence of {known.prevalence:.3g}"
    lines = ["| rule | value |", "|---|---|", f"| CTC | score from {cuts.ctc:.4g} |", f"| REVIEW | {review} |"]
    lines += [f"| calibration | {said} |", f"| promise | {'none' if promise is None else promise.sentence} |"]
    return "\n".join(lines)


def _figures(description: Description) -> str:
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in description.metrics.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows])
