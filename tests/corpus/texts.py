"""Tables as text: other encodings, other shapes, hostile fields, and far too much of everything."""

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.corpus.case import GOOD, Case, Content, put

KIND = "table (CSV)"
HEADER = b"cell_id,cage_row,cage_col\n"
SOUND = HEADER + b"0001,3,12\n0002,3,13\n"
IMAGES: Mapping[str, Content] = {f"Images/{cell_id}_BF.tif": GOOD for cell_id in ("0001", "0002")}
NO_IMAGE = "^no image: the run's table names the cell, no file shows it$"
OWN = """
schema_version = 1
name = "own"
layout = "flat"
images = "Images/{{cell_id}}_{{channel}}.tif"
channels = [{{name = "BF"}}]

[table]
file = "{file}"
{lines}
"""


def own(*lines: str, file: str = "cells.csv", key: str = 'cell_id = "cell_id"') -> str:
    """A profile of one channel whose table is declared by `lines`."""
    return OWN.format(file=file, lines="\n".join([key, *lines]))


def table(
    name: str, content: Content, problem: str = "", *, file: str = "cells.csv", kind: str = KIND, **changes: Any
) -> Case:
    """A run of two good cells and a table; its cells are called whatever the table is."""
    usual: dict[str, Any] = {
        "build": lambda folder: put(folder, {**IMAGES, file: content}),
        "profile": "flat",
        "code": 2 if problem else 0,
        "called": ("0001", "0002"),
        "problem": problem if problem.startswith("^") or not problem else f"^{re.escape(file)}: {problem}",
    }
    return Case(name=f"table-{name}", kind=kind, **(usual | changes))


def required(name: str, content: Content | None, error: str, **changes: Any) -> Case:
    """The same where the profile requires the table."""
    files: dict[str, Content] = {} if content is None else {"cells.csv": content}
    usual: dict[str, Any] = {
        "build": lambda folder: put(folder, {**IMAGES, **files}),
        "profile": own('presence = "required"'),
        "code": 65,
        "called": (),
        "error": error,
    }
    return Case(name=f"required-table-{name}", kind=KIND, **(usual | changes))


