"""What people see of the daemon's settings, and of what an installation of the service would do."""

import shlex
from pathlib import Path

from edge_ctc.config import BESIDE, CheckedSettings
from edge_ctc.console.lines import say
from edge_ctc.install_service import Order


def settings_line(path: Path, checked: CheckedSettings) -> str:
    """What the daemon will do with these settings, in one line."""
    settings = checked.settings
    results = "beside each run" if settings.results == BESIDE else f"into {settings.results}"
    return (
        f"{path}: good; watches {settings.export_dir} for runs {checked.profile.profile.runs!r} of profile "
        f"{checked.profile.profile.name}, calls them by checkpoint {checked.checkpoint_name} in {checked.checkpoint} "
        f"on {settings.runtime} {settings.precision}, writes {results}"
    )


def print_order(order: Order) -> None:
    """Every file and every command."""
    for file in order.files:
        say(f"would write {file.path}:")
        for line in file.content.splitlines():
            say(f"    {line}" if line else "")
        say("")
    verb = "would run" if order.is_this_machine else "to be run, by you"
    for command in order.commands:
        say(f"{verb}: {shlex.join(command)}")
