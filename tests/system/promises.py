"""What every called run promises, checked as somebody would who has only the README: csv, json and hashlib."""

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Verdicts = Mapping[str, str]
"""What each cell of a run is to be called."""

_OURS = re.compile(r"\.ctc-|\.edge-ctc|tmp|lock", re.IGNORECASE)


def verdicts_of(run: Path, results: Path | None = None) -> dict[str, str]:
    """As they stand in the calls."""
    return {row["cell_id"]: row["verdict"] for row in _rows(calls_of(run, results))}


def calls_of(run: Path, results: Path | None = None) -> Path:
    return (results or run.parent) / f"{run.name}.ctc-calls.csv"


def manifest_path(run: Path, results: Path | None = None) -> Path:
    return (results or run.parent) / f"{run.name}.ctc-run.json"


def is_complete(run: Path, results: Path | None = None) -> bool:
    """Whether complete calls are committed."""
    return state_of(run, results) == "complete"


def state_of(run: Path, results: Path | None = None) -> str | None:
    """Of the calls that are committed; None: the manifest, if any, commits others than stand there just now."""
    raw = _committed(run, results)
    return None if raw is None else str(json.loads(raw)["run_state"])


def committed(run: Path, results: Path | None = None) -> bytes | None:
    """The manifest, if the calls beside it are those that it commits, and complete; None: they are not, just now."""
    raw = _committed(run, results)
    return raw if raw is not None and json.loads(raw)["run_state"] == "complete" else None


def _committed(run: Path, results: Path | None) -> bytes | None:
    try:
        raw = manifest_path(run, results).read_bytes()
        calls = calls_of(run, results).read_bytes()
    except FileNotFoundError:
        return None
    return raw if json.loads(raw)["calls"]["sha256"] == hashlib.sha256(calls).hexdigest() else None


def broken(run: Path, expected: Verdicts, results: Path | None = None, superseded: int = 0) -> list[str]:
    """Every promise that the finished run does not keep.

    Args:
        run: its folder.
        expected: the verdict of each of its cells.
        results: where its calls lie; None: beside it.
        superseded: how many complete calls stood there before these.
    """
    place = results or run.parent
    path = manifest_path(run, results)
    if not path.exists() or not calls_of(run, results).exists():
        return [f"{run.name}: no calls, or no manifest"]
    manifest = json.loads(path.read_bytes())
    rows = _rows(calls_of(run, results))
    found = [
        *_differ("run_state", manifest["run_state"], "complete"),
        *_differ("sha256 of the calls", manifest["calls"]["sha256"], _sha256(calls_of(run, results))),
        *_differ("rows that say complete", sum(row["run_state"] == "complete" for row in rows), len(rows)),
        *_row_faults(rows, expected),
        *_sum_faults(manifest, rows, run),
        *_input_faults(manifest, rows, run),
    ]
    former = [name for name in _names(place) if re.fullmatch(rf"{re.escape(run.name)}\.ctc-calls\..+\.csv", name)]
    found += _differ("superseded calls", len(former), superseded)
    found += [f"{name}: nobody edited anything" for name in former if "edited" in name]
    return [f"{run.name}: {fault}" for fault in found]


