"""Restarts that a user asks for: whether one is wanted, is under way, or wipes the slate. Pure."""

from __future__ import annotations

from controller.api import DesiredState
from controller.desired import Desired
from controller.history import History
from controller.observed import Container, Observed


def restart_wanted(desired: Desired, history: History) -> bool:
    """Whether a restart is asked for that was not recorded yet. A value that is there at first sight is not one."""
    known = history.last_restart_request
    return known is not None and desired.restart_request not in ("", known)


def is_fresh(desired: Desired, history: History) -> bool:
    """Whether retries are forgotten: the spec changed, or a restart is asked for or under way."""
    return history.observed_generation != desired.generation or history.restarting or restart_wanted(desired, history)


def is_restarting(desired: Desired, observed: Observed, history: History, main: Container | None) -> bool:
    """Whether a recorded restart request hasn't come to its end: the run it meant goes on, or nothing has followed."""
    if desired.deleting or desired.state is DesiredState.STOPPED:
        return False
    if not observed.known:
        return history.restarting
    return main is not None and is_unfollowed(history, main)


def is_unfollowed(history: History, main: Container) -> bool:
    """Whether the run that a recorded restart request meant still goes on, or ended and was not followed by another."""
    return history.restarting and (not main.is_live or main.started_at == history.started_at)
