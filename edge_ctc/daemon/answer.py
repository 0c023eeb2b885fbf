"""Whether the export folder answers somebody else while our own look does not come back."""

import os
import subprocess
import sys
from pathlib import Path


class Answer:
    """Asks by a process of its own, which a dead share may hold in our place; one at a time."""

    def __init__(self, folder: Path) -> None:
        """Nobody was asked yet."""
        self._command = [sys.executable, "-I", "-S", "-c", "import os, sys; os.listdir(sys.argv[1])", os.fspath(folder)]
        self._asked: subprocess.Popen[bytes] | None = None

    def came(self) -> bool:
        """Ask, if nobody was asked, and tell whether the folder has been listed since; never waits."""
        if self._asked is None:
            self._asked = subprocess.Popen(  # noqa: S603 - our own command
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        if self._asked.poll() is None:
            return False
        is_listed = self._asked.returncode == 0
        self._asked = None
        return is_listed

    def forget(self) -> None:
        """Take back what was asked: our own look came back."""
        if self._asked is not None:
            # What a dead share holds goes when the share lets it go; it is not waited for.
            self._asked.kill()
            self._asked = None
