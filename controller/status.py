"""What the status should say. Pure; the result is written only where it differs from what is there."""

from __future__ import annotations

from datetime import datetime

from controller import conditions as cond
from controller.api import (
    DesiredState,
    ErrorClass,
    LastError,
    LastTermination,
    Phase,
    PortStatus,
    Usage,
    WorkspaceStatus,
)
from controller.api.workspace_status import MAX_PENDING_CHANGES
from controller.backoff import Accounting
from controller.desired import Desired
from controller.drift import choose
from controller.errors import WorkspaceError
from controller.history import REASON_RESTARTING, REASON_RETRIES_EXHAUSTED, History, Now
from controller.observed import Container, Observed
from controller.plan import Plan
from controller.restarts import is_fresh, is_restarting
from controller.situation import blocking_failure, situation

TIME_TOLERANCE = 2.0  # seconds by which a computed time may differ before it is worth a write


def status(
    desired: Desired,
    observed: Observed,
    plan: Plan,
    history: History,
    previous: WorkspaceStatus,
    now: Now,
    usage: Usage | None = None,
) -> WorkspaceStatus:
    """The status of a Workspace, with `previous` as the source of what isn't known anew and of transition times.

    Gives `previous` itself where there is nothing new to say.
    """
    main = choose(desired, observed.containers, history.memory.references)
    where = situation(desired, observed, plan, history, now)
    accounting = plan.accounting
    changed = WorkspaceStatus(
        **{
            **dict(previous),
            "observed_generation": max(desired.generation, previous.observed_generation),
            "phase": Phase(where.phase),
            "conditions": cond.conditions(
                where, previous.conditions, desired.generation, now.wall, _kept(desired, observed, plan, history, main)
            ),
            "host": desired.host,
            "last_restart_request": _restart_request(desired, observed, history),
            "next_retry_at": _next_retry(desired, observed, main, plan, where, history, previous, now),
            "last_error": _last_error(desired, observed, where, history, previous, now),
            "pending_changes": _cut(plan.pending),
            "usage": usage,
            **(_of_container(desired, main) if observed.known else {}),
            **(_of_accounting(accounting, previous) if accounting else _forgiven(desired, history)),
        }
    )
    if changed == previous:
        return previous
    return changed.model_copy(update={"last_updated": now.wall.replace(microsecond=0)})


def _kept(desired: Desired, observed: Observed, plan: Plan, history: History, main: Container | None) -> dict[str, str]:
    """What must not be forgotten while something else is told, such as a pull, a failure or an unreachable host."""
    kept = {}
    if is_restarting(desired, observed, history, main):
        kept["Reconciling"] = REASON_RESTARTING
    given_up = history.exhausted and not is_fresh(desired, history)
    if plan.accounting.exhausted if plan.accounting is not None else given_up:
        kept["Stalled"] = REASON_RETRIES_EXHAUSTED
    return kept


def _restart_request(desired: Desired, observed: Observed, history: History) -> str | None:
    """Recorded without a restart where there is nothing to restart: at first sight, and while it should be stopped."""
    if history.last_restart_request is None or (desired.state is DesiredState.STOPPED and observed.known):
        return desired.restart_request or None
    return history.last_restart_request or None


def _next_retry(
    desired: Desired,
    observed: Observed,
    main: Container | None,
    plan: Plan,
    where: cond.Situation,
    history: History,
    previous: WorkspaceStatus,
    now: Now,
) -> datetime | None:
    """Whoever starts after us restarts the container by it: so where that waits, it tells of no other step's retry."""
    before = previous.next_retry_at
    if where.phase == "Unknown" or not observed.known:  # only looked at again, which no time is told of
        return None if is_fresh(desired, history) else before  # a wait outlives an outage of the host
    tries_again = where.phase == "BackOff" or blocking_failure(history, now) is not None
    due = _restart_due(main, plan.accounting, now) or plan.wake_at
    if not tries_again or due is None:
        return None
    at = now.wall_at(due + 0.999999).replace(microsecond=0)  # never too early
    if before is not None and abs((at - before).total_seconds()) <= TIME_TOLERANCE:
        return before
    return at


