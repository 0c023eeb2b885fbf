"""A review file, checked against the calls that stand there now and added to the run's readings."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ctc import durable
from edge_ctc.cells import Verdict
from edge_ctc.errors import DataError, InputMissingError
from edge_ctc.exports.listing import display_name
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace, utc_now
from edge_ctc.results.committed import committed_calls
from edge_ctc.results.manifest import Manifest
from edge_ctc.review.hold import sole_reviewer
from edge_ctc.review.readings import Reading, read_readings, readings_path, table_of
from edge_ctc.review.review_file import ReadingInFile, ReviewFile, read_review

Changed = Literal["refuse", "leave out"]

_CELLS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Imported:
    """What one review file brought.

    Attributes:
        file: the review file.
        path: of the readings, `<run>.ctc-review.csv`.
        run_id: of the run.
        reader: who read.
        added: readings that came.
        known: readings of the file that were there already.
        is_called_again: the page was made from other calls than stand there now, of the same images.
        ungraded: cells of verdict CTC or REVIEW whose images, as they were called, nobody has graded.
        left_out: cells of the file that were read on other images than were called.
    """

    file: Path
    path: Path
    run_id: str
    reader: str
    added: int
    known: int
    is_called_again: bool
    ungraded: int
    left_out: tuple[str, ...]


def import_review(path: Path, named: ResultPlace | Path, changed: Changed = "refuse") -> Imported:
    """Add the readings in `path` to those of its run; the calls and their manifest are only read.

    Args:
        path: the file that the gallery's page saved.
        named: where the results of the run lie; or a folder, in which those of the run that the file names lie.
        changed: of cells that were read on other images than were called: refuse the file, or leave them out.

    Raises:
        InputMissingError: there is no such file, or no results in that folder.
        DataError: the file is no review, or of another run, or of a cell or of images that were not called, or a
            reader's name is spelt otherwise than before; or the readings that are there were changed. Nothing of the
            file is imported.
        NotARunError: the run has no committed calls.
        RunError: they cannot be read, or the readings cannot be written.
    """
    review = read_review(path)
    place = named if isinstance(named, ResultPlace) else _found_in(named, path, review.run_id)
    manifest, calls = committed_calls(place)
    by_id = {call.cell_id: call for call in calls}
    _check(path, review, manifest, by_id)
    same = [one for one in review.readings if _is_same(one, by_id[one.cell_id])]
    other = [one.cell_id for one in review.readings if not _is_same(one, by_id[one.cell_id])]
    if other and (changed == "refuse" or not same):
        way = "import with --leave-out-changed, and read those cells"
        raise _refused(path, review, other, "read on other images than were called", way)
    with sole_reviewer(place):
        durable.mend(readings_path(place))
        former = read_readings(place)
        _check_reader(path, review.reader, former)
        known = {reading.said for reading in former}
        found = [_reading(review, one, by_id[one.cell_id], manifest) for one in same]
        new = [reading for reading in found if reading.said not in known]
        if new:
            durable.write_bytes(readings_path(place), table_of([*former, *new]))
    return Imported(
        file=path,
        path=readings_path(place),
        run_id=review.run_id,
        reader=review.reader,
        added=len(new),
        known=len(found) - len(new),
        is_called_again=review.calls_sha256 != manifest.calls.sha256,
        ungraded=_ungraded(calls, [*former, *new]),
        left_out=tuple(other),
    )


def _found_in(folder: Path, path: Path, run_id: str) -> ResultPlace:
    place = ResultPlace(folder, run_id)
    if not os.path.lexists(place.manifest):
        raise InputMissingError(
            f"{path}: is of run {display_name(run_id)}, and no {display_name(place.manifest.name)} lies in {folder}; "
            "name the run's folder with --run, or the folder with its results with --out"
        )
    return place


def _check(path: Path, review: ReviewFile, manifest: Manifest, by_id: Mapping[str, Call]) -> None:
    if review.run_id != manifest.run_id:
        raise DataError(
            f"{path}: is of run {display_name(review.run_id)}, expected {manifest.run_id}; nothing was imported: name "
            "the run that was read"
        )
    same_calls = review.calls_sha256 == manifest.calls.sha256
    if same_calls and review.checkpoint_sha256 != manifest.checkpoint.sha256:
        raise DataError(
            f"{path}: names these calls and checkpoint {review.checkpoint_sha256[:12]}, but "
            f"{manifest.checkpoint.sha256[:12]} made them; nothing was imported: the file was changed, save it again"
        )
    if unknown := [one.cell_id for one in review.readings if one.cell_id not in by_id]:
        raise _refused(path, review, unknown, "not in the calls", "read the run")


def _refused(path: Path, review: ReviewFile, cells: Sequence[str], fault: str, way: str) -> DataError:
    return DataError(
        f"{path}: {len(cells)} of {len(review.readings)} cells are {fault} ({_some(cells)}); nothing was imported: "
        f"they changed since the page was made; {way} in the page that stands there now"
    )


def _is_same(one: ReadingInFile, call: Call) -> bool:
    return one.images_sha256 == call.images_sha256


def _some(cells: Sequence[str]) -> str:
    shown = ", ".join(display_name(cell_id) for cell_id in cells[:_CELLS_SHOWN])
    return f"{shown}, …" if len(cells) > _CELLS_SHOWN else shown


def _check_reader(path: Path, reader: str, former: Iterable[Reading]) -> None:
    """Refuse one name in two spellings: it would agree with itself as two people."""
    for known in {reading.reader for reading in former}:
        if known != reader and _spelt_plain(known) == _spelt_plain(reader):
            raise DataError(
                f"{path}: reader {display_name(reader)} differs from {display_name(known)}, who read this run before, "
                "in case, blanks or the encoding of a letter alone; nothing was imported: write the name in the page "
                "as before and save again, or two people's in two ways"
            )


def _spelt_plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _reading(review: ReviewFile, one: ReadingInFile, call: Call, manifest: Manifest) -> Reading:
    return Reading(
        run_id=review.run_id,
        cell_id=one.cell_id,
        images_sha256=one.images_sha256,
        reader=review.reader,
        grade=one.grade,
        marks=one.marks,
        blind=one.blind,
        read_at_utc=one.read_at_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        page_calls_sha256=review.calls_sha256,
        imported_at_utc=utc_now(),
        calls_sha256=manifest.calls.sha256,
        checkpoint_sha256=manifest.checkpoint.sha256,
        verdict=call.verdict,
        score=call.score,
    )


def _ungraded(calls: Iterable[Call], readings: Iterable[Reading]) -> int:
    graded = {(reading.cell_id, reading.images_sha256) for reading in readings if reading.grade is not None}
    asked = [call for call in calls if call.verdict in (Verdict.CTC, Verdict.REVIEW)]
    return sum((call.cell_id, call.images_sha256) not in graded for call in asked)
