"""What people see of the proof of a profile: a line for each aspect, and what it comes to."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_ctc.console.lines import OneBar, say
from edge_ctc.probe.findings import Finding, is_faultless


class CheckWatcher(OneBar):
    """Shows how far the decoding is; a context manager."""

    def decoding(self, files: int) -> Callable[[int], None]:
        """A bar for so many files; gives what is told after each."""
        self._draw("decoding every image", files)
        return self.advanced


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
