"""How long to wait: restarts of a container (as the kubelet does), and steps that failed. Pure arithmetic, in seconds.

An exit is identified by its time, as the engine tells it, which a container keeps while it runs again. So an exit is
counted once, whether we saw the container down or up again, and also when we crashed between restart and record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from controller.api import Backoff, FallbackAction, Recovery
from controller.errors import (
    EngineError,
    HostTerminating,
    HostUnreachable,
    ImageError,
    NotConnected,
    ProjectPathMissing,
    ReferenceNotFound,
    WorkspaceError,
)
from controller.history import RESTARTS_AT_ONCE, RESTARTS_PERIOD, ExitSeen, Failure, History, Now
from controller.observed import Container

TRANSIENT_INITIAL, TRANSIENT_MAX = 1.0, 30.0
NOT_CONNECTED_MAX = 2.0  # it costs nobody anything, and an engine that is back must not be kept waiting
IMAGE_INITIAL, IMAGE_MAX = 10.0, 300.0  # of image pulls, and of every definitive answer
TOLD_AFTER = 4  # failures in a row with an answer that says nothing (HTTP 500), or with none
AWAITED_INITIAL, AWAITED_MAX = 5.0, 60.0  # of what a user is likely to supply next: a Secret, a directory, a host


@dataclass(frozen=True, slots=True)
class Accounting:
    """Where a container stands in its recovery, as the status will say it."""

    retries: int
    restart_count: int
    due: float | None  # monotonic; when the restart may be made; None where none is to be made
    exhausted: bool
    exit_seen: ExitSeen | None = None  # for the process' memory
    ended: Container | None = None  # the container as it was when its last run had ended, where that is known

    def waits_until(self, now: Now) -> float | None:
        """When the restart is due, where that lies ahead (monotonic seconds)."""
        return self.due if self.due is not None and self.due > now.mono else None


def restart_delay(retry: int, backoff: Backoff) -> float:
    """Seconds before the `retry`-th restart (from 1): the first at once, then initial x factor^(retry - 2), capped."""
    if retry <= 1:
        return 0.0
    try:
        return float(min(backoff.initial_seconds * backoff.factor ** (retry - 2), backoff.max_seconds))
    except OverflowError:
        return float(backoff.max_seconds)


def failure_delay(error: WorkspaceError, count: int) -> float:
    """Seconds before a failed step is tried for the `count + 1`-th time: short for passing trouble, long else."""
    if isinstance(error, (HostTerminating, ReferenceNotFound, ProjectPathMissing)):
        initial, longest = AWAITED_INITIAL, AWAITED_MAX
    elif error.definitive or isinstance(error, ImageError):
        initial, longest = IMAGE_INITIAL, IMAGE_MAX
    elif isinstance(error, NotConnected):
        initial, longest = TRANSIENT_INITIAL, NOT_CONNECTED_MAX
    else:
        initial, longest = TRANSIENT_INITIAL, TRANSIENT_MAX
    return float(min(initial * 2.0 ** min(count - 1, 30), longest))


def is_passing(failure: Failure) -> bool:
    """Whether nobody need be told of it yet: an engine that fails one call in five, or a connection that breaks, is no
    news to a user until the same step has failed several times in a row. (A host that is gone is told by its lists.)"""
    says_nothing = type(failure.error) is EngineError or isinstance(failure.error, HostUnreachable)
    return says_nothing and failure.count < TOLD_AFTER


def account(
    history: History, container: Container | None, recovery: Recovery, fresh: bool, now: Now, *, stopped: bool = False
) -> Accounting:
    """Counts the container's last exit unless it was counted before or asked for.

    `fresh` forgets the retries: the spec changed, or a restart was asked for. `stopped`: it should be Stopped, so an
    exit is what was asked for, also where we crashed after the signal and remember nothing of it.
    """
    return replace(_account(history, container, recovery, fresh, now, stopped), ended=_ended(history, container))


def _account(
    history: History, container: Container | None, recovery: Recovery, fresh: bool, now: Now, stopped: bool
) -> Accounting:
    base = 0 if fresh else history.retries
    live = container is not None and container.is_live  # started by hand: it is given up no more
    exhausted = history.exhausted and not fresh and not live
    seen = container.finished_at if container else None
    if container is None or seen is None:
        return Accounting(base, history.restart_count, None if exhausted else now.mono, exhausted)
    if _asked_for(history, container) or (stopped and seen != history.last_exit_at and not container.is_live):
        return Accounting(base, history.restart_count, now.mono, False)
    if seen == history.last_exit_at:
        return _counted_before(history, seen, base, exhausted, fresh, recovery, now)
    if _was_good_run(history, container, recovery):
        base = 0
    return _count(history, container, seen, base, fresh, recovery, now)


def _ended(history: History, container: Container | None) -> Container | None:
    """A container that runs again has lost its exit code; what we saw of it before does not."""
    before = history.ended
    if container is None or container.finished_at is None:
        return before
    return before if before is not None and before.finished_at == container.finished_at else container


def _count(
    history: History, container: Container, seen: datetime, base: int, fresh: bool, recovery: Recovery, now: Now
) -> Accounting:
    ignore = recovery.fallback_action is FallbackAction.IGNORE
    if base >= recovery.max_retries and not ignore and not container.is_live:
        return Accounting(base, history.restart_count, None, True)
    retry = base + 1
    delay = _delay(retry, recovery)
    exit_seen = _remembered(history, seen) or ExitSeen(seen, max(now.mono + delay, _earliest(history)))
    if fresh:
        exit_seen = ExitSeen(seen, now.mono)
    return Accounting(retry, history.restart_count + 1, exit_seen.due, False, exit_seen)


def _earliest(history: History) -> float:
    """When a restart may be made for the host's sake: each costs its kernel more than most workspaces use."""
    recent = history.memory.restarts
    return recent[0] + RESTARTS_PERIOD if len(recent) >= RESTARTS_AT_ONCE else 0.0


