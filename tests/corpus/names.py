"""Names that mislead: no case of these spoils the cell beside it, and no name is read in two ways."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.corpus.case import GOOD, Case, four_files, put

KIND = "name"
ANY_ID = """
schema_version = 1
name = "any-id"
layout = "flat"
images = "Images/{cell_id}_{channel}.tif"
cell_id = "[^/]+"
channels = [{name = "BF"}]
"""
PE_ALONE = ANY_ID.replace('"BF"', '"BF"}, {name = "PE"').replace('"[^/]+"', '"[a-z]+"')
PE_AND_OTHERS = PE_ALONE.replace('"PE"', '"PE"}, {name = "PerCP"}, {name = "PE-Cy7"')


def put_strange(folder: Path, names: Sequence[str | bytes]) -> None:
    """Write the same good image under each name below `Images`, whatever its bytes."""
    put(folder, {"Images/good_BF.tif": GOOD})
    put(folder, {f"Images/{os.fsdecode(name)}": GOOD for name in names})


def called(name: str, files: Sequence[str | bytes], ids: Sequence[str], **changes: Any) -> Case:
    """Names that are read as cells, by any id."""
    usual: dict[str, Any] = {
        "build": lambda folder: put_strange(folder, files),
        "profile": ANY_ID,
        "code": 0,
        "called": ("good", *ids),
    }
    return Case(name=f"name-{name}", kind=KIND, **(usual | changes))


def aside(name: str, files: Sequence[str | bytes], shown: Sequence[str], **changes: Any) -> Case:
    """Names that are no image and that the manifest lists."""
    return called(name, files, (), unaccounted=tuple(f"Images/{one}" for one in shown), **changes)


def formulas() -> Iterator[Case]:
    """What a spreadsheet would run or a reader would not see."""
    for slug, start in (("equals", "=1+1"), ("plus", "+1"), ("minus", "-1"), ("at", "@SUM(A1)"), ("apostrophe", "'1")):
        yield called(f"that-starts-with-{slug}", [f"{start}_BF.tif"], [f"'{start}"])
    yield called("of-a-dde-formula", ["=cmd calc'!A0_BF.tif"], ["'=cmd calc'!A0"])
    yield called("with-quotes", ['a"b_BF.tif'], ['a"b'])
    yield called("with-a-comma", ["a,b_BF.tif"], ["a,b"])
    yield called("with-a-semicolon", ["a;b_BF.tif"], ["a;b"])
    yield called("with-a-backslash", ["a\\b_BF.tif"], ["a\\b"])
    yield called("of-a-shell-command", ["$(reboot)`x`;&_BF.tif"], ["$(reboot)`x`;&"])
    yield called("of-a-script-tag", ["<b>x<script>_BF.tif"], ["<b>x<script>"])
    yield called("of-rich-markup", ["[red]x[blink]_BF.tif"], ["[red]x[blink]"])
    yield called("of-a-format", ["{0}%s%n_BF.tif"], ["{0}%s%n"])
    yield called("with-percent-signs", ["%2e%2e%2f_BF.tif"], ["%2e%2e%2f"])
    yield called("of-dots", ["a..._BF.tif"], ["a..."])
    yield called("of-a-windows-device", ["CON_BF.tif", "nul_BF.tif", "COM1_BF.tif"], ["CON", "nul", "COM1"])
    yield called("of-an-emoji", ["\U0001f9a0_BF.tif"], ["\U0001f9a0"])
    yield called("with-blanks-around", [" a _BF.tif"], [" a "])
    yield called("of-one-blank", [" _BF.tif"], [" "])
    long = "x" * 248
    yield called("of-255-bytes", [f"{long}_BF.tif"], [long])
    yield called("of-255-digits", ["9" * 248 + "_BF.tif"], ["9" * 248])
    yield called("of-arabic-digits", ["\u0661\u0662_BF.tif"], ["\u0661\u0662"])
    yield called("of-superscript-digits", ["\u00b2_BF.tif"], ["\u00b2"])
    yield called("with-two-tokens", ["a_BF_BF.tif"], ["a_BF"])
    yield called("with-an-underscore", ["__BF.tif"], ["_"])
    yield called("composed-and-decomposed", ["caff\u00e8_BF.tif", "caffe\u0300_BF.tif"], ["caff\u00e8", "caffe\u0300"])
    yield called("in-capitals-with-suffix", ["UP_bf.TIF", "Down_Bf.Tiff"], ["UP", "Down"])


def unseen() -> Iterator[Case]:
    for slug, mark in (
        ("newline", "\n"),
        ("return", "\r"),
        ("tab", "\t"),
        ("escape", "\x1b"),
        ("bell", "\x07"),
        ("delete", "\x7f"),
        ("right-to-left-mark", "\u200f"),
        ("right-to-left-override", "\u202e"),
        ("zero-width-space", "\u200b"),
        ("byte-order-mark", "\ufeff"),
        ("no-break-space", "\u00a0"),
        ("line-separator", "\u2028"),
        ("soft-hyphen", "\u00ad"),
    ):
        yield aside(f"with-a-{slug}", [f"a{mark}b_BF.tif"], [f"a{mark.encode('unicode_escape').decode()}b_BF.tif"])
    yield aside("with-a-bar", ["a|b_BF.tif"], ["a|b_BF.tif"])
    yield aside("of-invalid-utf-8", [b"a\xff\xfe_BF.tif"], ["a\\udcff\\udcfe_BF.tif"])
    yield aside("of-latin-1", [b"caff\xe8_BF.tif"], ["caff\\udce8_BF.tif"])
    yield aside("of-a-half-surrogate", [b"a\xed\xa0\x80_BF.tif"], ["a\\udced\\udca0\\udc80_BF.tif"])
    yield aside("without-an-id", ["_BF.tif"], ["_BF.tif"])
    yield aside("without-a-channel", ["a.tif"], ["a.tif"])
    yield aside("with-two-suffixes", ["a_BF.tif.tif"], ["a_BF.tif.tif"])
    yield aside("of-a-copy", ["a_BF (1).tif", "a_BF - Copia.tif"], ["a_BF - Copia.tif", "a_BF (1).tif"])
    yield aside("of-a-backup", ["a_BF.tif~", "a_BF.tif.bak"], ["a_BF.tif.bak", "a_BF.tif~"])
    yield aside("with-a-blank-behind-its-suffix", ["a_BF.tif "], ["a_BF.tif "])
    yield aside("with-a-blank-before-its-channel", ["a_ BF.tif"], ["a_ BF.tif"])
    yield aside("with-a-dotless-i", ["a_B\u0131.tif"], ["a_B\u0131.tif"])
    yield aside("with-a-long-s-for-a-channel", ["a_B\ua7b9.tif"], ["a_B\ua7b9.tif"])
    yield aside(
        "of-digits-for-a-profile-of-letters", ["0001_BF.tif"], ["0001_BF.tif"], profile=PE_ALONE, checkpoint="counts"
    )


def twins() -> Iterator[Case]:
    def flat(name: str, more: str, *, twin: str = "0002_BF.tif", **changes: Any) -> Case:
        files = {f"Images/{one}": GOOD for one in (twin, more)}
        names = ", ".join(sorted(files)).replace(".", r"\.")
        usual: dict[str, Any] = {
            "called": ("0001",),
            "refused": {"0002": f"^ambiguous: {names} all claim BF"},
        }
        return Case(
            name=f"name-{name}",
            kind=KIND,
            build=lambda folder: put(folder, {"Images/0001_BF.tif": GOOD} | files),
            profile="flat",
            **(usual | changes),
        )

    yield flat("twins-of-case", "0002_bf.tif")
    yield flat("twins-of-case-in-the-suffix", "0002_BF.TIF")
    yield flat("twins-of-tif-and-tiff", "0002_BF.tiff")
    yield flat("twins-of-tif-and-mixed-tiff", "0002_BF.Tiff")
    yield flat("twins-of-case-in-the-folder", "../images/0002_BF.tif", refused={
        "0002": r"^ambiguous: Images/0002_BF\.tif, images/0002_BF\.tif all claim BF"
    })  # fmt: skip
    zeros = ("1", "01", "001", "0001", "00001")
    yield Case(
        name="name-that-differs-in-leading-zeros-alone",
        kind=KIND,
        build=lambda folder: put(folder, {f"Images/{one}_BF.tif": GOOD for one in zeros}),
        profile="flat",
        code=0,
        called=zeros,
    )
    for slug, ids in (("case", ("ab", "AB")), ("sharp-s", ("stra\u00dfe", "strasse")), ("kelvin", ("\u212a", "k"))):
        files = [f"{one}_BF.tif" for one in ids]
        yield called(f"ids-that-differ-in-{slug}", files, (), code=2, refused={
            sorted(files)[0].removesuffix("_BF.tif"): "^ambiguous: Images/.*, Images/.* all claim BF"
        })  # fmt: skip


def tokens() -> Iterator[Case]:
    others = ("x_PE.tif", "x_PerCP.tif", "x_PE-Cy7.tif")
    beside = ["good_PE.tif", "x_BF.tif", *others]
    shown = ["x_PE-Cy7.tif", "x_PerCP.tif"]
    yield aside("of-pe-percp-and-pe-cy7", beside, shown, profile=PE_ALONE, called=("good", "x"))
    yield called("of-pe-percp-and-pe-cy7-all-declared", beside, ["x"], profile=PE_AND_OTHERS)
    without = ["good_PE.tif", "x_BF.tif", "x_PerCP.tif"]
    lacking = {"good": "^channel DAPI is missing; channel APC is missing$", "x": "channel PE is missing"}
    yield aside(
        "of-percp-where-pe-is-missing",
        without,
        ["x_PerCP.tif"],
        profile=PE_FLAT,
        checkpoint="four",
        code=2,
        called=(),
        refused=lacking,
    )
    yield Case(
        name="name-that-a-built-in-profile-does-not-know",
        kind=KIND,
        build=lambda folder: put(folder, four_files("0001") | {"Images/0001_PerCP.tif": GOOD}),
        profile=None,
        checkpoint="four",
        code=65,
        error=r"profile flat fits but for 1 files not accounted for: Images/0001_PerCP\.tif",
    )


PE_FLAT = ANY_ID.replace('"[^/]+"', '"[a-z]+"').replace(
    'channels = [{name = "BF"}]', 'channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]'
)


def folders() -> Iterator[Case]:
    deep = "/".join(["d"] * 100)
    yield aside("a-hundred-folders-deep", [f"{deep}/a_BF.tif"], [f"{deep}/a_BF.tif"])
    yield aside("of-a-folder-like-an-image", ["a_BF.tif/x.tif"], ["a_BF.tif/x.tif"])
    yield aside("in-a-folder-of-a-backslash", ["a\\b/c_BF.tif"], ["a\\b/c_BF.tif"])
    yield aside("in-a-folder-of-dots", ["..../c_BF.tif"], [], ignored=1)
    yield aside("in-a-folder-of-a-newline", ["a\nb/c_BF.tif"], ["a\\nb/c_BF.tif"])


CASES: tuple[Case, ...] = (*formulas(), *unseen(), *twins(), *tokens(), *folders())
