"""One bad file or folder as data, and the runs that most of them lie in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_ctc.preprocess import Counts
from tests.images import some_counts, tiff

CheckpointName = Literal["counts", "shades", "four", "display"]
"""One channel of uint16, or of uint8; the built-in profiles' four as counts, or stretched to be looked at."""

Content = bytes | Callable[[], bytes]
"""A file; made only when it is wanted where it is large."""

ONE_CHANNEL = """
schema_version = 1
name = "one-channel"
layout = "flat"
images = ["Images/{cell_id}_{channel}.tif", "Images/{cell_id}_{channel}.png", "Images/{cell_id}_{channel}.bmp"]
cell_id = "[a-z]+"
channels = [{name = "BF"}]
"""

CHANNELS = ("BF", "DAPI", "PE", "APC")
COUNTS = some_counts(20, 24)
SHADES = some_counts(20, 24, bits=8)
GOOD = tiff(COUNTS)
GOOD_SHADES = tiff(SHADES)


@dataclass(frozen=True)
class Case:
    """One bad file or folder in a run, and what must be said of it.

    Attributes:
        name: a slug, like no other's.
        kind: of badness, for people.
        build: fills the run's folder, which is there and empty.
        profile: a built-in's name, or TOML; None: the command finds one itself.
        checkpoint: which one calls.
        code: of the command.
        called: the ids of all cells that must be called, as the calls spell them.
        refused: by the ids of all cells that must be NOT_EVALUABLE, a regular expression that the reason holds.
        error: regular expression that standard error holds, where the run as a whole is refused.
        problem: regular expression that the manifest's table.problem holds.
        unaccounted: the names that the manifest must list as left aside.
        links: how many links and the like must be counted and not followed.
        ignored: how many files must be counted as ignored; None: the others' rest, whatever it is.
        max_seconds: that the command may take.
        flag: stands in the flags of every called cell; "": not looked at.
        defect: what is wrong with what is said today; the case is then expected to fail.
    """

    name: str
    kind: str
    build: Callable[[Path], None]
    profile: str | None = ONE_CHANNEL
    checkpoint: CheckpointName = "counts"
    code: int = 2
    called: tuple[str, ...] = ("good",)
    refused: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    problem: str = ""
    unaccounted: tuple[str, ...] = ()
    links: int = 0
    ignored: int | None = None
    max_seconds: float = 2.0
    flag: str = ""
    defect: str = ""


def put(folder: Path, files: Mapping[str, Content]) -> None:
    """Write files by their path below `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content() if callable(content) else content)


def image(
    name: str,
    kind: str,
    content: Content,
    reason: str = "",
    *,
    suffix: str = "tif",
    checkpoint: CheckpointName = "counts",
    **changes: Any,
) -> Case:
    """A case of one file beside the one of a good cell; without a `reason`, it is odd but must be called."""
    bad = f"Images/bad_BF.{suffix}"
    good = GOOD if checkpoint == "counts" else GOOD_SHADES
    usual: dict[str, Any] = {
        "build": lambda folder: put(folder, {bad: content, "Images/good_BF.tif": good}),
        "checkpoint": checkpoint,
        "code": 2 if reason else 0,
        "called": ("good",) if reason else ("good", "bad"),
        "refused": {"bad": f"^{re.escape(bad)}: {reason}"} if reason else {},
    }
    return Case(name=name, kind=kind, **(usual | changes))


def four_files(cell_id: str, content: bytes = GOOD) -> dict[str, Content]:
    """The files of a good cell of the built-in profile flat."""
    return {f"Images/{cell_id}_{channel}.tif": content for channel in CHANNELS}


def black(side: int) -> Counts:
    """(side, side) zeros: what packs to nearly nothing."""
    zeros: Counts = np.zeros((side, side), np.uint16)
    return zeros
