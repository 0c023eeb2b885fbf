import csv
import datetime as dt
import functools
import io
import itertools
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_ctc.cells import Cell, ImageFile
from edge_ctc.errors import DataError
from edge_ctc.exports.delimited import Delimiter, Encoding
from edge_ctc.exports.tables import Table, TableMatch, TableProfile, TableRow, match_table, read_table

HEADER = ("cell_id", "row", "col", "area", "mean PE")
ROWS = (("0001", "3", "12", "80.5", "1024"), ("0002", "3", "13", "", "-0.25"))


def declared(**changes: Any) -> TableProfile:
    whole = {"cell_id": "cell_id", "cage_row": "row", "cage_col": "col", "features": ("area", "mean PE")}
    return TableProfile(file="cells.csv", **(whole | changes))


def only_ids(**changes: Any) -> TableProfile:
    return declared(**({"cage_row": None, "cage_col": None, "features": ()} | changes))


BY_IMAGE = only_ids(cell_id=None, image="cell_id")


def text(rows: Sequence[Sequence[str]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    # Where lines end in LF alone, Python 3.11 would leave a CR within a field unquoted.
    quoting: Literal[0, 1] = csv.QUOTE_MINIMAL if line_end == "\r\n" else csv.QUOTE_ALL
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(rows)
    return file.getvalue()


def read(content: str | bytes, profile: TableProfile | None = None, name: str = "cells.csv") -> Table:
    return read_table(content.encode() if isinstance(content, str) else content, name, profile or declared())


def refusal(content: str | bytes, profile: TableProfile | None = None, name: str = "cells.csv") -> str:
    with pytest.raises(DataError) as refused:
        read(content, profile, name)
    assert str(refused.value).startswith(f"{name}: ")
    return str(refused.value)


def keys(table: Table) -> list[str]:
    return [row.key for row in table.rows]


def cells(*names: str) -> list[Cell]:
    """A cell per id, or per `id=path,path`."""
    found = []
    for name in names:
        cell_id, _, paths = name.partition("=")
        files = tuple(ImageFile(path, 1, 1) for path in (paths or f"Images/{cell_id}_BF.tif").split(","))
        found.append(Cell(cell_id, files, tuple(f"c{number}" for number in range(len(files)))))
    return found


def table(*given_keys: str) -> Table:
    rows = [TableRow(line, key, "", "", ()) for line, key in enumerate(given_keys, 2)]
    return Table("cells.csv", tuple(rows))


# What a profile may declare.


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cell_id": None}, "one of the two"),
        ({"image": "file"}, "one of the two"),
        ({"cell_id": " id"}, "blanks around"),
        ({"cell_id": ""}, "blanks around"),
        ({"cell_id": None, "image": "file", "cell_id_digits": 4}, "cell_id_digits"),
        ({"cell_id_digits": 0}, "cell_id_digits"),
        ({"features": ("area", "area")}, "wanted once"),
        ({"sheet": "Foglio1"}, "only for .xlsx"),
        ({"encoding": "latin-1"}, "encoding"),
        ({"file": "cells.ods"}, ".xlsx"),
        ({"file": "../cells.csv"}, "below the run"),
        ({"file": "/cells.csv"}, "below the run"),
        ({"file": "a\\cells.csv"}, "below the run"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        TableProfile(**({"file": "cells.csv", "cell_id": "cell_id"} | changes))


# Text: what is read.


def test_a_table_gives_ids_cages_and_numbers() -> None:
    found = read(text([HEADER, *ROWS]))
    assert found.rows == (
        TableRow(2, "0001", "3", "12", (80.5, 1024.0)),
        TableRow(3, "0002", "3", "13", (None, -0.25)),
    )
    assert found.name == "cells.csv"


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8", "utf-8"), ("utf-8", "utf-8-sig"), ("cp1252", "cp1252"), ("utf-16", "utf-16"), ("utf-16", "be")],
)
def test_an_italian_table_of_windows_is_read_in_each_encoding(encoding: str, codec: str) -> None:
    written = "Identità;Fila;Colonna;Area (µm²);Più\r\n0017;A;9;1,5;-2,25\r\n"
    content = b"\xfe\xff" + written.encode("utf-16-be") if codec == "be" else written.encode(codec)
    profile = TableProfile(
        file="celle.csv",
        encoding=encoding,  # type: ignore[arg-type] # declared as a profile spells it
        delimiter=";",
        decimal=",",
        cell_id="Identità",
        cage_row="Fila",
        cage_col="Colonna",
        features=("Area (µm²)", "Più"),
    )
    assert read(content, profile).rows == (TableRow(2, "0017", "A", "9", (1.5, -2.25)),)


DIALECTS = [
    declared(encoding=encoding, delimiter=delimiter, decimal=decimal)
    for encoding, delimiter, decimal in itertools.product(get_args(Encoding), get_args(Delimiter), (".", ","))
]
FIELDS = st.text(st.characters(codec="cp1252", exclude_characters="\0"), min_size=1, max_size=8)
IDS = st.lists(FIELDS.map(str.strip).filter(bool), unique_by=str.casefold, max_size=5)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    ids=IDS,
    cages=st.lists(FIELDS.map(str.strip), min_size=5, max_size=5),
    numbers=st.lists(NUMBERS, min_size=5, max_size=5),
    dialect=st.sampled_from(DIALECTS),
    line_end=st.sampled_from(["\r\n", "\n"]),
)
@settings(max_examples=150, deadline=None)
def test_what_csv_wrote_in_any_dialect_is_read_back(
    ids: list[str], cages: list[str], numbers: list[float | None], dialect: TableProfile, line_end: str
) -> None:
    expected = [(key, cage, number) for key, cage, number in zip(ids, cages, numbers, strict=False)]
    written = [(k, c, "" if n is None else repr(n).replace(".", dialect.decimal)) for k, c, n in expected]
    content = text([HEADER[:2] + HEADER[3:4], *written], dialect.delimiter, line_end).encode(dialect.encoding)
    profile = dialect.model_copy(update={"cage_col": None, "features": ("area",)})
    assert [(row.key, row.cage_row, row.features[0]) for row in read(content, profile).rows] == expected


def test_ids_are_the_text_as_written_without_blanks_around_it() -> None:
    content = 'cell_id,x\n 0007 ,1\n+7,1\n7.0,1\n=1+1,1\n"a, ""b""\nc",1\n../../etc/passwd,1\n'
    assert keys(read(content, only_ids())) == ["0007", "+7", "7.0", "=1+1", 'a, "b"\nc', "../../etc/passwd"]


def test_a_row_knows_the_line_on_which_it_starts() -> None:
    found = read('cell_id,x\n1,"a\nb\nc"\n2,d\n', only_ids())
    assert [row.line for row in found.rows] == [2, 5]


def test_ids_of_digits_are_filled_up_to_the_declared_length_and_others_are_left() -> None:
    content = "cell_id\n7\n0017\n123456\nA7\n"
    assert keys(read(content, only_ids(cell_id_digits=5))) == ["00007", "00017", "123456", "A7"]


def test_columns_are_found_by_name_wherever_they_stand_and_others_are_left() -> None:
    content = "x, area ,cell_id,x,mean PE,col,row\n!,1,0001,!,2,b,a\n"
    assert read(content).rows == (TableRow(2, "0001", "a", "b", (1.0, 2.0)),)


@pytest.mark.parametrize("end", ["", "\r\n", "\r\n\r\n\r\n", "\r\n,,,,\r\n , ,,,\r\n", "\r\n,\r\n"])
def test_blank_rows_at_the_end_are_no_rows(end: str) -> None:
    assert len(read(text([HEADER, *ROWS]).rstrip() + end).rows) == 2


def test_a_table_of_a_header_alone_has_no_rows() -> None:
    assert read(text([HEADER])).rows == ()


@pytest.mark.parametrize("number", ["1", "-1.5", "+.5", "2.", "1e3", "1E-3", "0.1"])
def test_numbers_are_read_with_either_decimal(number: str) -> None:
    for decimal in (".", ","):
        content = f'cell_id,area\n1,"{number.replace(".", decimal)}"\n'
        assert read(content, only_ids(features=("area",), decimal=decimal)).rows[0].features == (float(number),)


# Text: what is refused.


@pytest.mark.parametrize(
    ("content", "profile", "named"),
    [
        (b"cell_id\n1\n\xe82\n", only_ids(), r'byte 10 \(0xE8\) is no utf-8.*declare encoding = "cp1252"'),
        (b"cell_id\n\xe8\x81\n", only_ids(), r"byte 8 \(0xE8\) is no utf-8.*save it as CSV UTF-8"),
        (b"cell_id\n\xc3", only_ids(), r"byte 8 .*is no utf-8"),
        (b"cell_id\n\x81\n", only_ids(encoding="cp1252"), r"byte 8 \(0x81\) is no cp1252"),
        ("cell_id\n\u0301 \u0141\n".encode(), only_ids(encoding="cp1252"), r'byte 9 .*declare encoding = "utf-8"'),
        ("cell_id\n1\n".encode("utf-16"), only_ids(), r'mark of UTF-16.*declare encoding = "utf-16"'),
        ("cell_id\n1\n".encode("utf-16"), only_ids(encoding="cp1252"), r'declare encoding = "utf-16"'),
        ("cell_id\n1\n".encode("utf-8-sig"), only_ids(encoding="cp1252"), r'declare encoding = "utf-8"'),
        ("cell_id\n1\n".encode("utf-8-sig"), only_ids(encoding="utf-16"), r'declare encoding = "utf-8"'),
        (b"cell_id\n1\n", only_ids(encoding="utf-16"), r'without the mark of UTF-16.*declare encoding = "utf-8"'),
        (b"\xff\xfec\0e", only_ids(encoding="utf-16"), r"is no utf-16|no column"),
        (b"\xff\xfec\0\x00\xd8", only_ids(encoding="utf-16"), r"byte 4 .*is no utf-16"),
        (b"cell_id\n1\n\n\0", only_ids(), r"line 4 holds a NUL"),
        ("cell_id\n1\n".encode("utf-16-le"), only_ids(), r"line 1 holds a NUL"),
    ],
)
def test_another_encoding_than_declared_is_refused_with_what_to_declare(
    content: bytes, profile: TableProfile, named: str
) -> None:
    message = refusal(content, profile)
    with pytest.raises(DataError, match=named):
        raise DataError(message)


def test_a_fault_far_into_a_table_is_named_by_its_byte() -> None:
    content = b"cell_id\n" + b"".join(b"%06d\n" % number for number in range(20_000))
    at = 70_001
    assert f"byte {at} (0xFF)" in refusal(content[:at] + b"\xff" + content[at + 1 :], only_ids())


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('cell_id\n1\n"2\n3\n', "line 3: not valid CSV"),
        ('cell_id\n"1"2\n', "line 2: not valid CSV"),
        ("cell_id\n" + "x" * 40_000, "line 2: a field of over 32767"),
        ('cell_id\n"' + "x\n" * 100_000, "line 2"),
        ("cell_id\n" + "x" * 1_100_000, "a line of over"),
        (",".join(["cell_id"] * 300), "300 columns"),
        ("cell_id,a\n1,2\n3\n", "line 3: 1 fields, expected 2"),
        ("cell_id,a\n1,2,\n", "line 2: 3 fields, expected 2"),
        ("cell_id,a\n1,2\n,\n\n3,4\n", "line 5: a row after the blank line 3"),
        ("cell_id,a\n1,2\n ,3\n", "line 3: column 'cell_id' is blank"),
        ("cell_id\n1\n2\n1\n", "line 4: '1' stands in line 2 too"),
        ("cell_id\nAb\naB\n", "line 3: 'aB' stands in line 2 too"),
        ("cell_id,cell_id\n1,2\n", "2 columns 'cell_id', expected one"),
        ("", "found no columns"),
        ("\ncell_id\n", "found no columns"),
        ("Cell_ID,other\n", "did you mean 'Cell_ID'?"),
        ("other,more\n", "no column 'cell_id'; found 'other', 'more'"),
        ("cell_id;a\n1;2\n", "declare delimiter = ';'"),
        ("cell_id\ta\n1\t2\n", "declare delimiter = '\\t'"),
    ],
)
def test_a_table_of_another_shape_is_refused(content: str, named: str) -> None:
    assert named in refusal(content, only_ids())


