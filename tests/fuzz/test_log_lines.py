"""One line for each thing that is done, with Workspace, action, reason and duration; none again and again."""

from __future__ import annotations

import logging

import pytest

from controller import naming
from controller.engine.memory_registry import Program
from controller.errors import ContainerCannotRun
from tests.fuzz.world import NAMESPACE, World, settle, world

SOON = 30.0  # virtual seconds


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="controller")


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == message]


def running(made: World) -> str:
    made.api.create("Workspace", NAMESPACE, "a", {})
    settle(made, made.host.check_converged, SOON)
    (container,) = made.host.containers
    return container


@pytest.mark.parametrize("restarted", [False, True])
def test_letting_go_of_a_container(caplog: pytest.LogCaptureFixture, restarted: bool) -> None:
    with world() as made:
        running(made)
        made.host.cut()
        made.host.faults.down = "away"
        if restarted:  # there never was a connection
            made.crash()
            made.start()
        made.api.delete("Workspace", NAMESPACE, "a")
        abandon = {naming.ANNOTATION_ABANDON: "true"}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(annotations=abandon))
        made.go(SOON)
        assert made.get("a") is None
    (line,) = lines(caplog, "RemoveFinalizer")
    assert line.__dict__["workspace"] == f"{NAMESPACE}/a"
    assert "abandoned" in line.__dict__["reason"]


def test_a_container_that_could_not_be_started(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        made.host.faults.fail("start", ContainerCannotRun("no such command"))
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
    (removal,) = lines(caplog, "Remove")
    assert removal.__dict__["reason"] == "it could not be started"
    (failure,) = lines(caplog, "a step failed")
    assert failure.__dict__["error_reason"] == "ContainerCannotRun"
    assert failure.__dict__["seconds"] >= 0


def test_an_orphan(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        container = running(made)
        labels = dict(made.host.containers[container].shown.labels) | {naming.LABEL_UID: "gone", naming.LABEL_NAME: "b"}
        made.host.run("orphan", labels)
        made.go(60)
        assert list(made.host.containers) == [container]
    (line,) = lines(caplog, "Remove")
    assert line.__dict__["workspace"] == f"{NAMESPACE}/b"
    assert "seconds" in line.__dict__


def test_an_outage_of_the_api_server_is_no_storm(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        made.host.add_image("crash:1", Program(exits_at_once=1))
        for name in "abcdefgh":
            made.api.create("Workspace", NAMESPACE, name, {"image": "crash:1"})
        made.go(5)
        made.api.down = made.api.silent = True
        caplog.clear()
        made.go(59)
    assert len([line for line in lines(caplog, "the API server did not answer") if "workspace" in line.__dict__]) == 1


def test_a_pull(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        made.host.registry.push("registry.example/team/app:1", Program())
        made.host.faults.latency["pull"] = 12.0
        made.api.create("Workspace", NAMESPACE, "a", {"image": "registry.example/team/app:1"})
        settle(made, made.host.check_converged, 60)
    (line,) = lines(caplog, "Pull")
    assert (line.__dict__["image"], line.__dict__["host"]) == ("registry.example/team/app:1", "default")
    assert line.__dict__["seconds"] == pytest.approx(12, abs=1)
    assert line.__dict__["workspaces"] == f"{NAMESPACE}/a"
    assert not lines(caplog, "EnsureImage")


def test_a_pull_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        made.host.faults.latency["pull"] = 12.0
        for name in "abcde":
            made.api.create("Workspace", NAMESPACE, name, {"image": "registry.example/none:1"})
        made.go(20)
    (line,) = lines(caplog, "a pull failed")
    assert line.__dict__["workspaces"] == f"{NAMESPACE}/a, {NAMESPACE}/b, {NAMESPACE}/c, and 2 more"
    assert line.__dict__["seconds"] == pytest.approx(12, abs=1)


def test_a_network(caplog: pytest.LogCaptureFixture) -> None:
    with world() as made:
        running(made)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60)
    (line,) = lines(caplog, "RemoveNetwork")
    assert (line.__dict__["namespace"], line.__dict__["host"]) == (NAMESPACE, "default")
