"""What came of a plan, and what is remembered of it: counts for the status; failures, signals for the process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller import actions as act
from controller.backoff import failure_delay
from controller.errors import ContainerGone, WorkspaceError
from controller.history import (
    RESTARTS_AT_ONCE,
    ExitSeen,
    Failure,
    History,
    Memory,
    Now,
    Sent,
    sent_now,
    still_meant,
)
from controller.observed import Container, Observed
from controller.plan import Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a plan got. `waiting` says in words what it waits for (a pull); `failed` is the action that failed, after
    so many `seconds`."""

    done: tuple[act.Action, ...] = ()
    failed: act.Action | None = None
    error: WorkspaceError | None = None
    seconds: float = 0.0
    waiting: str = ""


def planned(memory: Memory, decided: Plan, observed: Observed, now: Now, grace: float) -> Memory:
    """The memory once a plan was made. `grace`: seconds that a stop is given."""
    if not any(isinstance(action, act.EnsureImage) for action in decided.actions):
        memory = replace(memory, pulling="")
    if decided.accounting is not None and decided.accounting.exit_seen is not None:
        memory = _with_exit(memory, decided.accounting.exit_seen)
    if not observed.known:
        return memory
    live = {c.id for c in observed.containers if c.is_live}
    return still_meant(memory, live, decided.stopping, now.mono - grace)


def _with_exit(memory: Memory, seen: ExitSeen) -> Memory:
    known = memory.exit_seen
    if known is not None and known.finished_at == seen.finished_at:
        return replace(memory, exit_seen=seen)
    return replace(memory, exit_seen=seen, restarts=(*memory.restarts, seen.due)[-RESTARTS_AT_ONCE:])


def counted(history: History, decided: Plan, outcome: Outcome, main: Container | None, generation: int) -> History:
    """The history once a plan was carried out. `main`: the Workspace's container as the plan saw it."""
    if decided.accounting is not None:
        accounting = decided.accounting
        history = replace(
            history,
            retries=accounting.retries,
            restart_count=accounting.restart_count,
            exhausted=accounting.exhausted,
            last_exit_at=main.finished_at if main and main.finished_at else history.last_exit_at,
            next_retry_at=None,
            ended=accounting.ended,
        )
    if any(isinstance(action, act.Start) for action in outcome.done):
        # What was asked for is done: from here on an exit is the container's own, however soon it comes.
        history = replace(history, phase="", restarting=False, observed_generation=generation)
    return history


def carried_out(memory: Memory, outcome: Outcome, observed: Observed, now: Now) -> Memory:
    """The memory once a plan was carried out as far as it got."""
    failures, signalled = _failures(memory.failures, outcome, now), _signalled(memory, outcome, observed, now)
    return replace(memory, failures=failures, pulling=outcome.waiting, signalled=signalled)


def settled(memory: Memory, decided: Plan) -> Memory:
    """The memory once nothing is to be done: a step that isn't wanted any more has not failed any more."""
    failures = {kind: failure for kind, failure in memory.failures.items() if kind in decided.wanted}
    return replace(memory, failures=failures) if len(failures) < len(memory.failures) else memory


def _failures(before: Mapping[str, Failure], outcome: Outcome, now: Now) -> dict[str, Failure]:
    asked_anew = any(isinstance(action, act.RecordRestart) for action in outcome.done)
    done = {action.kind for action in outcome.done}
    failures = {} if asked_anew else {kind: failure for kind, failure in before.items() if kind not in done}
    if outcome.failed is None or outcome.error is None or isinstance(outcome.error, ContainerGone):
        return failures
    kind, error = outcome.failed.kind, outcome.error
    count = failures[kind].count + 1 if kind in failures else 1
    return failures | {kind: Failure(error, count, now.mono + failure_delay(error, count))}


def _signalled(memory: Memory, outcome: Outcome, observed: Observed, now: Now) -> dict[str, Sent]:
    containers = {c.id: c for c in observed.containers}
    # A predecessor that has ended may be gone back to, and its exit is still the one that we asked for.
    meant = {i for i, c in containers.items() if c.is_live or len(containers) > 1}
    signalled = {i: sent for i, sent in memory.signalled.items() if i in meant}
    for action in outcome.done:
        if isinstance(action, act.Signal) and action.container in containers:
            signalled[action.container] = sent_now(containers[action.container], memory, action.asked, now)
    return signalled
