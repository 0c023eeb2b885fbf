"""Read results as somebody would who has only the README: with csv and json, not with our own code."""

import csv
import json
from pathlib import Path
from typing import Any


def rows_of(run: Path, out: Path | None = None) -> list[dict[str, str]]:
    """The rows of a run's calls, in file order."""
    with ((out or run.parent) / f"{run.name}.ctc-calls.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def row_of(run: Path, cell_id: str) -> dict[str, str]:
    """The one row of a cell."""
    (row,) = [row for row in rows_of(run) if row["cell_id"] == cell_id]
    return row


def manifest_of(run: Path, out: Path | None = None) -> dict[str, Any]:
    """The manifest of a run."""
    manifest: dict[str, Any] = json.loads(((out or run.parent) / f"{run.name}.ctc-run.json").read_text("utf-8"))
    return manifest


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Name, size and time of change of everything below a folder."""
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}