def encodings() -> Iterator[Case]:
    accents = "cell_id,cage_row,cage_col,Identità\n0001,1,2,perché\n"
    utf_16 = accents.encode("utf-16")
    cp1252 = own('encoding = "cp1252"')
    wide = own('encoding = "utf-16"')
    yield table(
        "of-cp1252-for-utf-8",
        accents.encode("cp1252"),
        r"byte 33 \(0xE0\) is no utf-8, .* declare encoding = \"cp1252\"",
    )
    yield table("of-utf-16-for-utf-8", utf_16, "starts with the mark of UTF-16, but the profile declares utf-8")
    yield table("of-utf-16-without-a-mark", accents.encode("utf-16-le"), "line 1 holds a NUL|byte .* is no utf-8")
    yield table(
        "of-utf-16-plain-without-a-mark",
        SOUND.decode().encode("utf-16-le"),
        "line 1 holds a NUL, which utf-8 text never has",
    )
    yield table(
        "of-utf-32", accents.encode("utf-32"), "starts with the mark of UTF-16|.*is no utf-8|line 1 holds a NUL"
    )
    yield table(
        "of-utf-8-for-cp1252",
        ("\u0301\u0141" + accents).encode(),
        'byte .* is no cp1252, .* declare encoding = "utf-8"',
        profile=cp1252,
    )
    yield table(
        "of-marked-utf-8-for-cp1252",
        codecs.BOM_UTF8 + SOUND,
        "starts with the mark of UTF-8, but the profile declares cp1252",
        profile=cp1252,
    )
    yield table(
        "of-utf-16-for-cp1252",
        utf_16,
        "starts with the mark of UTF-16, but the profile declares cp1252",
        profile=cp1252,
    )
    yield table(
        "of-utf-8-for-utf-16", SOUND, 'starts without the mark of UTF-16; declare encoding = "utf-8"', profile=wide
    )
    yield table(
        "of-marked-utf-8-for-utf-16",
        codecs.BOM_UTF8 + SOUND,
        "starts with the mark of UTF-8, but the profile declares utf-16",
        profile=wide,
    )
    yield table("of-utf-16-cut-in-a-letter", utf_16[:-1], "byte .* is no utf-16", profile=wide)
    yield table("of-utf-16-with-half-a-pair", utf_16 + b"\0\xd8\n\0", "byte .* is no utf-16", profile=wide)
    yield table("of-marked-utf-8", codecs.BOM_UTF8 + SOUND)
    yield table(
        "with-two-marks", codecs.BOM_UTF8 * 2 + SOUND, r"line 1: no column 'cell_id' .*did you mean '.?ufeffcell_id'"
    )
    yield table("with-a-nul", SOUND + b"0003,\0,1\n", "line 4 holds a NUL")
    yield table("of-zeros-alone", b"\0" * 4096, "line 1 holds a NUL")
    yield table("second-half-zeros", SOUND + b"\0" * 60, "line 4 holds a NUL")
    yield table("of-a-cut-letter", "cell_id,cage_row,cage_col\n0001,à".encode()[:-1], "byte 31 .* is no utf-8")
    yield table("of-overlong-utf-8", HEADER + b"0001,\xc0\xaf,1\n", r"byte 31 \(0xC0\) is no utf-8")
    for kind, start in (("png", b"\x89PNG\r\n\x1a\n"), ("zip", b"PK\3\4\x14\0\0\0"), ("gzip", b"\x1f\x8b\x08\0")):
        yield table(f"that-is-a-{kind}", start + bytes(range(256)), "(byte .* is no utf-8|line .* holds a NUL)")


def shapes() -> Iterator[Case]:
    yield table("empty", b"", "line 1: no column 'cell_id'; found no columns")
    yield table("of-blank-lines", b"\n\n\n", "line 1: no column 'cell_id'; found no columns")
    yield table("of-a-header-alone", HEADER)
    yield table(
        "without-its-id-column",
        b"id,cage_row,cage_col\n0001,1,2\n",
        "line 1: no column 'cell_id'; found 'id', 'cage_row'",
    )
    yield table(
        "without-a-cage-column",
        b"cell_id,cage_row\n0001,1\n",
        r"line 1: no column 'cage_col' \(did you mean 'cage_row'\?\)",
    )
    yield table(
        "with-ids-in-capitals",
        b"Cell_ID,cage_row,cage_col\n0001,1,2\n",
        r"line 1: no column 'cell_id' \(did you mean 'Cell_ID'\?\)",
    )
    yield table(
        "with-two-id-columns",
        b"cell_id,cell_id,cage_row,cage_col\n1,2,3,4\n",
        "line 1: 2 columns 'cell_id', expected one",
    )
    yield table(
        "with-two-cage-columns",
        b"cell_id,cage_row,cage_row,cage_col\n1,2,3,4\n",
        "line 1: 2 columns 'cage_row', expected one",
    )
    yield table("with-semicolons", SOUND.replace(b",", b";"), "line 1: no column 'cell_id'.*declare delimiter = ';'")
    yield table("with-tabs", SOUND.replace(b",", b"\t"), r"line 1: no column 'cell_id'.*declare delimiter = '.t'")
    yield table(
        "with-commas-for-semicolons",
        SOUND,
        "line 1: no column 'cell_id'.*declare delimiter = ','",
        profile=own('delimiter = ";"'),
    )
    yield table("without-a-header", b"0001,3,12\n0002,3,13\n", "line 1: no column 'cell_id'; found '0001', '3', '12'")
    yield table("with-a-title-above", b"Export of P07\n" + SOUND, "line 1: no column 'cell_id'; found 'Export of P07'")
    yield table("with-a-short-row", SOUND + b"0003,1\n", "line 4: 2 fields, expected 3 as in the header")
    yield table("with-a-long-row", SOUND + b"0003,1,2,3\n", "line 4: 4 fields, expected 3 as in the header")
    yield table("with-a-total-below", SOUND + b"\n2 cells\n", "line 5: a row after the blank line 4|line 5: 1 fields")
    yield table("with-a-blank-row-inside", HEADER + b"0001,1,2\n\n0002,1,2\n", "line 4: a row after the blank line 3")
    yield table("with-blank-rows-below", SOUND + b",,\n,,\n\n")
    yield table("with-a-blank-id", SOUND + b" ,1,2\n", "line 4: column 'cell_id' is blank")
    yield table("with-an-open-quote", SOUND + b'"0003,1,2\n0004,1,2\n', "line 4: not valid CSV")
    yield table("with-text-behind-a-quote", SOUND + b'"0003"x,1,2\n', "line 4: not valid CSV")
    yield table("with-a-quote-inside", SOUND + b'00"03,1,2\n', "line 4: '00\"03' is no id")
    yield table("cut-inside-a-row", SOUND[:-6], "line 3: 1 fields, expected 3 as in the header|.*is no id")
    yield table("with-old-macs-line-ends", SOUND.replace(b"\n", b"\r"))
    yield table("with-mixed-line-ends", SOUND.replace(b"\n", b"\r\n", 1))
    yield table("without-a-last-line-end", SOUND.rstrip())


