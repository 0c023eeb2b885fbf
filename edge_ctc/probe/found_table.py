"""What a file beside the images is, as a table of the cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edge_ctc.cells import ImageFile
from edge_ctc.exports.delimited import Delimiter, Encoding
from edge_ctc.exports.table_profile import TableProfile
from edge_ctc.exports.tables import TableMatch


@dataclass(frozen=True, slots=True)
class Key:
    """A column that tells the cell of a row.

    Attributes:
        column: its header.
        how: "id", or "image" where it holds names of images.
        digits: to which ids have to be filled with leading zeros; None where they match as they are.
        matched: rows whose cell has images.
    """

    column: str
    how: str
    digits: int | None
    matched: int


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A file that may be the table of the cells.

    Attributes:
        file: the file.
        reason: why it cannot be; empty where it can.
        encoding: of text.
        delimiters: with which it can be read and as many rows are cells.
        decimals: with which as many columns are numbers; empty where none holds a number that is written as text.
        header: columns.
        rows: below the header.
        keys: columns that may tell the cell, the one with most cells first.
        cages: columns whose header speaks of a cage, a row or a column.
        features: columns of numbers, without the keys and cages.
        match: by the first key, as runs are read; None without a key, or where the reader refuses the table.
        refused: what the reader says against the table.
    """

    file: ImageFile
    reason: str
    encoding: Encoding = "utf-8"
    delimiters: tuple[Delimiter, ...] = ()
    decimals: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: int = 0
    keys: tuple[Key, ...] = ()
    cages: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    match: TableMatch | None = None
    refused: str = ""

    @property
    def best_keys(self) -> tuple[Key, ...]:
        """Those that tell as many cells as the first."""
        return tuple(key for key in self.keys if key.matched == self.keys[0].matched)

    def declared(self, key: Key, decimal: str, features: Sequence[str]) -> TableProfile:
        """The part of a profile that says so much."""
        return TableProfile.model_validate(
            {
                "file": "table" + PurePosixPath(self.file.name).suffix.lower(),
                "encoding": self.encoding,
                "delimiter": self.delimiters[0] if self.delimiters else ",",
                "decimal": decimal,
                ("image" if key.how == "image" else "cell_id"): key.column,
                "cell_id_digits": key.digits,
                "features": tuple(features),
                "rows": "any-cells",
            }
        )
