"""S9: while a call of the engine hangs, the status tells what is there; what it tells is counted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.internal_models import meta_v1

from controller import naming
from tests.fuzz.world import NAMESPACE, World, settle, world

TRUE_WITHIN = 10.0  # seconds (S9)
SOON = 30.0  # virtual seconds


def status(made: World) -> dict[str, Any]:
    found = made.get("a")
    assert found is not None
    return found.get("status", {})


def ready(made: World) -> str:
    return next((c["status"] for c in status(made).get("conditions", []) if c["type"] == "Ready"), "")


def running(made: World, **spec: Any) -> str:
    """A Workspace that is Ready. Gives the ID of its container."""
    made.api.create("Workspace", NAMESPACE, "a", spec)
    settle(made, made.host.check_converged, SOON)
    (container,) = made.host.containers
    return container


@pytest.mark.parametrize("took_effect", [False, True])
def test_a_container_that_has_ended_is_not_told_as_running_while_its_start_hangs(took_effect: bool) -> None:
    with world() as made:
        container = running(made)
        made.host.faults.hang("start", took_effect=took_effect)
        made.host.exit(container, 3)
        made.go(TRUE_WITHIN)
        assert (status(made)["phase"], ready(made)) == ("Pending", "False")
        assert status(made)["lastTermination"]["exitCode"] == 3
        settle(made, made.host.check_converged, 60)
        assert status(made)["restartCount"] == 1
        assert not made.host.violations


@pytest.mark.parametrize("crash", [7.0, 12.0, 29.0])
@pytest.mark.parametrize("took_effect", [False, True])
def test_an_exit_that_was_told_meanwhile_is_counted_once_also_after_a_crash(crash: float, took_effect: bool) -> None:
    with world() as made:
        container = running(made)
        made.host.faults.hang("start", took_effect=took_effect)
        made.host.exit(container, 3)
        made.go(crash)
        assert ready(made) == "False"
        made.crash()
        made.start()
        settle(made, made.host.check_converged, 60)
        assert (status(made)["restartCount"], status(made)["retries"]) == (1, 1)


@pytest.mark.parametrize("call", ["create", "start"])
def test_a_workspace_whose_first_steps_hang_says_that_it_is_pending(call: str) -> None:
    """Also where its container was only just made, and nobody has looked at it yet."""
    with world() as made:
        made.host.faults.hang(call)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(TRUE_WITHIN)
        assert (status(made)["phase"], ready(made)) == ("Pending", "False")
        assert "lastError" not in status(made)
        settle(made, made.host.check_converged, 120)


def test_a_workspace_whose_stop_hangs_says_that_it_is_stopping() -> None:
    with world() as made:
        running(made)
        made.host.faults.hang("signal")
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.go(7)
        assert (status(made)["phase"], ready(made)) == ("Stopping", "False")
        settle(made, made.host.check_converged, 60)
        assert "restartCount" not in status(made)


def test_ready_is_not_told_of_a_spec_whose_container_is_being_made() -> None:
    """The predecessor runs, and is as it was declared before."""
    with world() as made:
        running(made)
        made.host.faults.hang("create")
        made.host.add_image("other:1")
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(image="other:1"))
        made.go(TRUE_WITHIN)
        assert (status(made)["phase"], ready(made), status(made)["observedGeneration"]) == ("Running", "False", 2)
        settle(made, made.host.check_converged, 120)


def test_a_restart_that_was_asked_for_counts_as_none_when_its_start_hangs() -> None:
    with world() as made:
        running(made)
        made.host.faults.hang("start")
        request = {naming.ANNOTATION_RESTARTED_AT: "x"}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(annotations=request))
        made.go(TRUE_WITHIN)
        assert ready(made) == "False"
        made.crash()
        made.start()
        settle(made, made.host.check_converged, 60)
        assert "restartCount" not in status(made)
        assert status(made)["lastRestartRequest"] == "x"


def test_a_restart_that_is_asked_for_while_the_first_start_hangs_is_carried_out() -> None:
    """What is asked for at first sight is none; what was told meanwhile was first sight."""
    with world() as made:
        made.host.faults.hang("start", took_effect=True)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(TRUE_WITHIN)
        asked = made.loop.wall()
        request = {naming.ANNOTATION_RESTARTED_AT: "x"}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(annotations=request))
        made.go(60)
        (container,) = made.host.containers.values()
        assert container.shown.started_at is not None
        assert container.shown.started_at > asked
        assert status(made)["lastRestartRequest"] == "x"


def touch(raw: dict[str, Any]) -> None:
    raw["metadata"].setdefault("annotations", {})["tenant"] = "was here"


def change(raw: dict[str, Any]) -> None:
    raw["spec"]["resources"] = {"limits": {"memory": "64Mi"}}


@pytest.mark.parametrize("edit", [touch, change])
def test_it_is_told_also_where_its_user_changes_it_meanwhile(edit: Callable[[dict[str, Any]], None]) -> None:
    with world() as made:
        container = running(made)
        made.host.faults.hang("start")
        made.host.exit(container, 3)
        made.go(2)
        made.api.edit("Workspace", NAMESPACE, "a", edit)
        made.go(TRUE_WITHIN - 2)
        assert (status(made)["phase"], ready(made)) == ("Pending", "False")
        settle(made, made.host.check_converged, 60)
        assert (status(made)["restartCount"], made.calls.count("start")) == (1, 3)


def test_nothing_is_written_again_and_again() -> None:
    with world() as made:
        container = running(made)
        made.host.faults.hang("start")
        made.host.exit(container, 3)
        made.calls.clear()
        made.go(29)
        assert made.calls == ["start", "status"]


@pytest.mark.parametrize("code", [401, 403, 422])
def test_a_status_that_is_refused_meanwhile_does_not_end_the_step(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []
    with world() as made:
        running(made)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.go(5)
        kube: Any = made.controller.app.kube
        write = kube.patch_status

        async def refuse(ref: Any, changes: Any) -> Any:
            if made.host.faults.in_flight["start"]:
                refused.append(code)
                raise ApiError(status=meta_v1.Status(code=code, message="no"))
            return await write(ref, changes)

        monkeypatch.setattr(kube, "patch_status", refuse)
        made.host.faults.latency["start"] = 7.0
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Running"))
        made.go(60)
        assert refused
        assert [c for c in made.host.containers.values() if c.shown.is_live]