def litter(exports: Path, results: Path | None = None) -> list[str]:
    """Everything that is ours and must not be left: the export folder holds runs and files named `<run>.…` only."""
    found = []
    for folder in {exports, results or exports}:
        runs = [entry.name for entry in exports.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        for entry in folder.iterdir():
            if entry.is_dir() and entry.name in runs and folder == exports:
                # Unlike rglob, os.walk bears folders that are too deep to be named.
                inside = (name for _, folders, files in os.walk(entry) for name in (*folders, *files))
                found += [f"inside a run: {entry.name}, {name}" for name in inside if _OURS.search(name)]
            elif not any(entry.name.startswith(f"{run}.") for run in runs) or "tmp" in entry.name:
                found.append(f"left over: {entry}")
    return found


def mixed(run: Path, results: Path | None = None) -> list[str]:
    """What is wrong with results that a crash left: what a manifest commits must be there whole, or nothing is."""
    place = results or run.parent
    path = manifest_path(run, results)
    if not path.exists():
        return []
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:
        return [f"{path.name}: half a manifest of {path.stat().st_size} bytes"]
    committed = manifest["calls"]["sha256"]
    stands = [name for name in _names(place) if name.removeprefix(".").startswith(f"{run.name}.ctc-calls.")]
    if committed in {_sha256(place / name) for name in stands}:
        return []
    # Partial calls are not kept: newer ones may have replaced them just before their own manifest appeared.
    if manifest["run_state"] == "partial" and calls_of(run, results).exists() and _is_whole(calls_of(run, results)):
        return []
    return [f"{run.name}: the manifest commits calls that are not there: {stands}"]


class Witness:
    """Reads the manifest of a run again and again while it grows, and remembers from which bytes cells were called."""

    def __init__(self, run: Path, results: Path | None = None) -> None:
        self._run, self._results = run, results
        self._manifest = manifest_path(run, results)
        self._seen: dict[str, set[str | None]] = {}
        self.looks = 0
        """So many manifests were read."""

    def look(self) -> None:
        """Read the manifest as it stands now, if there is one."""
        try:
            manifest = json.loads(self._manifest.read_bytes())
        except FileNotFoundError:
            return
        self.looks += 1
        for file in manifest["inputs"]:
            self._seen.setdefault(file["name"], set()).add(file["sha256"])

    def sees_complete(self) -> bool:
        """Look, and tell whether complete calls are committed."""
        self.look()
        return is_complete(self._run, self._results)

    def premature(self) -> list[str]:
        """Files from which a cell was called, if only for a while, before they held their last bytes."""
        return [
            f"{name}: called from bytes that were not its last"
            for name in sorted(self._seen)
            if self._seen[name] != {_sha256(self._run / name)}
        ]


def _row_faults(rows: list[dict[str, str]], expected: Verdicts) -> list[str]:
    counted = Counter(row["cell_id"] for row in rows)
    found = [f"cell {cell_id}: {count} rows" for cell_id, count in counted.items() if count > 1]
    found += [f"cell {cell_id}: no row" for cell_id in sorted(expected.keys() - counted.keys())]
    found += [f"cell {cell_id}: there is no such cell" for cell_id in sorted(counted.keys() - expected.keys())]
    for row in rows:
        found += _differ(f"verdict of {row['cell_id']}", row["verdict"], expected.get(row["cell_id"]))
    return found


def _sum_faults(manifest: Mapping[str, Any], rows: list[dict[str, str]], run: Path) -> list[str]:
    files, cells = manifest["files"], manifest["cells"]
    refused = sum(row["verdict"] == "NOT_EVALUABLE" for row in rows)
    return [
        *_differ(
            "sum of files", sum(files[name] for name in ("used", "ignored", "failed", "pending")), files["on_disk"]
        ),
        *_differ("files on disk", files["on_disk"], sum(1 for _ in _files(run))),
        *_differ("files pending", files["pending"], 0),
        *_differ("sum of cells", cells["called"] + cells["not_evaluable"] + cells["pending"], cells["total"]),
        *_differ("cells", cells["total"], len(rows)),
        *_differ("cells pending", cells["pending"], 0),
        *_differ("cells not evaluable", cells["not_evaluable"], refused),
        *_differ("sum of verdicts", sum(manifest["verdicts"].values()), len(rows)),
    ]


def _input_faults(manifest: Mapping[str, Any], rows: list[dict[str, str]], run: Path) -> list[str]:
    found = []
    by_name = {file["name"]: file for file in manifest["inputs"]}
    found += _differ("inputs named twice", len(manifest["inputs"]) - len(by_name), 0)
    for file in [*manifest["inputs"], *manifest["tables"]]:
        path = run / file["name"]
        if file["state"] == "gone" or not path.exists():
            found.append(f"{file['name']}: said to be {file['state']}, on the disk: {path.exists()}")
            continue
        now = path.stat()
        found += _differ(f"size of {file['name']}", file["size"], now.st_size)
        found += _differ(f"mtime of {file['name']}", file["mtime_ns"], now.st_mtime_ns)
        found += _differ(f"bytes called of {file['name']}", file["sha256"], _sha256(path))
    for row in rows:
        sums = [by_name.get(name, {}).get("sha256") or "unread" for name in row["image_files"].split("|") if name]
        found += _differ(f"image_sha256 of {row['cell_id']}", row["image_sha256"], "|".join(sums))
    return found


def _rows(calls: Path) -> list[dict[str, str]]:
    with calls.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_whole(calls: Path) -> bool:
    return calls.read_bytes().endswith(b"\r\n")


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _files(run: Path) -> Iterator[Path]:
    return (path for path in run.rglob("*") if path.is_file() and not path.is_symlink())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _differ(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: {found!r}, expected {expected!r}"]
