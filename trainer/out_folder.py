"""The folder that a command writes into."""

from pathlib import Path

from edge_ctc.errors import ResultsError


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents, where they are not there yet.

    Raises:
        ResultsError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be made ({error.strerror}); name another --out") from error