def test_filled_up_ids_that_meet_are_refused() -> None:
    assert "line 3: '0007' stands in line 2 too" in refusal("cell_id\n007\n7\n", only_ids(cell_id_digits=4))


def test_image_names_that_differ_in_slashes_and_case_are_one() -> None:
    assert "line 3" in refusal("cell_id\nImages/a.tif\nimages\\A.TIF\n", BY_IMAGE)


@pytest.mark.parametrize(
    ("number", "decimal"),
    [
        *itertools.product(["1.234,5", "1,234.5", "1 000", "1'000", "nan", "inf", "-", "1_0", "0x1", "1e999"], ".,"),
        ("1,5", "."),
        ("1.5", ","),
        ("1.234", ","),
        ("\u0661", "."),
    ],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused_with_its_line(number: str, decimal: str) -> None:
    message = refusal(f'cell_id,area\n1,2\n3,"{number}"\n', only_ids(features=("area",), decimal=decimal))
    assert f"line 3: column 'area': found {number!r}" in message


def test_more_numbers_than_any_run_has_are_refused() -> None:
    header = [f"f{number}" for number in range(250)]
    content = text([["cell_id", *header], *([str(number)] + ["1"] * 250 for number in range(8001))])
    assert "line 8002: over 2000000 numbers" in refusal(content, only_ids(features=tuple(header)))


def test_a_hostile_text_is_cut_and_escaped_in_messages() -> None:
    message = refusal("cell_id,area\n1," + "\x1b[31m" * 5000 + "\n", only_ids(features=("area",)))
    assert message.isprintable()
    assert len(message) < 400


MEASURED = """
import re, sys, time
from edge_ctc.errors import DataError
from edge_ctc.exports.tables import TableProfile, read_table
def used():
    return int(re.search("VmHWM: +([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))[1]) / 1024
content = open(sys.argv[1], "rb").read()
before, start = used(), time.process_time()
try:
    read_table(content, sys.argv[1], TableProfile(file="cells.csv", cell_id="cell_id"))
except DataError as error:
    print(time.process_time() - start, used() - before, error)
"""


def measured(content: bytes, path: Path) -> tuple[float, float, str]:
    """Seconds of the processor, MiB beside the file's own, and the refusal."""
    path.write_bytes(content)
    told = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True).stdout
    seconds, mebibytes, message = told.split(" ", 2)
    return float(seconds), float(mebibytes), message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (lambda: b"cell_id\n" + b"".join(b"%d\n" % number for number in range(10**6)), "over 100000 rows"),
        (lambda: b"cell_id\n" + b"\n" * (10 << 20), "over 100000 rows, blank ones included"),
        (lambda: b"cell_id\n" + b"1\n" * (17 << 20), "expected at most 33554432"),
        (lambda: b"cell_id\n" + '"😀\n'.encode() * (4 << 20), "line 2"),
        (lambda: b"cell_id\n" + "😀".encode() * (7 << 20), "a line of over"),
        (lambda: b"," * (32 << 20), "a line of over"),
    ],
    ids=["rows", "blank rows", "bytes", "a quote that stays open", "one line", "one row of commas"],
)
def test_a_huge_text_is_refused_at_once_and_in_little_memory(
    tmp_path: Path, content: Callable[[], bytes], named: str
) -> None:
    seconds, mebibytes, message = measured(content(), tmp_path / "cells.csv")
    assert named in message
    assert (seconds < 2, mebibytes < 100) == (True, True), (seconds, mebibytes)


