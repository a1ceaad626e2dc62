"""Restarts count and wait, also where the status can't say so, or something else happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from controller import naming
from controller.engine.memory_registry import Program
from controller.errors import EngineConflict, EngineError
from tests.fuzz.world import HOST, NAMESPACE, World, world


def starts(made: World) -> int:
    return made.calls.count("start")


def edit(made: World, change: Any, seconds: float = 5.0) -> None:
    made.api.edit("Workspace", NAMESPACE, "a", change)
    made.go(seconds)


def with_crashing(made: World, state: str) -> None:
    """A Workspace whose container exits right after each start, which takes a moment."""
    made.host.add_image("crash:1", Program(exits_at_once=1))
    made.host.faults.latency["start"] = 0.05
    made.api.create("Workspace", NAMESPACE, "a", {"image": "crash:1", "desiredState": state})
    made.go(5)


def test_a_container_that_exits_at_once_is_restarted_once_and_then_waits() -> None:
    with world() as made:
        with_crashing(made, "Running")
        assert starts(made) == 2


def test_so_is_one_that_was_stopped_before() -> None:
    with world() as made:
        with_crashing(made, "Running")
        edit(made, lambda raw: raw["spec"].update(desiredState="Stopped"))
        before = starts(made)
        edit(made, lambda raw: raw["spec"].update(desiredState="Running"))
        assert starts(made) - before == 2


def test_so_is_one_whose_restart_was_asked_for() -> None:
    with world() as made:
        with_crashing(made, "Running")
        before = starts(made)
        edit(made, lambda raw: raw["metadata"].update(annotations={naming.ANNOTATION_RESTARTED_AT: "now"}))
        assert starts(made) - before == 2


def test_restarts_wait_for_their_back_off_while_the_api_server_is_down() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        before, container = starts(made), next(iter(made.host.containers))
        made.api.down = made.api.silent = True
        for _ in range(6):
            if made.host.find(container).shown.is_live:
                made.host.exit(container, 1)
            made.go(3)
        assert starts(made) - before == 2


def test_a_back_off_goes_on_when_the_container_is_renamed_meanwhile() -> None:
    with world() as made:
        with_crashing(made, "Running")
        made.host.rename(next(iter(made.host.containers)), "other")
        made.go(1)
        assert starts(made) == 2
        made.go(10)
        assert starts(made) == 3


def test_a_container_that_was_spared_gets_its_whole_grace_period_at_the_next_stop() -> None:
    with world() as made:
        made.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
        spec = {"image": "stubborn:1", "terminationGracePeriodSeconds": 5}
        made.api.create("Workspace", NAMESPACE, "a", spec)
        made.go(5)
        edit(made, lambda raw: raw["spec"].update(desiredState="Stopped"), 1)
        edit(made, lambda raw: raw["spec"].update(desiredState="Running"), 20)
        edit(made, lambda raw: raw["spec"].update(desiredState="Stopped"), 3)
        container = made.host.find(next(iter(made.host.containers)))
        assert container.shown.is_live
        made.go(4)
        assert not container.shown.is_live


def test_who_stops_leading_in_the_middle_of_a_plan_says_nothing_more() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {"desiredState": "Stopped"})
        made.go(5)
        controller = made.controller
        assert controller is not None
        controller.app.leadership.may_act = lambda: "create" not in made.calls  # type: ignore[method-assign]
        edit(made, lambda raw: raw["spec"].update(desiredState="Running"))
        assert made.calls[-1] == "create"


@pytest.mark.parametrize("value", ["x" * 300, "two\nlines"], ids=["too long for the status", "not printable"])
def test_a_restart_request_that_the_status_shows_otherwise_is_carried_out_once(value: str) -> None:
    asked = {"annotations": {naming.ANNOTATION_RESTARTED_AT: value}}
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "first-sight", {}, **asked)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        assert starts(made) == 2
        edit(made, lambda raw: raw["metadata"].update(asked), 30)
        assert starts(made) == 3


@pytest.mark.parametrize(
    "recovery",
    [
        {"resetAfterSeconds": 1},
        {"backoff": {"initialSeconds": 1, "maxSeconds": 1, "factor": 1}, "fallbackAction": "Ignore"},
    ],
    ids=["every run is a good one", "the shortest waits for ever"],
)
def test_a_workspace_that_asks_for_the_most_restarts_gets_ten_a_minute(recovery: dict[str, Any]) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {"recovery": recovery})
        made.go(5)
        before = starts(made)
        for _ in range(300):
            made.go(2)
            shown = [container.shown for container in made.host.containers.values()]
            for it in shown:
                if it.is_live and it.started_at and (made.loop.wall() - it.started_at).total_seconds() > 1:
                    made.host.exit(it.id, 1)
        assert 80 <= starts(made) - before <= 110


@pytest.mark.parametrize("step", ["rename", "update"])
def test_a_back_off_outlives_us_also_where_another_step_waits_for_less(step: str) -> None:
    with world() as made:
        backoff = {"initialSeconds": 100, "maxSeconds": 300}
        made.api.create("Workspace", NAMESPACE, "a", {"recovery": {"maxRetries": 10, "backoff": backoff}})
        made.go(10)
        (container,) = made.host.containers
        made.host.by_hand = True
        made.host.kill(container)
        made.go(3)  # the first restart waits for nothing
        if step == "rename":
            name = made.host.find(container).shown.name
            made.host.rename(container, "byhand")
            made.host.run(name)
        else:
            made.host.faults.fail("update", EngineConflict("not now"), 1000)
            made.host.update(container, restart_policy="always")
        made.go(3)
        made.host.kill(container)
        made.go(20)
        made.crash()
        made.go(1)
        made.start()
        made.go(75)
        assert not made.host.find(container).shown.is_live
        made.go(10)
        assert made.host.find(container).shown.is_live
        assert not made.host.violations


def test_a_stop_that_the_policy_enforces_counts_as_no_restart_also_where_the_answer_to_its_signal_is_lost() -> None:
    policy = {"images": ["reg.example/*"], "enforcement": "Stop"}
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        made.host.faults.fail("signal", EngineError("500"), took_effect=True)
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["spec"]["policy"].update(policy))
        made.go(10)
        (container,) = made.host.containers.values()
        assert not container.shown.is_live
        found = made.get("a")
        assert found is not None
        assert "restartCount" not in found["status"]


def test_a_restart_on_a_host_that_takes_no_finalizer_any_more_is_tried_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with world() as made:
        for name in ("keeps-the-host", "a"):
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(10)
        made.api.delete("DockerHost", "", HOST)
        edit(made, lambda raw: raw["metadata"].update(finalizers=[]))
        caplog.clear()
        edit(made, lambda raw: raw["metadata"].update(annotations={naming.ANNOTATION_RESTARTED_AT: "x"}), 60)
    assert 1 < caplog.messages.count("a step failed") < 10
