"""Folders that hold what no run should: links, pipes, other people's files, two layouts, nothing."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.corpus.case import CHANNELS, COUNTS, GOOD, Case, Content, four_files, image, put
from tests.encoders import png
from tests.images import tiff

KIND = "folder"
FOUR: dict[str, Content] = four_files("0001")


def beside(name: str, more: Callable[[Path], None], **changes: Any) -> Case:
    """A good cell 0001 of four channels, and something more."""

    def build(folder: Path) -> None:
        put(folder, FOUR)
        more(folder)

    usual: dict[str, Any] = {"profile": "flat", "checkpoint": "four", "code": 0, "called": ("0001",)}
    return Case(name=f"folder-{name}", kind=KIND, build=build, **(usual | changes))


def refused(name: str, build: Callable[[Path], None], code: int, error: str, **changes: Any) -> Case:
    """A folder that is no run."""
    usual: dict[str, Any] = {"profile": "flat", "checkpoint": "four"}
    return Case(name=f"folder-{name}", kind=KIND, build=build, code=code, called=(), error=error, **(usual | changes))


def files(more: dict[str, Content]) -> Callable[[Path], None]:
    return lambda folder: put(folder, more)


def linked(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "Images" / name).symlink_to(target)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make something in place of the run's folder."""

    def build(folder: Path) -> None:
        folder.rmdir()
        make(folder)

    return build


def bound(folder: Path) -> None:
    """Leave the file of a socket."""
    # The name of a socket has room for 108 bytes: it is bound in its folder.
    here = Path.cwd()
    os.chdir(folder / "Images")
    try:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind("0002_BF.tif")
    finally:
        os.chdir(here)


def links() -> Iterator[Case]:
    yield beside("with-a-link-to-an-image", linked("0002_BF.tif", "0001_BF.tif"), links=1)
    yield beside("with-a-link-out-of-the-run", linked("0002_BF.tif", "/etc/passwd"), links=1)
    yield beside("with-a-dangling-link", linked("0002_BF.tif", "nowhere"), links=1)
    yield beside("with-a-link-to-itself", linked("0002_BF.tif", "0002_BF.tif"), links=1)
    yield beside("with-a-link-to-its-parent", linked("loop", ".."), links=1)
    yield beside("with-a-link-to-the-root", linked("root", "/"), links=1)
    yield beside("with-a-link-to-a-device", linked("0002_BF.tif", "/dev/zero"), links=1)

    def table_elsewhere(folder: Path) -> None:
        put(folder.parent, {"elsewhere.csv": b"cell_id,cage_row,cage_col\n0001,1,2\n"})
        (folder / "cells.csv").symlink_to("../elsewhere.csv")

    yield beside(
        "with-a-link-for-a-table",
        table_elsewhere,
        links=1,
    )

    def channel_by_link(folder: Path) -> None:
        put(folder, four_files("0002"))
        (folder / "Images/0002_PE.tif").unlink()
        (folder / "Images/0002_PE.tif").symlink_to("0001_PE.tif")

    missing = {"0002": "^channel PE is missing$"}
    yield beside("with-a-channel-that-is-a-link", channel_by_link, code=2, links=1, refused=missing)
    yield beside("with-a-pipe", lambda folder: os.mkfifo(folder / "Images/0002_BF.tif"), links=1)
    yield beside("with-a-socket", bound, links=1)
    yield beside(
        "with-a-hard-link",
        lambda folder: os.link(folder / "Images/0001_BF.tif", folder / "Images/0001_BF.bak"),
        unaccounted=("Images/0001_BF.bak",),
    )

    def folder_for_a_channel(folder: Path) -> None:
        put(folder, four_files("0002"))
        (folder / "Images/0002_PE.tif").unlink()
        (folder / "Images/0002_PE.tif").mkdir()

    yield beside("with-a-folder-in-place-of-an-image", folder_for_a_channel, code=2, refused=missing)
    yield beside("with-a-folder-in-place-of-the-table", lambda folder: (folder / "cells.csv").mkdir())

    def through_a_link(folder: Path) -> None:
        put(folder.parent / "real", FOUR)
        folder.rmdir()
        folder.symlink_to("real")

    yield Case(
        "folder-that-is-a-link", KIND, through_a_link, profile="flat", checkpoint="four", code=0, called=("0001",)
    )


