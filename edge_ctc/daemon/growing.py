"""A run to which something may be owed: its files, which of them are ready, and when the next step is due."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_ctc.cells import ImageFile
from edge_ctc.classify import Step
from edge_ctc.config import Settings
from edge_ctc.daemon.settling import Rules, Settling
from edge_ctc.exports.listing import Listing, list_files
from edge_ctc.plan import Seen

_HUNG = 10
"""A look that takes so many times as long as the one before was held up by the share."""
_LONGEST_REST_S = 60.0
_REST = 4
"""After a look, or a step, a run is left alone for so many times as long as it took: a fifth of a core at most."""


def rest_after(took: float) -> float:
    """How long a run is left alone after something that took so many seconds."""
    return min(_REST * took, _LONGEST_REST_S)


class Growing:
    """What is remembered of such a run between two looks; all of it can be forgotten and found again.

    Attributes:
        pending: cells that wait, as the last step said.
        first_seen: monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        rules: Rules,
        clock: Callable[[], float] = time.monotonic,
        *,
        believes_end: bool = True,
    ) -> None:
        """It was not looked at yet.

        Args:
            folder: of the run.
            settings: of the daemon.
            rules: what its files' names tell.
            clock: tells monotonic seconds.
            believes_end: whether the run is over where its table or sentinel says so. Not where they were wrong before:
                some instruments write a row of the table with each cell.
        """
        self._believes_end = believes_end
        self.pending = 0
        self._clock = clock
        self.first_seen = clock()
        self._folder = folder
        self._settings = settings
        self._settling = Settling(settings.settle_s, rules, self.first_seen)
        self._listing: Listing | None = None
        self._undecoded: dict[str, ImageFile] = {}
        self._doubtful: frozenset[str] = frozenset()
        self._looked_at = -math.inf
        self._look_took = 0.0
        self._look_again_at = -math.inf
        self._stepped_at = -math.inf
        self._step_took = 0.0
        self._news_seen = self._news_then = 0
        self._is_hinted = False
        self._stepped_settled = self._stepped_quiet = self._saw_settled = False

    @property
    def changed_at(self) -> float:
        """When a file last came or changed; monotonic seconds."""
        return self._settling.changed_at

    @property
    def holds_something(self) -> bool:
        """Whether there is any file that calls may rest on."""
        return self._settling.holds_something

    @property
    def oldest_since(self) -> float | None:
        """Since when the oldest file is there that no call rests on; monotonic seconds; None: there is none."""
        if self.pending or self._stepped_at < 0:
            return self.first_seen if self._settling.holds_something else None
        return self._settling.oldest_arriving

    def look(self, *, is_hinted: bool) -> None:
        """List the run, if it is time to; `is_hinted` after an event from inside it.

        Raises:
            RunError: it is gone or cannot be listed.
        """
        # An event that comes while the run is left alone is heeded after that.
        self._is_hinted |= is_hinted
        if self._clock() < self.look_at:
            return
        self._is_hinted = False
        known = self._settling.known
        if self._doubtful:
            known = {name: file for name, file in known.items() if name not in self._doubtful}
        self._list(known)

    def _list(self, known: Mapping[str, ImageFile] | None) -> Listing:
        began = self._clock()
        listing = list_files(self._folder, known)
        ended = self._clock()
        self._settling.look(listing, began, ended)
        took, before = ended - began, self._look_took
        if took > self._settings.answer_within_s and took > _HUNG * before:
            # The share held it: whoever writes there may have been held as long.
            self._settling.begin_anew(ended)
        self._look_took = took
        self._listing, self._looked_at = listing, began
        self._look_again_at = ended + _REST * (ended - began)
        return listing

    @property
    def look_at(self) -> float:
        """When it is looked at next; monotonic seconds."""
        if self._is_hinted:
            return self._look_again_at
        regular = self._looked_at + self._settings.look_every_s
        ready = self._settling.next_at
        return max(self._look_again_at, regular if ready is None else min(regular, ready))

    def is_step_due(self, now: float) -> bool:
        """Whether there is something to call, or the run may be over."""
        if not self._settling.holds_something:
            return False
        rest = rest_after(self._step_took)
        if self.is_quiet:
            return not self._stepped_quiet or now >= self._stepped_at + rest
        has_news = self._settling.news > self._news_then
        if not self._settling.has_settled(now):
            since = max(self._stepped_at, self.first_seen)
            return has_news and now >= since + max(rest, self._settings.partial_every_s)
        if not self._stepped_settled:
            # It may be over, and then nobody waits longer.
            return True
        # A run that pauses again and again was not over before either.
        return has_news and now >= self._stepped_at + rest

    @property
    def quiet_s(self) -> float:
        """For how long, as far as was looked, it did not grow."""
        return self._settling.quiet_s

    @property
    def is_stalled(self) -> bool:
        """Whether it does not grow though a cell waits for something, or none could be called yet."""
        waits = self.pending > 0 or self._stepped_at < 0
        return self.holds_something and waits and self.quiet_s >= self._settings.stalled_after_s

    @property
    def is_quiet(self) -> bool:
        """Whether it did not grow for so long that it is taken for over."""
        return self.quiet_s >= self._settings.quiet_s

    @property
    def listing(self) -> Listing | None:
        """As it was last listed; None: never yet."""
        return self._listing

    def begin_anew(self) -> None:
        """It was away, or could not be looked at: whoever writes there may have been held up as long.

        A step that was made meanwhile may have met nothing but failures: another is due once the run has settled.
        """
        self._stepped_settled = False
        self._settling.begin_anew(self._clock())

    def seen(self) -> Seen:
        """The run as it is now; where it may be over, every file is asked for its size and time once more.

        A run that lost a file since is not over: it settles again first.

        Raises:
            RunError: it is gone or cannot be listed.
        """
        listing = self._listing
        if listing is None or self._settling.has_settled(self._clock()) or self.is_quiet:
            listing = self._list(None)
        known, self._saw_settled = self._settling.known, self._settling.has_settled(self._clock())
        undecoded = frozenset(name for name, file in self._undecoded.items() if known.get(name) == file)
        self._news_seen = self._settling.news
        return Seen(
            listing=listing,
            unsettled=self._settling.unsettled,
            undecoded=undecoded,
            doubtful=self._doubtful,
            may_be_over=self._believes_end and self._saw_settled,
            is_quiet=self.is_quiet,
        )

    def stepped(self, seen: Seen, step: Step, began: float, took: float) -> None:
        """What came of the step for what was seen; it began at `began`, monotonic seconds, and took so many."""
        self.pending = step.pending
        if step.unreadable is None:
            self._news_then = self._news_seen
        self._stepped_settled, self._stepped_quiet = self._saw_settled, seen.is_quiet
        # As they were read: they may look otherwise by now.
        self._undecoded = (
            {file.name: file for file in seen.listing.files if file.name in step.undecoded} if step.undecoded else {}
        )
        self._doubtful = step.doubtful
        self._stepped_at, self._step_took = began + took, took
