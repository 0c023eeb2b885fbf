"""What people and programs see of an examination."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from edge_ctc import __version__
from edge_ctc.console.lines import say
from edge_ctc.doctor.findings import Finding

SCHEMA_VERSION = 1


def print_findings(findings: Sequence[Finding]) -> None:
    """A line for each, with what mends it."""
    for finding in findings:
        # No arrow of one character: not every terminal has it.
        mend = f" -> {finding.mend}" if finding.mend else ""
        say(f"{finding.status:<8} {finding.name:<11} {finding.found}{mend}")


def print_json_findings(findings: Sequence[Finding]) -> None:
    """One JSON document on standard output."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "software_version": __version__,
        "findings": [asdict(finding) for finding in findings],
    }
    for line in json.dumps(document, indent=1).splitlines():
        say(line)
