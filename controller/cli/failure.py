"""What goes wrong, told in one line with what to do, and an exit code: 0 done, 1 failed, 2 used wrongly.

130 and 141 are those of a shell for a command that SIGINT and SIGPIPE ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup


class Failure(Exception):
    """Something the user should know about and can act on. Shown as one line on stderr; the exit code is 1."""


class VerbGroup(TyperGroup):
    """The verbs. A Failure of any of them becomes its line, never a traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the options before the verb; --help and --version print. Raises as `invoke`."""
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb. Raises typer.Exit with the exit code, typer.BadParameter."""
        with _ending():
            return super().invoke(ctx)


@contextmanager
def _ending() -> Iterator[None]:
    """Exit codes, and a line where it takes one, for what ends a command early."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")  # a word of the library behind typer
        raise
    except Failure as failure:
        complain(str(failure))
        raise typer.Exit(1) from None
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        _drop_output()
        raise typer.Exit(141) from None  # what was not printed could be what failed
    except OSError as error:
        _complain_of(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _complain_of(error: OSError) -> None:
    """Of a file that has a name, else of stdout: on a full disk, or closed."""
    if error.filename:
        complain(f"{error.filename}: can't be opened: {error.strerror}")
        return
    _drop_output()
    complain(f"the output can't be written: {error.strerror or error}")


def _drop_output() -> None:
    """What is left of it would make Python complain when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """One line on stderr."""
    typer.secho("Error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(" ".join(text.split()), err=True)