def ids() -> Iterator[Case]:
    def row(name: str, key: str, **changes: Any) -> Case:
        content = SOUND + f"{key},1,2\n".encode()
        problem = r"(line 4: )?.*is no id of a cell by the profile"
        return table(name, content, problem, **changes)

    yield row("with-an-id-of-dots", "..")
    yield row("with-a-path-up", "../../etc/passwd")
    yield row("with-a-path-from-the-root", "/etc/passwd")
    yield row("with-a-path-of-windows", "C:\\Windows\\win.ini")
    yield row("with-a-share", "\\\\server\\share\\x")
    yield row("with-an-address", "file:///etc/passwd")
    yield row("with-a-formula", "=1+1")
    yield row("with-a-formula-of-another-program", "@SUM(1)")
    yield row("with-a-negative-id", "-3")
    yield row("with-an-id-in-arabic-digits", "\u0663")
    yield row("with-an-unseen-mark", "\u200f0003")
    yield row("with-an-id-as-a-number-of-excel", "3.0")
    yield row("with-an-id-in-thousands-of-digits", "7e300")
    for name, key in (("with-an-id-twice", "0001"), ("with-an-id-twice-in-blanks", " 0002 ")):
        line = "2" if "blanks" not in name else "3"
        yield table(name, SOUND + f"{key},1,2\n".encode(), f"line 4: '{key.strip()}' stands in line {line} too")
    yield table(
        "that-expects-more-cells",
        SOUND + b"0003,1,2\n0004,1,3\n",
        code=2,
        refused=dict.fromkeys(("0003", "0004"), NO_IMAGE),
    )
    yield table("that-lacks-a-cell", HEADER + b"0001,1,2\n")
    yield table(
        "of-leading-zeros-eaten",
        b"cell_id,cage_row,cage_col\n1,3,12\n2,3,13\n",
        "has no id of the run's cells, '1' first, .* declare cell_id_digits = 4",
    )
    yield table(
        "of-some-leading-zeros-eaten",
        b"cell_id,cage_row,cage_col\n0001,3,12\n2,3,13\n",
        code=2,
        refused={"2": NO_IMAGE},
    )
    yield table("of-leading-zeros-eaten-and-declared", b"cell_id\n1\n2\n", profile=own("cell_id_digits = 4"))
    yield table(
        "of-ids-that-meet-when-filled-up",
        b"cell_id\n1\n01\n",
        "line 3: '0001' stands in line 2 too",
        profile=own("cell_id_digits = 4"),
    )
    yield table(
        "of-another-run",
        HEADER + b"7001,1,2\n7002,1,2\n",
        "has no id of the run's cells, '7001' first, while the run has '0001'",
    )
    by_image = own(key='image = "file"')
    yield table(
        "of-images-that-are-not-there", b"file\nx.tif\n", "names no image of the run, 'x.tif' first", profile=by_image
    )
    yield table(
        "of-images-up-the-path",
        b"file\n0001_BF.tif\n../0002_BF.tif\n/etc/passwd\n",
        "line 3: '../0002_BF.tif' is no image of a cell by the profile",
        profile=by_image,
    )
    yield table(
        "of-an-image-twice",
        b"file\n0001_BF.tif\nImages/0001_BF.tif\n",
        "line 3: cell '0001' stands in line 2 too",
        profile=by_image,
    )
    yield table("of-images-with-backslashes", b"file\nimages\\0001_bf.TIF\n0002_BF.tif\n", profile=by_image)
    for slug, folder in (("path", b"Images/"), ("name", b"")):
        content = b"file\n0001_BF.tif\n%s0003_BF.tif\n" % folder
        name = f"of-the-{slug}-of-an-image-that-is-missing"
        yield table(name, content, profile=by_image, code=2, refused={"0003": NO_IMAGE})


