"""What an operation does next."""

from datetime import timedelta

import pytest

from controller.api import OperationPhase, ResultState, WorkspaceOperation
from controller.operations.plan import Progress, fail_target, note_changed
from tests.unit.operations.world import (
    World,
    conditions,
    operation,
    reasons,
    reread,
    result_of,
    states,
    workspace,
)


def world(count: int = 5, **fields: object) -> World:
    return World().add(*(workspace(f"w{number}", **fields) for number in range(count)))  # type: ignore[arg-type]


def condition(status: object, kind: str) -> str:
    return str({c.type: c.status for c in status.conditions}[kind])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["Start", "Stop", "Restart", "Delete"])
def test_every_operation_ends_with_everything_done_once(kind: str) -> None:
    there = world(25, desired="Stopped" if kind == "Start" else "Running")
    status = there.run(operation(kind))
    assert status.phase is OperationPhase.COMPLETE
    assert (status.total, status.succeeded, status.progress) == (25, 25, "25/25")
    assert condition(status, "Complete") == "True"
    assert condition(status, "Failed") == condition(status, "Reconciling") == condition(status, "Stalled") == "False"
    assert len(there.done) == len(set(there.done)) == 25


def test_an_empty_selection_is_complete() -> None:
    status = World().run(operation("Stop"))
    assert (status.phase, status.progress, status.total) == (OperationPhase.COMPLETE, "0/0", 0)


def test_names_come_first_and_none_twice() -> None:
    op = operation("Stop", names=["w3", "w1"], selector={"matchLabels": {}})
    assert [result.name for result in world(4).begin(op).status.results] == ["w3", "w1", "w0", "w2"]


def test_an_unknown_name_fails_and_the_rest_is_done() -> None:
    status = world(2).run(operation("Stop", names=["w0", "nobody", "w1"], selector=None))
    assert reasons(status) == {"w0": "Stopped", "nobody": "NotFound", "w1": "Stopped"}
    assert status.phase is OperationPhase.FAILED
    assert condition(status, "Failed") == "True"
    assert condition(status, "Complete") == "False"
    assert "1 of 3" in status.conditions[1].message
    assert "nobody (NotFound)" in status.conditions[1].message


