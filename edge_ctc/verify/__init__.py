"""Months later: whether a called run still is what was called. Nothing here writes, mends or locks."""

from edge_ctc.verify.certify import Asked, Watcher, verify_run
from edge_ctc.verify.findings import Certificate, Finding, Status

__all__ = ["Asked", "Certificate", "Finding", "Status", "Watcher", "verify_run"]
