"""Real SMB and NFS under the daemon: `python -m tests.system.soak_shares` writes its figures into docs/shares.md.

It takes about ten minutes, needs root, and 3 GiB of memory in /dev/shm.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.system.scans import Archive, small_checkpoint
from tests.system.uml import fetch_kernel, missing_tools, run_trial

_PAGE = Path(__file__).parents[2] / "docs" / "shares.md"
_BEGIN, _END = "<!-- figures of soak_shares -->\n", "<!-- end of figures -->\n"
_TRIALS = {"writing": 120, "unwritable": 120, "outages": 300, "daemon": 400, "ending": 300}
"""By name, seconds that a trial may take."""
_RUNS = 6
_NAMES = {"cifs": "SMB 3.1.1", "nfs": "NFS 4.2"}
_SERVER_VERSION = ("smbd", "--version")


def make_inputs(folder: Path) -> None:
    """What the trials read: a checkpoint, runs, and what they are to become."""
    archive = Archive(folder / "archive", small_checkpoint(folder / "checkpoint"))
    for number in range(_RUNS):
        scan = archive.scan(number)
        scan.copy(folder / f"run-{number}")
        (folder / f"run-{number}.json").write_text(json.dumps(dict(scan.expected)))


def table(kind: str, figures: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [f"### {_NAMES[kind]}\n", "| step | what was found |", "|---|---|"]
    lines += [f"| {one['step']} | {_words(one)} |" for one in figures]
    return "\n".join(lines) + "\n"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_words(one)}" for key, one in value.items() if key != "step")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> int:
    """Run every trial on both; the figures go into the page."""
    if os.geteuid() != 0 or missing_tools():
        sys.stderr.write(f"real shares need root and: {' '.join(missing_tools()) or 'nothing else'}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="edge-ctc-shares-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        make_inputs(inputs)
        kernel = fetch_kernel(Path(folder) / "kernel")
        (release,) = os.listdir(kernel / "lib/modules")
        with ThreadPoolExecutor() as both:
            tables = [*both.map(lambda kind: table(kind, _figures(kernel, kind, inputs)), _NAMES)]
    version = subprocess.run(_SERVER_VERSION, capture_output=True, text=True, check=True).stdout
    about = f"Linux {release} in user mode, samba {version.split()[1]}, Python {platform.python_version()}.\n"
    before, _, rest = _PAGE.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(before + _BEGIN + "\n".join([about, *tables]) + _END + after, "utf-8")
    return 0


def _figures(kernel: Path, kind: str, inputs: Path) -> list[dict[str, Any]]:
    figures = []
    for trial, within_s in _TRIALS.items():
        for figure in run_trial(kernel, kind, trial, inputs, within_s):
            sys.stdout.write(f"{kind} {json.dumps(figure)}\n")
            sys.stdout.flush()
            figures.append(figure)
    return figures


if __name__ == "__main__":
    sys.exit(main())
