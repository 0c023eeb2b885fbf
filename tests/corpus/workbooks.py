"""Tables as workbooks: no ZIP, no workbook, bombs, parts that lack, lie or are hostile."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import openpyxl

from tests.corpus.case import Case, Content
from tests.corpus.texts import NO_IMAGE, own, table

KIND = "table (XLSX)"
FILE = "cells.xlsx"
HOME = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(*rows: tuple[object, ...], sheets: tuple[str, ...] = ("Foglio1",)) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(content: bytes, parts: Mapping[str, bytes | None]) -> bytes:
    """The workbook with other parts, by the end of their names, and with new ones; None drops one."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            replaced = [part for name, part in parts.items() if entry.endswith(name)]
            part = replaced[0] if replaced else old.read(entry)
            if part is not None:
                new.writestr(entry, part)
        for name, part in parts.items():
            if part is not None and not any(entry.endswith(name) for entry in old.namelist()):
                new.writestr(name, part)
    return file.getvalue()


def with_sheet(rows: str | bytes) -> bytes:
    """A workbook whose sheet has these rows in XML."""
    inside = rows.encode() if isinstance(rows, str) else rows
    return changed(SOUND, {"sheet1.xml": b'<worksheet xmlns="%s">%s</worksheet>' % (HOME.encode(), inside)})


def with_texts(texts: bytes, rows: str) -> bytes:
    """A workbook with shared texts, as Excel writes them and openpyxl does not."""
    related = f'<Relationship Type="{KINDS}/sharedStrings" Target="sharedStrings.xml" Id="rId9"/></Relationships>'
    name = "xl/_rels/workbook.xml.rels"
    with zipfile.ZipFile(io.BytesIO(SOUND)) as archive:
        relations = archive.read(name).replace(b"</Relationships>", related.encode())
    return changed(with_sheet(rows), {"workbook.xml.rels": relations, "xl/sharedStrings.xml": texts})


def rows_of(*rows: str) -> str:
    return "<sheetData>" + "".join(f"<row>{row}</row>" for row in rows) + "</sheetData>"


def inline(value: str) -> str:
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


SOUND = workbook(("cell_id",), ("0001",), ("0002",))
ID = inline("cell_id")
LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9))
    + b"]><x>&j;</x>"
)


def bad(name: str, content: Content, problem: str = "", *lines: str, **changes: Any) -> Case:
    return table(
        f"xlsx-{name}", content, problem, file=FILE, kind=KIND, **({"profile": own(*lines, file=FILE)} | changes)
    )


def flagged_as_encrypted() -> bytes:
    content = bytearray(SOUND)
    at = content.find(b"PK\1\2")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\1\2", at + 1)
    return bytes(content)


