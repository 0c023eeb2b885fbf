"""What people and programs see of a review."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_ctc import __version__
from edge_ctc.console.lines import counted, say
from edge_ctc.review.agreement import Agreement, Disagreement, Pair, Table
from edge_ctc.review.importing import Imported
from edge_ctc.review.labelling import LabelsMade
from edge_ctc.review.recovery import Recovery
from edge_ctc.review.reviewed import ReviewedCell

SCHEMA_VERSION = 1

_MOST_CELLS = 20
_SOURCE = "kappa: Cohen 1960; interval: large-sample standard error of Fleiss, Cohen and Everitt 1969"


def print_imported(imported: Imported) -> None:
    """What came, and what is still to be read."""
    known = f", {imported.known} there already" if imported.known else ""
    nothing = "nothing new: " if not imported.added else ""
    say(f"{imported.file}: {nothing}{counted(imported.added, 'reading')} by {imported.reader} added{known}")
    if imported.left_out:
        say(f"    left out, read on other images than were called: {_listed(imported.left_out)}")
    if imported.is_called_again:
        say("    the run was called again since the page was made, of the same images: verdicts may be others now")
    say(f"{imported.path}: without a grade yet: {counted(imported.ungraded, 'cell')} among CTC and REVIEW")


def print_json_imported(imported: Sequence[Imported], exit_code: int, error: str = "") -> None:
    """One JSON document of every file that was imported, and why the next was not."""
    files = [asdict(one) | {"file": str(one.file), "path": str(one.path)} for one in imported]
    _print({"exit_code": exit_code, "imported": files} | ({"error": error} if error else {}))


def print_agreement(agreement: Agreement) -> None:
    """A line for each pair, each reader's REVIEW cells, and the cells on which not all agree."""
    readers = ", ".join(agreement.readers) or "nobody"
    graded = counted(agreement.graded, "cell")
    say(f"{agreement.run_id}: {graded} graded by {readers}; 3 and 4 count as CTC, 1 and 2 as not")
    for pair in agreement.pairs:
        say(f"{pair.first} and {pair.second}: {_told(pair.every)}")
        if pair.blind.cells:
            say(f"    of these blind: {_told(pair.blind)}")
    for one in agreement.of_review:
        say(f"{one.reader}: of {counted(one.ctc + one.other, 'REVIEW cell')} {one.ctc} CTC, {one.other} not")
    if agreement.pairs:
        say(_SOURCE)
    say(f"{counted(len(agreement.disagreements), 'cell')} on which not all agree")
    for cell in agreement.disagreements:
        grades = ", ".join(f"{reader} {grade}" for reader, grade in cell.grades)
        score = "none" if cell.score is None else f"{cell.score:.2f}"
        say(f"    {cell.cell_id}: {grades}; {cell.verdict}, score {score}")
    _say_stale(agreement.stale)


def _told(table: Table) -> str:
    if table.agreed is None:
        return "no cell that both graded"
    return f"{counted(table.cells, 'cell')}, {100 * table.agreed:.1f} % agree, {_kappa(table)}"


def _kappa(table: Table) -> str:
    kappa = table.kappa
    if kappa is None:
        return "kappa not defined: both say the same of every cell"
    if kappa.low is None or kappa.high is None:
        why = "they never disagree" if kappa.value else "one of them says the same of every cell"
        return f"kappa {kappa.value:.2f}, no interval: {why}"
    return f"kappa {kappa.value:.2f} (95 % {kappa.low:.2f} to {kappa.high:.2f})"


def print_json_agreement(agreement: Agreement) -> None:
    """One JSON document on standard output."""
    _print(
        {
            "exit_code": 0,
            "run_id": agreement.run_id,
            "readers": agreement.readers,
            "graded": agreement.graded,
            "ctc_from_grade": 3,
            "pairs": [_json_pair(pair) for pair in agreement.pairs],
            "of_review": [asdict(one) for one in agreement.of_review],
            "disagreements": [_json_disagreement(cell) for cell in agreement.disagreements],
            "stale": agreement.stale,
        }
    )


def _json_pair(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "every": _json_table(pair.every),
        "blind": _json_table(pair.blind),
    }


def _json_table(table: Table) -> dict[str, Any]:
    kappa = table.kappa
    figures = {"cells": table.cells, "agreed": table.agreed, "kappa": None if kappa is None else asdict(kappa)}
    return figures | asdict(table)


