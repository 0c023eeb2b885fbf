"""`<run>.recovery.csv`: the cells that people confirmed, for the instrument to recover."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

from edge_ctc import durable
from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, RunUnreadableError
from edge_ctc.results.calls import Call, formula_safe
from edge_ctc.results.commit import ResultPlace, utc_now
from edge_ctc.results.manifest import Manifest
from edge_ctc.review.hold import sole_reviewer
from edge_ctc.review.regular import read_regular
from edge_ctc.review.reviewed import CTC_FROM, ReviewedCell, reviewed_run

DEFINITE = 4
COLUMNS = (
    *("cell_id", "cage_row", "cage_col", "role", "matched_to", "lowest_grade", "readers", "verdict", "rank"),
    *("run_id", "made_at_utc", "intended_use"),
)
Role = Literal["confirmed", "control"]
Sizes = Callable[[Call], float | None]
"""The diameter of a cell in pixels; None where the images that were called are not there, or show no cell."""

_OF_CANDIDATES = (Verdict.CTC, Verdict.REVIEW)
_MAX_BYTES = 1 << 26
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        least_grade: of every reader: 3, or 4 where "most likely" is not enough.
        controls: how many leukocytes at most.
    """

    least_grade: int = CTC_FROM
    controls: int = 0


@dataclass(frozen=True, slots=True)
class Control:
    """A leukocyte, and the confirmed cell whose size it has."""

    cell: ReviewedCell
    matched_to: ReviewedCell


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that a reader graded 3 or 4 and that is not confirmed, and why."""

    cell_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the recovery list holds.

    Attributes:
        path: of the list.
        run_id: of the run.
        is_partial: the run still grows.
        confirmed: cells, by rank.
        controls: leukocytes, in the order in which they were matched.
        left_out: cells that somebody took for a CTC.
        stale: cells whose readings do not count, since all were of other images than were called.
        read: cells that somebody read.
        ungraded: cells that the machine calls CTC or REVIEW and that nobody graded.
        flagged: ids and cage positions that a spreadsheet would take for a formula; they stand in the list as they are.
    """

    path: Path
    run_id: str
    is_partial: bool
    confirmed: tuple[ReviewedCell, ...]
    controls: tuple[Control, ...]
    left_out: tuple[LeftOut, ...]
    stale: tuple[str, ...]
    read: int
    ungraded: int
    flagged: tuple[str, ...]


def recovery_path(place: ResultPlace) -> Path:
    """`<run>.recovery.csv`."""
    return place.folder / f"{place.run_id}.recovery.csv"


def write_recovery(place: ResultPlace, wanted: Wanted, sizes: Sizes) -> Recovery:
    """Write the list; no cell is on it by the machine's verdict alone.

    A cell is confirmed where at least one reader graded it, every reader's last grade is `wanted.least_grade` or more,
    and no last reading marks debris or doubt. A control is a cell that the machine calls LEUKOCYTE and all its readers
    grade 1, without such a mark. Controls are matched in size: round by round, each confirmed cell gets the one that is
    nearest in diameter and not taken yet. A cell without a size is matched to none.

    Args:
        place: of the calls.
        wanted: what is asked for.
        sizes: asked only where controls are wanted.

    Raises:
        NotARunError: the run has no committed calls.
        DataError: the readings were changed, or a file stands in the list's place that is none.
        RunError: something cannot be read, or the list cannot be written.
    """
    path = recovery_path(place)
    run = reviewed_run(place)
    confirmed = tuple(cell for cell in run.current if not _against(cell, wanted.least_grade))
    controls = _matched(confirmed, [cell for cell in run.current if _is_control(cell)], wanted.controls, sizes)
    with sole_reviewer(place):
        durable.mend(path)
        _check_ours(path)
        durable.write_bytes(path, _table(confirmed, controls))
    return Recovery(
        path=path,
        run_id=run.manifest.run_id,
        is_partial=run.manifest.run_state == "partial",
        confirmed=confirmed,
        controls=controls,
        left_out=_left_out(run.current, wanted.least_grade),
        stale=run.stale,
        read=len(run.cells),
        ungraded=_candidates(run.manifest) - sum(bool(cell.grades) for cell in run.cells if _is_candidate(cell)),
        flagged=_flagged((*confirmed, *(control.cell for control in controls))),
    )


