"""`python -m tests.corpus`: docs/corpus.md, a table of all cases with what is really said of each."""

import tempfile
from collections import Counter
from pathlib import Path

from tests.corpus import CASES
from tests.corpus.case import Case
from tests.corpus.walk import faults, said, walk, write_checkpoints

DOCUMENT = Path(__file__).parents[2] / "docs" / "corpus.md"
_LONGEST = 240
_HEAD = """# Bad files and folders, and what is said of each

Made by `python -m tests.corpus`, which puts every case of `tests/corpus/` through `edge-ctc classify-run` and writes
down what was said; `tests/test_corpus.py` holds the same cases to what must be said. In each case the good cells
beside the bad one are called, every cell has one row, the sums of the manifest close, and neither 200 MiB nor 2 s are
exceeded.

The exit code: 0 nothing is wrong (*called* means that a file is odd and yet whole), 2 called but for what is named, 65
and above nothing is called. **A star marks a known defect**: what is said today is not yet what must be said.
"""


def main() -> None:
    """Write the document."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = write_checkpoints(Path(folder))
        lines = [_line(case, checkpoints) for case in CASES]
    counts = Counter(case.kind for case in CASES)
    defects = Counter(case.defect for case in CASES if case.defect)
    text = [
        _HEAD,
        "| kind | cases |\n|---|---|",
        *(f"| {kind} | {count} |" for kind, count in counts.items()),
        f"| **all** | **{len(CASES)}** |",
        "\n## Known defects\n",
        *([f"- {defect} ({count} cases)" for defect, count in defects.items()] or ["None."]),
        "\n## All cases\n",
        "| case | kind | exit | what is said |\n|---|---|---|---|",
        *lines,
    ]
    DOCUMENT.write_text("\n".join(text) + "\n", encoding="utf-8")


def _line(case: Case, checkpoints: dict[str, Path]) -> str:
    finding = walk(case, checkpoints)
    if bool(faults(case, finding)) != bool(case.defect):
        raise SystemExit(f"{case.name}: {faults(case, finding)}")
    star = "\\*" if case.defect else ""
    return f"| `{case.name}`{star} | {case.kind} | {finding.code} | {_shown(said(finding))} |"


def _shown(text: str) -> str:
    """Text that Markdown takes for nothing else, of a bounded length."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return plain.translate({ord(mark): f"\\{mark}" for mark in "\\|`*_<>[]#~$"})


if __name__ == "__main__":
    main()