# Anything at all is a table or a DataError.


def read_or_refuse(content: bytes, profile: TableProfile, name: str = "cells.csv") -> None:
    try:
        found = read_table(content, name, profile)
    except DataError as error:
        assert str(error).startswith(f"{name}: ")  # noqa: PT017 - either outcome is right
    else:
        assert all(row.key and row.key == row.key.strip() for row in found.rows)


@given(st.binary(max_size=200), st.sampled_from(DIALECTS))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_a_table_or_a_refusal(content: bytes, profile: TableProfile) -> None:
    read_or_refuse(content, profile)


@given(st.data(), st.sampled_from(DIALECTS))
@settings(max_examples=300, deadline=None)
def test_a_spoilt_table_is_a_table_or_a_refusal(data: st.DataObject, profile: TableProfile) -> None:
    content = text([HEADER, *ROWS], profile.delimiter).replace(".", profile.decimal).encode(profile.encoding)
    read_or_refuse(mutated(data, content), profile)


def mutated(data: st.DataObject, content: bytes) -> bytes:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 8)))
        content = (
            content[:start] + data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"\n", b"\0"])) + content[end:]
        )
    return content


# XLSX.


def workbook(rows: Sequence[Sequence[object]], sheets: Sequence[str] = ("Foglio1",)) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(
    content: bytes, change: Callable[[str, bytes], bytes | None], added: Mapping[str, str] | None = None
) -> bytes:
    """The workbook with other parts; None drops one."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            part = change(entry.filename, old.read(entry))
            if part is not None:
                new.writestr(entry.filename, part)
        for name, xml in (added or {}).items():
            new.writestr(name, xml)
    return file.getvalue()


def with_texts(content: bytes, xml: str) -> bytes:
    """The workbook with shared texts, as Excel writes them and openpyxl does not."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    related = f'<Relationship Type="{kind}" Target="sharedStrings.xml" Id="rId9"/></Relationships>'.encode()
    return changed(
        content,
        lambda name, part: part.replace(b"</Relationships>", related) if name.endswith("workbook.xml.rels") else part,
        {"xl/sharedStrings.xml": xml},
    )


