"""Which built-in profile fits a run: one, or an error that says why; a run's cells, as a network takes them."""

from dataclasses import replace
from pathlib import Path

from edge_ctc.cells import Cell
from edge_ctc.errors import NotARunError
from edge_ctc.exports.listing import Listing, display_name, list_files
from edge_ctc.exports.profile import LoadedProfile, Profile, built_in_profiles
from edge_ctc.exports.runs import Run, read_run
from edge_ctc.preprocess import InputSpec, check_channels, check_fit


def read_folder(folder: Path, profile: LoadedProfile | None) -> tuple[Listing, LoadedProfile, Run]:
    """A run's folder as listed, and as `profile` reads it; without one, as the built-in one does that fits.

    Raises:
        NotARunError: no built-in profile fits, or the profile finds no cell.
        RunError: the folder cannot be listed.
    """
    return read_listing(list_files(folder), profile)


def read_listing(listing: Listing, profile: LoadedProfile | None) -> tuple[Listing, LoadedProfile, Run]:
    """As `read_folder`, of a folder that was listed already. Raises NotARunError."""
    if profile is None:
        profile, run = choose_profile(listing)
    else:
        run = read_run(listing, profile.profile)
    if not run.cells:
        raise NotARunError(
            f"{listing.folder}: profile {profile.profile.name} finds no cell among {len(listing.files)} files; "
            "name a run folder or another profile"
        )
    return listing, profile, run


def cells_for(network: str, spec: InputSpec, profile: Profile, run: Run) -> tuple[Cell, ...]:
    """The cells of a run with only the files of channels that a network takes.

    Args:
        network: the checkpoint's name, for errors.
        spec: what it takes.
        profile: how the run was read.
        run: as read.

    Raises:
        ConfigError: the run lacks a channel, or its pixels are known to differ from the network's.
    """
    check_channels(network, spec, profile.channel_names)
    check_fit(spec, profile.pixel_size_um, profile.bits)
    return tuple(cell.only(spec.channel_names) for cell in run.cells)


def choose_profile(listing: Listing) -> tuple[LoadedProfile, Run]:
    """The one built-in profile that accounts for every file, with the run as it reads it.

    Raises:
        NotARunError: none or several do; the message shows why for each.
    """
    # A profile that does not account for the first and last file is not worth reading 100,000 names with.
    ends = replace(listing, files=listing.files[:1] + listing.files[-1:])
    promising = [loaded for loaded in built_in_profiles() if not read_run(ends, loaded.profile).unaccounted]
    candidates = [(loaded, read_run(listing, loaded.profile)) for loaded in promising]
    fitting = [(loaded, run) for loaded, run in candidates if run.cells and not run.unaccounted]
    if len(fitting) == 1:
        return fitting[0]
    candidates = [(loaded, read_run(listing, loaded.profile)) for loaded in built_in_profiles()]
    if not listing.files:
        raise NotARunError(f"{listing.folder}: holds no file; name the folder of one exported run")
    nearly = [(loaded, run) for loaded, run in candidates if run.cells]
    if len(nearly) == 1:
        loaded, run = nearly[0]
        raise NotARunError(
            f"{listing.folder}: profile {loaded.profile.name} fits but for {_strangers(run)}; take them out, "
            f"or leave them aside with --profile {loaded.profile.name}"
        )
    found = "several built-in profiles account" if fitting else "no built-in profile accounts"
    reasons = "; ".join(f"{loaded.profile.name}: {_reason(run)}" for loaded, run in candidates)
    raise NotARunError(
        f"{listing.folder}: {found} for its {len(listing.files)} files ({reasons}); "
        "name a run folder, or a profile with --profile"
    )


def _reason(run: Run) -> str:
    if not run.unaccounted:
        return f"{len(run.cells)} cells, every file accounted for" if run.cells else "no image"
    return f"{len(run.cells)} cells, {_strangers(run)}"


def _strangers(run: Run) -> str:
    shown = ", ".join(display_name(file.name) for file in run.unaccounted[:3])
    more = ", …" if len(run.unaccounted) > 3 else ""
    return f"{len(run.unaccounted)} files not accounted for: {shown}{more}"