def _json_disagreement(cell: Disagreement) -> dict[str, Any]:
    return asdict(cell) | {"grades": dict(cell.grades)}


def print_labels(path: Path, labels: LabelsMade) -> None:
    """What became a label, and what did not."""
    rows, cells = counted(len(labels.rows), "label"), counted(labels.cells, "cell")
    say(f"{path}: {rows} of {cells}; {labels.conflicts} labelled differently by readers")
    if labels.sighted:
        say(f"    not read blind: {counted(labels.sighted, 'label')}, which may echo the machine's verdict")
    left_out = {
        "marked debris": labels.debris,
        "graded 2 or 3": labels.unsure,
        "read on other images than were called": labels.stale,
    }
    for why, number in left_out.items():
        if number:
            say(f"    {counted(number, 'cell')} left out: {why}")


def print_json_labels(path: Path, labels: LabelsMade) -> None:
    """One JSON document on standard output; the rows are in the file."""
    figures = {name: value for name, value in asdict(labels).items() if name != "rows"}
    _print({"exit_code": 0, "path": str(path), "rows": len(labels.rows)} | figures)


def print_recovery(recovery: Recovery, asked_controls: int) -> None:
    """What is on the list, what is not and why."""
    confirmed = counted(len(recovery.confirmed), "confirmed cell")
    say(f"{recovery.path}: {confirmed}{_controls(recovery, asked_controls)}")
    if not recovery.confirmed:
        say(f"    {_why_none(recovery)}; no cell is on the list by the machine's verdict alone")
    if recovery.is_partial:
        say("    the run still grows: cells may come")
    if recovery.ungraded > 0:
        say(f"    reading is not finished: nobody has graded {recovery.ungraded} of the cells called CTC or REVIEW")
    for one in recovery.left_out:
        say(f"    not confirmed: {one.cell_id}: {one.why}")
    _say_stale(recovery.stale)
    for text in recovery.flagged:
        say(f"    {text}: stands in the list exactly; a spreadsheet would take it for a formula, so open it in none")


def _controls(recovery: Recovery, asked: int) -> str:
    if not asked:
        return ""
    there_are = (
        f"; {asked} asked for, and no more were called LEUKOCYTE and graded 1 and have a size that can be measured"
    )
    fewer = there_are if len(recovery.controls) < asked else ""
    return f", {counted(len(recovery.controls), 'leukocyte')} as controls, matched in size{fewer}"


def _why_none(recovery: Recovery) -> str:
    if not recovery.read and not recovery.stale:
        return "nobody has read a cell of this run: `edge-ctc review import` brings a review"
    return "no cell that was read is graded high enough by all its readers"


def print_json_recovery(recovery: Recovery, exit_code: int) -> None:
    """One JSON document on standard output."""
    _print(
        {
            "exit_code": exit_code,
            "path": str(recovery.path),
            "run_id": recovery.run_id,
            "run_is_partial": recovery.is_partial,
            "confirmed": _ids(recovery.confirmed),
            "controls": _ids([control.cell for control in recovery.controls]),
            "left_out": [asdict(one) for one in recovery.left_out],
            "stale": recovery.stale,
            "read": recovery.read,
            "ungraded": recovery.ungraded,
            "formula_like": recovery.flagged,
        }
    )


def _ids(cells: Sequence[ReviewedCell]) -> list[str]:
    return [cell.call.cell_id for cell in cells]


def print_json_failure(error: Exception, exit_code: int) -> None:
    """One JSON document for what could not be done."""
    _print({"exit_code": exit_code, "error": str(error)})


def _listed(cells: Sequence[str]) -> str:
    return ", ".join(cells[:_MOST_CELLS]) + (", …" if len(cells) > _MOST_CELLS else "")


def _say_stale(stale: Sequence[str]) -> None:
    if stale:
        shown = _listed(stale)
        what, them = counted(len(stale), "cell"), "it" if len(stale) == 1 else "them"
        say(f"    {what} left out, read on other images than were called alone: read {them} again: {shown}")


def _print(document: dict[str, Any]) -> None:
    head = {"schema_version": SCHEMA_VERSION, "software_version": __version__}
    for line in json.dumps(head | document, indent=1).splitlines():
        say(line)