def numbers() -> Iterator[Case]:
    def feature(name: str, value: str, decimal: str = ".", problem: str = "") -> Case:
        content = f'cell_id,area\n0001,1\n0002,"{value}"\n'.encode()
        shown = problem or f"line 3: column 'area': found '{value[:4]}"
        return table(name, content, shown, profile=own('features = ["area"]', f'decimal = "{decimal}"'))

    yield feature("with-a-decimal-comma-for-a-point", "1,5")
    yield feature("with-a-decimal-point-for-a-comma", "1.5", ",")
    yield feature("with-thousands", "1 000")
    yield feature("with-nan", "nan")
    yield feature("with-inf", "-inf")
    yield feature("with-a-number-beyond-all", "1e999")
    yield feature("with-a-hexadecimal-number", "0x1F")
    yield feature("with-a-number-of-underlines", "1_0")
    yield feature("with-a-unit", "12 um")
    yield feature("with-excels-error", "#N/D")
    yield feature("with-a-number-of-20000-digits", "9" * 20_000)


def huge() -> Iterator[Case]:
    yield table(
        "of-a-million-rows",
        lambda: HEADER + b"".join(b"%d,1,2\n" % number for number in range(10**6)),
        "line 100002: over 100000 rows",
    )
    yield table(
        "of-10-million-blank-rows",
        lambda: HEADER + b"\n" * (10 << 20),
        "line .*: over 100000 rows, blank ones included",
    )
    yield table("of-33-mib", lambda: HEADER + b"0" * (33 << 20), "34603034 bytes, expected at most 33554432")
    yield table(
        "of-10000-columns",
        lambda: b",".join(b"c%d" % number for number in range(10_000)) + b"\n",
        "line 1: 10000 columns, expected at most 256",
    )
    yield table(
        "of-10000-id-columns", lambda: b",".join([b"cell_id"] * 10_000), "line 1: 10000 columns, expected at most 256"
    )
    yield table(
        "of-a-field-of-10-mb",
        lambda: HEADER + b"0001," + b"x" * 10_000_000 + b",1\n",
        "a line of over 1048576 characters",
    )
    yield table(
        "of-a-field-of-10-mb-in-lines",
        lambda: HEADER + b'0001,"' + b"x\n" * 5_000_000 + b'",1\n',
        "line 2: (not valid CSV|a field of over 32767)",
    )
    yield table(
        "of-a-field-of-40000", HEADER + b"0001," + b"x" * 40_000 + b",1\n", "line 2: a field of over 32767 characters"
    )
    yield table("of-commas-alone", lambda: b"," * (20 << 20), "a line of over 1048576 characters")
    yield table("of-quotes-alone", lambda: b'"' * (20 << 20), "a line of over 1048576 characters")
    yield table(
        "of-an-open-quote-and-10-mb",
        lambda: HEADER + b'"' + b"0001,1,2\n" * 1_100_000,
        "line 2: (not valid CSV|a field of over)",
    )
    thousand = tuple(f"{number:05}" for number in range(10_001, 11_001))
    yield table(
        "of-1000-cells-without-images",
        SOUND + b"".join(f"{one},1,2\n".encode() for one in thousand),
        code=2,
        refused=dict.fromkeys(thousand, NO_IMAGE),
    )
    design = tuple(f"{number:05}" for number in range(20_000, 30_000))
    yield table(
        "of-10000-cells-without-images",
        lambda: SOUND + b"".join(f"{one},1,2\n".encode() for one in design),
        code=2,
        refused=dict.fromkeys(design, NO_IMAGE),
    )


