"""A proposal and its sheets on the disk, beside the run and never inside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from edge_ctc import durable
from edge_ctc.errors import ResultsError
from edge_ctc.plan import result_place
from edge_ctc.probe.proposal import Proposal
from edge_ctc.probe.sheets import contact_sheet, sheet_names
from edge_ctc.probe.survey import Survey

PROFILE = "profile.toml"
NEW_PROFILE = "profile.new.toml"


@dataclass(frozen=True, slots=True)
class Written:
    """What lies on the disk now.

    Attributes:
        profile: the proposal.
        kept: a profile of an earlier probe that somebody may have answered, and that was left as it is.
        sheets: one for each channel, in their order.
    """

    profile: Path
    kept: Path | None
    sheets: tuple[Path, ...]


def probe_folder(run: Path, out: Path | None) -> Path:
    """Where a probe of `run` writes: `<run>.ctc-probe` beside it, or `out`.

    Raises:
        ConfigError: `out` lies inside the run.
    """
    place = result_place(run, out)
    return place.folder / f"{place.run_id}.ctc-probe" if out is None else place.folder


def write_probe(folder: Path, found: Survey, proposal: Proposal) -> Written:
    """Write the sheets, then the proposal.

    Raises:
        ResultsHeldError: another probe writes there.
        ResultsError: the folder cannot be made or written.
    """
    _make(folder)
    with durable.sole_writer(folder):
        sheets = []
        for channel, name in zip(found.channels, sheet_names(found), strict=True):
            sheets.append(folder / name)
            durable.write_whole(sheets[-1], _saving(contact_sheet(channel, found.run_name)))
        content = proposal.text.encode()
        path = folder / PROFILE
        kept = path if path.exists() and not _holds(path, content) else None
        if kept is not None:
            path = folder / NEW_PROFILE
        durable.write_bytes(path, content)
    return Written(path, kept, tuple(sheets))


def _make(folder: Path) -> None:
    if folder.is_symlink():
        raise ResultsError(f"{folder}: is a link; a probe writes into a folder of its own, take it away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be made ({error.strerror}); name another folder with --out") from error


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}); take it away") from error


def _saving(picture: Image.Image) -> Callable[[BinaryIO], None]:
    return lambda file: picture.save(file, "PNG", optimize=True)
