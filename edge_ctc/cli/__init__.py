"""The commands, one module for each kind of work."""

from edge_ctc.cli.app import app, main
from edge_ctc.cli.exits import ExitCode, collect_rarely, exit_code, run_app

__all__ = ["ExitCode", "app", "collect_rarely", "exit_code", "main", "run_app"]
