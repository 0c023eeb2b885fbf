"""Calls against known labels: for simulated runs, and for runs that readers have labelled."""

import csv
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, InputMissingError
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.committed import committed_calls


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts of cells; REVIEW counts as not called CTC, NOT_EVALUABLE as missed.

    Attributes:
        ctcs: cells labelled CTC.
        found: of these, verdict CTC.
        in_review: of these, verdict REVIEW.
        false_calls: verdict CTC, labelled LEUKOCYTE.
    """

    ctcs: int
    found: int
    in_review: int
    false_calls: int

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall of the verdict CTC; None where neither a CTC nor a call is."""
        total = self.ctcs + self.found + self.false_calls
        return 2 * self.found / total if total else None


def read_truth(path: Path) -> dict[str, str]:
    """Label by cell id, from a CSV with the columns cell_id and label (CTC or LEUKOCYTE).

    Raises:
        InputMissingError: there is no such file.
        DataError: the file cannot be read, lacks a column, has another label or a cell twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, restval="")
            columns = table.fieldnames or ()
            rows = [(row.get("cell_id", ""), row.get("label", "")) for row in table]
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file; name a CSV with cell_id,label") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected CSV with cell_id,label") from error
    if not {"cell_id", "label"}.issubset(columns):
        raise DataError(f"{path}: columns {list(columns)}, expected CSV with cell_id,label")
    labels = dict(rows)
    wrong = sorted({label for _, label in rows} - {Verdict.CTC, Verdict.LEUKOCYTE})
    if wrong or len(labels) != len(rows):
        raise DataError(f"{path}: labels {wrong or 'twice for a cell'}; expected CTC or LEUKOCYTE, a cell once")
    return labels


def compare_with_truth(place: ResultPlace, path: Path) -> Comparison:
    """Compare a run's committed calls with the labels in `path`.

    Raises:
        NotARunError: the run has no committed calls.
        DataError: the labels cannot be read, or are not of exactly the cells that were called.
    """
    _, calls = committed_calls(place)
    labels = read_truth(path)
    verdicts = {call.cell_id: call.verdict for call in calls}
    if strangers := sorted(labels.keys() ^ verdicts.keys()):
        raise DataError(f"{path}: cells {strangers[:3]} have a label or a call, not both; expected this run's labels")
    ctcs = [verdicts[cell_id] for cell_id, label in labels.items() if label == Verdict.CTC]
    called = sum(verdict is Verdict.CTC for verdict in verdicts.values())
    found = ctcs.count(Verdict.CTC)
    return Comparison(len(ctcs), found, ctcs.count(Verdict.REVIEW), called - found)
