"""What became of a call isn't known, or what a container is like: unknown is not absent, and nothing is done twice."""

from __future__ import annotations

from collections import Counter

import pytest

from controller.engine.memory_registry import Program
from controller.errors import EngineError, HostUnreachable, WorkspaceError
from controller.observed import ContainerState, Health
from tests.fuzz.world import NAMESPACE, World, settle, world

SOON = 30.0  # virtual seconds
ERRORS = [HostUnreachable("connection reset"), EngineError("500")]


def phase(made: World) -> str:
    found = made.get("a")
    assert found is not None
    return str(found["status"].get("phase"))


def steps(made: World) -> Counter[str]:
    return Counter(call for call in made.calls if call in ("create", "start", "pause", "signal", "remove"))


@pytest.mark.parametrize("later", [4.2, 5.0, 6.0, 7.0, 7.9])
def test_an_inspect_that_hangs_says_nothing_against_a_newer_one(later: float) -> None:
    with world() as made:
        probe = {"exec": {"command": ["x"]}}
        made.api.create("Workspace", NAMESPACE, "a", {"livenessProbe": probe})
        settle(made, made.host.check_converged, SOON)
        (container,) = made.host.containers
        made.host.faults.hang("inspect", times=2)
        made.host.set_health(container, Health.HEALTHY)
        made.go(later)
        limits = {"limits": {"memory": "64Mi"}}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(resources=limits))
        made.go(60)
        assert phase(made) == "Running"
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60)
        assert not made.host.containers


@pytest.mark.parametrize("error", ERRORS, ids=["cut off", "HTTP 500"])
@pytest.mark.parametrize("later", [0.0, 0.05, 0.5, 0.9, 1.5])
def test_a_delete_waits_for_a_container_of_which_nobody_said_that_it_was_made(
    error: WorkspaceError, later: float
) -> None:
    with world() as made:
        made.go(10)
        made.host.faults.fail("create", error, took_effect=True)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(later)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(SOON)
        assert not made.host.violations
        assert made.get("a") is None
        assert not made.host.containers


@pytest.mark.parametrize("later", [0.5, 2.0, 3.9])
def test_a_delete_waits_for_a_container_that_nobody_has_seen_yet(later: float) -> None:
    with world() as made:
        made.host.registry.push("reg.example/x:1")
        made.go(10)
        made.host.faults.hang("inspect")
        made.api.create("Workspace", NAMESPACE, "a", {"image": "reg.example/x:1", "imagePullPolicy": "Always"})
        made.go(later)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(SOON)
        assert not made.host.violations
        assert "signal" in made.calls, "it is stopped as gently as any"
        assert made.get("a") is None


def test_a_new_container_that_can_not_be_inspected_is_made_and_started_once() -> None:
    with world() as made:
        made.go(10)
        made.host.faults.fail("inspect", EngineError("500"), 1000)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        assert phase(made) != "Unknown", "the next inspect may well be answered"
        made.go(55)
        assert steps(made) == {"create": 1, "start": 1}
        assert phase(made) == "Unknown"
        made.host.faults.heal()
        settle(made, made.host.check_converged, SOON)
        assert steps(made) == {"create": 1, "start": 1}


@pytest.mark.parametrize("state", ["Running", "Paused"])
def test_a_container_that_runs_is_not_cleared_away_because_an_inspect_failed(state: str) -> None:
    with world() as made:
        made.go(10)
        made.host.faults.fail("inspect", EngineError("500"))
        made.host.faults.fail("start", EngineError("500"), took_effect=True)
        made.api.create("Workspace", NAMESPACE, "a", {"desiredState": state})
        made.go(SOON)
        (container,) = made.host.containers.values()
        assert container.shown.state == ContainerState(state.lower())
        assert steps(made)["create"] == 1
        assert not steps(made)["remove"]


def test_one_that_could_not_be_started_is_cleared_away() -> None:
    with world() as made:
        made.go(10)
        made.host.faults.fail("start", EngineError("500"))
        made.api.create("Workspace", NAMESPACE, "a", {})
        settle(made, made.host.check_converged, SOON)
        assert steps(made) == {"create": 2, "start": 2, "remove": 1}


@pytest.mark.parametrize("trouble", ["HTTP 500", "no answer"])
def test_a_container_that_keeps_ending_waits_also_where_the_look_after_its_start_failed(trouble: str) -> None:
    with world() as made:
        made.host.faults.latency.update({"list": 0.02, "start": 0.2, "inspect": 0.002})
        made.host.add_image("crash:1", Program(exits_at_once=1))
        recovery = {"maxRetries": 20, "backoff": {"initialSeconds": 20}}
        made.api.create("Workspace", NAMESPACE, "a", {"image": "crash:1", "recovery": recovery})
        made.go(100)
        made.calls.clear()
        while "start" not in made.calls:
            made.go(0.01)
        if trouble == "no answer":
            made.host.faults.hang("inspect")
        else:
            made.host.faults.fail("inspect", EngineError("500"))
        made.go(70)
        assert steps(made)["start"] == 1


@pytest.mark.parametrize(("wish", "call"), [("Paused", "pause"), ("Stopped", "signal")])
def test_a_step_is_made_once_also_where_the_looks_after_it_fail(wish: str, call: str) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(20)
        made.calls.clear()
        made.host.faults.fail("inspect", EngineError("500"), 6)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState=wish))
        made.go(60)
        assert steps(made)[call] == 1
        assert phase(made) == wish
