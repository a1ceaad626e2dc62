"""list, describe and watch, on a running controller."""

import subprocess

import pytest
import yaml

from tests.cli.conftest import Desk
from tests.waiting import eventually


@pytest.mark.parametrize("verb", [("list",), ("watch",), ("stop",), ("plan",), ("top",)], ids=" ".join)
def test_a_selector_that_is_none_is_named(verb: tuple[str, ...], shared: Desk) -> None:
    answer = shared(*verb, "-l", "%")
    assert answer.code == 1
    assert answer.err.startswith("Error: -l '%' is no selector: ")
    assert len(answer.err.splitlines()) == 1


def test_list_shows_what_kubectl_get_shows(shared: Desk) -> None:
    header, line = shared.ok("list").splitlines()
    assert header.split() == shared.kubectl("get", "workspaces").splitlines()[0].split()
    assert line.split()[:6] == ["calm", "Running", "True", "Running", "alpine:latest", "default"]


def test_list_in_all_namespaces_and_wide(shared: Desk) -> None:
    header, *lines = shared.ok("list", "-A", "-o", "wide").splitlines()
    assert header.split()[0] == "NAMESPACE"
    assert "CONTAINER ID" in header
    (line,) = (line for line in lines if line.startswith(f"{shared.namespace} "))
    assert shared.get("calm")["status"]["containerID"][:12] in line


def test_list_as_data(shared: Desk) -> None:
    assert [w["metadata"]["name"] for w in shared("list", "-o", "json").json["items"]] == ["calm"]
    assert yaml.safe_load(shared.ok("list", "calm", "-o", "yaml"))["kind"] == "Workspace"


def test_list_by_labels(shared: Desk) -> None:
    assert "calm" in shared.ok("list", "-l", "team in (a,b)")
    nothing = shared("list", "-l", "team=none")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == f"No Workspaces found in namespace '{shared.namespace}'.\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("list", "nope"), "there is no Workspace 'nope' in namespace"),
        (("describe", "../../namespaces"), "'../../namespaces' can't be the name of a Workspace"),
        (("list", "-n", "A b"), "'A b' can't be the name of a namespace"),
        (("stop", "a?b"), "there is no Workspace 'a?b'"),
        (("describe", "nope"), "there is no Workspace 'nope' in namespace"),
        (("plan", "nope"), "there is no Workspace 'nope' in namespace"),
        (("logs", "nope"), "there is no Workspace 'nope' in namespace"),
        (("exec", "nope", "--", "ls"), "there is no Workspace 'nope' in namespace"),
        (("top", "nope"), "there is no Workspace 'nope' in namespace"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_not_there_is_one_line_and_exit_code_1(args: tuple[str, ...], words: str, shared: Desk) -> None:
    answer = shared(*args)
    assert answer.code == 1
    assert answer.err.startswith(f"Error: {words}")
    assert len(answer.err.splitlines()) == 1


def test_a_cluster_without_the_crds_is_told(shared: Desk, new_control_plane) -> None:  # type: ignore[no-untyped-def]
    other = new_control_plane()
    other.kubectl("delete", "crd", "workspaces.aicli.dev")
    answer = shared("list", "--kubeconfig", str(other.kubeconfig))
    assert answer.code == 1
    assert "knows no Workspaces" in answer.err


def test_describe_tells_spec_container_conditions_drift_and_events(shared: Desk) -> None:
    text = shared.ok("describe", "calm")
    for title in ("Now:", "Asked for:", "Container:", "Conditions:", "Drift:", "Events"):
        assert title in text
    assert "none: the container is made from this spec" in text
    assert shared.get("calm")["status"]["containerID"][:12] in text
    eventually(lambda: "Normal Started" in shared.ok("describe", "calm"))


def test_describe_tells_why_and_when_the_next_try_is(desk: Desk) -> None:
    desk.apply("broken", {"image": "localhost:1/none"})
    eventually(lambda: desk.get("broken")["status"]["lastError"])
    text = desk.ok("describe", "broken")
    assert "Image" in text
    assert "Error:" in text


def test_describe_as_data(shared: Desk) -> None:
    found = shared("describe", "calm", "-o", "json").json
    assert found["workspace"]["metadata"]["name"] == "calm"
    assert isinstance(found["events"], list)


def test_who_may_not_list_events_gets_the_rest_of_the_description(shared: Desk) -> None:
    shared.kubectl("create", "role", "viewer", "--verb=get,list", "--resource=workspaces.aicli.dev")
    shared.kubectl("create", "rolebinding", "viewer", "--role=viewer", "--user=viewer")
    viewer = ("--kubeconfig", str(shared.cluster.user_kubeconfig("viewer")))
    text = shared.ok("describe", "calm", *viewer)
    assert "none: the container is made from this spec" in text
    assert text.splitlines()[-1].startswith("  you may not list the Events of this namespace")
    answer = shared("describe", "calm", "-o", "json", *viewer)
    assert (answer.code, answer.json["events"]) == (0, None)
    assert answer.err.startswith("events: you may not list the Events of this namespace")


def test_watch_in_a_pipe_prints_a_line_for_each_change(desk: Desk) -> None:
    command = ["kubectl", "workspace", "watch", "-n", desk.namespace]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=desk.environment)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().split()[:3] == ["NAMESPACE", "NAME", "STATE"]
        desk.running("w")
        states = []
        while "Running" not in states:
            states.append(process.stdout.readline().split()[2])
        desk.kubectl("delete", "workspace", "w")
        while states[-1] != "Deleted":
            states.append(process.stdout.readline().split()[2])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
