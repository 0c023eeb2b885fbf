"""What people see of the proof of a profile: a line for each aspect, and what it comes to."""

import contextlib
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_ctc.console.lines import progress, say
from edge_ctc.probe.findings import Finding, is_faultless


class CheckWatcher:
    """Shows how far the decoding is; a context manager."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._bar = contextlib.ExitStack()

    def decoding(self, files: int) -> Callable[[int], None]:
        """A bar for so many files; gives what is told after each."""
        return self._bar.enter_context(progress("decoding every image", files))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def print_findings(findings: Sequence[Finding], profile: str, file: str, run: Path) -> None:
    """A line for each aspect, its details below it; then what to do."""
    width = max(len(finding.aspect) for finding in findings)
    for finding in findings:
        say(f"{finding.verdict.value:<5}  {finding.aspect:<{width}}  {finding.said}")
        for line in finding.more:
            say(f"{'':<5}  {'':<{width}}    {line}")
    say("")
    if is_faultless(findings):
        say(f"Profile {profile} accounts for every file and reads every cell of {run}.")
        say("It does not know what the channels show: that a person has confirmed, with the staining protocol.")
        say(f"next: edge-ctc classify-run {shlex.join([str(run), '--profile', file])}")
    else:
        say(f"Profile {profile} leaves files or cells of {run} unread; see FAULT above.")
