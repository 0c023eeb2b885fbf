"""A run's top candidates, with what the instrument measured of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.exports.profile import LoadedProfile
from edge_ctc.exports.run_table import read_run_table
from edge_ctc.gallery.called_run import CalledRun, open_called
from edge_ctc.results.calls import Call
from edge_ctc.results.commit import ResultPlace
from edge_ctc.results.committed import committed_calls
from edge_ctc.results.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Candidate:
    """A called cell.

    Attributes:
        rank: from 1.
        call: its row.
        features: what the instrument measured, in the order of `Candidates.features`; None where it says nothing.
    """

    rank: int
    call: Call
    features: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best cells of a run.

    Attributes:
        manifest: of the run.
        cells: by rank.
        features: columns of the run's table that the profile names; none without a table that can be read.
    """

    manifest: Manifest
    cells: tuple[Candidate, ...]
    features: tuple[str, ...]


def top_candidates(folder: Path, place: ResultPlace, profile: LoadedProfile | None, top: int) -> Candidates:
    """The `top` cells by rank.

    Args:
        folder: of the run.
        place: of its results.
        profile: None: the built-in one that the manifest notes.
        top: how many at most.

    Raises:
        NotARunError: the run has no committed calls, or another profile than theirs was given.
        RunError: the run cannot be read.
    """
    manifest, calls = committed_calls(place)
    features, measured = _features(open_called(folder, profile, manifest), manifest)
    nothing = (None,) * len(features)
    evaluable = [call for call in calls[:top] if call.score is not None]
    cells = (Candidate(rank, call, measured.get(call.cell_id, nothing)) for rank, call in enumerate(evaluable, 1))
    return Candidates(manifest, tuple(cells), features)


def _features(called: CalledRun, manifest: Manifest) -> tuple[tuple[str, ...], Mapping[str, tuple[float | None, ...]]]:
    """The columns that the profile names, and their numbers by cell id; none of another table than the calls'."""
    declared = called.profile.table
    if declared is None or not declared.features or not called.run.tables:
        return (), {}
    table = read_run_table(called.run, called.profile)
    if table.sha256 is None or table.sha256 not in {file.sha256 for file in manifest.tables}:
        return (), {}
    return declared.features if table.rows else (), {id_: row.features for id_, row in table.rows.items()}
