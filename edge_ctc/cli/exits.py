"""How a command ends: the one place where errors become exit codes."""

import gc
import signal
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from typing import NoReturn

import typer

from edge_ctc.console.lines import say_error
from edge_ctc.errors import (
    CalledByAnotherError,
    CheckpointError,
    ConfigError,
    DataError,
    EdgeCtcError,
    EngineError,
    EngineSpoiltError,
    InputMissingError,
    NotARunError,
    ResultsError,
    ResultsHeldError,
    RunMissingError,
    RunUnreadableError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """0, 2, else BSD's sysexits."""

    DONE = 0
    PARTLY_DONE = 2
    USAGE = 64
    DATA = 65
    INPUT_MISSING = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_WRITE = 73
    TEMPORARY = 75
    CONFIG = 78
    INTERRUPTED = 130


_EXIT_CODES: tuple[tuple[type[EdgeCtcError], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG),
    (CheckpointError, ExitCode.DATA),
    (InputMissingError, ExitCode.INPUT_MISSING),
    (DataError, ExitCode.DATA),
    (UnavailableError, ExitCode.UNAVAILABLE),
    (EngineSpoiltError, ExitCode.DATA),
    (EngineError, ExitCode.INTERNAL),
    (RunMissingError, ExitCode.INPUT_MISSING),
    (NotARunError, ExitCode.DATA),
    (RunUnreadableError, ExitCode.TEMPORARY),
    (CalledByAnotherError, ExitCode.DATA),
    (ResultsHeldError, ExitCode.TEMPORARY),
    (ResultsError, ExitCode.CANNOT_WRITE),
)

_RECORDS_PER_COLLECTION = 100_000


def exit_code(error: EdgeCtcError) -> ExitCode:
    """The exit code that says how far `error` reaches."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), ExitCode.INTERNAL)


def collect_rarely() -> None:
    """Look for cycles of garbage less often than Python does by default.

    A run is 100,000 small records without a cycle among them: looking for cycles in them at the usual pace took a
    quarter of the time of a second call.
    """
    gc.freeze()
    gc.set_threshold(_RECORDS_PER_COLLECTION)


def end_as_if_interrupted() -> None:
    """Let SIGTERM, or a terminal that closes, end the process as an interrupt does: nothing half done is left."""

    def end(signum: int, _frame: object) -> NoReturn:
        sys.exit(128 + signum)

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, end)


def run_app(commands: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a typer app on the process's arguments, or on `arguments`, and exit.

    Every failure ends in one plain line on standard error and its exit code.
    """
    try:
        result = commands(arguments, prog_name=name, standalone_mode=False)
    except EdgeCtcError as error:
        say_error(str(error))
        sys.exit(exit_code(error))
    except typer.TyperException as error:
        # Not every such error knows at which command it arose.
        context = getattr(error, "ctx", None)
        command = name if context is None else context.command_path
        say_error(error.format_message(), hint=f"`{command} --help` shows how it is used")
        sys.exit(ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        result = ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001 - the outermost border: a fault of ours must still end with its own code
        traceback.print_exc()
        sys.exit(ExitCode.INTERNAL)
    # typer itself turns an interrupt into this code.
    if result == ExitCode.INTERRUPTED:
        say_error("interrupted; what stood in the place of the results still stands")
    sys.exit(result if isinstance(result, int) else ExitCode.DONE)
