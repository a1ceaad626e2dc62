"""What Flux (kstatus), Argo CD (its health script) and kubectl diff see, at every version of an object that was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ControlPlane
from devcluster.paths import REPOSITORY
from tests.e2e.conftest import Stack, docker_host, workspace
from tests.shipping.argocd import health
from tests.shipping.history import History, recorded
from tests.shipping.kstatus import kstatus
from tests.waiting import eventually

HEALTH = {"Current": "Healthy", "InProgress": "Progressing", "Failed": "Degraded"}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    return control_plane


@pytest.fixture
def history(stack: Stack, tmp_path: Path) -> Iterator[History]:
    with recorded(stack.cluster, tmp_path / "watch.json", "workspaces", "-n", stack.namespace) as history:
        yield history


def steps(versions: list[dict[str, Any]]) -> list[str]:
    """The statuses without repetitions."""
    return [status for status, _ in groupby(kstatus(version) for version in versions)]


def reached(stack: Stack, name: str, status: str) -> None:
    eventually(lambda: kstatus(stack.get(name)) == status, timeout=60)


def agree(kind: str, versions: list[dict[str, Any]]) -> None:
    """Argo CD says of each version what kstatus says."""
    living = [version for version in versions if kstatus(version) != "Terminating"]
    said = health(kind, living)
    assert [one["status"] for one in said] == [HEALTH[kstatus(version)] for version in living]


def test_workspace_is_in_progress_current_failed_and_terminating_when_it_should_be(
    stack: Stack, history: History
) -> None:
    stack.apply("shop")
    reached(stack, "shop", "Current")
    stack.patch("shop", {"env": [{"name": "A", "value": "1"}]})
    reached(stack, "shop", "Current")
    stack.patch("shop", {"image": "local/absent:1", "imagePullPolicy": "Never"})
    reached(stack, "shop", "Failed")
    stack.patch("shop", {"image": "alpine:latest"})
    reached(stack, "shop", "Current")
    stack.patch("shop", {"desiredState": "Stopped"})
    reached(stack, "shop", "Current")
    stack.kubectl("delete", "workspace", "shop", "--timeout=60s")
    versions = eventually(lambda: ended(history.versions("shop")))
    seen = steps(versions)
    assert [status for status in seen if status != "InProgress"] == [
        "Current", "Current", "Failed", "Current", "Current", "Terminating",
    ]  # fmt: skip
    assert seen[0] == "InProgress"
    assert all("InProgress" in pair for pair in pairwise(seen[:-1]))
    agree("Workspace", versions)


def ended(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert "deletionTimestamp" in versions[-1]["metadata"]
    return versions


def test_broken_workspace_fails_soon_with_our_message(stack: Stack) -> None:
    stack.apply("broken", {"image": "local/absent:1", "imagePullPolicy": "Never"})
    eventually(lambda: kstatus(stack.get("broken")) == "Failed", timeout=15)
    said = health("Workspace", [stack.get("broken")])[0]
    assert said["status"] == "Degraded"
    assert said["message"].startswith("ErrImageNeverPull: ")
    assert "local/absent:1" in said["message"]


def test_new_object_is_in_progress_until_a_controller_comes(cluster: ControlPlane, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump(workspace("early")))
    host = docker_host(f"host-{namespace}", "unix:///run/nowhere.sock")
    cluster.kubectl("apply", "-f", "-", stdin=host)
    try:
        for kind, where in (("workspace", ("early", "-n", namespace)), ("dockerhost", (f"host-{namespace}",))):
            found = json.loads(cluster.kubectl("get", kind, *where, "-o", "json"))
            assert kstatus(found) == "InProgress"
            assert health("Workspace", [found])[0]["status"] == "Progressing"
    finally:
        cluster.kubectl("delete", "dockerhost", f"host-{namespace}")


def test_operations_end_as_current_or_failed(stack: Stack, tmp_path: Path) -> None:
    stack.apply("shop")
    stack.ready("shop")
    with recorded(stack.cluster, tmp_path / "operations.json", "workspaceoperations", "-n", stack.namespace) as history:
        for name, targets, end in (("good", ["shop"], "Current"), ("bad", ["shop", "absent"], "Failed")):
            spec = {"operation": "Restart", "names": targets}
            stack.kubectl("apply", "-f", "-", stdin=operation(name, spec))
            eventually(lambda name=name: has_ended(history.versions(name)[-1]), timeout=60)
            assert steps(history.versions(name)) == ["InProgress", end]
            agree("WorkspaceOperation", history.versions(name))


def has_ended(operation: dict[str, Any]) -> None:
    assert operation["status"]["phase"] in ("Complete", "Failed"), json.dumps(operation["status"])


def test_suspended_operation_is_shown_as_such(stack: Stack) -> None:
    stack.kubectl("apply", "-f", "-", stdin=operation("later", {"operation": "Stop", "selector": {}, "suspend": True}))

    def suspended() -> None:
        found = json.loads(stack.kubectl("get", "workspaceoperation", "later", "-o", "json"))
        assert kstatus(found) == "InProgress"
        assert health("WorkspaceOperation", [found])[0]["status"] == "Suspended"

    eventually(suspended)


def operation(name: str, spec: dict[str, Any]) -> str:
    kind = {"apiVersion": "aicli.dev/v1alpha1", "kind": "WorkspaceOperation"}
    return yaml.safe_dump(kind | {"metadata": {"name": name}, "spec": spec})


def test_docker_hosts_tell_what_is_wrong_for_good(stack: Stack, tmp_path: Path) -> None:
    cluster, name = stack.cluster, f"again-{stack.namespace}"
    with recorded(cluster, tmp_path / "hosts.json", "dockerhosts") as history:
        cluster.kubectl("apply", "-f", "-", stdin=docker_host(name, stack.engine.endpoint))
        try:
            eventually(lambda: kstatus(history.versions(name)[-1]) == "Failed")  # the same engine twice
            assert kstatus(json.loads(cluster.kubectl("get", "dockerhost", "default", "-o", "json"))) == "Current"
        finally:
            cluster.kubectl("delete", "dockerhost", name)
        agree("DockerHost", history.versions(name))


def test_unreachable_host_is_in_progress(stack: Stack) -> None:
    name = f"gone-{stack.namespace}"
    stack.cluster.kubectl("apply", "-f", "-", stdin=docker_host(name, "unix:///run/nowhere.sock"))

    def unreachable() -> None:
        found = json.loads(stack.cluster.kubectl("get", "dockerhost", name, "-o", "json"))
        assert found["status"]["conditions"][0]["reason"] == "HostUnreachable"
        assert kstatus(found) == "InProgress"

    try:
        eventually(unreachable)
    finally:
        stack.cluster.kubectl("delete", "dockerhost", name)


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_diff_is_empty_after_apply(stack: Stack, how: tuple[str, ...], tmp_path: Path) -> None:
    name = f"full-{len(how)}"
    full = workspace(
        name,
        {
            "env": [{"name": "A", "value": "1"}],
            "volumes": [{"name": "cache", "mountPath": "/cache"}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
            "network": {"mode": "Isolated"},
            "livenessProbe": {"exec": {"command": ["true"]}},
        },
    )
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(full))
    stack.kubectl("apply", *how, "-f", str(tmp_path))
    stack.ready(name)
    assert stack.kubectl("diff", *how, "-f", str(tmp_path)) == ""


def test_two_managers_apply_without_conflict(stack: Stack) -> None:
    declared = workspace("shared", {"env": [{"name": "A", "value": "1"}]})
    stopped = {key: declared[key] for key in ("apiVersion", "kind")}
    stopped |= {"metadata": {"name": "shared"}, "spec": {"desiredState": "Stopped"}}
    apply(stack, "git", declared)
    stack.ready("shared")
    apply(stack, "night-shift", stopped)
    stack.ready("shared")
    before = stack.get("shared")
    apply(stack, "git", declared)
    apply(stack, "night-shift", stopped)
    after = stack.get("shared")
    assert before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    assert after["spec"]["desiredState"] == "Stopped"
    ours = [entry for entry in managed_fields(stack, "shared") if entry["manager"] not in ("git", "night-shift")]
    owned = {key for entry in ours for key in entry["fieldsV1"]}
    assert owned <= {"f:status", "f:metadata"}


def apply(stack: Stack, manager: str, document: dict[str, Any]) -> None:
    stack.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=json.dumps(document))


def managed_fields(stack: Stack, name: str) -> list[dict[str, Any]]:
    text = stack.kubectl("get", "workspace", name, "-o", "json", "--show-managed-fields")
    found: list[dict[str, Any]] = json.loads(text)["metadata"]["managedFields"]
    return found


def test_flux_and_argocd_examples_wait_for_health() -> None:
    flux = list(yaml.safe_load_all((REPOSITORY / "manifests" / "gitops" / "flux.yaml").read_text()))
    kustomizations = [item["spec"] for item in flux if item["kind"] == "Kustomization"]
    assert len(kustomizations) == 3
    assert all(spec.get("wait") or spec.get("healthChecks") for spec in kustomizations)
    scripts = yaml.safe_load((REPOSITORY / "manifests" / "gitops" / "argocd-cm.yaml").read_text())["data"]
    assert {key.rpartition("_")[2] for key in scripts} == {"Workspace", "WorkspaceOperation", "DockerHost"}
