"""The `edge-ctc` command, put together."""

from typing import Annotated

import typer

from edge_ctc import __version__
from edge_ctc.cli.building import build, engine_commands
from edge_ctc.cli.calling import candidates, classify_runs
from edge_ctc.cli.doctoring import doctor
from edge_ctc.cli.exits import collect_rarely, end_as_if_interrupted, run_app
from edge_ctc.cli.exporting import probe, profile_commands
from edge_ctc.cli.reporting import report
from edge_ctc.cli.reviewing import review_commands
from edge_ctc.cli.serving import config_commands, install_service
from edge_ctc.cli.simulating import simulate
from edge_ctc.cli.status import status
from edge_ctc.cli.verifying import verify
from edge_ctc.cli.watching import watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Call circulating tumor cells in exported DEPArray runs. For research use only, not for diagnosis.",
)
app.command("classify-run")(classify_runs)
app.command()(candidates)
app.command()(report)
app.add_typer(review_commands, name="review")
app.command()(simulate)
app.command()(probe)
app.add_typer(profile_commands, name="profile")
app.command("build-engine")(build)
app.add_typer(engine_commands, name="engine")
app.command()(doctor)
app.command()(watch)
app.command()(status)
app.command("verify-run")(verify)
app.add_typer(config_commands, name="config")
app.command("install-service")(install_service)


def main() -> None:
    """The `edge-ctc` command."""
    collect_rarely()
    end_as_if_interrupted()
    run_app(app, "edge-ctc")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-ctc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end."),
    ] = False,
) -> None:
    """Nothing but `--version` comes before a command."""
