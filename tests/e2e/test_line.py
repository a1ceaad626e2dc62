"""A Workspace from YAML to container and back, as its user sees it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, Engine
from tests.e2e.conftest import Stack
from tests.waiting import eventually


@pytest.fixture(params=["engine", "engine29"], ids=["20.10", "29"])
def stack(
    request: pytest.FixtureRequest, make_stack: Callable[..., Stack], own_cluster: ControlPlane
) -> Iterator[Stack]:
    """The line holds on Debian's engine and on a current one."""
    engine: Engine = request.getfixturevalue(request.param)
    made = make_stack(own_cluster, engine)
    yield made
    made.controller.stop()  # or it would make anew what is removed
    engine.remove_containers()


@pytest.fixture
def project(stack: Stack) -> Iterator[Path]:
    folder = Path("/srv/projects") / stack.namespace
    (folder / "shop").mkdir(parents=True, exist_ok=True)  # of a session that was killed
    yield folder / "shop"
    shutil.rmtree(folder)


def test_a_workspace_becomes_the_container_that_it_asks_for(stack: Stack, project: Path) -> None:
    stack.apply(
        "shop",
        {
            "owner": "alice",
            "command": ["sh", "-c"],
            "args": ["sleep 1000"],
            "env": [{"name": "GREETING", "value": "hello"}],
            "projectPath": str(project),
            "volumes": [{"name": "cache", "mountPath": "/cache"}],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi", "pids": 99}},
        },
    )
    stack.kubectl("wait", "workspace/shop", "--for=condition=Ready", "--timeout=60s")
    made = stack.container("shop")
    host = made["HostConfig"]
    assert made["State"]["Running"]
    assert (made["Config"]["Image"], made["Config"]["Entrypoint"]) == ("alpine:latest", ["sh", "-c"])
    assert made["Config"]["Cmd"] == ["sleep 1000"]
    assert "GREETING=hello" in made["Config"]["Env"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (
        500000000,
        256 << 20,
        256 << 20,
        99,
    )
    assert host["RestartPolicy"]["Name"] == "no"
    mounts = {m["Destination"]: (m["Type"], m["Source"]) for m in made["Mounts"]}
    assert mounts["/workspace"] == ("bind", str(project))
    assert mounts["/cache"][0] == "volume"


def test_the_table_of_kubectl_fills_every_column(stack: Stack) -> None:
    stack.apply("shop", {"owner": "alice"})
    stack.ready("shop")
    head, row = stack.kubectl("get", "workspaces", "-o", "wide").splitlines()
    assert head.split()[:9] == ["NAME", "STATE", "READY", "REASON", "IMAGE", "HOST", "RESTARTS", "UPTIME", "AGE"]
    assert row.split()[:7] == ["shop", "Running", "True", "Running", "alpine:latest", "default", "0"]
    assert "alice" in row


@pytest.mark.parametrize(
    "damage",
    [["kill"], ["rm", "-f"], ["pause"], ["stop", "-t", "1"]],
    ids=["killed", "removed", "paused", "stopped"],
)
def test_damage_by_hand_is_repaired(stack: Stack, damage: list[str]) -> None:
    stack.apply("shop")
    stack.ready("shop")
    stack.docker(*damage, stack.container("shop")["Id"])
    eventually(lambda: stack.container("shop")["State"]["Status"] == "running", timeout=20)
    stack.ready("shop")


def test_a_renamed_container_is_renamed_back_in_place(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.docker("rename", before["Id"], "by-hand")
    eventually(lambda: stack.container("shop")["Name"] == before["Name"], timeout=20)
    assert stack.container("shop")["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_limits_change_without_a_restart(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.patch("shop", {"resources": {"limits": {"memory": "512Mi", "cpu": "250m", "pids": 64}}})
    stack.ready("shop")
    after = stack.container("shop")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert (after["HostConfig"]["Memory"], after["HostConfig"]["NanoCpus"]) == (512 << 20, 250_000_000)
    assert after["HostConfig"]["PidsLimit"] == 64


def test_a_changed_environment_makes_a_new_container(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.patch("shop", {"env": [{"name": "A", "value": "b"}]})
    stack.ready("shop")
    after = stack.container("shop")
    assert after["Id"] != before["Id"]
    assert after["Name"] == before["Name"]
    assert "A=b" in after["Config"]["Env"]


def test_paused_stopped_running_deleted(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    first = stack.container("shop")["Id"]
    for state, found in (("Paused", "paused"), ("Stopped", "exited"), ("Running", "running")):
        stack.patch("shop", {"desiredState": state})
        stack.ready("shop")
        assert stack.container("shop")["State"]["Status"] == found
        assert stack.status("shop")["phase"] == state
    assert stack.container("shop")["Id"] == first
    stack.kubectl("delete", "workspace", "shop", "--timeout=60s")
    assert stack.containers("shop") == []


def test_a_restart_is_asked_for_by_annotation_and_made_once(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.kubectl("annotate", "workspace", "shop", "aicli.dev/restartedAt=2026-01-01T00:00:00Z")
    eventually(lambda: stack.container("shop")["State"]["StartedAt"] != before["State"]["StartedAt"])
    stack.ready("shop")
    assert stack.container("shop")["Id"] == before["Id"]
    assert stack.status("shop")["lastRestartRequest"] == "2026-01-01T00:00:00Z"
    assert stack.status("shop")["restartCount"] == 0


def test_an_image_that_cannot_be_had_is_told_and_an_edit_mends_it_at_once(stack: Stack) -> None:
    stack.apply("shop", {"image": "missing:1", "imagePullPolicy": "Never"})
    eventually(lambda: stack.condition("shop", "Stalled")["status"] == "True")
    status = stack.status("shop")
    assert (status["phase"], status["lastError"]["class"]) == ("Failed", "Image")
    assert "missing:1" in status["lastError"]["message"]
    assert status["nextRetryAt"]
    assert stack.containers("shop") == []
    stack.patch("shop", {"image": "alpine:latest"})
    stack.ready("shop", timeout=20)
    assert "lastError" not in stack.status("shop")


def test_the_old_container_runs_on_while_the_new_image_cannot_be_had(stack: Stack) -> None:
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.patch("shop", {"image": "missing:2", "imagePullPolicy": "Never"})
    eventually(lambda: stack.condition("shop", "Stalled")["status"] == "True")
    assert stack.container("shop")["Id"] == before["Id"]
    assert stack.container("shop")["State"]["Running"]


def test_a_host_that_does_not_exist_is_named_and_nothing_is_held_back_from_deletion(stack: Stack) -> None:
    stack.apply("shop", {"host": "elsewhere"})
    eventually(lambda: stack.condition("shop", "Stalled")["status"] == "True")
    assert stack.condition("shop", "Ready")["reason"] == "HostNotFound"
    assert "elsewhere" in stack.condition("shop", "Ready")["message"]
    assert "finalizers" not in stack.get("shop")["metadata"]
    stack.kubectl("delete", "workspace", "shop", "--timeout=20s")


@pytest.mark.parametrize(
    ("path", "says"),
    [("/etc/shop", "spec.projectPath"), ("/srv/projects/{}/not-there", "/srv/projects/{}/not-there")],
    ids=["not-allowed", "not-there"],
)
def test_a_bad_project_path_is_named_and_nothing_is_made(stack: Stack, path: str, says: str) -> None:
    path, says = path.format(stack.namespace), says.format(stack.namespace)
    stack.apply("shop", {"projectPath": path})
    eventually(lambda: stack.condition("shop", "Stalled")["status"] == "True")
    assert says in stack.status("shop")["lastError"]["message"]
    assert stack.status("shop")["lastError"]["class"] == "Configuration"
    assert stack.containers("shop") == []
    assert subprocess.run(["test", "-e", path], check=False).returncode == 1


def test_nobody_waits_for_one_that_ignores_its_stop_signal(stack: Stack) -> None:
    names = [f"quick-{n}" for n in range(9)]
    stubborn = {
        "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
        "terminationGracePeriodSeconds": 600,
    }
    stack.apply("stubborn", stubborn)
    for name in names:
        stack.apply(name, {"command": ["sleep", "1000"]})
    for name in ("stubborn", *names):
        stack.ready(name)
    for name in ("stubborn", *names):
        stack.patch(name, {"desiredState": "Stopped"})
    for name in names:
        stack.ready(name, timeout=30)
    assert stack.status("stubborn")["phase"] == "Stopping"
    stack.kubectl(
        "patch", "workspace", "stubborn", "--type=merge", "-p", '{"spec":{"terminationGracePeriodSeconds":1}}'
    )
    stack.ready("stubborn", timeout=30)


def test_a_deleted_namespace_leaves_no_container(stack: Stack) -> None:
    for name in ("a", "b", "c"):
        stack.apply(name)
    for name in ("a", "b", "c"):
        stack.ready(name)
    stack.cluster.kubectl("delete", "namespace", stack.namespace, "--timeout=90s")
    assert stack.docker("ps", "-aq", "--filter", f"label=aicli.dev/namespace={stack.namespace}") == ""
    stack.cluster.kubectl("create", "namespace", stack.namespace)


def test_wrong_input_is_refused_with_the_name_of_its_field(stack: Stack) -> None:
    cases = {
        "colour": {"colour": "red"},
        "memory": {"resources": {"limits": {"memory": "lots"}}},
        "workingDir": {"workingDir": "not/absolute"},
        "terminationGracePeriodSeconds": {"terminationGracePeriodSeconds": -1},
        "image": {"image": ""},
    }
    for field, spec in cases.items():
        with pytest.raises(subprocess.CalledProcessError) as refused:
            stack.apply("wrong", spec)
        assert field in refused.value.stderr + "".join(refused.value.__notes__)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stack.apply("n" * 300)
    assert "name" in refused.value.stderr + "".join(refused.value.__notes__)
