"""A called run in one folder, and review files as the gallery's page saves them, written without our own code."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_ctc.cells import Verdict
from edge_ctc.results.calls import Call, ranked
from edge_ctc.results.commit import Former, ResultPlace, commit, read_committed
from edge_ctc.review.importing import Imported, import_review
from tests.images import CALL, manifest_of, not_evaluable, result_place

CTC, REVIEW, LEUKOCYTE, NOT_EVALUABLE = Verdict
VERDICTS: dict[str, Verdict] = {"0001": CTC, "0002": CTC, "0003": REVIEW, "0004": LEUKOCYTE, "0005": LEUKOCYTE}
"""By falling score: 4.0, 3.0, 2.0, 1.0, 0.0."""


def calls_with(verdicts: Mapping[str, Verdict], images: str = "") -> list[Call]:
    """Ranked as they are given, each with images of its own; other `images` are others."""
    calls = []
    for place, (cell_id, verdict) in enumerate(verdicts.items()):
        sums = tuple(hashlib.sha256(f"{cell_id}{channel}{images}".encode()).hexdigest() for channel in ("BF", "PE"))
        call = not_evaluable(cell_id) if verdict is NOT_EVALUABLE else replace(CALL, cell_id=cell_id, verdict=verdict)
        score = None if call.score is None else float(len(verdicts) - 1 - place)
        calls.append(replace(call, image_sha256=sums, score=score))
    return ranked(calls)


def called(folder: Path, verdicts: Mapping[str, Verdict] = VERDICTS, images: str = "", **changes: Any) -> ResultPlace:
    """A run with these calls, committed over what stood there."""
    place = result_place(folder)
    return committed(place, calls_with(verdicts, images), **changes)


def committed(place: ResultPlace, calls: Sequence[Call], **changes: Any) -> ResultPlace:
    """The place with these calls, committed over what stood there."""
    commit(place, calls, manifest_of(calls, **changes), Former(read_committed(place)))
    return place


def images_of(place: ResultPlace, cell_id: str) -> str:
    """As the README says: the sha256 of the image_sha256 of the row."""
    with place.calls.open(encoding="utf-8", newline="") as file:
        rows = {row["cell_id"].removeprefix("'"): row["image_sha256"] for row in csv.DictReader(file)}
    return hashlib.sha256(rows[cell_id].encode()).hexdigest()


Said = int | None | tuple[int | None, Sequence[str]]
"""A grade, or a grade and marks."""


def document(
    place: ResultPlace,
    said: Mapping[str, Said],
    reader: str = "M. Rossi",
    at: str = "2026-11-23T20:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    """What the page saves; `more` replaces what stands at the top, `blind` what stands in each reading."""
    blind = more.pop("blind", True)
    manifest = json.loads(place.manifest.read_bytes())
    readings = []
    for cell_id, answer in said.items():
        grade, marks = answer if isinstance(answer, tuple) else (answer, ())
        reading = {"cell_id": cell_id, "images_sha256": images_of(place, cell_id), "grade": grade}
        readings.append(reading | {"marks": list(marks), "read_at_utc": at, "blind": blind})
    top: dict[str, Any] = {
        "schema_version": 1,
        "kind": "edge-ctc review",
        "run_id": place.run_id,
        "calls_sha256": manifest["calls"]["sha256"],
        "checkpoint_sha256": manifest["checkpoint"]["sha256"],
        "reader": reader,
        "saved_at_utc": at,
        "readings": readings,
    }
    return top | more


def saved(folder: Path, content: Any, name: str = "run 1.Rossi.ctc-review.json") -> Path:
    """A review file with `content`: bytes as they are, else as JSON."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def read_by(place: ResultPlace, reader: str, said: Mapping[str, Said], **more: Any) -> Imported:
    """Let a reader's review be imported."""
    path = saved(place.folder, document(place, said, reader, **more))
    return import_review(path, place.folder)
