"""Where a Workspace stands, in one row of the design's table of phases. Pure.

The rules are in order: the first that applies is what a user most needs to know.
"""

from __future__ import annotations

from controller import conditions as cond
from controller.api import DesiredState, FallbackAction
from controller.backoff import Accounting, is_passing
from controller.desired import Desired
from controller.drift import choose, limits_differ
from controller.errors import WorkspaceError
from controller.gate import IN_PLACE
from controller.history import REASON_RESTARTING, REASON_RETRIES_EXHAUSTED, Failure, History, Now
from controller.observed import Container, ContainerState, Health, Observed
from controller.plan import Plan
from controller.restarts import is_restarting

DECLARED = {
    DesiredState.RUNNING: ContainerState.RUNNING,
    DesiredState.PAUSED: ContainerState.PAUSED,
}
CANNOT_RUN = {  # what the init process and shells answer for a command that can't be run
    126: "its command can't be executed",
    127: "its command was not found in the image, or a library or interpreter that it needs",
}


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
    if sum(not container.is_dead for container in observed.containers) > 1 and not plan.tidies:
        return cond.on_its_way("Stopping", "Recreating", "the old container is stopped, then the new one is started")
    if desired.state is DesiredState.STOPPED:
        return _stopped(main)
    if main is None and observed.containers:
        return cond.on_its_way("Pending", "RemovingDead", "the engine is removing a dead container")
    if main is None:
        return cond.on_its_way("Pending", "Pending", plan.why or "the container is about to be made")
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
    if accounting is not None and accounting.waits_until(now) is not None:
        then = f"restart number {accounting.retries} waits for its back-off, see status.nextRetryAt"
        return cond.on_its_way("BackOff", "CrashLoopBackOff", f"{what}; {then}")
    return cond.on_its_way("Pending", "Starting", f"{what}; it is about to be started")


def _live(desired: Desired, observed: Observed, plan: Plan, main: Container) -> cond.Situation:
    if main.health is Health.UNHEALTHY and main.state is ContainerState.RUNNING:
        return cond.on_its_way("Running", "Unhealthy", "the liveness probe fails; the container is restarted")
    if main.state is not DECLARED[desired.state]:
        return cond.on_its_way(_phase(main), "Changing", f"it is {main.state}, it should be {desired.state}")
    differing = limits_differ(main, desired.container.limits, observed.ignored_limits)
    if differing:
        return cond.on_its_way(_phase(main), "Updating", f"{', '.join(differing)} are being changed")
    if plan.pending and "Create" in plan.wanted:
        why = "a new container is about to be made: " + "; ".join(plan.pending)
        return cond.on_its_way(_phase(main), "Recreating", why)
    if plan.pending:
        return cond.as_declared(_phase(main), "changes wait for a restart: " + "; ".join(plan.pending))
    return cond.as_declared(_phase(main))


def _phase(main: Container) -> str:
    return "Paused" if main.state is ContainerState.PAUSED else "Running"


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