def with_sheet(xml: str) -> bytes:
    """A workbook whose sheet has these rows in XML."""
    whole = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{xml}</worksheet>'
    return changed(workbook([HEADER]), lambda name, part: whole.encode() if "sheet1.xml" in name else part)


def rows_of(*rows: str) -> str:
    return "<sheetData>" + "".join(f"<row>{row}</row>" for row in rows) + "</sheetData>"


def inline(value: str) -> str:
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


CELL_ID = inline("cell_id")
read_xlsx = functools.partial(read, name="cells.xlsx")
refusal_of_xlsx = functools.partial(refusal, name="cells.xlsx")


def test_a_workbook_gives_the_same_as_the_text() -> None:
    rows = [HEADER, ("0001", 3, 12, 80.5, 1024), (2, "3", 13.0, None, "-0.25")]
    assert read_xlsx(workbook(rows), declared(cell_id_digits=4)).rows == read(text([HEADER, *ROWS])).rows


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8).filter(
                lambda value: value.strip() == value and not value.startswith("=") and "_x" not in value
            ),
            st.none() | st.integers(-(10**6), 10**6).map(lambda number: number / 1000),
        ),
        unique_by=lambda row: row[0].casefold(),
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_what_openpyxl_wrote_is_read_back(rows: list[tuple[str, float | None]]) -> None:
    found = read_xlsx(workbook([("cell_id", "n"), *rows]), only_ids(features=("n",)))
    assert [(row.key, row.features[0]) for row in found.rows] == rows


