"""`edge-ctc config` and `edge-ctc install-service`: what stands between an installation and a running daemon."""

from pathlib import Path
from typing import Annotated

import typer

from edge_ctc.cli.exits import ExitCode
from edge_ctc.config import check_settings
from edge_ctc.console.lines import say
from edge_ctc.console.serving import print_order, settings_line
from edge_ctc.install_service import EXAMPLE, carry_out, order_for, shipped_units, this_installation

config_commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The daemon's settings.")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", metavar="FILE", help="The daemon's settings; `edge-ctc config example` shows every key."),
]


@config_commands.command("example")
def example() -> int:
    """Print settings in which every key stands with its default and what it means.

    Example: edge-ctc config example > /etc/edge-ctc/edge-ctc.toml
    """
    for line in (shipped_units() / EXAMPLE).read_text("utf-8").splitlines():
        say(line)
    return ExitCode.DONE


@config_commands.command("check")
def check(config: ConfigOption) -> int:
    """Check the daemon's settings, and the profile and checkpoint that they name.

    Never touches the export folder, which may be away. Ends with 0 and a line that says what the daemon will do, or
    with 78 and the line of the file that is wrong, or with 65 where the checkpoint is spoilt.

    Example: edge-ctc config check --config /etc/edge-ctc/edge-ctc.toml
    """
    say(settings_line(config, check_settings(config)))
    return ExitCode.DONE


def install_service(
    config: ConfigOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and commands, and change nothing.")] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Write below DIR, for an image of a machine, and run no command.")
    ] = Path("/"),
) -> int:
    """Install this edge-ctc as a service of systemd.

    Writes the unit, the user it runs as, and what of the disk it may write to, taken from the settings; then starts it.

    Example: sudo /opt/edge-ctc/bin/edge-ctc install-service --config /etc/edge-ctc/edge-ctc.toml --dry-run
    """
    order = order_for(config.absolute(), check_settings(config), this_installation(), root)
    if dry_run:
        print_order(order)
    else:
        carry_out(order, say)
    return ExitCode.DONE
