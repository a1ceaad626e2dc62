"""What the status should say: status(...) is pure, and its result is written only where it differs from what is there.

The rules of `situation` are in order: the first that applies is what a user most needs to know.
"""

from __future__ import annotations

from datetime import datetime

from controller import conditions as cond
from controller.api import (
    DesiredState,
    ErrorClass,
    FallbackAction,
    LastError,
    LastTermination,
    Phase,
    PortStatus,
    Usage,
    WorkspaceStatus,
)
from controller.api.workspace_status import MAX_PENDING_CHANGES
from controller.backoff import Accounting, is_passing
from controller.desired import Desired
from controller.drift import choose, limits_differ
from controller.errors import WorkspaceError
from controller.history import REASON_RESTARTING, REASON_RETRIES_EXHAUSTED, Failure, History, Now
from controller.observed import Container, ContainerState, Health, Observed
from controller.plan import IN_PLACE, Plan, is_fresh

DECLARED = {
    DesiredState.RUNNING: ContainerState.RUNNING,
    DesiredState.PAUSED: ContainerState.PAUSED,
}
CANNOT_RUN = {  # what the init process and shells answer for a command that can't be run
    126: "its command can't be executed",
    127: "its command was not found in the image, or a library or interpreter that it needs",
}
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
            "next_retry_at": _next_retry(desired, plan, where, history, previous, now),
            "last_error": None if where.ready == "True" else _last_error(desired, observed, history, previous, now),
            "pending_changes": _cut(plan.pending),
            "usage": usage,
            **(_of_container(desired, main) if observed.known else {}),
            **(_of_accounting(accounting, previous) if accounting else _forgiven(desired, history)),
        }
    )
    if changed == previous:
        return previous
    return changed.model_copy(update={"last_updated": now.wall.replace(microsecond=0)})


def situation(desired: Desired, observed: Observed, plan: Plan, history: History, now: Now) -> cond.Situation:
    """Where the Workspace stands."""
    main = choose(desired, observed.containers, history.memory.references)
    failure = blocking_failure(history, now)
    if desired.deleting:
        return _terminating(observed, failure)
    if desired.refusal is not None and not _at_rest(desired, observed, main):
        return cond.stalled("Failed", desired.refusal.reason, _refusal_message(desired.refusal, main))
    if not observed.known:
        return cond.unknown("HostUnreachable", observed.unknown_because)
    if history.memory.pulling:
        return cond.on_its_way("Pulling", "Pulling", history.memory.pulling)
    if failure is not None:
        return _failed(failure, main)
    return _of_main(desired, observed, plan, history, main, now)


def blocking_failure(history: History, now: Now) -> Failure | None:
    """The failure that matters most: of a step that holds back others, the one whose retry is furthest away."""
    shown = ((kind, failure) for kind, failure in history.memory.failures.items() if not is_passing(failure))
    failures = sorted(shown, key=lambda item: (item[0] not in IN_PLACE, item[1].due))
    return failures[-1][1] if failures else None


def _of_main(
    desired: Desired, observed: Observed, plan: Plan, history: History, main: Container | None, now: Now
) -> cond.Situation:
    accounting = plan.accounting
    if accounting is not None and accounting.exhausted and desired.state is not DesiredState.STOPPED:
        return cond.stalled("Failed", REASON_RETRIES_EXHAUSTED, _exhausted_message(desired, main))
    if main is not None and main.is_live and is_restarting(desired, observed, history, main):
        return cond.on_its_way("Stopping", REASON_RESTARTING, "a restart was asked for")
    if len(observed.containers) > 1 and not plan.tidies:
        return cond.on_its_way("Stopping", "Recreating", "the old container is stopped, then the new one is started")
    if desired.state is DesiredState.STOPPED:
        return _stopped(main)
    if main is None:
        return cond.on_its_way("Pending", "Pending", plan.why or "the container is about to be made")
    if main.is_dead:
        return cond.on_its_way("Pending", "RemovingDead", "the engine is removing a dead container")
    if main.state is ContainerState.CREATED:
        return cond.on_its_way("Creating", "Creating", "the container was made and is about to be started")
    if main.state is ContainerState.EXITED:
        return _exited(main, accounting, now)
    return _live(desired, observed, plan, main)


def _at_rest(desired: Desired, observed: Observed, main: Container | None) -> bool:
    """A Workspace that should be stopped, and is, asks the host for nothing: there is nothing to refuse."""
    return desired.state is DesiredState.STOPPED and observed.known and (main is None or not main.is_live)


def _terminating(observed: Observed, failure: Failure | None) -> cond.Situation:
    if not observed.known:
        hint = "; the annotation aicli.dev/abandon=true lets go of the container without removing it"
        return cond.terminating("HostUnreachable", observed.unknown_because + hint, stuck=True)
    if failure is not None:
        return cond.terminating(failure.error.reason, str(failure.error), stuck=True)
    return cond.terminating("Terminating", "the container is stopped and removed", stuck=False)