def test_a_cached_value_stands_for_its_formula() -> None:
    row = '<c t="str"><f>CONCAT("0","7")</f><v>07</v></c>'
    assert keys(read_xlsx(with_sheet(rows_of(CELL_ID, row)), only_ids())) == ["07"]
    assert "a formula without a value" in refusal_of_xlsx(workbook([("cell_id",), ("=1+1",)]), only_ids())


def test_texts_in_pieces_are_joined_and_how_to_pronounce_them_is_left_out() -> None:
    shared = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>cell_id</t></si>'
        "<si><r><t>00</t></r><r><t>17</t></r><rPh><t>x</t></rPh></si><si><t>a_x000A_b_x005F_c_xD800_</t></si></sst>"
    )
    sheet = rows_of('<c t="s"><v>0</v></c>', '<c t="s"><v>1</v></c>', '<c t="s"><v>2</v></c>')
    assert keys(read_xlsx(with_texts(with_sheet(sheet), shared), only_ids())) == ["0017", "a\nb_c_xD800_"]


def test_cells_that_a_sheet_leaves_out_are_blank_and_rows_keep_their_numbers() -> None:
    sheet = (
        '<sheetData><row r="3"><c r="B3" t="inlineStr"><is><t>cell_id</t></is></c>'
        '<c r="D3" t="inlineStr"><is><t>area</t></is></c></row>'
        '<row r="7"><c r="B7"><v>5</v></c></row><row r="9"><c r="B9"><v>6</v></c><c r="D9"><v>2.5</v></c></row>'
        '<row r="1048576"/></sheetData>'
    )
    found = read_xlsx(with_sheet(sheet), only_ids(features=("area",)))
    assert found.rows == (TableRow(7, "5", "", "", (None,)), TableRow(9, "6", "", "", (2.5,)))