def empty() -> Iterator[Case]:
    nothing = "profile flat finds no cell among 0 files"
    yield refused("empty", files({}), 65, nothing)
    yield refused(
        "empty-without-a-profile", files({}), 65, "holds no file; name the folder of one exported run", profile=None
    )
    yield refused("of-empty-folders", lambda folder: (folder / "a/b/c").mkdir(parents=True), 65, nothing)
    yield refused(
        "of-a-table-alone",
        files({"cells.csv": b"cell_id,cage_row,cage_col\n0001,1,2\n"}),
        65,
        "finds no cell among 1 files",
    )
    yield refused(
        "of-hidden-files-alone",
        files({".DS_Store": b"x", ".Images/0001_BF.tif": GOOD}),
        65,
        "finds no cell among 2 files",
    )
    yield refused(
        "of-photos",
        files({"beach.jpg": b"\xff\xd8\xff"}),
        65,
        r"no built-in profile accounts for its 1 files .*beach\.jpg",
        profile=None,
    )
    yield refused(
        "of-runs",
        files({f"P0{run}/{name}": GOOD for run in (1, 2) for name in FOUR}),
        65,
        "no built-in profile accounts for its 8 files",
        profile=None,
    )
    yield refused(
        "of-runs-by-a-named-profile",
        files({f"P0{run}/{name}": GOOD for run in (1, 2) for name in FOUR}),
        65,
        "finds no cell among 8 files",
    )
    yield refused("of-links-alone", lambda folder: (folder / "a").symlink_to("/etc"), 65, nothing)
    yield refused("that-is-a-file", instead(lambda run: run.write_bytes(GOOD)), 66, "run: is a file, no folder")
    yield refused("that-is-not-there", instead(lambda _run: None), 66, "run: no such folder")
    yield refused(
        "that-is-a-dangling-link",
        instead(lambda run: run.symlink_to("nowhere")),
        66,
        "run: no such folder",
    )
    yield refused("that-is-a-pipe", instead(os.mkfifo), 66, "run: is a file, no folder")


def strangers() -> Iterator[Case]:
    def ignored(name: str, *names: str) -> Case:
        return beside(name, files(dict.fromkeys(names, b"x")), ignored=len(names), profile=None)

    yield ignored("with-windows-litter", "Images/Thumbs.db", "desktop.ini", "~$cells.xlsx", "Images/THUMBS.DB")
    yield ignored("with-macs-litter", ".DS_Store", "Images/._0001_BF.tif", ".Spotlight-V100/x", ".Trashes/0001_BF.tif")
    yield ignored("with-nfs-litter", "Images/.nfs000000000123", ".snapshot/Images/0001_BF.tif")
    yield ignored("with-synologys-litter", "Images/@eaDir/0001_BF.tif/SYNOPHOTO_THUMB.jpg", "@eaDir/0002_BF.tif")
    yield ignored("with-half-copied-files", "Images/0002_BF.tif.part", "Images/0002_BF.tif.tmp", "x.PART")
    ours = (
        "run.ctc-calls.csv",
        "run.ctc-run.json",
        "run.truth.csv",
        "run.ctc-calls.20260101T000000Z.csv",
        "run.ctc-gallery/rank-001.png",
    )
    yield ignored("with-our-own-outputs", *ours)
    yield beside("with-a-readme", files({"README.txt": b"x"}), unaccounted=("README.txt",))
    yield refused(
        "with-a-readme-and-no-profile",
        files(FOUR | {"README.txt": b"x"}),
        65,
        r"profile flat fits but for 1 files .*README\.txt",
        profile=None,
    )
    many: dict[str, Content] = {f"Images/{number:05}.jpg": b"" for number in range(3000)}
    yield refused(
        "with-3000-strangers-and-no-profile",
        files(FOUR | many),
        65,
        r"profile flat fits but for 3000 files .*00000\.jpg, .*, …",
        profile=None,
    )
    mixed: dict[str, Content] = {"P07_cell-1.png": png(COUNTS), "thumbs/1_thumb.tif": tiff(*[COUNTS] * 4)}
    yield beside("of-three-layouts", files(mixed), unaccounted=tuple(mixed))
    yield refused(
        "of-three-layouts-and-no-profile",
        files(FOUR | mixed),
        65,
        "no built-in profile accounts for its 6 files",
        profile=None,
    )
    other: dict[str, Content] = {f"P08/{name}": GOOD for name in FOUR}
    yield beside("of-two-runs-one-inside-the-other", files(dict(other)), unaccounted=tuple(other))