def _failed(failure: Failure, main: Container | None) -> cond.Situation:
    error = failure.error
    if error.definitive:
        return cond.stalled("Failed", error.reason, str(error))
    phase = "Running" if main is not None and main.state is ContainerState.RUNNING else "BackOff"
    return cond.on_its_way(phase, error.reason, str(error))


def _stopped(main: Container | None) -> cond.Situation:
    if main is None or not main.is_live:
        return cond.as_declared("Stopped", "no container runs, as declared")
    return cond.on_its_way("Stopping", "Stopping", "the stop signal was sent; SIGKILL follows after the grace period")


def _exited(main: Container, accounting: Accounting | None, now: Now) -> cond.Situation:
    what = f"the container {exit_in_words(main)}"
    if accounting is not None and accounting.due is not None and accounting.due > now.mono:
        then = f"restart number {accounting.retries} waits for its back-off, see status.nextRetryAt"
        return cond.on_its_way("BackOff", "CrashLoopBackOff", f"{what}; {then}")
    return cond.on_its_way("Pending", "Starting", f"{what}; it is about to be started")


def _live(desired: Desired, observed: Observed, plan: Plan, main: Container) -> cond.Situation:
    if main.health is Health.UNHEALTHY:
        return cond.on_its_way("Running", "Unhealthy", "the liveness probe fails; the container is restarted")
    if main.state is not DECLARED[desired.state]:
        return cond.on_its_way(_phase(main), "Changing", f"it is {main.state}, it should be {desired.state}")
    differing = limits_differ(main, desired.container.limits, observed.ignored_limits)
    if differing:
        return cond.on_its_way(_phase(main), "Updating", f"{', '.join(differing)} are being changed")
    if plan.pending:
        return cond.as_declared(_phase(main), "changes wait for a restart: " + "; ".join(plan.pending))
    return cond.as_declared(_phase(main))


def _phase(main: Container) -> str:
    return "Paused" if main.state is ContainerState.PAUSED else "Running"


def is_restarting(desired: Desired, observed: Observed, history: History, main: Container | None) -> bool:
    """Whether a recorded restart request hasn't come to its end: the run it meant goes on, or nothing has followed."""
    if not history.restarting or desired.deleting or desired.state is DesiredState.STOPPED:
        return False
    if not observed.known:
        return True
    return main is not None and (not main.is_live or main.started_at == history.started_at)


def _kept(desired: Desired, observed: Observed, plan: Plan, history: History, main: Container | None) -> dict[str, str]:
    """What must not be forgotten while something else is told, such as a pull, a failure or an unreachable host."""
    kept = {}
    if is_restarting(desired, observed, history, main):
        kept["Reconciling"] = REASON_RESTARTING
    given_up = history.exhausted and not is_fresh(desired, history)
    if plan.accounting.exhausted if plan.accounting is not None else given_up:
        kept["Stalled"] = REASON_RETRIES_EXHAUSTED
    return kept


def exit_in_words(container: Container) -> str:
    """How a container ended, for people."""
    if container.oom_killed:
        return "was killed for want of memory (OOMKilled)"
    if container.exit_code in CANNOT_RUN:
        return f"exited with code {container.exit_code}: {CANNOT_RUN[container.exit_code]}"
    return f"exited with code {container.exit_code}" + (f" ({container.error})" if container.error else "")


def _exhausted_message(desired: Desired, main: Container | None) -> str:
    ended = f"the container {exit_in_words(main)}; " if main else ""
    action = "removed" if desired.recovery.fallback_action is FallbackAction.REMOVE else "left as it is"
    return (
        f"{ended}all {desired.recovery.max_retries} retries are spent, it is {action}; "
        "edit the spec or ask for a restart to try again"
    )


def _refusal_message(refusal: WorkspaceError, main: Container | None) -> str:
    return str(refusal) + ("; the container that was made before still runs" if main and main.is_live else "")


def _restart_request(desired: Desired, observed: Observed, history: History) -> str | None:
    """Recorded without a restart where there is nothing to restart: at first sight, and while it should be stopped."""
    if history.last_restart_request is None or (desired.state is DesiredState.STOPPED and observed.known):
        return desired.restart_request or None
    return history.last_restart_request or None


def _next_retry(
    desired: Desired, plan: Plan, where: cond.Situation, history: History, previous: WorkspaceStatus, now: Now
) -> datetime | None:
    before = previous.next_retry_at
    if where.phase == "Unknown":
        return None if is_fresh(desired, history) else before  # a wait outlives an outage of the host
    tries_again = where.phase == "BackOff" or blocking_failure(history, now) is not None
    if not tries_again or plan.wake_at is None:
        return None
    at = now.wall_at(plan.wake_at).replace(microsecond=0)
    if before is not None and abs((at - before).total_seconds()) <= TIME_TOLERANCE:
        return before
    return at


def _last_error(
    desired: Desired, observed: Observed, history: History, previous: WorkspaceStatus, now: Now
) -> LastError | None:
    error: WorkspaceError | None = desired.refusal
    failure = blocking_failure(history, now)
    if failure is not None and error is None:
        error = failure.error
    if error is None and not observed.known:
        return _error_info("Network", "HostUnreachable", observed.unknown_because, previous.last_error, now)
    if error is None:
        return previous.last_error
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