def test_the_only_sheet_is_taken_or_the_one_that_is_named() -> None:
    rows = [("cell_id",), ("1",)]
    two = workbook(rows, ["Celle", "Note"])
    named = TableProfile(file="cells.xlsx", cell_id="cell_id", sheet="Celle")
    assert keys(read_xlsx(two, named)) == ["1"]
    assert "2 sheets ('Celle', 'Note'), expected one" in refusal_of_xlsx(two, only_ids())
    assert "no sheet 'Celle'; it has 'Foglio1'" in refusal_of_xlsx(workbook(rows), named)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (1.5, "found 1.5, expected text or a whole number"),
        (10**15, "found 1000000000000000.0, expected text or a whole number"),
        (dt.date(2026, 2, 1), "found a date"),
        (dt.datetime(2026, 2, 1, 12, 30, tzinfo=None), "found a date"),
        (dt.timedelta(hours=1), "found a date"),
        (True, "found TRUE or FALSE"),
        ("#N/A", "found an error"),
    ],
)  # fmt: skip
def test_an_id_that_excel_took_for_something_else_is_refused(value: object, named: str) -> None:
    assert f"line 2: column 'cell_id': {named}" in refusal_of_xlsx(workbook([("cell_id",), (value,)]), only_ids())


def test_a_value_in_a_column_that_is_not_used_may_be_anything() -> None:
    rows = [("cell_id", "day", dt.date(2026, 1, 1)), ("1", dt.date(2026, 2, 1), True)]
    assert keys(read_xlsx(workbook(rows), only_ids())) == ["1"]


def test_a_number_in_a_cage_is_written_as_excel_shows_it() -> None:
    rows = [("cell_id", "row", "col"), ("1", 3, 2.5)]
    (row,) = read_xlsx(workbook(rows), declared(features=())).rows
    assert (row.cage_row, row.cage_col) == ("3", "2.5")


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        ("<a>" * 100 + "</a>" * 100, "nested over"),
        ("<sheetData><row r='2'/><row r='2'/></sheetData>", "rising numbers"),
        ("<sheetData><row r='9999999'/></sheetData>", "rising numbers"),
        ("<sheetData><row r='x'/></sheetData>", "cannot be read as XLSX"),
        ("<sheetData><row r='1'><c r='B1'/><c r='A1'/></row></sheetData>", "out of order"),
        ("<sheetData><row r='1'><c r='?'/></row></sheetData>", "out of order"),
        (rows_of(CELL_ID, '<c t="s"><v>99999</v></c>'), "cannot be read as XLSX"),
        (rows_of(CELL_ID, '<c t="s"><v>-1</v></c>'), "found no text"),
        (rows_of(CELL_ID, "<c><v>nan</v></c>"), "found 'nan' for a number"),
        (rows_of(CELL_ID, "<c><v>1_0</v></c>"), "found '1_0' for a number"),
        (rows_of(CELL_ID, "<c><v>1e999</v></c>"), "found inf"),
        (rows_of(CELL_ID, '<c t="new"><v>1</v></c>'), "a value of an unknown kind"),
        (rows_of(CELL_ID, inline("x" * 40_000)), "a text of over 32767"),
        (rows_of(CELL_ID + '<c r="IW1"><v>1</v></c>'), "over 256 columns"),
        (rows_of(CELL_ID, inline("1") + inline("2")), "2 fields, expected 1"),
        (rows_of(CELL_ID, inline("1"), inline("1")), "line 3: '1' stands in line 2 too"),
        (rows_of(CELL_ID, "<c/>", inline("1")), "after the blank line 2"),
        (rows_of(), "found no columns"),
        ("<sheetData>", "cannot be read as XLSX"),
    ],
)
def test_a_sheet_of_another_shape_is_refused(xml: str, named: str) -> None:
    assert named in refusal_of_xlsx(with_sheet(xml), only_ids())