def zipped(parts: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


def related_to(target: str) -> bytes:
    """The part that says where the book of a workbook is."""
    related = f'<Relationship Type="{KINDS}/officeDocument" Target="{target}" Id="r"/>'
    return f"<Relationships>{related}</Relationships>".encode()


def containers() -> Iterator[Case]:
    no_xlsx = "cannot be read as XLSX"
    yield bad("empty", b"", no_xlsx)
    yield bad("that-is-text", b"cell_id\n0001\n", no_xlsx)
    yield bad("that-is-a-page", b"<html><table><tr><td>cell_id</td></tr></table></html>", no_xlsx)
    yield bad(
        "that-is-an-old-xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "has a password or is an old .xls"
    )
    ods = {
        "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
        "content.xml": b"<x/>",
        "META-INF/manifest.xml": b"<x/>",
    }
    yield bad("that-is-an-ods", zipped(ods), r"has no part '_rels/.rels'; save it again as .xlsx")
    word = {
        "_rels/.rels": related_to("word/document.xml"),
        "word/document.xml": b"<w/>",
    }
    yield bad("that-is-a-docx", zipped(word), "has no part 'word/_rels/document.xml.rels'")
    yield bad("that-is-a-zip-of-images", zipped({"0001_BF.tif": b"II*\0"}), "has no part '_rels/.rels'")
    yield bad("that-is-an-empty-zip", zipped({}), "has no part '_rels/.rels'")
    yield bad("encrypted", flagged_as_encrypted(), "part _rels/.rels is encrypted; save it without a password")
    for share in (10, 50, 90, 99):
        yield bad(f"cut-at-{share}-percent", SOUND[: len(SOUND) * share // 100], no_xlsx)
    yield bad("cut-by-one-byte", SOUND[:-1], no_xlsx)
    yield bad("cut-at-the-front-in-a-part-that-is-not-read", SOUND[100:])
    half = len(SOUND) // 2
    yield bad("second-half-zeros", SOUND[:half] + b"\0" * (len(SOUND) - half), no_xlsx)
    middle = SOUND.index(b"xl/worksheets/sheet1.xml") + 60
    yield bad("spoilt-inside-its-sheet", SOUND[:middle] + b"\xff" * 20 + SOUND[middle + 20 :], no_xlsx)
    yield bad(
        "of-2000-parts", zipped({f"p{number}": b"" for number in range(2000)}), "2000 parts, expected at most 1000"
    )
    yield bad(
        "packed-by-bzip2",
        zipped({"_rels/.rels": b"<x/>"}, zipfile.ZIP_BZIP2),
        "part _rels/.rels is packed in a way that Excel never uses",
    )
    yield bad(
        "packed-by-lzma", zipped({"_rels/.rels": b"<x/>"}, zipfile.ZIP_LZMA), "part _rels/.rels is packed in a way"
    )
    yield bad("of-33-mib", lambda: b"\0" * (33 << 20), "34603008 bytes, expected at most 33554432")


def bombs() -> Iterator[Case]:
    for name in ("_rels/.rels", "workbook.xml.rels", "xl/workbook.xml", "sheet1.xml", "styles.xml"):
        slug = name.rpartition("/")[2].lstrip(".").replace(".", "-")
        yield bad(f"billion-laughs-in-{slug}", changed(SOUND, {name: LAUGHS}), "holds a DOCTYPE, which no workbook has")
    yield bad("billion-laughs-in-shared-texts", with_texts(LAUGHS, rows_of(ID)), "holds a DOCTYPE")
    outside = b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'
    yield bad("entity-of-a-file", changed(SOUND, {"sheet1.xml": outside}), "holds a DOCTYPE")
    yield bad(
        "sheet-of-1-gib",
        lambda: zip_bomb("xl/worksheets/sheet1.xml"),
        "part xl/worksheets/sheet1.xml: 1073741824 bytes unpacked, expected at most",
    )
    yield bad(
        "relations-of-1-gib",
        lambda: zip_bomb("_rels/.rels"),
        "part _rels/.rels: 1073741824 bytes unpacked, expected at most 1048576",
    )
    yield bad(
        "of-300000-shared-texts",
        lambda: with_texts(b"<sst>" + b"<si><t>a</t></si>" * 300_000 + b"</sst>", rows_of(ID)),
        "",
    )
    yield bad(
        "of-a-million-rows",
        lambda: with_sheet(f"<sheetData><row>{ID}</row>" + "<row/>" * 1_000_000 + "</sheetData>"),
        "line .*: over 100000 rows",
    )
    yield bad(
        "of-350000-ids",
        lambda: with_sheet(rows_of(ID, *(f"<c><v>{number}</v></c>" for number in range(350_000)))),
        "(line .*: over 100000 rows|part .* bytes unpacked, expected at most)",
    )
    yield bad(
        "of-2-million-cells-in-a-row",
        lambda: with_sheet(b"<sheetData><row>" + b"<c/>" * 2_000_000 + b"</row></sheetData>"),
        r"over \d+ cells",
    )
    yield bad("of-2-million-tags", lambda: with_sheet(b"<b/>" * 2_000_000), r"over \d+ tags in one part")
    yield bad("nested-3-million-deep", lambda: with_sheet(b"<a>" * 3_000_000), "tags nested over 64 deep")
    yield bad(
        "sheet-of-100-mib", lambda: with_sheet(b" " * (100 << 20)), "part .*: .* bytes unpacked, expected at most"
    )
    yield bad(
        "of-an-attribute-of-10-mb",
        lambda: with_sheet(b"<a b='" + b"x" * (10 << 20) + b"'/>"),
        "line 1: no column 'cell_id'; found no columns",
    )
    yield bad(
        "of-a-text-of-10-mb",
        lambda: with_sheet(rows_of(ID, inline("x" * 10_000_000))),
        "a text of over 32767 characters",
    )
    yield bad("of-300-columns", with_sheet(rows_of(ID + "<c><v>1</v></c>" * 299)), "line 1: over 256 columns")
    yield bad("of-a-cell-far-right", with_sheet(rows_of(ID + '<c r="XFD1"><v>1</v></c>')), "line 1: over 256 columns")


def zip_bomb(name: str) -> bytes:
    """A workbook one of whose parts says that it is 1 GiB, and is a little less."""
    content = bytearray(changed(SOUND, {name: b"\0" * (8 << 20)}))
    at = content.rindex(b"PK\1\2", 0, content.rindex(name.encode()))
    content[at + 24 : at + 28] = (1 << 30).to_bytes(4, "little")
    return bytes(content)


def sheets() -> Iterator[Case]:
    two = workbook(("cell_id",), ("0001",), sheets=("Celle", "Note"))
    yield bad("of-two-sheets", two, r"2 sheets \('Celle', 'Note'\), expected one; declare sheet")
    yield bad("without-the-declared-sheet", two, "no sheet 'Cellule'; it has 'Celle', 'Note'", 'sheet = "Cellule"')
    yield bad("of-two-sheets-one-declared", two, "", 'sheet = "Celle"')
    for name, slug in (
        ("_rels/.rels", "relations"),
        ("xl/workbook.xml", "list-of-sheets"),
        ("workbook.xml.rels", "relations-of-its-book"),
        ("sheet1.xml", "sheet"),
    ):
        yield bad(f"without-its-{slug}", changed(SOUND, {name: None}), "(has no part|is a ZIP, but no XLSX|0 sheets)")
    up = related_to("../../../etc/passwd")
    yield bad(
        "with-a-part-out-of-the-zip",
        changed(SOUND, {"_rels/.rels": up}),
        "has no part 'etc/_rels/passwd.rels'",
    )
    outside = up.replace(b"Target=", b'TargetMode="External" Target=')
    yield bad("with-an-external-book", changed(SOUND, {"_rels/.rels": outside}), "is a ZIP, but no XLSX")
    texts = f'<sst xmlns="{HOME}"><si><t>cell_id</t></si></sst>'.encode()
    first = '<c t="s"><v>0</v></c>'
    yield bad(
        "shared-text-out-of-range",
        with_texts(texts, rows_of(first, '<c t="s"><v>99999</v></c>')),
        "cannot be read as XLSX",
    )
    yield bad(
        "shared-text-of-a-negative-number",
        with_texts(texts, rows_of(first, '<c t="s"><v>-1</v></c>')),
        "line 2: column 'cell_id': found no text",
    )
    shapes: tuple[tuple[str, str, str], ...] = (
        ("of-no-rows", rows_of(), "line 1: no column 'cell_id'; found no columns"),
        ("not-closed", "<sheetData>", "cannot be read as XLSX"),
        ("of-rows-out-of-order", "<sheetData><row r='2'/><row r='2'/></sheetData>", "row 2 after row 2"),
        ("of-a-row-beyond-excel", "<sheetData><row r='9999999'/></sheetData>", "row 9999999 after row 0"),
        ("of-a-row-of-no-number", "<sheetData><row r='x'/></sheetData>", "cannot be read as XLSX"),
        (
            "of-cells-out-of-order",
            "<sheetData><row><c r='B1'/><c r='A1'/></row></sheetData>",
            "row 1: cells out of order",
        ),
        ("of-a-cell-nowhere", "<sheetData><row r='1'><c r='?'/></row></sheetData>", "row 1: cells out of order"),
        ("with-nan", rows_of(ID, "<c><v>nan</v></c>"), "line 2: column 'cell_id': found 'nan' for a number"),
        ("with-inf", rows_of(ID, "<c><v>1e999</v></c>"), "line 2: column 'cell_id': found inf"),
        ("with-an-unknown-kind", rows_of(ID, '<c t="new"><v>1</v></c>'), "line 2: .* a value of an unknown kind"),
        ("with-an-id-twice", rows_of(ID, inline("0001"), inline("0001")), "line 3: '0001' stands in line 2 too"),
        ("with-a-long-row", rows_of(ID, inline("1") + inline("2")), "line 2: 2 fields, expected 1 as in the header"),
        ("with-a-blank-row-inside", rows_of(ID, "<c/>", inline("0001")), "line 3: a row after the blank line 2"),
    )  # fmt: skip
    for slug, rows, problem in shapes:
        yield bad(slug, with_sheet(rows), problem)
    values: tuple[tuple[str, object, str], ...] = (
        ("a-fraction", 1.5, "found 1.5, expected text or a whole number"),
        ("16-digits", 10**15, "found 1000000000000000.0, expected text or a whole number"),
        ("a-formula", "=1+1", r"found a formula without a value \(open it in Excel and save it\)"),
        ("true", True, "found TRUE or FALSE"),
        ("an-error", "#N/A", "found an error"),
    )
    for slug, value, problem in values:
        content = workbook(("cell_id",), ("0001",), (value,))
        yield bad(f"with-an-id-that-is-{slug}", content, f"line 3: column 'cell_id': {problem}")
    eaten = workbook(("cell_id",), (1,), (2,))
    yield bad("of-leading-zeros-eaten", eaten, "has no id of the run's cells, '1' first, .* declare cell_id_digits = 4")
    yield bad("of-leading-zeros-eaten-and-declared", eaten, "", "cell_id_digits = 4")
    yield bad("that-expects-a-cell", workbook(("cell_id",), ("0001",), ("0003",)), code=2, refused={"0003": NO_IMAGE})
    area = workbook(("cell_id", "area"), ("0001", "1,5"))
    yield bad("with-a-decimal-comma-for-a-point", area, "line 2: column 'area': found '1,5'", 'features = ["area"]')
    yield bad(
        "that-is-required-and-spoilt",
        SOUND[:-1],
        profile=own('presence = "required"', file=FILE),
        code=65,
        called=(),
        error="run: cells.xlsx: cannot be read as XLSX.*; profile own requires the table",
    )


CASES: tuple[Case, ...] = (*containers(), *bombs(), *sheets())
