"""WorkspaceOperation: start, stop, restart or delete many Workspaces once, with a result for each."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, WrapValidator

from controller.api.fields import Name
from controller.api.meta import Conditions, LabelSelector, ObjectMeta
from controller.api.model import API_VERSION, ApiModel, ShortText, StatusModel, Timestamp, drop_unreadable
from controller.api.rules import ListSet, Rule, RuledModel, Transition

MAX_TARGETS = 5000
"""Results of so many Workspaces fit into one object of etcd."""


class Operation(StrEnum):
    """What is done to each Workspace."""

    START = "Start"
    STOP = "Stop"
    RESTART = "Restart"
    DELETE = "Delete"


class FailurePolicy(StrEnum):
    """What a failed Workspace means for the others."""

    CONTINUE = "Continue"
    ABORT = "Abort"


class OperationPhase(StrEnum):
    """One word for people; programs read the conditions."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class ResultState(StrEnum):
    """How far one Workspace is."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


_IMMUTABLE = ("names", "selector", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
_IMMUTABLE_WITH_DEFAULT = ("operation", "parallelism", "timeoutSeconds", "failurePolicy")


def _all_but_suspend() -> Transition:
    required = [f"self.{field} == oldSelf.{field}" for field in _IMMUTABLE_WITH_DEFAULT]
    optional = [
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
        for field in _IMMUTABLE
    ]
    return Transition(
        cel=" && ".join(required + optional),
        message="only suspend can be changed: make a new WorkspaceOperation",
        holds=lambda new, old: new == old.model_copy(update={"suspend": new.suspend}),
    )


class WorkspaceOperationSpec(RuledModel):
    """What is done to which Workspaces of the namespace. Immutable but for suspend."""

    rules = (
        Rule(
            cel="(has(self.names) && size(self.names) > 0) || has(self.selector)",
            message="must have names, a selector or both; the selector {} is every Workspace of the namespace",
            holds=lambda spec: bool(spec.names) or spec.selector is not None,
        ),
    )
    transitions = (_all_but_suspend(),)

    operation: Operation
    """Start, Stop, Restart or Delete."""
    names: Annotated[tuple[Name, ...], Field(max_length=MAX_TARGETS), ListSet()] = ()
    """Names of Workspaces; one that doesn't exist is a failed result."""
    selector: LabelSelector | None = None
    """Selects Workspaces by their labels, once, at the start. {} selects all."""
    parallelism: Annotated[int, Field(ge=1, le=1000)] = 10
    """Workspaces that are worked on at a time. Default: 10."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Seconds that one Workspace may take. Default: 600."""
    active_deadline_seconds: Annotated[int | None, Field(ge=1, le=604800)] = None
    """Seconds that all may take together. Default: no limit."""
    failure_policy: FailurePolicy = FailurePolicy.CONTINUE
    """After a failed Workspace: Continue (the default) with the others, or Abort and begin no more."""
    ttl_seconds_after_finished: Annotated[int | None, Field(ge=0, le=31536000)] = None
    """Seconds from its end to its deletion. Default: never, for GitOps would create it anew and run it
    again."""
    suspend: bool = False
    """If true, no further Workspace is begun. The only field that can be changed. Default: false."""


class OperationResult(StatusModel):
    """How it went for one Workspace."""

    name: ShortText
    """Name of the Workspace."""
    uid: ShortText | None = None
    """Its uid when the operation began, so that one of the same name made later is left alone."""
    state: ResultState = ResultState.PENDING
    """Pending, Running, Succeeded or Failed."""
    reason: ShortText | None = None
    """One word in CamelCase."""
    message: ShortText | None = None
    """What went wrong, cut to fit."""
    start_time: Timestamp | None = None
    """When it was begun."""
    completion_time: Timestamp | None = None
    """When it ended."""


class WorkspaceOperationStatus(StatusModel):
    """How far the operation is. Written at most once a second."""

    observed_generation: int = -1
    """The metadata.generation that this status is about; -1 before the first."""
    phase: OperationPhase | None = None
    """One word for people; programs read the conditions."""
    conditions: Conditions = ()
    """Complete and Failed, as of a Job, and Reconciling and Stalled for kstatus."""
    total: Annotated[int, Field(ge=0)] = 0
    """Workspaces to work on."""
    pending: Annotated[int, Field(ge=0)] = 0
    """Workspaces not begun."""
    running: Annotated[int, Field(ge=0)] = 0
    """Workspaces being worked on."""
    succeeded: Annotated[int, Field(ge=0)] = 0
    """Workspaces done."""
    failed: Annotated[int, Field(ge=0)] = 0
    """Workspaces that failed."""
    progress: ShortText | None = None
    """Finished and total, such as 37/50."""
    start_time: Timestamp | None = None
    """When the Workspaces were resolved."""
    completion_time: Timestamp | None = None
    """When the last one ended."""
    results: Annotated[tuple[OperationResult, ...], Field(max_length=MAX_TARGETS)] = ()
    """One for each Workspace, resolved once at the start."""


class WorkspaceOperation(ApiModel):
    """Starts, stops, restarts or deletes many Workspaces once."""

    api_version: Literal["aicli.dev/v1alpha1"] = API_VERSION
    kind: Literal["WorkspaceOperation"] = "WorkspaceOperation"
    metadata: ObjectMeta
    spec: WorkspaceOperationSpec
    """What is done to which Workspaces."""
    status: Annotated[WorkspaceOperationStatus, WrapValidator(drop_unreadable)] = WorkspaceOperationStatus()
    """How far it is, written by the controller."""
