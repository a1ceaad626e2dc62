"""What goes wrong, told in one line with what to do, and an exit code: 0 done, 1 failed, 2 used wrongly.

130 and 141 are those of a shell for a command that SIGINT and SIGPIPE ended.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup


class Failure(Exception):
    """Something the user should know about and can act on. Shown as one line on stderr; the exit code is 1."""


class VerbGroup(TyperGroup):
    """The verbs. A Failure of any of them becomes its line, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Raises typer.Exit with the exit code, typer.BadParameter."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # a word of the library behind typer
            raise
        except Failure as failure:
            complain(str(failure))
            raise typer.Exit(1) from None
        except BrokenPipeError:  # the reader (`| head`) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
            raise typer.Exit(141) from None  # what was not printed could be what failed
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def complain(text: str) -> None:
    """One line on stderr."""
    typer.secho("Error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(" ".join(text.split()), err=True)
