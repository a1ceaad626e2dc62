"""One Workspace of an operation: what has to be done to it, or how it went. Pure.

What was done is read from the Workspace itself: a change and the mark that says whose it is are one write. So a crash
at any moment leaves either both or none of them, and nothing is done twice. The operation's status, which may lag
behind, says it too (reason `Asked`), for when another operation has put its own mark there since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.api import (
    RESTARTED_AT,
    Condition,
    ConditionStatus,
    DesiredState,
    Operation,
    OperationResult,
    Workspace,
    WorkspaceOperation,
)
from controller.naming import ANNOTATION_OPERATION

ASKED = "Asked"
"""Reason of a running target: its change was made."""
STALLED_GRACE = 10.0  # seconds for a restart request to be taken up by a Workspace that is stalled
REQUEST_LIMIT = 256  # characters that status.lastRestartRequest holds

_STATES = {Operation.START: DesiredState.RUNNING, Operation.STOP: DesiredState.STOPPED}
_PAST = {
    Operation.START: "Started",
    Operation.STOP: "Stopped",
    Operation.RESTART: "Restarted",
    Operation.DELETE: "Deleted",
}


@dataclass(frozen=True, slots=True)
class Change:
    """The one change to make to one Workspace; an empty `patch` deletes it."""

    name: str
    uid: str
    patch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Everything was done; the Workspace isn't there yet. `again`: look again so many seconds after its begin."""

    again: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went."""

    succeeded: bool
    reason: str
    message: str | None = None


Verdict = Change | Waiting | Ended


def judge(
    operation: WorkspaceOperation, result: OperationResult, workspace: Workspace | None, elapsed: float
) -> Verdict:
    """What to do with one target now. `workspace` is what has its name, `elapsed` the seconds since its begin."""
    kind = operation.spec.operation
    is_same = workspace is not None and workspace.metadata.uid == result.uid
    if kind is Operation.DELETE:
        return _delete(result, workspace if is_same else None)
    if workspace is None or not is_same:
        return Ended(False, "NotFound", "the Workspace was deleted after the operation had begun")
    if workspace.metadata.deletion_timestamp is not None:
        return Ended(False, "Terminating", "the Workspace is being deleted")
    is_done = was_changed(operation, result, workspace)
    if kind is Operation.RESTART:
        return _restart(operation, workspace, is_done, elapsed)
    return _change_state(operation, workspace, is_done)


def was_changed(operation: WorkspaceOperation, result: OperationResult, workspace: Workspace | None) -> bool:
    """Whether the operation has made its change already. Never so for a Delete, which can't be made twice."""
    if result.reason == ASKED:
        return True
    return workspace is not None and workspace.metadata.annotations.get(ANNOTATION_OPERATION) == mark(operation)


def mark(operation: WorkspaceOperation) -> str:
    """The value of the annotation."""
    return f"{operation.metadata.name}/{operation.metadata.uid}"


def restart_request(operation: WorkspaceOperation) -> str:
    """The value of the restart annotation: the same at every try, another one for each operation."""
    created = operation.metadata.creation_timestamp
    text = f"{created:%Y-%m-%dT%H:%M:%SZ} {operation.metadata.uid} {operation.metadata.name}"
    return text[:REQUEST_LIMIT]


def words(workspace: Workspace | None) -> str:
    """How a Workspace stands, for a message."""
    ready = _condition(workspace, "Ready") if workspace is not None else None
    if ready is None:
        return "it has no status yet"
    return f"{ready.reason}: {ready.message}" if ready.message else ready.reason


def _delete(result: OperationResult, workspace: Workspace | None) -> Verdict:
    if workspace is None:
        return Ended(True, "Deleted")
    if workspace.metadata.deletion_timestamp is not None:
        return Waiting()
    return Change(result.name, workspace.metadata.uid, {})


def _change_state(operation: WorkspaceOperation, workspace: Workspace, is_done: bool) -> Verdict:
    wanted, found = _STATES[operation.spec.operation], workspace.spec.desired_state
    if found is not wanted and is_done:
        return Ended(False, "Superseded", f"desiredState was changed to {found} by somebody else meanwhile")
    if found is not wanted:
        return Change(
            workspace.metadata.name,
            workspace.metadata.uid,
            {
                "spec": {"desiredState": str(wanted)},
                "metadata": {"annotations": {ANNOTATION_OPERATION: mark(operation)}},
            },
        )
    if not _is_current(workspace):
        return Waiting()
    if _is_true(workspace, "Ready"):
        return Ended(True, _PAST[operation.spec.operation] if is_done else "Unchanged")
    return _stalled(workspace) or Waiting()


def _restart(operation: WorkspaceOperation, workspace: Workspace, is_done: bool, elapsed: float) -> Verdict:
    """Another request that came after ours covers it."""
    if not is_done:
        if workspace.spec.desired_state is DesiredState.STOPPED:
            return Ended(True, "Unchanged", "it is declared to be Stopped: there is nothing to restart")
        annotations = {RESTARTED_AT: restart_request(operation), ANNOTATION_OPERATION: mark(operation)}
        return Change(workspace.metadata.name, workspace.metadata.uid, {"metadata": {"annotations": annotations}})
    taken_up = workspace.status.last_restart_request == workspace.restart_request and _is_current(workspace)
    if taken_up and _is_true(workspace, "Ready"):
        return Ended(True, "Restarted")
    stalled = _stalled(workspace)
    if stalled is None:
        return Waiting()
    if taken_up or elapsed >= STALLED_GRACE:
        return stalled
    return Waiting(again=STALLED_GRACE)


def _stalled(workspace: Workspace) -> Ended | None:
    condition = _condition(workspace, "Stalled")
    if condition is None or condition.status is not ConditionStatus.TRUE:
        return None
    return Ended(False, condition.reason, condition.message)


def _is_current(workspace: Workspace) -> bool:
    return workspace.status.observed_generation >= workspace.metadata.generation


def _is_true(workspace: Workspace, kind: str) -> bool:
    condition = _condition(workspace, kind)
    return condition is not None and condition.status is ConditionStatus.TRUE


def _condition(workspace: Workspace, kind: str) -> Condition | None:
    return next((condition for condition in workspace.status.conditions if condition.type == kind), None)
