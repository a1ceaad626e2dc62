"""Runs the command in this process, as a shell would."""

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from controller.cli.app import app


@dataclass(frozen=True)
class Answer:
    """What the command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output of `-o json`."""
        return json.loads(self.out)


def run(*args: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Answer:
    """`kubectl workspace ARGS`. An exception that is no exit is raised: users must never see one."""
    result = CliRunner().invoke(app, args, input=stdin, env=env, prog_name="kubectl-workspace")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)
