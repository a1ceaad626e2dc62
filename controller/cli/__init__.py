"""kubectl-workspace, also called as `kubectl workspace`: what kubectl alone can't do with Workspaces."""

from controller.cli.app import main

__all__ = ["main"]
