"""The export folder as it can be seen now: on which mount, which runs, and which of them have results."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.config import BESIDE, Settings
from edge_ctc.doctor.mounts import Mount, mount_of, read_mounts
from edge_ctc.errors import RunMissingError, RunUnreadableError
from edge_ctc.exports.listing import find_run_paths
from edge_ctc.exports.profile import Profile
from edge_ctc.plan import result_place
from edge_ctc.results.commit import ResultPlace


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run's results belong, and their names."""

    place: ResultPlace
    names: frozenset[str]


class _Mounted:
    """A folder, and what was mounted there: its mount point alone is an empty folder of another disk."""

    def __init__(self, folder: Path, note: Path | None = None) -> None:
        """`note` is a file in which the mount point is remembered beyond the end of the process."""
        self._folder = folder
        self._note = note
        self._seen = _noted(note, folder)
        self._last: tuple[tuple[Mount, ...], tuple[int, int]] | None = None

    def look(self) -> Mount | None:
        """What it lies on now; None: the kernel does not tell.

        Raises:
            RunMissingError: what was mounted there before is not.
        """
        mounts, before = read_mounts(), self._seen
        now = None if (identity := _identity(self._folder)) is None else (mounts, identity)
        if now is not None and now == self._last:
            return before
        self._last = None
        mount = mount_of(Path(os.path.realpath(self._folder)), mounts)
        if mount is not None and before is not None and mount.point != before.point:
            is_gone = before.point.is_relative_to(mount.point) or (before.is_network and not mount.is_network)
            if is_gone:
                forget = f", or remove {self._note} if it lies elsewhere now" if self._note else ""
                raise RunMissingError(
                    f"{self._folder}: what was mounted on {before.point} is gone; mount it again{forget}"
                )
        if mount is not None and (before is None or mount.point != before.point) and self._note is not None:
            with contextlib.suppress(OSError):
                self._note.write_text(f"{mount.kind}\n{self._folder}\n{mount.point}", "utf-8", "surrogateescape")
        self._seen = mount or before
        # Asked every second: the same folder under the same mounts lies where it lay. Where nothing is told, ask again.
        self._last = now if mount is not None else None
        return mount


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(folder)  # noqa: PTH116 - at each look
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _noted(note: Path | None, folder: Path) -> Mount | None:
    """The mount that an earlier daemon saw of that folder, as far as it matters."""
    if note is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        kind, noted, point = note.read_text("utf-8", "surrogateescape").split("\n", 2)
        return Mount(Path(point), kind, is_read_only=False) if noted == str(folder) else None
    return None


class Export:
    """Looks at the export folder and at where results go.

    A folder on which something was mounted once is away as long as it is not.

    Attributes:
        is_share: whether others can write there without events on this machine.
        mount: what it lies on; None: the kernel does not tell, or it was not looked at yet.
        unlisted: why a folder between it and runs could not be listed in the last look; None: all could.
    """

    def __init__(self, settings: Settings, profile: Profile, state: Path) -> None:
        """Nothing was looked at yet; `state` is the daemon's own folder."""
        self._settings = settings
        self._glob = profile.runs
        self._folder = Path(settings.export_dir)
        self._out = None if settings.results == BESIDE else Path(settings.results)
        self._runs: dict[str, Path] = {}
        self._places: dict[Path, _Place] = {}
        self._names: dict[Path, frozenset[str]] = {}
        self._export_mount = _Mounted(self._folder)
        # The export folder without its share is empty, and nothing is owed; results would be written there anew.
        self._results_mount = None if self._out is None else _Mounted(self._out, state / "results-mount")
        self.is_share = settings.mount == "share"
        self.mount: Mount | None = None
        self.unlisted: RunUnreadableError | None = None

    @property
    def results_root(self) -> Path:
        """The folder whose only writer the daemon is: results go there, or below."""
        return self._folder if self._out is None else self._out

    def runs(self) -> tuple[Path, ...]:
        """The run folders that are there now.

        Raises:
            RunMissingError: the folder, the results' folder, or what was mounted on one of them is not there.
            RunUnreadableError: it cannot be listed.
        """
        self._names.clear()
        self._look_at_mounts()
        self.unlisted = None
        paths = find_run_paths(self._folder, self._glob, self._leave_out)
        # The same objects each time: a path is costly to make, and to compare, where 200 of them are asked for.
        self._runs |= {path: Path(path) for path in paths if path not in self._runs}
        return tuple(self._runs[path] for path in paths)

    def _leave_out(self, error: RunUnreadableError) -> None:
        self.unlisted = error

    def _look_at_mounts(self) -> None:
        if self._results_mount is not None:
            self._results_mount.look()
        if self._settings.mount == "local":
            return
        mount = self.mount = self._export_mount.look()
        is_network = mount is not None and mount.is_network
        if self._settings.mount == "share":
            if mount is not None and not is_network and mount.point != Path(os.path.realpath(self._folder)):
                raise RunMissingError(f"{self._folder}: no share is mounted there; mount it")
        else:
            self.is_share = is_network

    def runs_of(self, paths: Iterable[str]) -> frozenset[Path]:
        """The run folders that `paths` lie in, as the profile's glob counts levels."""
        depth = self._glob.count("/") + 1
        below = (Path(path) for path in paths)
        return frozenset(
            self._folder.joinpath(*path.relative_to(self._folder).parts[:depth])
            for path in below
            if path.is_relative_to(self._folder)
        )

    def place_of(self, run: Path) -> ResultPlace:
        """Where a run's results belong. Raises as `result_place`."""
        return self._known(run).place

    def _known(self, run: Path) -> "_Place":
        if run not in self._places:
            # Asked of each run at each look, and the answer takes links apart folder by folder.
            place = result_place(run, self.out_of(run))
            self._places[run] = _Place(place, frozenset((place.calls.name, place.manifest.name)))
        return self._places[run]

    def out_of(self, run: Path) -> Path | None:
        """The folder for a run's results; None: beside it."""
        return None if self._out is None else self._out / run.relative_to(self._folder).parent

    def has_results(self, run: Path) -> bool:
        """Whether both results of a run are there, by their names, in this look.

        Raises:
            RunUnreadableError: their folder cannot be listed.
        """
        known = self._known(run)
        return known.names <= self._names_in(known.place.folder)

    def may_have_results(self, run: Path) -> bool:
        """As `has_results`, and false where that cannot be told: good enough for an order."""
        with contextlib.suppress(RunUnreadableError):
            return self.has_results(run)
        return False

    def _names_in(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except FileNotFoundError:
                self._names[folder] = frozenset()
            except OSError as error:
                raise RunUnreadableError(f"{folder}: cannot be listed ({error}); try again later") from error
        return self._names[folder]
