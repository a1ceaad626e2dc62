"""What only the leader does, and what it must not remember of a time when another one led."""

from __future__ import annotations

from typing import Any

import pytest

from controller.engine.memory_registry import Program
from controller.settings import Settings
from tests.fuzz.apiserver import Object
from tests.fuzz.world import NAMESPACE, World, world


def lead(made: World, leading: bool) -> None:
    """The lease is lost, or had again."""
    app = made.controller.app
    leadership: Any = app.leadership
    (leadership.leading.set if leading else leadership.leading.clear)()
    made.loop.call_soon(app._led, leading)
    made.go(0.1)


@pytest.mark.parametrize("leading", [True, False])
def test_only_the_leader_samples_what_containers_use(leading: bool) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        made.crash()
        made.start(Settings(usage_interval=10))
        lead(made, leading)
        made.host.faults.calls.clear()
        made.go(25)
        assert (made.host.faults.calls["stats"] > 0) is leading


def test_an_operation_that_another_leader_has_finished_is_not_taken_up_again() -> None:
    def finish(raw: Object) -> None:
        ended = {"phase": "Complete", "completionTime": raw["status"]["startTime"]}
        raw["status"].update(ended, results=[result | {"state": "Succeeded"} for result in raw["status"]["results"]])

    with world() as made:
        made.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
        for name in ("a", "b"):
            made.api.create("Workspace", NAMESPACE, name, {"image": "stubborn:1"})
        made.go(5)
        made.api.create("WorkspaceOperation", NAMESPACE, "stop", {"operation": "Stop", "selector": {}})
        made.go(3)
        lead(made, False)
        assert made.api.edit("WorkspaceOperation", NAMESPACE, "stop", finish)
        for name in ("a", "b"):
            made.api.edit("Workspace", NAMESPACE, name, lambda raw: raw["spec"].update(desiredState="Running"))
        written = dict(made.api.objects[("WorkspaceOperation", NAMESPACE, "stop")])
        made.go(1)
        lead(made, True)
        made.go(30)
        assert made.api.objects[("WorkspaceOperation", NAMESPACE, "stop")] == written


def test_a_stop_begins_with_a_signal_also_where_another_has_led_meanwhile() -> None:
    def wanted(state: str) -> None:
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState=state))

    with world() as made:
        made.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
        made.api.create("Workspace", NAMESPACE, "a", {"image": "stubborn:1", "terminationGracePeriodSeconds": 30})
        made.go(10)
        wanted("Stopped")
        made.go(1)
        lead(made, False)
        wanted("Running")  # the other leader leaves it running, for an hour
        made.go(3600)
        wanted("Stopped")
        made.calls.clear()
        lead(made, True)
        made.go(10)
        (container,) = made.host.containers
        assert made.host.find(container).shown.is_live  # it has its grace period