WILD = """
schema_version = 1
name = "wild"
layout = "flat"
images = "*/{cell_id}_{channel}.tif"
channels = [{name = "BF"}, {name = "DAPI"}, {name = "PE"}, {name = "APC"}]
"""


def channels() -> Iterator[Case]:
    def second(name: str, cell: dict[str, Content], reason: str) -> Case:
        return beside(name, files(cell), code=2, refused={"0002": reason})

    whole = four_files("0002")
    for channel in CHANNELS:
        lacking = {name: content for name, content in whole.items() if not name.endswith(f"_{channel}.tif")}
        yield second(f"with-a-cell-without-{channel.lower()}", lacking, f"^channel {channel} is missing$")
    one: dict[str, Content] = {"Images/0002_PE.tif": GOOD}
    yield second("with-a-cell-of-one-channel", one, "^channel BF is missing; channel DAPI is missing; channel APC is")
    double = whole | {"Images/0002_PE.tiff": GOOD, "Images/0002_pe.TIF": GOOD}
    yield second(
        "with-a-channel-three-times", double, r"^ambiguous: Images/0002_PE\.tif, .*\.tiff, .*_pe\.TIF all claim PE"
    )
    extra = tuple(f"Images/0001_{name}.tif" for name in ("FITC", "PerCP", "PE-Cy7", "BF_z1"))
    yield beside("with-channels-that-nobody-declared", files(dict.fromkeys(extra, GOOD)), unaccounted=extra)
    merged: dict[str, Content] = {f"{run}/0001_{channel}.tif": GOOD for run in "AB" for channel in CHANNELS}
    yield Case(
        name="folder-of-two-runs-merged",
        kind=KIND,
        build=files(merged | {f"A/0002_{channel}.tif": GOOD for channel in CHANNELS}),
        profile=WILD,
        checkpoint="four",
        called=("0002",),
        refused={"0001": r"^ambiguous: A/0001_BF\.tif, B/0001_BF\.tif all claim BF; ambiguous: A/0001_DAPI"},
    )


def sized(name: str, size: int) -> Callable[[Path], None]:
    """Leave a file of so many bytes that takes no room on the disk."""

    def build(folder: Path) -> None:
        put(folder, {name: GOOD, "Images/good_BF.tif": GOOD})
        os.truncate(folder / name, size)

    return build


def large_and_old() -> Iterator[Case]:
    limit = 64 << 20
    for slug, size in (("64-mib-and-a-byte", limit + 1), ("a-tebibyte", 1 << 40)):
        reason = rf"{size} bytes, expected at most {limit}"
        yield image(f"folder-with-an-image-of-{slug}", KIND, b"", reason, build=sized("Images/bad_BF.tif", size))
    yield image("folder-with-an-image-of-64-mib", KIND, b"", build=sized("Images/bad_BF.tif", limit))

    def dated(seconds: int) -> Callable[[Path], None]:
        return lambda folder: os.utime(folder / "Images/0001_BF.tif", (seconds, seconds))

    yield beside("with-an-image-of-1970", dated(0))
    yield beside("with-an-image-from-before-1970", dated(-86_400))
    yield beside("with-an-image-of-2200", dated(7_258_118_400))

    def too_deep(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=handle)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = below
        os.close(handle)

    yield beside(
        "too-deep-to-be-named", too_deep, code=75, called=(), error="run: cannot be listed .*File name too long"
    )


CASES: tuple[Case, ...] = (*links(), *empty(), *strangers(), *channels(), *large_and_old())