BOMB = b'<!DOCTYPE a [<!ENTITY b "1"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    "part", ["_rels/.rels", "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "sheet1.xml"]
)
def test_a_doctype_is_refused_in_each_part(part: str) -> None:
    content = with_texts(workbook([HEADER, *ROWS]), "<sst/>")
    content = changed(content, lambda name, old: BOMB if name.endswith(part) else old)
    assert "holds a DOCTYPE" in refusal_of_xlsx(content)


@pytest.mark.parametrize("part", ["_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "sheet1.xml"])
def test_a_workbook_without_one_of_its_parts_is_refused(part: str) -> None:
    content = changed(workbook([HEADER, *ROWS]), lambda name, old: None if name.endswith(part) else old)
    assert "save" in refusal_of_xlsx(content) or "sheets" in refusal_of_xlsx(content)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "cannot be read as XLSX"),
        (b"cell_id\n1\n", "cannot be read as XLSX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "has a password or is an old .xls"),
        (b"PK\x01\x02" * 2000, "2000 parts"),
        (b"\0" * ((32 << 20) + 1), "expected at most"),
    ],
)
def test_what_is_no_workbook_is_refused(content: bytes, named: str) -> None:
    assert named in refusal_of_xlsx(content)


def test_an_encrypted_part_is_refused() -> None:
    content = bytearray(workbook([HEADER]))
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 1)
    assert "encrypted" in refusal_of_xlsx(bytes(content))


def test_a_part_that_is_larger_than_it_says_is_refused() -> None:
    content = bytearray(with_sheet(rows_of(CELL_ID, *map(inline, map(str, range(1000))))))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"xl/worksheets/sheet1.xml"))
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")
    assert "cannot be read as XLSX" in refusal_of_xlsx(bytes(content), only_ids())


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        (lambda: f"<sheetData><row>{CELL_ID}</row>" + "<row/>" * 1_000_000 + "</sheetData>", "over 100000 rows"),
        (lambda: rows_of(CELL_ID, *(f"<c><v>{number}</v></c>" for number in range(350_000))), "over 100000 rows"),
        (lambda: rows_of(CELL_ID, *(f"<c><v>{number}</v></c>" for number in range(1_000_000))), "bytes unpacked"),
        (lambda: rows_of("<c/>" * 600_000), "over 500000 cells"),
        (lambda: "<a>" + "<b/>" * 1_600_000 + "</a>", "over 1000000 tags"),
        (lambda: "<a>" * 4_000_000, "nested"),
        (lambda: f"<a b='{'x' * (10 << 20)}'/>", "no columns"),
    ],
    ids=["blank rows", "rows", "bytes", "cells of a row", "tags", "depth", "an attribute"],
)
def test_a_huge_workbook_is_refused_soon_and_in_little_memory(
    tmp_path: Path, xml: Callable[[], str], named: str
) -> None:
    seconds, mebibytes, message = measured(with_sheet(xml()), tmp_path / "cells.xlsx")
    assert named in message
    assert (seconds < 10, mebibytes < 100) == (True, True), (seconds, mebibytes)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_spoilt_workbook_is_a_table_or_a_refusal(data: st.DataObject) -> None:
    read_or_refuse(mutated(data, SOUND), declared(), "cells.xlsx")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_spoilt_part_of_a_workbook_is_a_table_or_a_refusal(data: st.DataObject) -> None:
    parts = [
        "_rels/.rels",
        "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels",
        "sharedStrings.xml",
        "styles.xml",
        "sheet1.xml",
    ]
    part = data.draw(st.sampled_from(parts))
    spoilt = changed(SOUND, lambda name, old: mutated(data, old) if name.endswith(part) else old)
    read_or_refuse(spoilt, declared(), "cells.xlsx")


