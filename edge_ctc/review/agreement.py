"""How far readers agree with each other and with the machine."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_ctc.cells import Verdict
from edge_ctc.results.commit import ResultPlace
from edge_ctc.review.kappa import Kappa, cohens_kappa
from edge_ctc.review.readings import Reading
from edge_ctc.review.reviewed import ReviewedCell, reviewed_run, says_ctc

MACHINE = "the machine"
_SIDES = {Verdict.CTC: True, Verdict.LEUKOCYTE: False}


@dataclass(frozen=True, slots=True)
class Table:
    """Cells that two graded, by what each of them said.

    Attributes:
        both_ctc: CTC by both.
        first_alone: CTC by the first alone.
        second_alone: CTC by the second alone.
        neither: by none.
    """

    both_ctc: int
    first_alone: int
    second_alone: int
    neither: int

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.both_ctc + self.first_alone + self.second_alone + self.neither

    @property
    def agreed(self) -> float | None:
        """Share of cells 0..1 on which both say the same; None without a cell."""
        return (self.both_ctc + self.neither) / self.cells if self.cells else None

    @property
    def kappa(self) -> Kappa | None:
        """Cohen's kappa; None where it is not defined."""
        return cohens_kappa([[self.both_ctc, self.first_alone], [self.second_alone, self.neither]])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two readers, or a reader and the machine.

    Attributes:
        first: a reader.
        second: another reader, or `MACHINE`.
        every: all cells that both graded; of the machine's those called CTC or LEUKOCYTE.
        blind: those of them of which every reading was blind.
    """

    first: str
    second: str
    every: Table
    blind: Table


@dataclass(frozen=True, slots=True)
class OfReview:
    """What one reader made of the cells that the machine left to people.

    Attributes:
        reader: who.
        ctc: REVIEW cells graded 3 or 4.
        other: REVIEW cells graded 1 or 2.
    """

    reader: str
    ctc: int
    other: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A cell of which not all say the same.

    Attributes:
        cell_id: as in the calls.
        grades: of each reader who gave one.
        verdict: the machine's; it takes a side where it is CTC or LEUKOCYTE.
        score: its logit; None where it is not evaluable.
    """

    cell_id: str
    grades: tuple[tuple[str, int], ...]
    verdict: Verdict
    score: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far all agree.

    Attributes:
        run_id: of the run.
        readers: who graded a cell.
        graded: cells with a grade.
        pairs: each two readers, then each reader and the machine.
        of_review: for each reader.
        disagreements: in the order of the calls.
        stale: cells left out, since all of their readings were of other images than were called.
    """

    run_id: str
    readers: tuple[str, ...]
    graded: int
    pairs: tuple[Pair, ...]
    of_review: tuple[OfReview, ...]
    disagreements: tuple[Disagreement, ...]
    stale: tuple[str, ...]


def agreement(place: ResultPlace) -> Agreement:
    """Compare the last grades of all readers of a run, and the verdicts. Raises as `reviewed_run`."""
    run = reviewed_run(place)
    cells = [cell for cell in run.current if cell.grades]
    graded = [{one.reader: one for one in cell.readings if one.grade is not None} for cell in cells]
    readers = tuple(sorted({reader for of_cell in graded for reader in of_cell}))
    sides = [_SIDES.get(cell.call.verdict) for cell in cells]
    pairs = [_of_readers(first, second, graded) for first, second in itertools.combinations(readers, 2)]
    pairs += [_with_machine(reader, graded, sides) for reader in readers]
    return Agreement(
        run_id=run.manifest.run_id,
        readers=readers,
        graded=len(cells),
        pairs=tuple(pairs),
        of_review=tuple(_of_review(reader, cells) for reader in readers),
        disagreements=tuple(_disagreement(cell) for cell in cells if _differ(cell)),
        stale=run.stale,
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """Of one cell: whether the first and the second said CTC, and whether it was read blind."""

    first: bool
    second: bool
    blind: bool


def _of_readers(first: str, second: str, graded: Sequence[dict[str, Reading]]) -> Pair:
    both = [(of_cell[first], of_cell[second]) for of_cell in graded if first in of_cell and second in of_cell]
    return _pair(first, second, [_Said(_ctc(one), _ctc(other), one.blind and other.blind) for one, other in both])


def _with_machine(reader: str, graded: Sequence[dict[str, Reading]], sides: Sequence[bool | None]) -> Pair:
    both = [
        (of_cell[reader], side)
        for of_cell, side in zip(graded, sides, strict=True)
        if reader in of_cell and side is not None
    ]
    return _pair(reader, MACHINE, [_Said(_ctc(one), side, one.blind) for one, side in both])


def _pair(first: str, second: str, said: Sequence[_Said]) -> Pair:
    return Pair(first, second, _table(said), _table([one for one in said if one.blind]))


def _table(said: Iterable[_Said]) -> Table:
    answers = [(one.first, one.second) for one in said]
    return Table(*(answers.count(of_two) for of_two in ((True, True), (True, False), (False, True), (False, False))))


def _ctc(reading: Reading) -> bool:
    return reading.grade is not None and says_ctc(reading.grade)


def _of_review(reader: str, cells: Sequence[ReviewedCell]) -> OfReview:
    said = [
        _ctc(reading)
        for cell in cells
        if cell.call.verdict is Verdict.REVIEW
        for reading in cell.readings
        if reading.reader == reader and reading.grade is not None
    ]
    return OfReview(reader, sum(said), len(said) - sum(said))


def _differ(cell: ReviewedCell) -> bool:
    said = {says_ctc(grade) for grade in cell.grades}
    return len(said | {_SIDES[cell.call.verdict]} if cell.call.verdict in _SIDES else said) > 1


def _disagreement(cell: ReviewedCell) -> Disagreement:
    grades = tuple((one.reader, one.grade) for one in cell.readings if one.grade is not None)
    return Disagreement(cell.call.cell_id, grades, cell.call.verdict, cell.call.score)
