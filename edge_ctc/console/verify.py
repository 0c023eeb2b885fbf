"""What people and programs see of a verification."""

import json
from dataclasses import asdict
from typing import Any

from edge_ctc import __version__
from edge_ctc.console.lines import OneBar, say
from edge_ctc.verify import Certificate, Finding, Status

SCHEMA_VERSION = 1

_MOST_NAMES = 10
_WORDS: dict[Status, str] = {"ok": "ok", "note": "note", "unchecked": "UNCHECKED", "fault": "FAULT"}


class VerifyWatcher(OneBar):
    """An `edge_ctc.verify.Watcher` for people, on standard error; a context manager."""

    def hashing(self, files: int) -> None:
        """A bar for the files."""
        self._draw("hashing", files)

    def computing(self, cells: int) -> None:
        """A bar for the cells."""
        self._draw("computing again", cells)


def print_certificate(certificate: Certificate) -> None:
    """A line for each check, at most ten names under it, and the summary."""
    for finding in certificate.findings:
        say(_line(finding))
        for name in finding.names[:_MOST_NAMES]:
            say(f"    {name}")
        if len(finding.names) > _MOST_NAMES:
            say(f"    and {len(finding.names) - _MOST_NAMES} more; --json names all")
    say(_summary(certificate))


def _line(finding: Finding) -> str:
    expected = f"; expected {finding.expected}" if finding.expected else ""
    # No arrow of one character: not every terminal has it.
    mend = f" -> {finding.mend}" if finding.mend else ""
    return f"{_WORDS[finding.status]:<9} {finding.name:<10} {finding.found}{expected}{mend}"


def _summary(certificate: Certificate) -> str:
    if certificate.closes:
        return (
            f"{certificate.run_id}: is what was called: {certificate.cells} cells, {certificate.files} files hashed, "
            f"calls {certificate.calls_sha256}"
        )
    return (
        f"{certificate.run_id}: NOT certified: {certificate.count('fault')} faults, "
        f"{certificate.count('unchecked')} checks that could not be made"
    )


def print_json_certificate(certificate: Certificate, exit_code: int) -> None:
    """One JSON document on standard output."""
    _print(
        {
            "exit_code": exit_code,
            "run_id": certificate.run_id,
            "manifest": str(certificate.manifest),
            "calls_sha256": certificate.calls_sha256,
            "certified": certificate.closes,
            "cells": certificate.cells,
            "files_hashed": certificate.files,
            "findings": [asdict(finding) for finding in certificate.findings],
        }
    )


def print_json_failure(error: Exception, exit_code: int) -> None:
    """One JSON document for a verification that could not be made."""
    _print({"exit_code": exit_code, "certified": False, "error": str(error)})


def _print(document: dict[str, Any]) -> None:
    head = {"schema_version": SCHEMA_VERSION, "software_version": __version__}
    for line in json.dumps(head | document, indent=1).splitlines():
        say(line)
