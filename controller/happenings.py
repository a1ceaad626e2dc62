"""What is worth an Event: steps, errors and changes of the status, in words for people. Pure.

Messages hold no counts, times or progress: the same thing must give the same words, so that it is counted and not told
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller import actions as act
from controller.api import (
    Condition,
    ConditionStatus,
    OperationPhase,
    Phase,
    WorkspaceOperation,
    WorkspaceOperationStatus,
    WorkspaceStatus,
)
from controller.errors import WorkspaceError, printable
from controller.observed import ContainerState

REASON_LIMIT = 128  # characters, by the API server


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened."""

    reason: str
    message: str
    warning: bool = False
    may_be_told: bool = False  # a failed step may have said the same


def of_action(status: WorkspaceStatus, action: act.Action) -> Iterator[Happening]:
    """What a step that was carried out means for people; `status` is the one from before it."""
    match action:
        case act.Create(name=name, spec=spec):
            if status.phase is Phase.PULLING:
                yield Happening("Pulled", printable(f"pulled image {spec.image}"))
            reason = "Recreated" if status.container_id else "Created"
            yield Happening(reason, printable(f"made container {name} from {spec.image}: {action.reason}"))
        case act.Start():
            yield Happening(_start_reason(status, action), printable(f"started the container: {action.reason}"))
        case act.RecordRestart():
            yield Happening("Restarting", action.reason)
        case act.Kill():
            yield Happening("Killed", printable(f"killed the container: {action.reason}"), warning=True)
        case act.RemoveVolume():
            yield Happening("VolumeRemoved", printable(f"removed volume {action.volume}: {action.reason}"))
        case act.Rename(name=name, quiet=False):
            yield Happening("Renamed", printable(f"renamed the container to {name}: {action.reason}"))
        case act.Pause() | act.Unpause() | act.Update() | act.Remove():
            past, verb = _PAST[action.kind]
            yield Happening(past, printable(f"{verb} the container: {action.reason}"))


_PAST = {
    "Pause": ("Paused", "paused"),
    "Unpause": ("Unpaused", "unpaused"),
    "Update": ("Updated", "changed the limits of"),
    "Remove": ("Removed", "removed"),
}


def of_error(error: WorkspaceError) -> Happening:
    """A step that failed. Errors are free of secrets already."""
    return Happening(error.reason[:REASON_LIMIT], printable(str(error)), warning=True)


def of_status(image: str, previous: WorkspaceStatus, new: WorkspaceStatus) -> Iterator[Happening]:
    """What a status tells that no step of ours did; `image` is what the Workspace asks for."""
    yield from _of_phase(image, previous, new)
    yield from _of_exit(previous, new)
    before, ready = _condition(previous, "Ready"), _condition(new, "Ready")
    if ready is not None and ready.status is ConditionStatus.UNKNOWN and not _is(before, ConditionStatus.UNKNOWN):
        yield Happening(ready.reason[:REASON_LIMIT], printable(ready.message), warning=True)
    if _is(before, ConditionStatus.UNKNOWN) and not _is(ready, ConditionStatus.UNKNOWN):
        yield Happening("HostReachable", "the host answers again")
    if ready is not None and ready.reason == "Unhealthy" and (before is None or before.reason != "Unhealthy"):
        yield Happening("Unhealthy", printable(ready.message), warning=True)
    stalled, was = _condition(new, "Stalled"), _condition(previous, "Stalled")
    if stalled is not None and _is(stalled, ConditionStatus.TRUE) and (was is None or was.message != stalled.message):
        yield Happening(stalled.reason[:REASON_LIMIT], printable(stalled.message), warning=True, may_be_told=True)


def of_operation(
    operation: WorkspaceOperation, previous: WorkspaceOperationStatus, new: WorkspaceOperationStatus
) -> Iterator[Happening]:
    """What a new status of a WorkspaceOperation tells; nothing of each Workspace, which has Events of its own."""
    was_suspended, is_suspended = (status.phase is OperationPhase.SUSPENDED for status in (previous, new))
    begins = previous.start_time is None and new.start_time is not None
    if begins and new.phase is not OperationPhase.FAILED:
        yield Happening("Started", f"{operation.spec.operation} of {new.total} Workspaces has begun")
    if is_suspended and not was_suspended:
        yield Happening("Suspended", "no more Workspaces are begun until spec.suspend is false")
    if was_suspended and not is_suspended and not begins:
        yield Happening("Resumed", "spec.suspend is false: more Workspaces are begun")
    if new.completion_time is not None and previous.completion_time is None:
        failed = new.phase is OperationPhase.FAILED
        ended = next((c for c in new.conditions if c.type == ("Failed" if failed else "Complete")), None)
        message = ended.message if ended is not None else ""
        yield Happening("Failed" if failed else "Completed", printable(message), warning=failed)


def _of_phase(image: str, previous: WorkspaceStatus, new: WorkspaceStatus) -> Iterator[Happening]:
    if new.phase is previous.phase:
        return
    if new.phase is Phase.PULLING:
        yield Happening("Pulling", printable(f"pulling image {image}"))
    if new.phase is Phase.STOPPED and previous.phase is not None:
        yield Happening("Stopped", "the container is stopped, as declared")


def _of_exit(previous: WorkspaceStatus, new: WorkspaceStatus) -> Iterator[Happening]:
    ended = new.last_termination
    if ended is not None and ended.oom_killed and ended != previous.last_termination:
        yield Happening("OOMKilled", "the container was killed for want of memory", warning=True)
    ready = _condition(new, "Ready")
    if new.phase is not Phase.BACK_OFF or ready is None or ready.reason != "CrashLoopBackOff":
        return
    if previous.phase is not Phase.BACK_OFF or ended != previous.last_termination:
        code = f"exited with code {ended.exit_code}" if ended is not None else "exited"
        yield Happening("BackOff", f"the container {code}; it is restarted after a back-off", warning=True)


def _start_reason(status: WorkspaceStatus, action: act.Start) -> str:
    known = action.container is not None and action.container == status.container_id
    ran_before = known and status.container_state != ContainerState.CREATED
    return "Restarted" if ran_before and status.phase is not Phase.STOPPED else "Started"


def _condition(status: WorkspaceStatus, kind: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == kind), None)


def _is(condition: Condition | None, value: ConditionStatus) -> bool:
    return condition is not None and condition.status is value
