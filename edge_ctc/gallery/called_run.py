"""The images of a run that was called: none but those that were called."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_ctc.cell_reader import CellReader, concerns_one_file
from edge_ctc.cells import Cell
from edge_ctc.errors import NotARunError, RunUnreadableError
from edge_ctc.exports.listing import list_files
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.preprocess import ChannelInput, Counts, InputSpec
from edge_ctc.results.calls import Call
from edge_ctc.results.manifest import Manifest

_BRIGHT_FIELD = "BF"


@dataclass(frozen=True, slots=True)
class CalledRun:
    """A run as it lies on the disk now, and how it was read when it was called.

    Attributes:
        run: its files, by the profile that it was called with.
        profile: that profile.
        network: the input of the network that called it.
        cells: by id.
    """

    run: Run
    profile: Profile
    network: InputSpec
    cells: Mapping[str, Cell]

    @classmethod
    def of(cls, run: Run, profile: Profile, network: InputSpec) -> "CalledRun":
        """From a run that was read already."""
        return cls(run, profile, network, {cell.cell_id: cell for cell in run.cells})

    @property
    def channels(self) -> tuple[str, ...]:
        """The network's, then those that the profile names beside them."""
        taken = self.network.channel_names
        return (*taken, *(name for name in self.profile.channel_names if name not in taken))

    @property
    def thumbnail_channel(self) -> str:
        """The one that thumbnails show: bright field, where there is any."""
        return _BRIGHT_FIELD if _BRIGHT_FIELD in self.channels else self.channels[0]

    @property
    def markers(self) -> dict[str, str]:
        """What the network's channels show, in people's words, in its order."""
        return self.profile.markers_of(self.network.channel_names)

    def counts(self, call: Call) -> list[Counts]:
        """One (H, W) array per channel of the network, of the images that were called; none where they are not there.

        Raises:
            RunUnreadableError: disk or share failed, not a file alone.
        """
        return self._counts(call, self.network.channel_names)

    def counts_of(self, call: Call, channel: str) -> Counts | None:
        """The same of one channel, which the network may not have taken: what it did not take was not hashed."""
        found = self._counts(call, (channel,))
        return found[0] if found else None

    def _counts(self, call: Call, channels: tuple[str, ...]) -> list[Counts]:
        cell = self.cells.get(call.cell_id)
        if cell is None:
            return []
        asked = cell.only(channels)
        reader = CellReader(self.run.folder, self.profile, self._input(channels))
        try:
            counts, evidence = reader.counts(asked)
        except RunUnreadableError as error:
            if concerns_one_file(error):
                return []
            raise
        taken = cell.only(self.network.channel_names)
        called = dict(zip((file.name for file in taken.files), call.image_sha256, strict=False))
        if len(taken.files) != len(call.image_sha256):
            return []
        for file, sha256 in zip(asked.files, evidence.sha256, strict=True):
            if called.get(file.name, sha256) != sha256:
                return []
        return [] if evidence.problem else counts

    def _input(self, channels: tuple[str, ...]) -> InputSpec:
        if channels == self.network.channel_names:
            return self.network
        inputs = tuple(ChannelInput(name=name, range="raw") for name in channels)
        return self.network.model_copy(update={"channels": inputs})


def open_called(folder: Path, profile: LoadedProfile | None, manifest: Manifest) -> CalledRun:
    """The run in `folder` as `manifest` says it was called.

    Args:
        folder: of the run.
        profile: None: the built-in one that the manifest notes.
        manifest: of its committed calls.

    Raises:
        NotARunError: another profile than the calls' was given, or none where theirs is not built in.
        RunError: the run cannot be read.
    """
    loaded = profile or _built_in(folder, manifest)
    if loaded.sha256 != manifest.profile.sha256:
        raise NotARunError(
            f"{folder}: was called with profile {manifest.profile.name} ({manifest.profile.sha256[:12]}), "
            f"got {loaded.profile.name} ({loaded.sha256[:12]}); name the same with --profile"
        )
    return CalledRun.of(read_run(list_files(folder), loaded.profile), loaded.profile, manifest.checkpoint.input)


def _built_in(folder: Path, manifest: Manifest) -> LoadedProfile:
    for loaded in built_in_profiles():
        if loaded.sha256 == manifest.profile.sha256:
            return loaded
    raise NotARunError(
        f"{folder}: was called with the profile {manifest.profile.name}, which is not built in; "
        "give its file with --profile"
    )
