"""plan, on a running controller: what would be done now, and for a file."""

from pathlib import Path

import yaml

from tests.cli.conftest import Desk
from tests.e2e.conftest import workspace


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


def test_a_folder_without_workspaces_is_told(shared: Desk, tmp_path: Path) -> None:
    assert shared("plan", "-f", str(tmp_path)).err == f"Error: no Workspaces in {tmp_path}\n"


def test_who_may_not_read_hosts_still_gets_a_plan(shared: Desk) -> None:
    shared.kubectl("create", "role", "planner", "--verb=get,list", "--resource=workspaces.aicli.dev")
    shared.kubectl("create", "rolebinding", "planner", "--role=planner", "--user=planner")
    answer = shared("plan", "calm", "--kubeconfig", str(shared.cluster.user_kubeconfig("planner")))
    assert answer.code == 0
    assert "you may not read DockerHost 'default'" in answer.out
    assert "the host's policy can't be read" in answer.out
