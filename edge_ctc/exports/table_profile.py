"""The `[table]` part of a profile: how the table beside a run's cells is written."""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from edge_ctc.exports.delimited import Delimiter, Encoding
from edge_ctc.toml_file import StrictModel

_SUFFIXES = (".csv", ".txt", ".tsv", ".xlsx")


def _is_header(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError(f"column {text!r}: expected a name without blanks around it, as headers are compared")
    return text


Header = Annotated[str, AfterValidator(_is_header)]


class TableProfile(StrictModel):
    """The `[table]` part of a profile.

    Attributes:
        file: name below the run, or a glob (`*`) that one file meets: .csv, .txt, .tsv or .xlsx.
        presence: whether a run without the table is a fault.
        encoding: of text; utf-8 takes a byte order mark if there is one, utf-16 wants one.
        delimiter: of text, between fields.
        decimal: of numbers that are written as text; thousands are never separated.
        sheet: of XLSX; None is the only one.
        cell_id: header of the column that holds the id of a row's cell; or
        image: header of the column that holds the name of one of its images. One of the two is set.
        cell_id_digits: an id of nothing but digits is filled with leading zeros, which Excel takes away, to so many.
        cage_row: header, or None where the table has no such column.
        cage_col: header, as `cage_row`.
        features: headers of columns with numbers that the instrument measured.
        rows: whether every row is a cell that must have images, so that their count is the expected one.
    """

    file: str
    presence: Literal["optional", "required"] = "optional"
    encoding: Encoding = "utf-8"
    delimiter: Delimiter = ","
    decimal: Literal[".", ","] = "."
    sheet: Annotated[str, Field(min_length=1)] | None = None
    cell_id: Header | None = None
    image: Header | None = None
    cell_id_digits: Annotated[int, Field(ge=1, le=32)] | None = None
    cage_row: Header | None = None
    cage_col: Header | None = None
    features: tuple[Header, ...] = ()
    rows: Literal["cells-with-images", "any-cells"] = "cells-with-images"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        path = PurePosixPath(self.file)
        if path.suffix.lower() not in _SUFFIXES or path.is_absolute() or ".." in path.parts or "\\" in self.file:
            raise ValueError(f"file {self.file!r}: expected a path below the run ending in {' or '.join(_SUFFIXES)}")
        if (self.cell_id is None) == (self.image is None):
            raise ValueError("cell_id, image: expected one of the two, the column that tells a row's cell")
        if self.cell_id_digits is not None and self.cell_id is None:
            raise ValueError("cell_id_digits: expected only beside cell_id")
        if self.sheet is not None and path.suffix.lower() != ".xlsx":
            raise ValueError(f"sheet {self.sheet!r}: expected only for .xlsx, file is {self.file!r}")
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features {self.features}: each column is wanted once")
        return self
