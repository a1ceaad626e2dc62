"""plan, on a running controller: what would be done now, and for a file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api import Workspace
from controller.cli.planning import Planner
from devcluster import Process
from tests.cli.conftest import Desk
from tests.e2e.conftest import docker_host, workspace
from tests.waiting import eventually


def manifest(desk: Desk, path: Path, name: str, **spec: object) -> str:
    """The file of a Workspace: as it is on the cluster, with other fields in its spec."""
    running = desk.get(name)["spec"] if name == "calm" else {}
    del_defaults = {
        key: running[key] for key in ("command", "tty", "terminationGracePeriodSeconds", "network") if key in running
    }
    path.write_text(yaml.safe_dump(workspace(name, del_defaults | spec)))
    return str(path)


def test_nothing_is_planned_for_what_is_as_declared(shared: Desk) -> None:
    text = shared.ok("plan", "calm")
    assert "plan:   nothing to do" in text
    assert f"running (asked of {shared.engine.endpoint})" in text


def test_the_plan_is_the_same_from_the_status_where_the_host_is_out_of_reach(shared: Desk) -> None:
    text = shared.ok("plan", "calm", "--endpoint", "unix:///nowhere")
    assert "plan:   nothing to do" in text
    assert "as its status says; the engine of host 'default' can't be reached" in text


def test_another_engine_is_not_taken_for_an_empty_host(shared: Desk, new_engine) -> None:  # type: ignore[no-untyped-def]
    text = shared.ok("plan", "calm", "--endpoint", new_engine().endpoint)
    assert "plan:   nothing to do" in text
    assert "is that the engine of this host?" in text


def test_a_file_that_changes_nothing(shared: Desk, tmp_path: Path) -> None:
    text = shared.ok("plan", "-f", manifest(shared, tmp_path / "ws.yaml", "calm"))
    assert "the file changes nothing" in text
    assert "nothing to do" in text


def test_a_file_shows_the_difference_and_what_would_be_done(shared: Desk, tmp_path: Path) -> None:
    path = manifest(shared, tmp_path / "ws.yaml", "calm", env=[{"name": "A", "value": "b"}])
    text = shared.ok("plan", "-f", path)
    assert "+  - name: A" in text
    assert "1. EnsureImage alpine:latest" in text
    assert "2. Create " in text
    assert shared.get("calm")["metadata"]["generation"] == 1


def test_limits_change_in_place(shared: Desk, tmp_path: Path) -> None:
    path = manifest(shared, tmp_path / "ws.yaml", "calm", resources={"limits": {"memory": "300Mi"}})
    (found,) = shared("plan", "-f", path, "-o", "json").json
    assert [action["action"] for action in found["actions"]] == ["Update"]
    assert "memory: 300Mi" in found["diff"]


def test_the_update_policy_holds_a_change_back(shared: Desk, tmp_path: Path) -> None:
    path = manifest(shared, tmp_path / "ws.yaml", "calm", image="busybox", updatePolicy="OnRestart")
    (found,) = shared("plan", "-f", path, "-o", "json").json
    assert found["actions"] == []
    assert len(found["pending"]) == 1


def test_a_new_workspace_is_made(shared: Desk, tmp_path: Path) -> None:
    (found,) = shared("plan", "-f", manifest(shared, tmp_path / "ws.yaml", "fresh"), "-o", "json").json
    assert [a["action"] for a in found["actions"]] == ["AddFinalizer", "EnsureImage", "Create", "Start"]


def test_what_the_policy_refuses_is_told(shared: Desk, tmp_path: Path) -> None:
    (found,) = shared("plan", "-f", manifest(shared, tmp_path / "a", "fresh", projectPath="/srv/b"), "-o", "json").json
    assert found["actions"] == []
    assert "projectPath" in found["why"]


def test_a_host_that_is_not_there_is_told(shared: Desk, tmp_path: Path) -> None:
    (found,) = shared("plan", "-f", manifest(shared, tmp_path / "a", "fresh", host="nope"), "-o", "json").json
    assert found["actions"] == []
    assert "no such DockerHost" in found["seen"]


def test_a_desired_state_that_the_file_leaves_out_stays(desk: Desk, tmp_path: Path) -> None:
    desk.running("a")
    desk.ok("stop", "a", "--wait")
    (found,) = desk("plan", "-f", manifest(desk, tmp_path / "ws.yaml", "a"), "-o", "json").json
    assert found["actions"] == []
    assert "-  desiredState" not in found["diff"]


def test_a_file_that_the_api_server_would_refuse_is_refused_with_its_line(shared: Desk, tmp_path: Path) -> None:
    for spec, field in (({"image": "a b"}, "spec.image"), ({"host": "other"}, "spec.host")):
        answer = shared("plan", "-f", manifest(shared, tmp_path / "ws.yaml", "calm", **spec))
        assert answer.code == 1
        assert f"{field}: " in answer.err
        assert answer.err.startswith(f"Error: {tmp_path}/ws.yaml:")


def test_a_file_of_another_namespace_than_the_one_asked_for_is_refused_as_by_kubectl(
    shared: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "ws.yaml"
    path.write_text(yaml.safe_dump(workspace("fresh", namespace="other"), sort_keys=True))
    with pytest.raises(subprocess.CalledProcessError):
        shared.kubectl("apply", "--dry-run=client", "-f", str(path))
    answer = shared("plan", "-f", str(path))
    assert answer.code == 1
    assert answer.err.startswith(f"Error: {path}:")
    assert f"metadata.namespace: is 'other', and -n says '{shared.namespace}'" in answer.err
    path.write_text(yaml.safe_dump(workspace("fresh", namespace=shared.namespace)))
    shared.ok("plan", "-f", str(path))


def test_a_folder_without_workspaces_is_told(shared: Desk, tmp_path: Path) -> None:
    assert shared("plan", "-f", "-", stdin="").err == "Error: no Workspaces in stdin\n"
    assert shared("plan", "-f", str(tmp_path)).err == f"Error: no Workspaces in {tmp_path}\n"


def test_who_may_not_read_hosts_still_gets_a_plan(shared: Desk) -> None:
    shared.kubectl("create", "role", "planner", "--verb=get,list", "--resource=workspaces.aicli.dev")
    shared.kubectl("create", "rolebinding", "planner", "--role=planner", "--user=planner")
    answer = shared("plan", "calm", "--kubeconfig", str(shared.cluster.user_kubeconfig("planner")))
    assert answer.code == 0
    assert "you may not read DockerHost 'default'" in answer.out
    assert "the host's policy can't be read" in answer.out


TOKEN = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "a"}}}


def secret(desk: Desk, **values: str) -> None:
    """Makes the Secret `tokens` anew or changes it."""
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokens"}, "stringData": values}
    desk.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))


def with_changed_secret(desk: Desk) -> None:
    """Has a Workspace `a` whose Secret has changed since its container was made."""
    secret(desk, a="1")
    desk.apply("a", {"env": [TOKEN]})
    desk.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "workspace/a")
    secret(desk, a="2")


def lines(found: dict[str, Any]) -> str:
    """The plan of `-o json` as `str(plan)` has it."""
    actions = [f"{number}. {action['text']}" for number, action in enumerate(found["actions"], 1)]
    return "\n".join(actions + [f"pending: {change}" for change in found["pending"]])


def test_a_changed_secret_is_planned_in_the_controllers_own_words(
    desk: Desk, controller: Process, tmp_path: Path
) -> None:
    with_changed_secret(desk)
    assert "pending: Secret/tokens has changed since the container was made" in desk.ok("plan", "a")

    restart = workspace("a", {"env": [TOKEN]}, annotations={"aicli.dev/restartedAt": "now"})
    (tmp_path / "ws.yaml").write_text(yaml.safe_dump(restart))
    (found,) = desk("plan", "-f", str(tmp_path / "ws.yaml"), "-o", "json").json
    steps = ["RecordRestart", "EnsureImage", "Create", "Rename", "Signal", "Rename"]
    assert [a["action"] for a in found["actions"]] == steps
    begin = len(controller.output())
    desk.kubectl("apply", "-f", str(tmp_path / "ws.yaml"))

    def logged() -> str:
        entries = map(json.loads, controller.output()[begin:].splitlines())
        mine = [e for e in entries if e["message"] == "plan" and e["workspace"] == f"{desk.namespace}/a"]
        return str(mine[0]["plan"])

    assert eventually(logged) == lines(found).replace("\n", " ")  # a log line is one line


def test_who_may_not_read_the_secret_is_told_and_gets_the_rest_of_the_plan(desk: Desk) -> None:
    with_changed_secret(desk)
    reader = desk.cluster.user_kubeconfig("reader")
    desk.kubectl("create", "role", "reader", "--verb=get,list", "--resource=workspaces.aicli.dev")
    desk.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=reader")
    answer = desk("plan", "a", "--kubeconfig", str(reader), "--endpoint", desk.engine.endpoint)
    assert answer.code == 0
    assert "you may not read Secret 'tokens': whether it has changed is not known here" in answer.out
    assert "plan:   nothing to do" in answer.out


@pytest.mark.parametrize(
    ("values", "problem"), [({"b": "1"}, "has no key 'a'"), ({}, "does not exist")], ids=["key", "Secret"]
)
def test_a_step_that_would_fail_for_want_of_a_value_is_told(
    desk: Desk, tmp_path: Path, values: dict[str, str], problem: str
) -> None:
    if values:
        secret(desk, **values)
    answer = desk("plan", "-f", manifest(desk, tmp_path / "ws.yaml", "fresh", env=[TOKEN]))
    assert f"step 3 would fail: Secret 'tokens' in namespace '{desk.namespace}' {problem}" in answer.out


def test_a_broken_pull_secret_is_told(desk: Desk, tmp_path: Path) -> None:
    secret(desk, a="1")
    answer = desk("plan", "-f", manifest(desk, tmp_path / "ws.yaml", "fresh", imagePullSecrets=[{"name": "tokens"}]))
    assert "step 2 would fail: imagePullSecrets: Secret 'tokens' has no valid .dockerconfigjson" in answer.out


class _Elsewhere:
    """An API server whose host's engine can't be reached from here."""

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        return yaml.safe_load(docker_host(name, "unix:///nowhere"))  # type: ignore[no-any-return]

    def source(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u", "resourceVersion": "2"}, "data": {"a": "Mg=="}}

    def namespace_meta(self, name: str) -> tuple[str, dict[str, str]]:
        return "cluster", {}


@pytest.mark.parametrize(
    ("pending", "steps"),
    [("Secret/tokens has changed since the container was made", []),
     ("the container was made from another spec (1234abcd)", ["EnsureImage", "Create", "Rename", "Signal", "Rename"])],
    ids=["Secret", "spec"],
)  # fmt: skip
def test_what_the_status_says_is_pending_is_told_in_the_same_words(pending: str, steps: list[str]) -> None:
    raw = workspace("a", {"env": [TOKEN]}, namespace="team", uid="u", generation=1, finalizers=["aicli.dev/container"])
    raw["status"] = {"observedGeneration": 1, "containerID": "c" * 64, "pendingChanges": [pending], "phase": "Running"}
    planner: Any = Planner(_Elsewhere(), None)  # type: ignore[arg-type]
    decided = planner.plan(Workspace.model_validate(raw), Workspace.model_validate(raw)).decided
    assert list(decided.pending) == [pending]
    assert [action.kind for action in decided.actions] == steps