def placed() -> Iterator[Case]:
    def linked(folder: Path) -> None:
        put(folder, dict(IMAGES))
        put(folder.parent, {"elsewhere.csv": SOUND})
        (folder / "cells.csv").symlink_to("../elsewhere.csv")

    def truncated(folder: Path) -> None:
        put(folder, dict(IMAGES))
        with (folder / "cells.csv").open("wb") as file:
            file.truncate(65 << 20)

    yield table("that-is-a-link", b"", build=linked, links=1)
    yield table(
        "that-is-a-folder",
        b"",
        build=lambda folder: put(folder, {**IMAGES, "cells.csv/x": b""}),
        unaccounted=("cells.csv/x",),
    )
    yield table("of-65-mib", b"", "68157440 bytes, expected at most", build=truncated)
    yield table(
        "that-is-there-twice",
        b"",
        build=lambda folder: put(folder, {**IMAGES, "a.csv": SOUND, "b.csv": SOUND}),
        profile=own(file="*.csv"),
        code=2,
        problem=r"^a\.csv, b\.csv: each may be the table \*\.csv, expected one",
    )
    yield table(
        "twins-of-case",
        b"",
        build=lambda folder: put(folder, {**IMAGES, "cells.csv": SOUND, "CELLS.CSV": SOUND}),
        code=2,
        problem=r"^CELLS\.CSV, cells\.csv: each may be the table cells\.csv",
    )
    yield table("of-another-name", SOUND, file="Cells (1).csv", unaccounted=("Cells (1).csv",))
    yield table("that-is-called-xlsx", SOUND, file="cells.xlsx", unaccounted=("cells.xlsx",))
    requires = "requires"
    yield required("absent", None, f"run: no table cells.csv, which profile own {requires}")
    yield required("that-is-a-link", None, f"run: no table cells.csv, which profile own {requires}", build=linked)
    yield required("empty", b"", f"run: cells.csv: line 1: no column 'cell_id'.*; profile own {requires} the table")
    yield required("spoilt", b"\xff\xff", f"run: cells.csv: byte 0 .* is no utf-8.*; profile own {requires} the table")
    yield required(
        "of-another-run", b"cell_id\n7001\n", f"run: cells.csv: has no id of the run's cells.*; profile own {requires}"
    )
    yield required(
        "with-an-id-twice", b"cell_id\n0001\n0001\n", f"run: cells.csv: line 3: '0001' stands in line 2 too.*{requires}"
    )
    yield required(
        "there-twice",
        None,
        f"run: a.csv, b.csv: each may be the table .*{requires}",
        build=lambda folder: put(folder, {**IMAGES, "a.csv": SOUND, "b.csv": SOUND}),
        profile=own('presence = "required"', file="*.csv"),
    )


CASES: tuple[Case, ...] = (*encodings(), *shapes(), *ids(), *numbers(), *huge(), *placed())