SOUND = workbook([HEADER, ("0001", 3, 12, 80.5, 1024), ("0002", "3", 13, None, -0.25)])


# Rows and cells.


def test_rows_meet_cells_by_their_ids_whatever_the_case() -> None:
    rows = table("0002", "a7", "0009")
    found = match_table(rows, only_ids(), cells("0001", "0002", "A7"))
    assert found == TableMatch({"0002": rows.rows[0], "A7": rows.rows[1]}, ("0009",), ("0001",))


def test_leading_zeros_belong_to_an_id() -> None:
    found = match_table(table("1", "0002"), only_ids(), cells("0001", "0002"))
    assert (found.without_images, found.not_in_table) == (("1",), ("0001",))


@pytest.mark.parametrize("name", ["Images/7_BF.tif", "images\\7_bf.TIF", "7_BF.tif", "7_DAPI.TIF"])
def test_rows_meet_cells_by_the_path_or_the_name_of_an_image(name: str) -> None:
    found = match_table(table("x.tif", name), BY_IMAGE, cells("7=Images/7_BF.tif,Images/7_DAPI.tif", "8"))
    assert {cell_id: row.key for cell_id, row in found.by_cell.items()} == {"7": name}
    assert (found.without_images, found.not_in_table) == (("x.tif",), ("8",))


@pytest.mark.parametrize("name", ["es/7_BF.tif", "/Images/7_BF.tif", "../run/Images/7_BF.tif", "7_BF", "7"])
def test_a_part_of_an_images_path_is_no_image(name: str) -> None:
    found = match_table(table("8_BF.tif", name), BY_IMAGE, cells("7", "8"))
    assert found.without_images == (name,)


def test_a_name_that_images_of_several_cells_share_is_refused_but_not_their_paths() -> None:
    both = cells("1=Cell_1/BF.png", "2=Cell_2/BF.png")
    with pytest.raises(DataError, match=r"cells.csv: line 2: an image 'BF.png' is in several cells, '1' and '2'"):
        match_table(table("BF.png"), BY_IMAGE, both)
    assert match_table(table("Cell_2/BF.png"), BY_IMAGE, both).not_in_table == ("1",)


def test_two_rows_for_one_cell_are_refused_by_their_lines() -> None:
    with pytest.raises(DataError, match=r"line 3: cell '7' stands in line 2 too, as '7_BF.tif'"):
        match_table(table("7_BF.tif", "7_PE.tif"), BY_IMAGE, cells("7=7_BF.tif,7_PE.tif"))


def test_a_table_of_another_run_is_refused() -> None:
    with pytest.raises(DataError, match=r"cells.csv: has no id .* 'x' first, while the run has '0001'; mend cell_id"):
        match_table(table("x", "y"), only_ids(), cells("0001"))
    with pytest.raises(DataError, match=r"names no image .* 'x' first, while the run has 'Images/0001_BF.tif'"):
        match_table(table("x", "y"), BY_IMAGE, cells("0001"))


def test_ids_whose_zeros_excel_ate_are_refused_with_the_digits_to_declare() -> None:
    with pytest.raises(DataError, match=r"declare cell_id_digits = 4"):
        match_table(table("1", "2", "x"), only_ids(), cells("0001", "0002", "00003"))


def test_a_table_or_a_run_without_cells_is_no_contradiction() -> None:
    assert match_table(table(), only_ids(), cells("1")) == TableMatch({}, (), ("1",))
    assert match_table(table("1"), only_ids(), []) == TableMatch({}, ("1",), ())


def test_a_large_table_meets_its_cells_quickly() -> None:
    ids = [f"{number:05}" for number in range(20_000)]
    start = time.monotonic()
    found = match_table(read(text([("cell_id",), *zip(ids, strict=True)]), only_ids()), only_ids(), cells(*ids))
    assert time.monotonic() - start < 2
    assert len(found.by_cell) == 20_000
