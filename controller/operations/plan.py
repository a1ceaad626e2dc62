"""What an operation does next: pure, from the operation, its Workspaces, how far it is, and the time.

Ended results never change again, so that progress only grows. A target that is begun is judged like one that was begun
before a crash: what was done to it stands on the Workspace (see `targets`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controller.api import (
    FailurePolicy,
    ObjectMeta,
    Operation,
    OperationResult,
    ResultState,
    Workspace,
    WorkspaceOperation,
    WorkspaceOperationStatus,
)
from controller.history import Now
from controller.operations.summary import seen, summarize
from controller.operations.targets import ASKED, Change, Ended, Waiting, judge, was_changed, words

FINAL = (ResultState.SUCCEEDED, ResultState.FAILED)
Lookup = Callable[[str], Workspace | None]  # by name, in the operation's namespace


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is: its status, and begins by the monotonic clock, which a clock that is set can't move."""

    status: WorkspaceOperationStatus
    begun: Mapping[str, float] = field(default_factory=dict)  # by name, of running targets
    started: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now, how far it is then, and when to look again (monotonic seconds)."""

    progress: Progress
    changes: tuple[Change, ...] = ()
    wake_at: float | None = None
    expired: bool = False  # its time to live is over: delete the operation itself


def resolve(operation: WorkspaceOperation, found: Iterable[ObjectMeta], now: Now) -> Progress:
    """The targets, once and for all: names in their order, then what the selector selects, by name."""
    by_name = {meta.name: meta for meta in found}
    names = dict.fromkeys(operation.spec.names)
    names.update(dict.fromkeys(sorted(_selected(operation, by_name))))
    results = [_first_result(operation, name, by_name.get(name), now) for name in names]
    status = operation.status.model_copy(update={"start_time": now.wall.replace(microsecond=0)})
    return Progress(summarize(operation, status, results, now), started=now.mono)


def step(operation: WorkspaceOperation, lookup: Lookup, progress: Progress, now: Now) -> Step:
    """The next step of an operation whose targets are resolved, or which is not to begin yet (suspended)."""
    status = progress.status
    if status.completion_time is not None:
        return _after_end(operation, progress, now)
    if status.start_time is None:
        return Step(replace(progress, status=summarize(operation, status, [], now)))
    return _Step(operation, lookup, progress, now).take()


def fail_target(
    operation: WorkspaceOperation, progress: Progress, name: str, reason: str, message: str, now: Now
) -> Progress:
    """The change of one target was refused for good."""
    results = list(progress.status.results)
    for index, result in enumerate(results):
        if result.name == name and result.state not in FINAL:
            results[index] = _ended(result, Ended(False, reason, message), now)
    begun = {other: at for other, at in progress.begun.items() if other != name}
    return replace(progress, status=summarize(operation, progress.status, results, now), begun=begun)


def note_changed(progress: Progress, names: Set[str]) -> Progress:
    """The changes of these targets were made."""
    results = tuple(
        result.model_copy(update={"reason": ASKED})
        if result.name in names and result.state is ResultState.RUNNING
        else result
        for result in progress.status.results
    )
    return replace(progress, status=progress.status.model_copy(update={"results": results}))


class _Step:
    """One step. The results are a copy that is changed; `begun` holds the running targets."""

    def __init__(self, operation: WorkspaceOperation, lookup: Lookup, progress: Progress, now: Now) -> None:
        self.operation, self.lookup, self.now = operation, lookup, now
        self.status = progress.status
        self.results = list(progress.status.results)
        self.begun = dict(progress.begun)
        self.failed = sum(result.state is ResultState.FAILED for result in self.results)
        self.started = _mono_of(progress.started, self.status.start_time, now)
        self.changes: list[Change] = []
        self.wakes: list[float] = []

    def take(self) -> Step:
        running = [i for i, result in enumerate(self.results) if result.state is ResultState.RUNNING]
        for index in running:
            self._look_at(index)
        self._end_all_late()
        self._begin_more()
        status = summarize(self.operation, self.status, self.results, self.now)
        progress = Progress(status, self.begun, self.started)
        if status.completion_time is not None:
            return _after_end(self.operation, progress, self.now)
        return Step(progress, tuple(self.changes), min(self.wakes, default=None))

    def _look_at(self, index: int) -> None:
        result = self.results[index]
        began = self.begun[result.name] = _mono_of(self.begun.get(result.name), result.start_time, self.now)
        workspace = self.lookup(result.name)
        verdict = judge(self.operation, result, workspace, self.now.mono - began)
        timeout = self.operation.spec.timeout_seconds
        if isinstance(verdict, Ended):
            self._end(index, verdict)
        elif self.now.mono >= began + timeout:
            self._end(index, Ended(False, "Timeout", f"not done after {timeout} s; {words(workspace)}"))
        else:
            self.wakes.append(began + timeout)
            if isinstance(verdict, Waiting) and verdict.again is not None:
                self.wakes.append(began + verdict.again)
            if isinstance(verdict, Change):
                self.changes.append(verdict)
            elif result.reason is None and was_changed(self.operation, result, workspace):
                self.results[index] = result.model_copy(update={"reason": ASKED})

    def _begin_more(self) -> None:
        if self.operation.spec.suspend:
            return
        for index, result in enumerate(self.results):
            if len(self.begun) >= self.operation.spec.parallelism:
                return
            if result.state is not ResultState.PENDING:
                continue
            if self._is_aborted():
                self._end_pending("Aborted", "not begun, because another Workspace has failed")
                return
            began = {"state": ResultState.RUNNING, "start_time": self.now.wall.replace(microsecond=0)}
            self.results[index] = result.model_copy(update=began)
            self._look_at(index)

    def _end_all_late(self) -> None:
        deadline = self.operation.spec.active_deadline_seconds
        if self._is_aborted():
            self._end_pending("Aborted", "not begun, because another Workspace has failed")
        if deadline is None:
            return
        if self.now.mono < self.started + deadline:
            self.wakes.append(self.started + deadline)
            return
        self.changes.clear()
        self._end_pending("DeadlineExceeded", f"not begun within activeDeadlineSeconds ({deadline} s)")
        for index, result in enumerate(self.results):
            if result.state is ResultState.RUNNING:
                message = f"not done within activeDeadlineSeconds ({deadline} s); {words(self.lookup(result.name))}"
                self._end(index, Ended(False, "DeadlineExceeded", message))

    def _is_aborted(self) -> bool:
        return self.failed > 0 and self.operation.spec.failure_policy is FailurePolicy.ABORT

    def _end_pending(self, reason: str, message: str) -> None:
        for index, result in enumerate(self.results):
            if result.state is ResultState.PENDING:
                self._end(index, Ended(False, reason, message))

    def _end(self, index: int, ended: Ended) -> None:
        result = self.results[index]
        self.begun.pop(result.name, None)
        self.failed += not ended.succeeded
        self.results[index] = _ended(result, ended, self.now)


def _after_end(operation: WorkspaceOperation, progress: Progress, now: Now) -> Step:
    progress = replace(progress, status=seen(operation, progress.status))
    ttl, ended = operation.spec.ttl_seconds_after_finished, progress.status.completion_time
    if ttl is None or ended is None:
        return Step(progress)
    left = (ended + timedelta(seconds=ttl) - now.wall).total_seconds()
    return Step(progress, expired=left <= 0, wake_at=now.mono + left if left > 0 else None)


def _selected(operation: WorkspaceOperation, by_name: Mapping[str, ObjectMeta]) -> list[str]:
    """What is being deleted already is selected by a Delete only: it waits for the end."""
    selector = operation.spec.selector
    if selector is None:
        return []
    deletes = operation.spec.operation is Operation.DELETE
    return [
        name
        for name, meta in by_name.items()
        if selector.matches(meta.labels) and (deletes or meta.deletion_timestamp is None)
    ]


def _first_result(operation: WorkspaceOperation, name: str, meta: ObjectMeta | None, now: Now) -> OperationResult:
    if meta is not None:
        return OperationResult(name=name, uid=meta.uid)
    message = f"there is no Workspace {name} in namespace {operation.metadata.namespace}"
    return _ended(OperationResult(name=name), Ended(False, "NotFound", message), now)


def _ended(result: OperationResult, ended: Ended, now: Now) -> OperationResult:
    values = {
        **dict(result),
        "state": ResultState.SUCCEEDED if ended.succeeded else ResultState.FAILED,
        "reason": ended.reason,
        "message": ended.message,
        "completion_time": now.wall,
    }
    return OperationResult(**values)


def _mono_of(known: float | None, since: datetime | None, now: Now) -> float:
    """The monotonic time of a begin: as noted, or after a start of the controller as far back as the status says."""
    if known is not None:
        return known
    elapsed = (now.wall - since).total_seconds() if since is not None else 0.0
    return now.mono - max(0.0, elapsed)
