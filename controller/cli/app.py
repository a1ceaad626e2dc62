"""The command and its verbs. Verbs import what is heavy when they run: `--help` and completion answer at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from controller import __version__
from controller.cli.describe import describe
from controller.cli.exec import execute
from controller.cli.failure import VerbGroup
from controller.cli.list import list_workspaces
from controller.cli.logs import logs
from controller.cli.pause import pause
from controller.cli.plan import plan
from controller.cli.restart import restart
from controller.cli.start import start
from controller.cli.stop import stop
from controller.cli.top import top
from controller.cli.validate import validate
from controller.cli.watch import watch

app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command("list")(list_workspaces)
app.command("describe", short_help="Explain a Workspace in words.")(describe)
app.command("watch")(watch)
app.command("start")(start)
app.command("stop")(stop)
app.command("pause")(pause)
app.command("restart")(restart)
app.command("plan")(plan)
app.command("logs")(logs)
app.command("exec", short_help="Run a command in a Workspace's container.")(execute)
app.command("top", short_help="Show what Workspaces use now.")(top)
app.command("validate")(validate)


def main() -> None:
    """The console script. Exit codes: 0 done, 1 failed, 2 used wrongly."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding doesn't have
    app(prog_name="kubectl-workspace")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def workspace(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Workspaces on Docker hosts: list, explain, start, stop, restart, look inside.

    Also works as a kubectl plugin: kubectl workspace VERB. Options come after the verb. Exit codes: 0 done, 1 failed,
    2 used wrongly, 130 interrupted, 141 the reader of the output is gone.

    \b
    Examples:
      kubectl workspace list -A
      kubectl workspace describe shop-api -n team-a
      kubectl workspace stop -l team=payments --wait
      kubectl workspace VERB --help
    """
