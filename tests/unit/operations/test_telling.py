"""What is told of an operation as a whole: Events and metrics."""

import asyncio
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from controller.api import WorkspaceOperation, WorkspaceOperationStatus
from controller.happenings import Happening, of_operation
from controller.metrics import Metrics
from controller.operations.summary import refuse
from controller.scrape import State
from tests.unit.operations.world import World, operation, workspace

UNSEEN = WorkspaceOperationStatus()


def told(op: WorkspaceOperation, *statuses: WorkspaceOperationStatus) -> list[Happening]:
    """What is told while the status goes from one to the next."""
    pairs = zip((UNSEEN, *statuses), statuses, strict=False)
    return [happening for before, after in pairs for happening in of_operation(op, before, after)]


def test_an_operation_that_succeeds_is_told_in_two_events() -> None:
    world = World().add(workspace("a"), workspace("b"))
    op = operation("Stop")
    happenings = told(op, world.begin(op).status, world.run(op))
    assert happenings == [
        Happening("Started", "Stop of 2 Workspaces has begun"),
        Happening("Completed", "all 2 Workspaces are done"),
    ]


def test_failures_of_workspaces_are_told_in_one_warning() -> None:
    world = World().add(workspace("a"))
    op = operation("Stop", names=["a", "nobody", "no-one"])
    happenings = told(op, world.begin(op).status, world.run(op))
    assert happenings[-1] == Happening(
        "Failed", "2 of 3 Workspaces failed: nobody (NotFound), no-one (NotFound)", warning=True
    )


def test_an_operation_that_is_refused_has_not_started() -> None:
    op = operation("Stop")
    (happening,) = told(op, refuse(op, "too many", World().now))
    assert happening == Happening("Failed", "too many", warning=True)


def test_suspending_and_resuming_are_told_in_the_same_words_each_time() -> None:
    world = World().add(workspace("a"), workspace("b"))
    running, suspended = operation("Stop", parallelism=1), operation("Stop", parallelism=1, suspend=True)
    progress = world.begin(running)
    goes_on = progress.status
    halted = world.step(suspended, replace(progress, status=goes_on)).progress.status
    happenings = told(running, goes_on, halted, halted, goes_on, halted, goes_on)
    assert [h.reason for h in happenings] == ["Started", "Suspended", "Resumed", "Suspended", "Resumed"]
    assert len(set(happenings)) == 3


def test_one_that_was_made_suspended_starts_when_it_is_resumed() -> None:
    world = World().add(workspace("a"))
    suspended = operation("Stop", suspend=True)
    halted = WorkspaceOperationStatus.model_validate({"phase": "Suspended"})
    assert [h.reason for h in told(suspended, halted, world.begin(operation("Stop")).status)] == [
        "Suspended",
        "Started",
    ]


def test_each_workspace_that_is_done_counts_once() -> None:
    world = World().add(workspace("a"), workspace("b"))
    op = operation("Stop", names=["a", "b", "nobody"])
    metrics = Metrics(lambda: State(operations={"Running": 2}))
    begun, ended = world.begin(op).status, world.run(op)
    for before, after in ((UNSEEN, begun), (begun, ended), (ended, ended)):
        metrics.operated(op, before, after)
    families = text_string_to_metric_families(asyncio.run(metrics.exposition()).decode())
    values = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    counted = "workspace_controller_operation_targets_total"
    assert (values[counted, "Stop", "succeeded"], values[counted, "Stop", "failed"]) == (2, 1)
    counts = {phase: values["workspace_controller_operations", phase] for phase in ("Running", "Complete")}
    assert counts == {"Running": 2, "Complete": 0}
