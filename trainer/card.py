"""The model card: what a reader of the calls should know of the network, in one page."""

from collections import Counter
from collections.abc import Sequence

from edge_ctc.description import Description
from trainer.data import LabelledCell, LeftOut
from trainer.split import Split

_LIMITS = """\
For research use only, not for diagnosis: this network marks cells for a person to look at, it diagnoses nobody.
The figures were measured on the validation patients, the same cells that the thresholds were chosen on:
expect lower ones on patients, instruments and stainings that it never saw, and measure them there.
`p_ctc` holds at the prevalence of the validation cells alone. Images of another scanner, objective, staining
or pixel size may be called with full confidence and be wrong."""


def write_card(
    description: Description, split: Split, cells: Sequence[LabelledCell], left_out: Sequence[LeftOut]
) -> str:
    """MODEL_CARD.md; the notice, where there is one, is its first line."""
    parts = [description.notice] if description.notice else []
    parts += [
        f"# {description.name}",
        "A ResNet that scores single-cell images: the larger the score, the more like a circulating tumor cell.",
        "## Intended use and limits",
        _LIMITS,
        "## Input",
        _input(description),
        "## Cells it learned from",
        _parts(split, cells),
        f"Labelled cells left out because they could not be evaluated: {len(left_out)}.",
        "## Figures on the validation patients",
        _figures(description),
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


def _parts(split: Split, cells: Sequence[LabelledCell]) -> str:
    counts = Counter((cell.label.patient, cell.label.is_ctc) for cell in cells)
    lines = ["| part | patients | CTC | leukocytes |", "|---|---|---|---|"]
    for part, patients in (("train", split.train), ("validation", split.validation), ("unused", split.unused)):
        ctcs = sum(counts[patient, True] for patient in patients)
        others = sum(counts[patient, False] for patient in patients)
        lines.append(f"| {part} | {len(patients)} | {ctcs} | {others} |")
    return "\n".join(lines)


def _figures(description: Description) -> str:
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in description.metrics.items()]
    cuts = description.thresholds
    rows += [f"| threshold CTC | {cuts.ctc:.4g} |", f"| threshold REVIEW | {cuts.review:.4g} |"]
    known = description.calibration
    said = "none: too few cells" if known is None else f"Platt, at a prevalence of {known.prevalence:.3g}"
    return "\n".join(["| figure | value |", "|---|---|", *rows, f"| calibration | {said} |"])
