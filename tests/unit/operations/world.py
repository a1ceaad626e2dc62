"""A namespace of Workspaces in memory, with a controller that obeys, and an operation that is driven through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api import (
    RESTARTED_AT,
    ObjectMeta,
    Operation,
    OperationResult,
    ResultState,
    Workspace,
    WorkspaceOperation,
    WorkspaceOperationSpec,
    WorkspaceOperationStatus,
)
from controller.history import Now
from controller.operations.plan import Progress, Step, resolve, step
from controller.operations.targets import Change

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE = "team"


def operation(kind: str = "Stop", **spec: Any) -> WorkspaceOperation:
    spec.setdefault("selector", {})
    return WorkspaceOperation(
        metadata=ObjectMeta(name="op", namespace=NAMESPACE, uid="op-uid", generation=1, creation_timestamp=START),
        spec=WorkspaceOperationSpec.model_validate({"operation": Operation(kind), **spec}),
    )


def workspace(name: str, desired: str = "Running", **status: Any) -> dict[str, Any]:
    """A Workspace as JSON; without more it is as declared."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1, "labels": {}},
        "spec": {"desiredState": desired},
        "status": {"observedGeneration": 1, "conditions": conditions("True", desired), **status},
    }


def conditions(
    ready: str, reason: str = "Running", message: str = "", *, stalled: bool = False
) -> list[dict[str, str]]:
    values = {"Ready": ready, "Stalled": str(stalled)}
    rest = {"reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return [{"type": kind, "status": value, **rest} for kind, value in values.items()]


@dataclass
class World:
    """Time, Workspaces, and what was done to them."""

    workspaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    mono: float = 1000.0
    wall: datetime = START
    done: list[tuple[str, str]] = field(default_factory=list)  # what and to which uid

    def add(self, *found: dict[str, Any]) -> World:
        self.workspaces |= {item["metadata"]["name"]: item for item in found}
        return self

    @property
    def now(self) -> Now:
        return Now(self.wall, self.mono)

    def pass_time(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += timedelta(seconds=seconds)

    def lookup(self, name: str) -> Workspace | None:
        raw = self.workspaces.get(name)
        return Workspace.model_validate(raw) if raw is not None else None

    def begin(self, op: WorkspaceOperation) -> Progress:
        return resolve(op, [self.found(name).metadata for name in self.workspaces], self.now)

    def found(self, name: str) -> Workspace:
        return Workspace.model_validate(self.workspaces[name])

    def step(self, op: WorkspaceOperation, progress: Progress) -> Step:
        return step(op, self.lookup, progress, self.now)

    def make(self, change: Change) -> None:
        """What the API server does with a change."""
        raw = self.workspaces[change.name]
        assert raw["metadata"]["uid"] == change.uid
        self.done.append((_kind(change), change.uid))
        if not change.patch:
            del self.workspaces[change.name]
            return
        raw["metadata"].setdefault("annotations", {}).update(change.patch["metadata"]["annotations"])
        if "spec" in change.patch:
            raw["spec"].update(change.patch["spec"])
            raw["metadata"]["generation"] += 1

    def settle(self, name: str) -> None:
        """What the controller of Workspaces does: all that is asked for."""
        raw = self.workspaces.get(name)
        if raw is not None:
            raw["status"] = {
                "observedGeneration": raw["metadata"]["generation"],
                "conditions": conditions("True", raw["spec"]["desiredState"]),
                "lastRestartRequest": raw["metadata"].get("annotations", {}).get(RESTARTED_AT),
            }

    def run(self, op: WorkspaceOperation, rounds: int = 100) -> WorkspaceOperationStatus:
        """Drives the operation to its end, everything obeying."""
        progress = self.begin(op)
        for _ in range(rounds):
            taken = self.step(op, progress)
            progress = taken.progress
            for change in taken.changes:
                self.make(change)
            for name in list(self.workspaces):
                self.settle(name)
            if progress.status.completion_time is not None:
                return progress.status
            self.pass_time(1)
        raise AssertionError(f"not at its end after {rounds} rounds: {progress.status.progress}")


def reread(status: WorkspaceOperationStatus) -> WorkspaceOperationStatus:
    """The status as a new process reads it."""
    return WorkspaceOperationStatus.model_validate(status.to_dict())


def result_of(status: WorkspaceOperationStatus, name: str) -> OperationResult:
    return next(result for result in status.results if result.name == name)


def states(status: WorkspaceOperationStatus) -> dict[str, ResultState]:
    return {result.name: result.state for result in status.results}


def reasons(status: WorkspaceOperationStatus) -> dict[str, str | None]:
    return {result.name: result.reason for result in status.results}


def _kind(change: Change) -> str:
    if not change.patch:
        return "Delete"
    return str(change.patch.get("spec", {}).get("desiredState", "Restart"))
