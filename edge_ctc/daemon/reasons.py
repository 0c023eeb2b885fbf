"""Why something cannot be done now, in words that name no path: for the journal, the status and systemd."""

from edge_ctc.errors import (
    CalledByAnotherError,
    NotARunError,
    ResultsError,
    ResultsHeldError,
    RunError,
    RunMissingError,
    RunUnreadableError,
)

_WORDS: tuple[tuple[type[RunError], str], ...] = (
    (RunMissingError, "not there, or nothing is mounted on it"),
    (NotARunError, "no run by its profile"),
    (RunUnreadableError, "cannot be read"),
    (CalledByAnotherError, "called by another model, and images are gone: call it with classify-run"),
    (ResultsHeldError, "its results are held by another process"),
    (ResultsError, "results cannot be written"),
)


def reason_of(error: RunError) -> str:
    """The kind of failure, and what the system said."""
    if isinstance(error, RunUnreadableError) and error.__cause__ is None:
        return "changes while it is read"
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), "cannot be called")
    cause = error.__cause__
    return f"{words}: {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else words