def _counted_before(
    history: History, seen: datetime, base: int, exhausted: bool, fresh: bool, recovery: Recovery, now: Now
) -> Accounting:
    """The wait goes on where it was: by our own clock if we noticed the exit, else by the status', never for longer."""
    if exhausted:
        return Accounting(base, history.restart_count, None, True)
    remembered = ExitSeen(seen, now.mono) if fresh else _remembered(history, seen)
    if remembered is None:
        left = (history.next_retry_at - now.wall).total_seconds() if history.next_retry_at is not None else 0.0
        remembered = ExitSeen(seen, now.mono + min(max(left, 0.0), _delay(base, recovery)))
    return Accounting(base, history.restart_count, remembered.due, False, remembered)


def _delay(retry: int, recovery: Recovery) -> float:
    """Beyond `maxRetries` only the fallback Ignore goes on, at the longest wait."""
    if retry > recovery.max_retries:
        return float(recovery.backoff.max_seconds)
    return restart_delay(retry, recovery.backoff)


def _remembered(history: History, seen: datetime) -> ExitSeen | None:
    known = history.memory.exit_seen
    return known if known is not None and known.finished_at == seen else None


def _asked_for(history: History, container: Container) -> bool:
    """Whether the last exit was our doing: a stop that the spec or a restart request asked for."""
    if container.finished_at == history.last_exit_at:
        return False
    sent = history.memory.signalled.get(container.id)
    if sent is not None and (sent.started_at == container.started_at or container.is_live):
        return sent.asked
    return history.restarting or history.phase in ("Stopping", "Stopped")


def _was_good_run(history: History, container: Container, recovery: Recovery) -> bool:
    """Whether the run that ended was long enough to forget the retries before it."""
    finished = container.finished_at
    started = history.started_at if container.is_live else container.started_at
    if finished is None or started is None or started > finished:
        return False
    return (finished - started).total_seconds() >= recovery.reset_after_seconds
