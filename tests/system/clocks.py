"""A wall clock that jumps, for one program alone; its monotonic clock and the times of files stay as they are."""

from collections.abc import Mapping
from pathlib import Path


class WallClock:
    """What libfaketime shows to a program that is started with `env`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self.jump(0)

    @property
    def env(self) -> Mapping[str, str]:
        """Of the program. Raises AssertionError where libfaketime is missing."""
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        assert libraries, "libfaketime: not installed; `python -m tests.system.tools` installs what is missing"
        return {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, days: int) -> None:
        """Be so many days ahead of the machine's clock from now on."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{days:+d}d\n", encoding="ascii")
        temporary.rename(self._file)