def _restart_due(main: Container | None, accounting: Accounting | None, now: Now) -> float | None:
    """When the container's restart is due, where it waits for that (monotonic seconds)."""
    if main is None or main.is_live or accounting is None:
        return None
    return accounting.waits_until(now)


def _last_error(
    desired: Desired, observed: Observed, where: cond.Situation, history: History, previous: WorkspaceStatus, now: Now
) -> LastError | None:
    """Of the error that holds it up; while something is on its way, of the one before, for it may well come again."""
    if where.ready == "True":
        return None
    error: WorkspaceError | None = desired.refusal
    failure = blocking_failure(history, now)
    if failure is not None and error is None:
        error = failure.error
    if error is None and not observed.known:
        return _error_info("Network", "HostUnreachable", observed.unknown_because, previous.last_error, now)
    if error is None:
        ends_by_itself = where.phase in ("BackOff", "Failed")  # no step has failed: `last_termination` tells
        return None if ends_by_itself else previous.last_error
    return _error_info(error.error_class, error.reason, str(error), previous.last_error, now)


def _error_info(kind: str, reason: str, message: str, before: LastError | None, now: Now) -> LastError:
    """The same error again keeps its time: trying again must not cause a write by itself."""
    if before is not None and (before.error_class, before.reason, before.message) == (kind, reason, message):
        return before
    return LastError(error_class=ErrorClass(kind), reason=reason, message=message, time=now.wall.replace(microsecond=0))


def _of_container(desired: Desired, main: Container | None) -> dict[str, object]:
    if main is None:
        return {
            "container_id": None,
            "container_name": None,
            "container_state": None,
            "image_id": None,
            "ip_address": None,
            "ports": (),
            "started_at": None,
            "active_tasks": 0,
        }
    live = main.is_live
    return {
        "container_id": main.id,
        "container_name": main.name,
        "container_state": str(main.state),
        "image_id": main.image_id,
        "ip_address": main.ip_address or None,
        "ports": _ports(desired, main),
        "started_at": main.started_at if live else None,
        "active_tasks": main.active_tasks if live else 0,
    }


def _ports(desired: Desired, main: Container) -> tuple[PortStatus, ...]:
    """The published ports under their names in the spec, in its order."""
    published = {(p.container_port, p.protocol): p for p in main.ports}
    found = ((port, published.get((port.container_port, port.protocol))) for port in desired.container.ports)
    return tuple(
        PortStatus(
            name=port.name,
            container_port=port.container_port,
            protocol=port.protocol,
            host_ip=at.host_ip,
            host_port=at.host_port,
        )
        for port, at in found
        if at is not None
    )


def _cut(changes: tuple[str, ...]) -> tuple[str, ...]:
    """As many as a status takes; a Workspace may refer to more Secrets than that."""
    if len(changes) <= MAX_PENDING_CHANGES:
        return changes
    kept = changes[: MAX_PENDING_CHANGES - 1]
    return (*kept, f"and {len(changes) - len(kept)} more")


def _of_accounting(accounting: Accounting, previous: WorkspaceStatus) -> dict[str, object]:
    return {
        "retries": accounting.retries,
        "restart_count": max(accounting.restart_count, previous.restart_count),
        "last_termination": _termination(accounting, previous),
    }


def _forgiven(desired: Desired, history: History) -> dict[str, object]:
    """A change of the spec or a restart request forgets the retries also where nothing is counted now."""
    return {"retries": 0} if is_fresh(desired, history) else {}


def _termination(accounting: Accounting, previous: WorkspaceStatus) -> LastTermination | None:
    ended = accounting.ended
    if ended is None or ended.finished_at is None:
        return previous.last_termination
    if ended.is_live:
        # It runs again already, so its exit code is gone; the time is what keeps the exit from being counted twice.
        known = previous.last_termination
        if known is not None and known.finished_at == ended.finished_at:
            return known
        return LastTermination(reason="Unknown", finished_at=ended.finished_at)
    reason = "OOMKilled" if ended.oom_killed else "Completed" if ended.exit_code == 0 else "Error"
    return LastTermination(
        exit_code=ended.exit_code, reason=reason, finished_at=ended.finished_at, oom_killed=ended.oom_killed
    )
