"""start, stop, pause and restart, on a running controller."""

import json

from tests.cli.conftest import WAIT, Desk


def test_one_is_stopped_and_started_by_a_patch(desk: Desk) -> None:
    desk.running("a")
    assert desk.ok("stop", "a", *WAIT) == "workspace.aicli.dev/a should be Stopped\ndone\n"
    assert desk.get("a")["status"]["phase"] == "Stopped"
    assert desk.ok("start", "a", *WAIT) == "workspace.aicli.dev/a should be Running\ndone\n"
    assert desk.get("a")["status"]["phase"] == "Running"
    assert desk.kubectl("get", "wsop", "-o", "name") == ""
    assert desk.ok("start", "a") == "workspace.aicli.dev/a should be Running (as before)\n"


def test_several_are_paused_and_go_on_where_they_were(desk: Desk) -> None:
    desk.running("a", "b")
    desk.ok("pause", "a", "b", *WAIT)
    assert [desk.get(name)["status"]["phase"] for name in ("a", "b")] == ["Paused", "Paused"]
    before = desk.get("a")["status"]["containerID"], desk.get("a")["status"]["startedAt"]
    desk.ok("start", "a", *WAIT)
    assert (desk.get("a")["status"]["containerID"], desk.get("a")["status"]["startedAt"]) == before


def test_one_is_restarted_once(desk: Desk) -> None:
    desk.running("a")
    before = desk.get("a")["status"]["startedAt"]
    assert desk.ok("restart", "a", *WAIT) == "workspace.aicli.dev/a will restart\ndone\n"
    status = desk.get("a")["status"]
    assert status["startedAt"] > before
    assert status["lastRestartRequest"] == desk.get("a")["metadata"]["annotations"]["aicli.dev/restartedAt"]


def test_one_that_should_be_stopped_is_not_restarted(desk: Desk) -> None:
    desk.apply("a", {"desiredState": "Stopped"})
    answer = desk("restart", "a", *WAIT)
    assert answer.code == 1
    hint = f"`kubectl workspace start a -n {desk.namespace}` makes it run"
    assert answer.err == f"Error: Workspace 'a' should be Stopped: {hint}\n"


def test_several_go_through_one_operation(desk: Desk) -> None:
    desk.running("a", "b", labels={"team": "x"})
    desk.running("c")
    out = desk.ok("stop", "-l", "team=x", *WAIT)
    assert "created: stop 2 Workspaces of namespace" in out
    assert [desk.get(n)["status"]["phase"] for n in "abc"] == ["Stopped", "Stopped", "Running"]
    (operation,) = json.loads(desk.kubectl("get", "wsop", "-o", "json"))["items"]
    assert operation["spec"]["names"] == ["a", "b"]
    assert operation["spec"]["ttlSecondsAfterFinished"] == 86400
    desk.ok("start", "--all", *WAIT)
    assert {desk.get(n)["status"]["phase"] for n in "abc"} == {"Running"}
    assert desk("restart", "--all", "-o", "json", *WAIT).json["status"]["succeeded"] == 3


def test_what_fails_is_told_for_each_and_the_rest_is_done(desk: Desk) -> None:
    desk.apply("broken", {"image": "localhost:1/none", "imagePullPolicy": "Never", "desiredState": "Stopped"})
    desk.apply("fine", {"desiredState": "Stopped"})
    answer = desk("start", "broken", "fine", "typo", "broken", *WAIT)
    assert answer.code == 1
    failed = answer.out.splitlines()[-1].split()
    assert failed[0] == "broken"
    assert "there is no Workspace 'typo' in namespace" in answer.err
    assert desk.get("fine")["status"]["phase"] == "Running"


def test_one_that_can_not_start_is_told_with_its_reason(desk: Desk) -> None:
    desk.apply("broken", {"image": "localhost:1/none", "imagePullPolicy": "Never", "desiredState": "Stopped"})
    answer = desk("start", "broken", *WAIT)
    assert answer.code == 1
    assert answer.out.splitlines()[1].split() == ["FAILED", "REASON", "MESSAGE"]
    again = desk("start", "broken")
    assert again.code == 0
    assert "kubectl workspace describe broken" in again.err


def test_a_wait_that_is_too_short_says_how_far_it_is(desk: Desk) -> None:
    desk.running("a")
    desk.apply(
        "a",
        {"command": ["sh", "-c", "trap '' TERM; sleep 3600 & wait; sleep 3600"], "terminationGracePeriodSeconds": 30},
    )
    desk.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "workspace/a")
    answer = desk("stop", "a", "--wait", "--timeout", "2s")
    assert answer.code == 1
    assert "0 of 1 after 2s: workspace.aicli.dev/a " in answer.err


def test_nothing_selected_is_nothing_to_do(desk: Desk) -> None:
    answer = desk("stop", "--all", "--wait")
    assert (answer.code, answer.err) == (0, "No Workspaces found: nothing to do.\n")


def test_only_unknown_names_fail(desk: Desk) -> None:
    answer = desk("stop", "x", "y")
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 2


def test_all_namespaces_have_an_operation_each(desk: Desk, shared: Desk) -> None:
    desk.running("a", "b", labels={"both": "yes"})
    shared.running("c", labels={"both": "yes"})
    assert desk.ok("restart", "-A", "-l", "both=yes", *WAIT).count("workspaceoperation.aicli.dev/restart-") == 2


def test_without_the_right_to_patch_the_answer_says_so(desk: Desk) -> None:
    desk.running("a", "b")
    viewer = desk.cluster.user_kubeconfig("viewer")
    desk.kubectl("create", "role", "look", "--verb=get,list", "--resource=workspaces.aicli.dev")
    desk.kubectl("create", "rolebinding", "look", "--role=look", "--user=viewer")
    for names in (("a",), ("a", "b")):
        answer = desk("stop", *names, "--kubeconfig", str(viewer))
        assert answer.code == 1
        assert "viewer" in answer.err
        assert len(answer.err.splitlines()) == 1
