"""kubectl_complete-workspace: kubectl calls it to complete `kubectl workspace ...` with Tab, in any shell."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress

import typer

from controller.cli.app import app

FILES, NO_FILES = ":0", ":4"  # cobra's directives: what the shell may offer beside our answers


def main() -> None:
    """The console script. Its arguments are the words after `kubectl workspace`; the last one is to be completed."""
    *words, last = sys.argv[1:] or [""]
    os.environ["_KUBECTL_WORKSPACE_COMPLETE"] = (
        "complete_fish"  # the one that gives descriptions, as kubectl takes them
    )
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = (
        shlex.join(["kubectl-workspace", *words]) + f" {shlex.quote(last) if last else ''}"
    )
    with suppress(SystemExit):
        app(prog_name="kubectl-workspace")
    wants_file = bool(words) and words[-1] in ("-f", "--filename", "--kubeconfig")
    typer.echo(FILES if wants_file else NO_FILES)
