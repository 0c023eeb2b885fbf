"""A run to which nothing is owed: looked at cheaply, often by its folders' times and rarely file by file."""

import itertools
import math
import os
import time

from edge_ctc.config import Settings
from edge_ctc.daemon.settling import fingerprint
from edge_ctc.errors import RunMissingError, RunUnreadableError
from edge_ctc.exports.listing import Listing, list_files

_MOST_FOLDERS = 16
"""Below a run, whose times are compared at each look; what changes in others, the rarer look at all files finds."""
_LOOKS_TO_BELIEVE = 3
"""In so many looks in a row its results must be missing before that is believed: a share may blink."""
_TIMES_EVERY_S = 5.0
"""Between two looks at the folders' times. An event comes sooner."""
_REST = 10
"""A look at all files is not followed by another before so many times as long as it took."""


class Finished:
    """What is remembered of such a run, or of a folder that holds none; its results and its files say the rest.

    Attributes:
        is_called: whether it has complete calls; else no image is in it.
    """

    def __init__(self, listing: Listing, settings: Settings, changed_at: float, *, is_called: bool = True) -> None:
        """As it was listed.

        Args:
            listing: what its calls rest on.
            settings: how often it is looked at.
            changed_at: when a file last came or changed. For as long after as a quiet run takes to be over, all files
                are looked at often: some instruments write a file once more. Monotonic seconds.
            is_called: whether it has complete calls.
        """
        self.is_called = is_called
        self._folder = listing.folder
        self._settings = settings
        self._fingerprint = fingerprint(listing)
        tops = (file.name.partition("/")[0] for file in listing.files if "/" in file.name)
        below = itertools.islice(dict.fromkeys(tops), _MOST_FOLDERS)
        self._paths = (str(self._folder), *(f"{self._folder}/{name}" for name in below))
        # None: a file may have come since `listing`, and so all are listed at the first look.
        self._times: tuple[int, ...] | None = None
        self._fresh_until = changed_at + settings.quiet_s
        self._times_at = self._list_at = -math.inf
        self._looks_without = 0

    def owes_work(self, now: float, *, has_results: bool, is_hinted: bool, has_time: bool = True) -> bool:
        """Whether a file was added, changed or taken away since, or its results are gone.

        Args:
            now: monotonic seconds.
            has_results: whether calls and manifest are there, by their names.
            is_hinted: whether an event came from inside the run.
            has_time: whether all its files may be looked at because it is time to.

        Raises:
            RunError: the run is gone or cannot be listed.
        """
        self._looks_without = 0 if has_results or not self.is_called else self._looks_without + 1
        if self._looks_without >= _LOOKS_TO_BELIEVE:
            return True
        is_due = is_hinted or (has_time and now >= self._list_at)
        if not is_due and now < self._times_at:
            return False
        times = self._folder_times()
        self._times_at = now + _TIMES_EVERY_S
        if times == self._times and not is_due:
            return False
        if fingerprint(list_files(self._folder)) != self._fingerprint:
            return True
        done = time.monotonic()
        is_fresh = now < self._fresh_until
        # A folder that was made for a run to come is to be seen filling.
        is_often = is_fresh or not self.is_called
        every_s = self._settings.look_every_s if is_often else 60 * self._settings.recheck_every_min
        self._times, self._list_at = times, done + max(every_s, _REST * (done - now))
        return False

    def _folder_times(self) -> tuple[int, ...]:
        try:
            return tuple(os.stat(path).st_mtime_ns for path in self._paths)  # noqa: PTH116 - of 200 runs at each look
        except FileNotFoundError as error:
            if os.path.isdir(self._folder):
                return ()
            raise RunMissingError(f"{self._folder}: no such folder; it was there before") from error
        except OSError as error:
            raise RunUnreadableError(f"{self._folder}: cannot be looked at ({error}); try again later") from error
