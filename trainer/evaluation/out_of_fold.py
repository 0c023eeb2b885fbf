"""The out-of-fold table: every labelled cell as scored by networks that never saw its patient."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_ctc.cells import Verdict
from edge_ctc.durable import write_bytes
from edge_ctc.errors import DataError
from trainer.cells.labels import CLASSES

COLUMNS = (
    "seed",
    "fold",
    "run_id",
    "cell_id",
    "patient",
    "label",
    "logit",
    "p_ctc",
    "verdict",
    "learned_share",
)

_VERDICTS = tuple(verdict.value for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """One row per seed and labelled cell, in the order of seed, run_id, cell_id.

    Attributes:
        seed: int64 (N,), the repetition.
        fold: int64 (N,), the fold in which the cell was held out.
        run_id: str (N,).
        cell_id: str (N,).
        patient: str (N,).
        is_ctc: bool (N,), what a person said.
        logit: float32 (N,), finite; NaN where the cell could not be evaluated.
        p_ctc: float64 (N,), 0 to 1; NaN where there is no logit, or the fold has no calibration.
        verdict: str (N,), by the cuts of the fold's validation patients.
        learned_share: float64 (N,), share of CTCs among the cells that the fold's network learned
            from, over 0, under 1.
    """

    seed: NDArray[np.int64]
    fold: NDArray[np.int64]
    run_id: NDArray[np.str_]
    cell_id: NDArray[np.str_]
    patient: NDArray[np.str_]
    is_ctc: NDArray[np.bool_]
    logit: NDArray[np.float32]
    p_ctc: NDArray[np.float64]
    verdict: NDArray[np.str_]
    learned_share: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self._columns()}
        if len(lengths) != 1 or lengths == {0}:
            raise DataError(
                f"out-of-fold table: columns of {sorted(lengths)} rows; expected one row or more, all alike"
            )
        for fault, wrong in self._faults():
            if wrong.any():
                row = int(wrong.argmax())
                raise DataError(
                    f"out-of-fold table: seed {self.seed[row]}, cell {self.cell_id[row]} of run {self.run_id[row]}: "
                    f"{fault}; evaluate anew"
                )
        self._check_cells()

    @property
    def evaluable(self) -> NDArray[np.bool_]:
        """Bool (N,), the cells that have a score."""
        return ~np.isnan(self.logit)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed once, rising."""
        return tuple(np.unique(self.seed).tolist())

    def of_seed(self, seed: int) -> Self:
        """The rows of one repetition: every cell once."""
        return self._taken(self.seed == seed)

    def of_fold(self, fold: int) -> Self:
        """The rows of the cells that were held out in one fold: within a seed, those that one network scored."""
        return self._taken(self.fold == fold)

    def to_csv(self) -> bytes:
        """UTF-8 CSV with `COLUMNS`; no figure loses a digit."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        label = np.array(CLASSES)[self.is_ctc.astype(np.int64)]
        columns = (self.seed, self.fold, self.run_id, self.cell_id, self.patient, label)
        figures = (_written(self.logit), _written(self.p_ctc), self.verdict, _written(self.learned_share))
        writer.writerows(zip(*columns, *figures, strict=True))
        return text.getvalue().encode()

    def write(self, path: Path) -> None:
        """Let the table appear at `path`. Raises ResultsError where it cannot be written."""
        write_bytes(path, self.to_csv())

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[Any]]) -> Self:
        """The table of rows with the values of `COLUMNS`, in any order of rows.

        Raises:
            DataError: a value is of another kind, or a row contradicts another.
        """
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
        seed, fold, run_id, cell_id, patient, label, logit, p_ctc, verdict, share = columns
        if strange := sorted(set(label).difference(CLASSES)):
            raise DataError(f"out-of-fold table: labels {strange}, expected {' or '.join(CLASSES)}; evaluate anew")
        try:
            table = cls(
                seed=np.array(seed, np.int64),
                fold=np.array(fold, np.int64),
                run_id=np.array(run_id, np.str_),
                cell_id=np.array(cell_id, np.str_),
                patient=np.array(patient, np.str_),
                is_ctc=np.array([one == Verdict.CTC for one in label], np.bool_),
                logit=np.array(_read(logit), np.float32),
                p_ctc=np.array(_read(p_ctc), np.float64),
                verdict=np.array(verdict, np.str_),
                learned_share=np.array(_read(share), np.float64),
            )
        except ValueError as error:
            raise DataError(f"out-of-fold table: {error}; evaluate anew") from error
        return table._taken(np.lexsort((table.cell_id, table.run_id, table.seed)))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The table in CSV `content`. Raises as `of_rows`."""
        try:
            header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        except (UnicodeDecodeError, ValueError, csv.Error) as error:
            raise DataError(f"out-of-fold table: no CSV ({error}); evaluate anew") from error
        if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
            raise DataError(f"out-of-fold table: columns {header}, expected {','.join(COLUMNS)} in every row")
        return cls.of_rows(rows)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The table in the file `path`.

        Raises:
            DataError: it cannot be read, or as `of_rows`.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); name an out_of_fold.csv") from error
        try:
            return cls.parse(content)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def _columns(self) -> Iterable[NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]

    def _taken(self, rows: NDArray[Any]) -> Self:
        return type(self)(*(column[rows] for column in self._columns()))

    def _faults(self) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
        unscored = np.isnan(self.logit)
        with np.errstate(invalid="ignore"):
            no_probability = (self.p_ctc < 0) | (self.p_ctc > 1)
        return (
            ("a logit that is not finite", np.isinf(self.logit)),
            (f"a verdict other than {', '.join(_VERDICTS)}", ~np.isin(self.verdict, _VERDICTS)),
            ("NOT_EVALUABLE with a logit, or none without", unscored != (self.verdict == Verdict.NOT_EVALUABLE)),
            ("p_ctc without a logit", unscored & ~np.isnan(self.p_ctc)),
            ("p_ctc outside 0 to 1", no_probability),
            ("learned_share outside 0 to 1", ~((self.learned_share > 0) & (self.learned_share < 1))),
        )

    def _check_cells(self) -> None:
        """Every seed has the same cells once, said to be the same, and no patient in two folds."""
        per_seed = []
        folds: dict[tuple[int, str], int] = {}
        for seed in self.seeds:
            mine = np.flatnonzero(self.seed == seed)
            per_seed.append(sorted((self.run_id[i], self.cell_id[i], self.patient[i], self.is_ctc[i]) for i in mine))
            if len({cell[:2] for cell in per_seed[-1]}) != len(mine):
                raise DataError(f"out-of-fold table: seed {seed} has a cell twice; evaluate anew")
        for seed, fold, patient in set(zip(self.seed.tolist(), self.fold.tolist(), self.patient.tolist(), strict=True)):
            if folds.setdefault((seed, patient), fold) != fold:
                raise DataError(f"out-of-fold table: seed {seed} holds patient {patient} out in two folds")
        if any(cells != per_seed[0] for cells in per_seed):
            raise DataError(
                "out-of-fold table: the seeds are not of the same cells, labels and patients; evaluate anew"
            )


def _written(column: NDArray[Any]) -> list[str]:
    """The shortest decimal of each value that reads back as itself; empty for NaN."""
    return ["" if np.isnan(value) else str(value) for value in column]


def _read(column: Iterable[Any]) -> list[float]:
    return [np.nan if value in ("", None) else float(value) for value in column]
