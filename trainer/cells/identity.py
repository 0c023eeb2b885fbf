"""What makes two sets of labelled cells the same: for work that is gone on with, for figures beside a checkpoint."""

import hashlib
import json

from trainer.cells.dataset import Dataset, LabelledCell
from trainer.cells.labels import Label


def dataset_sha256(dataset: Dataset) -> str:
    """sha256 of all that a training or an evaluation sees: labels, pixels as they were decoded, what profiles declare.

    Of pixels, not of files: another page order or panel geometry in a profile makes another image of the same file.
    """
    facts = [
        [(_facts(cell.label), _pixels(cell)) for cell in dataset.cells],
        [_facts(cell.label) for cell in dataset.left_out],
        [dataset.channels, dataset.auxiliary_channels],
        [dataset.dtype, dataset.bits, dataset.pixel_size_um, dataset.intensity],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _facts(label: Label) -> tuple[str, str, bool, str]:
    return (label.run_id, label.cell_id, label.is_ctc, label.patient)


def _pixels(cell: LabelledCell) -> str:
    digest = hashlib.sha256(repr((cell.counts.shape, cell.auxiliary.shape, str(cell.counts.dtype))).encode())
    digest.update(cell.counts.tobytes())
    digest.update(cell.auxiliary.tobytes())
    return digest.hexdigest()
