"""An operation under crashes: the controller may die between any two writes and go on from what is written."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api import OperationPhase, WorkspaceOperation, WorkspaceOperationStatus
from controller.operations.plan import FINAL, Progress
from tests.unit.operations.world import World, conditions, operation, reread, states, workspace

KINDS = {"Start": "Stopped", "Stop": "Running", "Restart": "Running", "Delete": "Running"}
# What happens next: a step, a change that arrives, a status that is written, a Workspace that gets there, a crash.
MOVES = st.lists(
    st.sampled_from(["step", "step", "change", "change", "write", "settle", "fail", "crash", "wait"]), max_size=120
)


class Process:
    """A controller that keeps what it knows in memory, and forgets it in a crash."""

    def __init__(self, world: World, op: WorkspaceOperation) -> None:
        self.world, self.op = world, op
        self.written = op.status
        self.progress: Progress | None = None
        self.waiting: list[Any] = []
        self.seen: list[WorkspaceOperationStatus] = []

    def step(self) -> None:
        if self.progress is None:
            self.progress = Progress(self.written)
        if self.progress.status.start_time is None:
            self.progress = self.world.begin(self.op)
            self.write()
        taken = self.world.step(self.op, self.progress)
        self.progress = taken.progress
        self.waiting = list(taken.changes)

    def change(self) -> None:
        if self.waiting:
            change = self.waiting.pop(0)
            there = self.world.workspaces.get(change.name)
            if there is not None and there["metadata"]["uid"] == change.uid and self.is_undone(change, there):
                self.world.make(change)

    @staticmethod
    def is_undone(change: Any, there: dict[str, Any]) -> bool:
        """The precondition on the resourceVersion: an older decision doesn't reach a Workspace that was changed."""
        mark = change.patch.get("metadata", {}).get("annotations", {}).get("aicli.dev/operation")
        return mark is None or there["metadata"].get("annotations", {}).get("aicli.dev/operation") != mark

    def write(self) -> None:
        if self.progress is not None:
            self.written = reread(self.progress.status)
            self.seen.append(self.written)

    def settle(self) -> None:
        for name in sorted(self.world.workspaces)[:2]:
            self.world.settle(name)

    def fail(self) -> None:
        for raw in list(self.world.workspaces.values())[-1:]:
            raw["status"]["conditions"] = conditions("False", "ErrImagePull", "no", stalled=True)

    def crash(self) -> None:
        self.progress, self.waiting = None, []

    def wait(self) -> None:
        self.world.pass_time(1.0)


@pytest.mark.parametrize("kind", list(KINDS))
@given(moves=MOVES, parallelism=st.integers(1, 4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_done_twice_and_progress_only_grows(kind: str, moves: list[str], parallelism: int) -> None:
    world = World().add(*(workspace(f"w{number}", KINDS[kind]) for number in range(4)))
    process = Process(world, operation(kind, parallelism=parallelism, timeoutSeconds=10_000))
    for move in moves:
        getattr(process, move)()
        assert process.progress is None or process.progress.status.running <= parallelism
    for _ in range(60):  # the last fault is over: everything ends
        process.step()
        while process.waiting:
            process.change()
        for name in list(world.workspaces):
            world.settle(name)
        process.write()
    assert process.written.completion_time is not None
    assert len(world.done) == len(set(world.done)), "a Workspace was changed twice"
    for earlier, later in zip(process.seen, process.seen[1:], strict=False):
        ended = {name: state for name, state in states(earlier).items() if state in FINAL}
        assert ended.items() <= states(later).items()
        assert (earlier.succeeded, earlier.failed) <= (later.succeeded, later.failed) or later.failed >= earlier.failed
        assert later.total == earlier.total
    if process.written.phase is OperationPhase.COMPLETE:
        assert len(world.done) == 4


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_new_process_takes_over_what_was_changed_and_not_written(kind: str) -> None:
    world = World().add(*(workspace(f"w{number}", KINDS[kind]) for number in range(3)))
    process = Process(world, operation(kind))
    process.step()
    while process.waiting:
        process.change()
    process.crash()  # the status still says that nothing was begun
    assert set(map(str, states(process.written).values())) == {"Pending"}
    process.step()
    assert process.waiting == []
    for name in list(world.workspaces):
        world.settle(name)
    process.step()
    assert process.progress is not None
    assert process.progress.status.succeeded == 3
    assert len(world.done) == 3
