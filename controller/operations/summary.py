"""The status of an operation, from the results of its targets. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from controller.api import (
    Condition,
    ConditionStatus,
    OperationPhase,
    OperationResult,
    ResultState,
    WorkspaceOperation,
    WorkspaceOperationStatus,
)
from controller.history import Now

NAMES_SHOWN = 10


def summarize(
    operation: WorkspaceOperation, previous: WorkspaceOperationStatus, results: Sequence[OperationResult], now: Now
) -> WorkspaceOperationStatus:
    """Counts, phase and conditions. An operation ends when all its targets have."""
    count = Counter(result.state for result in results)
    ended = count[ResultState.SUCCEEDED] + count[ResultState.FAILED]
    is_over = previous.start_time is not None and ended == len(results)
    phase = _phase(operation, previous, count, is_over)
    reason, message = _words(phase, results, count, ended)
    return WorkspaceOperationStatus.model_construct(
        observed_generation=max(operation.metadata.generation, previous.observed_generation),
        phase=phase,
        conditions=_conditions(previous, phase, reason, message, operation.metadata.generation, now),
        total=len(results),
        pending=count[ResultState.PENDING],
        running=count[ResultState.RUNNING],
        succeeded=count[ResultState.SUCCEEDED],
        failed=count[ResultState.FAILED],
        progress=f"{ended}/{len(results)}",
        start_time=previous.start_time,
        completion_time=previous.completion_time or (now.wall.replace(microsecond=0) if is_over else None),
        results=tuple(results),
    )


def refuse(operation: WorkspaceOperation, message: str, now: Now) -> WorkspaceOperationStatus:
    """The operation as a whole can't be done: it ends before it begins."""
    second = now.wall.replace(microsecond=0)
    status = operation.status.model_copy(update={"start_time": second, "completion_time": second})
    generation = operation.metadata.generation
    conditions = _conditions(status, OperationPhase.FAILED, "TooManyTargets", message, generation, now)
    return status.model_copy(
        update={"phase": OperationPhase.FAILED, "conditions": conditions, "observed_generation": generation}
    )


def seen(operation: WorkspaceOperation, status: WorkspaceOperationStatus) -> WorkspaceOperationStatus:
    """The status of an operation that has ended, as of the newest generation: suspend may have been changed since."""
    generation = operation.metadata.generation
    if status.observed_generation >= generation:
        return status
    conditions = tuple(c.model_copy(update={"observed_generation": generation}) for c in status.conditions)
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def _phase(
    operation: WorkspaceOperation, previous: WorkspaceOperationStatus, count: Counter[ResultState], is_over: bool
) -> OperationPhase:
    if is_over:
        return OperationPhase.FAILED if count[ResultState.FAILED] else OperationPhase.COMPLETE
    if operation.spec.suspend:
        return OperationPhase.SUSPENDED
    return OperationPhase.PENDING if previous.start_time is None else OperationPhase.RUNNING


def _words(
    phase: OperationPhase, results: Sequence[OperationResult], count: Counter[ResultState], ended: int
) -> tuple[str, str]:
    failed, total = count[ResultState.FAILED], len(results)
    match phase:
        case OperationPhase.COMPLETE:
            return "AllSucceeded", f"all {total} Workspaces are done" if total else "no Workspace was selected"
        case OperationPhase.FAILED:
            return _worst_reason(results), f"{failed} of {total} Workspaces failed: {_names_of_failed(results, failed)}"
        case OperationPhase.SUSPENDED:
            return "Suspended", f"{ended} of {total} are done; no more are begun until spec.suspend is false"
        case OperationPhase.PENDING:
            return "Waiting", "it begins when fewer operations of this namespace are under way"
        case _:
            return "Running", f"{ended} of {total} are done" + (f", {failed} of them failed" if failed else "")


def _worst_reason(results: Sequence[OperationResult]) -> str:
    """What ended the operation as a whole, if anything did."""
    reasons = {result.reason for result in results if result.state is ResultState.FAILED}
    return next((reason for reason in ("DeadlineExceeded", "Aborted") if reason in reasons), "WorkspacesFailed")


def _names_of_failed(results: Sequence[OperationResult], failed: int) -> str:
    """Those that were not even begun come last: they are not the cause."""
    all_failed = [result for result in results if result.state is ResultState.FAILED]
    all_failed.sort(key=lambda result: result.reason == "Aborted")
    shown = ", ".join(f"{result.name} ({result.reason})" for result in all_failed[:NAMES_SHOWN])
    return shown + (f" and {failed - NAMES_SHOWN} more" if failed > NAMES_SHOWN else "")


def _conditions(
    previous: WorkspaceOperationStatus, phase: OperationPhase, reason: str, message: str, generation: int, now: Now
) -> tuple[Condition, ...]:
    is_over = phase in (OperationPhase.COMPLETE, OperationPhase.FAILED)
    values = {
        "Complete": phase is OperationPhase.COMPLETE,
        "Failed": phase is OperationPhase.FAILED,
        "Reconciling": not is_over,
        "Stalled": phase is OperationPhase.FAILED,
    }
    before = {condition.type: condition for condition in previous.conditions}
    result = []
    for kind, value in values.items():
        status = ConditionStatus.TRUE if value else ConditionStatus.FALSE
        old = before.get(kind)
        result.append(
            Condition(
                type=kind,
                status=status,
                reason=reason if value else f"Not{kind}",
                message=message if value else "",
                last_transition_time=old.last_transition_time if old and old.status is status else now.wall,
                observed_generation=generation,
            )
        )
    return tuple(result)
