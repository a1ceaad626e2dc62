"""How one Workspace of an operation is judged."""

from typing import Any

import pytest

from controller.api import OperationResult, Workspace
from controller.operations.targets import STALLED_GRACE, Change, Ended, Verdict, Waiting, judge, restart_request
from tests.unit.operations.world import conditions, operation, workspace


def judged(
    kind: str, raw: dict[str, Any] | None, *, mine: bool = False, asked: bool = False, elapsed: float = 0.0
) -> Verdict:
    op, reason = operation(kind), "Asked" if asked else None
    if raw is not None and mine:
        annotations = {"aicli.dev/operation": "op/op-uid"}
        if kind == "Restart":
            annotations["aicli.dev/restartedAt"] = restart_request(op)
        raw["metadata"]["annotations"] = annotations
    found = Workspace.model_validate(raw) if raw is not None else None
    return judge(op, OperationResult(name="a", uid="uid-a", reason=reason), found, elapsed)


def changed(desired: str, **status: Any) -> dict[str, Any]:
    """A Workspace whose spec was changed and not looked at since."""
    raw = workspace("a", desired, **status)
    raw["metadata"]["generation"] = 2
    return raw


@pytest.mark.parametrize(("kind", "before"), [("Stop", "Running"), ("Stop", "Paused"), ("Start", "Stopped")])
def test_the_desired_state_is_changed_together_with_the_mark(kind: str, before: str) -> None:
    verdict = judged(kind, workspace("a", before))
    assert isinstance(verdict, Change)
    assert verdict.patch == {
        "spec": {"desiredState": "Stopped" if kind == "Stop" else "Running"},
        "metadata": {"annotations": {"aicli.dev/operation": "op/op-uid"}},
    }


def test_what_is_as_asked_already_is_left_alone() -> None:
    assert judged("Stop", workspace("a", "Stopped")) == Ended(True, "Unchanged")


def test_a_status_from_before_the_change_proves_nothing() -> None:
    assert isinstance(judged("Stop", changed("Stopped"), mine=True), Waiting)


def test_a_failure_from_before_the_change_proves_nothing() -> None:
    stalled = conditions("False", "ErrImagePull", "no", stalled=True)
    assert isinstance(judged("Start", changed("Running", conditions=stalled), mine=True), Waiting)


def test_ready_for_the_changed_spec_is_success() -> None:
    assert judged("Stop", changed("Stopped", observedGeneration=2), mine=True) == Ended(True, "Stopped")


def test_a_definitive_failure_fails_at_once_with_its_reason() -> None:
    stalled = conditions("False", "ImageNotFound", "no such image", stalled=True)
    assert judged("Start", workspace("a", conditions=stalled)) == Ended(False, "ImageNotFound", "no such image")


def test_a_host_that_does_not_answer_is_waited_for() -> None:
    unknown = conditions("Unknown", "HostUnreachable", "no answer")
    assert judged("Start", workspace("a", conditions=unknown)) == Waiting()


@pytest.mark.parametrize("known_by", ["mine", "asked"], ids=["the mark", "the status"])
def test_who_changes_the_state_back_wins(known_by: str) -> None:
    verdict = judged("Stop", workspace("a", "Running"), mine=known_by == "mine", asked=known_by == "asked")
    assert isinstance(verdict, Ended)
    assert verdict.reason == "Superseded"


def test_another_workspace_of_the_same_name_is_left_alone() -> None:
    raw = workspace("a")
    raw["metadata"]["uid"] = "another"
    verdict = judged("Stop", raw)
    assert isinstance(verdict, Ended)
    assert verdict.reason == "NotFound"


def test_what_is_being_deleted_can_not_be_started() -> None:
    raw = workspace("a")
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    verdict = judged("Start", raw)
    assert isinstance(verdict, Ended)
    assert verdict.reason == "Terminating"


class TestRestart:
    def test_is_asked_for_by_the_annotation(self) -> None:
        verdict = judged("Restart", workspace("a"))
        assert isinstance(verdict, Change)
        assert verdict.patch["metadata"]["annotations"] == {
            "aicli.dev/restartedAt": "2026-01-01T00:00:00Z op-uid op",
            "aicli.dev/operation": "op/op-uid",
        }

    def test_is_waited_for_until_it_was_taken_up(self) -> None:
        assert isinstance(judged("Restart", workspace("a"), mine=True), Waiting)

    def test_has_succeeded_once_it_was_taken_up_and_is_ready(self) -> None:
        raw = workspace("a", lastRestartRequest=restart_request(operation("Restart")))
        assert judged("Restart", raw, mine=True) == Ended(True, "Restarted")

    def test_a_later_request_of_somebody_else_covers_it(self) -> None:
        raw = workspace("a", lastRestartRequest="later")
        raw["metadata"]["annotations"] = {"aicli.dev/operation": "op/op-uid", "aicli.dev/restartedAt": "later"}
        assert judged("Restart", raw) == Ended(True, "Restarted")

    def test_there_is_nothing_to_restart_where_it_is_stopped(self) -> None:
        verdict = judged("Restart", workspace("a", "Stopped"))
        assert isinstance(verdict, Ended)
        assert (verdict.succeeded, verdict.reason) == (True, "Unchanged")

    def test_a_stalled_workspace_gets_a_moment_to_take_it_up(self) -> None:
        stalled = conditions("False", "RetriesExhausted", "spent", stalled=True)
        early = judged("Restart", workspace("a", conditions=stalled), mine=True)
        assert early == Waiting(again=STALLED_GRACE)
        late = judged("Restart", workspace("a", conditions=stalled), mine=True, elapsed=STALLED_GRACE)
        assert late == Ended(False, "RetriesExhausted", "spent")


class TestDelete:
    def test_is_waited_for(self) -> None:
        raw = workspace("a")
        raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert isinstance(judged("Delete", raw), Waiting)

    def test_has_succeeded_when_it_is_gone(self) -> None:
        assert judged("Delete", None) == Ended(True, "Deleted")

    def test_a_new_one_of_the_same_name_is_left_alone(self) -> None:
        raw = workspace("a")
        raw["metadata"]["uid"] = "another"
        assert judged("Delete", raw) == Ended(True, "Deleted")