def _against(cell: ReviewedCell, least_grade: int) -> str:
    """Why the cell is not confirmed; empty where it is."""
    if not cell.grades:
        return "nobody graded it"
    marked = [f"{one.reader} marks {mark}" for one in cell.readings for mark in one.marks if mark != "cluster"]
    below = [one for one in cell.readings if one.grade is not None and one.grade < least_grade]
    return "; ".join([*(f"{one.reader} grades {one.grade}" for one in below), *marked])


def _candidates(manifest: Manifest) -> int:
    return sum(manifest.verdicts.get(verdict.value, 0) for verdict in _OF_CANDIDATES)


def _is_candidate(cell: ReviewedCell) -> bool:
    return cell.call.verdict in _OF_CANDIDATES


def _is_control(cell: ReviewedCell) -> bool:
    is_marked = any(mark != "cluster" for one in cell.readings for mark in one.marks)
    return cell.call.verdict is Verdict.LEUKOCYTE and set(cell.grades) == {1} and not is_marked


def _matched(
    confirmed: Sequence[ReviewedCell], leukocytes: Sequence[ReviewedCell], wanted: int, sizes: Sizes
) -> tuple[Control, ...]:
    if not wanted or not confirmed:
        return ()
    free = [(size, cell) for cell in leukocytes if (size := sizes(cell.call)) is not None]
    sized = [(size, cell) for cell in confirmed if (size := sizes(cell.call)) is not None]
    controls: list[Control] = []
    for size, cell in islice(cycle(sized), min(wanted, len(free))):
        nearest = min(range(len(free)), key=lambda place: abs(free[place][0] - size))
        controls.append(Control(free.pop(nearest)[1], cell))
    return tuple(controls)


def _left_out(cells: Iterable[ReviewedCell], least_grade: int) -> tuple[LeftOut, ...]:
    taken = (cell for cell in cells if max(cell.grades, default=0) >= CTC_FROM)
    reasons = ((cell, _against(cell, least_grade)) for cell in taken)
    return tuple(LeftOut(cell.call.cell_id, why) for cell, why in reasons if why)


def _check_ours(path: Path) -> None:
    try:
        content = read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunUnreadableError(f"{path}: cannot be read ({error.strerror}); mend the disk or rights") from error
    if not content.startswith(f"{','.join(COLUMNS)}\r\n".encode()):
        raise DataError(f"{path}: is no recovery list of edge-ctc, and is not overwritten; move it away")


def _table(confirmed: Sequence[ReviewedCell], controls: Sequence[Control]) -> bytes:
    made_at = utc_now()
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_row(cell, "confirmed", "", made_at) for cell in confirmed)
    writer.writerows(_row(one.cell, "control", one.matched_to.call.cell_id, made_at) for one in controls)
    return text.getvalue().encode()


def _row(cell: ReviewedCell, role: Role, matched_to: str, made_at: str) -> list[str | int | None]:
    call = cell.call
    readers = "|".join(reading.reader for reading in cell.readings if reading.grade is not None)
    return [
        # What the instrument is asked for must be what it wrote: these three are exact, whatever they begin with.
        call.cell_id,
        call.cage_row,
        call.cage_col,
        role,
        matched_to,
        min(cell.grades),
        formula_safe(readers),
        call.verdict.value,
        cell.rank,
        formula_safe(call.run_id),
        made_at,
        formula_safe(call.intended_use),
    ]


def _flagged(cells: Iterable[ReviewedCell]) -> tuple[str, ...]:
    texts = (text for cell in cells for text in (cell.call.cell_id, cell.call.cage_row, cell.call.cage_col))
    return tuple(text for text in texts if text.startswith(_FORMULA_STARTS))
