"""Which files of a run are ready, by our own clock: those that stayed the same for long enough in two looks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from edge_ctc.cells import ImageFile
from edge_ctc.exports.listing import Listing


@dataclass(frozen=True, slots=True)
class _Arriving:
    """A file that may still be written to, and since when it looks as it does; monotonic seconds."""

    file: ImageFile
    since: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file's name tells.

    Attributes:
        matters: whether calls may rest on the file; the others are not looked at.
        may_be_empty: whether it is whole without a byte in it, as a sentinel is.
    """

    matters: Callable[[str], bool]
    may_be_empty: Callable[[str], bool]


class Settling:
    """Remembers how the files of one run looked, and when that changed.

    The clock is our own monotonic one: a server's times, and a wall clock that jumps, decide nothing. A file's own time
    of change is only compared with what it was before.

    Attributes:
        known: the files that are ready, by name, as they were when last asked for.
        news: how often a file became ready, or went.
        changed_at: when a file last came or changed; monotonic seconds.
    """

    def __init__(self, settle_s: float, rules: "Rules", now: float) -> None:
        """Nothing was looked at yet.

        Args:
            settle_s: how long a file must stay the same.
            rules: what a file's name tells.
            now: monotonic seconds.
        """
        self._settle_s = settle_s
        self._rules = rules
        self._looked_at = now
        self._arriving: dict[str, _Arriving] = {}
        self._others: set[str] = set()
        self.known: dict[str, ImageFile] = {}
        self.news = 0
        self.changed_at = now

    def look(self, listing: Listing, began: float, ended: float) -> None:
        """Compare with the look before; a file that the listing took over from `known` costs next to nothing.

        Args:
            listing: what was seen.
            began: when the listing began: what stayed the same was so until then at least. Monotonic seconds.
            ended: when it ended: what is new was seen then at the latest. So a slow share shortens no wait.
        """
        there = 0
        for file in listing.files:
            name = file.name
            if self.known.get(name) is file:
                there += 1
            elif name not in self._others:
                if name in self.known or name in self._arriving or self._rules.matters(name):
                    there += 1
                    self._compare(file, began, ended)
                else:
                    self._others.add(name)
        if there < len(self.known) + len(self._arriving):
            # A file that goes is no work, but a run from which files go is not quiet: it may be the share that goes.
            self.changed_at = ended
            self.news += 1
            self._forget_vanished(listing)
        self._looked_at = began

    def begin_anew(self, now: float) -> None:
        """Nothing can be said of what happened since the last look: what is not ready yet begins to settle now."""
        self.changed_at = self._looked_at = now
        self._arriving = {name: _Arriving(one.file, now) for name, one in self._arriving.items()}

    @property
    def quiet_s(self) -> float:
        """For how long, as far as was looked, nothing came, changed or went."""
        return max(0.0, self._looked_at - self.changed_at)

    def _compare(self, file: ImageFile, began: float, ended: float) -> None:
        known = self.known.get(file.name)
        if known is not None and _is_same(known, file):
            return
        before = self._arriving.get(file.name)
        if before is None or not _is_same(before.file, file):
            self.known.pop(file.name, None)
            self._arriving[file.name] = _Arriving(file, ended)
            self.changed_at = ended
        elif self._may_be_ready(file) and began - before.since >= self._settle_s:
            del self._arriving[file.name]
            self.known[file.name] = file
            self.news += 1

    def _may_be_ready(self, file: ImageFile) -> bool:
        return file.size > 0 or self._rules.may_be_empty(file.name)

    def _forget_vanished(self, listing: Listing) -> None:
        names = {file.name for file in listing.files}
        for remembered in (self.known, self._arriving):
            for name in remembered.keys() - names:
                del remembered[name]

    @property
    def unsettled(self) -> frozenset[str]:
        """Names of the files that may still be written to."""
        return frozenset(self._arriving)

    @property
    def holds_something(self) -> bool:
        """Whether there is any file that calls may rest on."""
        return bool(self.known or self._arriving)

    def has_settled(self, now: float) -> bool:
        """Whether every file is ready, and none went for as long as a file takes to be."""
        return not self._arriving and now - self.changed_at >= self._settle_s

    @property
    def oldest_arriving(self) -> float | None:
        """Since when the oldest of these looks as it does; monotonic seconds."""
        return min((one.since for one in self._arriving.values()), default=None)

    @property
    def next_at(self) -> float | None:
        """When the next file may be ready, at the earliest; monotonic seconds."""
        since = (one.since for one in self._arriving.values() if self._may_be_ready(one.file))
        return min((one + self._settle_s for one in since), default=None)


def _is_same(then: ImageFile, now: ImageFile) -> bool:
    return then.size == now.size and then.mtime_ns == now.mtime_ns


def fingerprint(listing: Listing) -> bytes:
    """Names, sizes and times of all files in 16 bytes: two listings of one run differ in it if any of them does."""
    digest = hashlib.blake2b(digest_size=16)
    for file in listing.files:
        digest.update(f"{file.name}\0{file.size}\0{file.mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.digest()
