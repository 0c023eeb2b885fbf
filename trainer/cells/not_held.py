"""What to say of labels whose run or cell is not there."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

_NEAR = 0.8
"""Likeness, by difflib, of what stands around the numbers of two ids."""

_NAMED = 10


def no_such_cell(wanted: str, run_id: str, held: Sequence[str]) -> str:
    """That run `run_id` holds the cells `held` and not `wanted`, and what may have happened."""
    said = f"cell {wanted} of run {run_id}: labelled, but the run holds no such cell"
    if meant := _meant(wanted, held):
        return f'{said} (did you mean "{meant}"?); write the id as the files do, leading zeros included'
    return (
        f"{said} (it holds {_named(held)}); its images may be missing from the run: "
        "bring them back, mend the id, or take the row out"
    )


def no_such_run(run_id: str, labels: int, runs: Path, folders: Sequence[str]) -> str:
    """That `runs` holds the runs `folders` and not `run_id`, which has so many `labels`."""
    near = difflib.get_close_matches(run_id, folders, n=1)
    instead = f'did you mean "{near[0]}"?' if near else f"it holds {_named(sorted(folders))}"
    return (
        f"run {run_id}: {labels} labels, but no such folder in {runs} ({instead}); mend run_id or name another --runs"
    )


def _named(ids: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    more = len(ids) - _NAMED
    return (", ".join(ids[:_NAMED]) or "none") + (f" and {more} more" if more > 0 else "")


def _meant(wanted: str, held: Sequence[str]) -> str | None:
    """The cell with the same numbers, leading zeros aside, in nearly the same words; another number is another cell."""
    numbers, words = _parted(wanted)
    likeness = {
        cell_id: difflib.SequenceMatcher(None, words, other_words).ratio()
        for cell_id in held
        for other_numbers, other_words in [_parted(cell_id)]
        if other_numbers == numbers
    }
    nearest = max(likeness, key=lambda cell_id: likeness[cell_id], default=None)
    return None if nearest is None or likeness[nearest] < _NEAR else nearest


def _parted(cell_id: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"[0-9]+", cell_id)], re.sub(r"[0-9]+", "0", cell_id).casefold()