def test_a_selector_selects_by_label_and_leaves_out_what_is_being_deleted() -> None:
    there = world(4)
    for name in ("w1", "w2"):
        there.workspaces[name]["metadata"]["labels"] = {"team": "x"}
    there.workspaces["w2"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    selector = {"matchLabels": {"team": "x"}}
    assert list(states(there.begin(operation("Stop", selector=selector)).status)) == ["w1"]
    assert list(states(there.begin(operation("Delete", selector=selector)).status)) == ["w1", "w2"]


def test_a_workspace_that_comes_later_is_not_selected() -> None:
    there = world(2)
    op = operation("Stop")
    progress = there.begin(op)
    there.add(workspace("late"))
    assert "late" not in states(there.step(op, progress).progress.status)


def test_no_more_than_parallelism_are_begun() -> None:
    there, op = world(5), operation("Stop", parallelism=2)
    taken = there.step(op, there.begin(op))
    assert [change.name for change in taken.changes] == ["w0", "w1"]
    assert (taken.progress.status.running, taken.progress.status.pending) == (2, 3)
    for change in taken.changes:
        there.make(change)
    there.settle("w1")
    again = there.step(op, taken.progress)
    assert [change.name for change in again.changes] == ["w2"]


def test_what_needs_nothing_takes_no_slot() -> None:
    there = world(50, desired="Stopped")
    op = operation("Stop", parallelism=1)
    assert there.step(op, there.begin(op)).progress.status.phase is OperationPhase.COMPLETE


def test_a_target_that_takes_too_long_fails_with_how_it_stands() -> None:
    there, op = world(1), operation("Stop", timeoutSeconds=30)
    taken = there.step(op, there.begin(op))
    assert taken.wake_at == there.mono + 30
    there.make(taken.changes[0])
    there.workspaces["w0"]["status"]["conditions"] = conditions("Unknown", "HostUnreachable", "no answer")
    there.pass_time(30)
    result = result_of(there.step(op, taken.progress).progress.status, "w0")
    assert (result.state, result.reason) == (ResultState.FAILED, "Timeout")
    assert result.message == "not done after 30 s; HostUnreachable: no answer"


def test_a_clock_that_jumps_ends_nothing() -> None:
    there, op = world(1), operation("Stop", timeoutSeconds=30, activeDeadlineSeconds=60)
    taken = there.step(op, there.begin(op))
    there.wall += timedelta(hours=1)
    assert there.step(op, taken.progress).progress.status.running == 1


def test_the_deadline_ends_what_runs_and_what_waits() -> None:
    there, op = world(3), operation("Stop", parallelism=1, activeDeadlineSeconds=60)
    taken = there.step(op, there.begin(op))
    there.pass_time(60)
    last = there.step(op, taken.progress)
    assert last.changes == ()
    assert set(reasons(last.progress.status).values()) == {"DeadlineExceeded"}
    assert last.progress.status.phase is OperationPhase.FAILED
    assert last.progress.status.conditions[1].reason == "DeadlineExceeded"


def test_a_deadline_counts_on_in_a_new_process() -> None:
    there, op = world(1), operation("Stop", activeDeadlineSeconds=60)
    saved = op.model_copy(update={"status": reread(there.step(op, there.begin(op)).progress.status)})
    there.pass_time(61)
    there.mono = 5.0  # the monotonic clock of another boot
    assert there.step(saved, new_process(saved)).progress.status.phase is OperationPhase.FAILED


def new_process(op: WorkspaceOperation) -> Progress:
    return Progress(op.status)


def test_abort_begins_no_more_and_lets_the_running_end() -> None:
    there, op = world(5), operation("Stop", parallelism=2, failurePolicy="Abort")
    taken = there.step(op, there.begin(op))
    for change in taken.changes:
        there.make(change)
    failed = conditions("False", "PolicyViolation", "no", stalled=True)
    there.workspaces["w0"]["status"] = {"observedGeneration": 2, "conditions": failed}
    aborted = there.step(op, taken.progress)
    assert aborted.changes == ()
    assert list(reasons(aborted.progress.status).values()) == [
        "PolicyViolation",
        "Asked",
        "Aborted",
        "Aborted",
        "Aborted",
    ]
    assert aborted.progress.status.phase is OperationPhase.RUNNING
    there.settle("w1")
    last = there.step(op, aborted.progress).progress.status
    assert (last.phase, last.succeeded, last.failed) == (OperationPhase.FAILED, 1, 4)


def test_a_suspended_operation_resolves_nothing() -> None:
    there, op = world(2), operation("Stop", suspend=True)
    taken = there.step(op, Progress(op.status))
    assert (taken.progress.status.phase, taken.progress.status.total) == (OperationPhase.SUSPENDED, 0)
    assert taken.progress.status.start_time is None
    assert condition(taken.progress.status, "Reconciling") == "True"


def test_suspending_lets_the_running_end_and_begins_no_more() -> None:
    there, op = world(3), operation("Stop", parallelism=1)
    taken = there.step(op, there.begin(op))
    there.make(taken.changes[0])
    there.settle("w0")
    suspended = op.model_copy(update={"spec": op.spec.model_copy(update={"suspend": True})})
    held = there.step(suspended, taken.progress)
    assert held.changes == ()
    assert (held.progress.status.phase, held.progress.status.progress) == (OperationPhase.SUSPENDED, "1/3")
    assert [change.name for change in there.step(op, held.progress).changes] == ["w1"]


def test_a_finished_operation_goes_after_its_time_to_live() -> None:
    there, op = world(1), operation("Stop", ttlSecondsAfterFinished=60)
    there.run(op)
    done = op.model_copy(update={"status": reread(there.run(op))})
    progress = Progress(done.status)
    waiting = there.step(done, progress)
    assert not waiting.expired
    assert waiting.wake_at == pytest.approx(there.mono + 60, abs=2)
    there.pass_time(60)
    assert there.step(done, progress).expired


def test_a_finished_operation_stays_without_a_time_to_live() -> None:
    there, op = world(1), operation("Stop")
    progress = Progress(there.run(op))
    there.pass_time(10**7)
    assert there.step(op, progress).wake_at is None
    assert not there.step(op, progress).expired


def test_a_refused_change_is_a_failed_result_and_frees_its_slot() -> None:
    there, op = world(2), operation("Stop", parallelism=1)
    taken = there.step(op, there.begin(op))
    progress = fail_target(op, taken.progress, "w0", "Refused", "a webhook says no", there.now)
    again = there.step(op, progress)
    assert [change.name for change in again.changes] == ["w1"]
    assert result_of(again.progress.status, "w0").message == "a webhook says no"


def test_conditions_keep_their_time_until_they_change() -> None:
    there, op = world(2), operation("Stop", parallelism=1)
    first = there.step(op, there.begin(op)).progress
    there.pass_time(5)
    there.settle("w0")
    second = there.step(op, first).progress
    times = [[c.last_transition_time for c in p.status.conditions] for p in (first, second)]
    assert times[0] == times[1]


def test_two_operations_do_not_fight_over_a_workspace() -> None:
    there = world(1)
    stop, start = operation("Stop"), operation("Start")
    other = start.metadata.model_copy(update={"name": "other", "uid": "other-uid"})
    start = start.model_copy(update={"metadata": other})
    stopping, starting = there.begin(stop), there.begin(start)
    for _ in range(5):
        for op in (stop, start):
            taken = there.step(op, stopping if op is stop else starting)
            for change in taken.changes:
                there.make(change)
            progress = note_changed(taken.progress, {change.name for change in taken.changes})
            stopping, starting = (progress, starting) if op is stop else (stopping, progress)
    assert len(there.done) <= 2
    assert reasons(stopping.status) == {"w0": "Superseded"}
