"""A tenant wants all of the host's memory, processes, CPU, disk, or as many Workspaces as they like."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import sample
from devcluster.paths import REPOSITORY
from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.threat("exhaustion")

MI = 1 << 20
ROTATED = 31 * MI  # three files of 10 MB, and the line that fills one
FLOOD = "yes $(head -c 4000 /dev/zero | tr '\\0' x) | head -c 50000000; sleep 3600"


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"limits": {"cpu": "3"}}, "limits.cpu"),
        ({"limits": {"cpu": "0"}}, "limits.cpu"),
        ({"limits": {"cpu": "-1"}}, "limits.cpu"),
        ({"limits": {"cpu": "1e9"}}, "limits.cpu"),
        ({"limits": {"memory": "2Gi"}}, "limits.memory"),
        ({"limits": {"memory": "0"}}, "limits.memory"),
        ({"limits": {"memory": "-1"}}, "limits.memory"),
        ({"limits": {"memory": "1Ei"}}, "limits.memory"),
        ({"limits": {"memory": "256 Mi"}}, "limits.memory"),
        ({"limits": {"memory": "unlimited"}}, "limits.memory"),
        ({"limits": {"pids": 0}}, "limits.pids"),
        ({"limits": {"pids": -1}}, "limits.pids"),
        ({"limits": {"pids": 5000}}, "limits.pids"),
        ({"requests": {"cpu": "3"}}, "cpu"),
        ({"requests": {"memory": "2Gi"}}, "memory"),
        ({"limits": {"swap": "1Ti"}}, "swap"),
        ({"limits": {"oomScoreAdj": -1000}}, "oomScoreAdj"),
    ],
    ids=str,
)
def test_more_than_the_host_allows_is_refused(
    stack: Stack, alice: Tenant, resources: dict[str, Any], field: str
) -> None:
    message = stack.refusal(alice, "greedy", {"resources": resources})
    assert "resources" in message
    assert field in message


def test_limits_are_set_for_a_silent_spec(stack: Stack, alice: Tenant) -> None:
    host = stack.start(alice, "silent")["HostConfig"]
    assert 0 < host["NanoCpus"] <= 2_000_000_000
    assert 0 < host["Memory"] <= 1024 * MI
    assert host["MemorySwap"] in (host["Memory"], 0, -1)  # -1 where the host's kernel doesn't count swap
    assert 0 < host["PidsLimit"] <= 256
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["RestartPolicy"]["Name"] in ("", "no")
    assert not host["OomKillDisable"]


def test_a_fork_bomb_stops_at_its_limit(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "bomb", {"resources": {"limits": {"pids": 30}}})
    stack.execute(box, "sh", "-c", "for i in $(seq 100); do sleep 300 & done")
    processes = stack.engine.docker("top", box["Id"]).splitlines()[1:]
    assert 20 <= len(processes) <= 30
    assert stack.running(alice, "bomb")["Id"] == box["Id"]


def test_a_memory_hog_is_killed_alone(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    neighbour = stack.start(bob, "neighbour")
    hog = {"command": ["sh", "-c", "tail /dev/zero"], "resources": {"limits": {"memory": "32Mi"}}}
    alice.apply("hog", hog | {"recovery": {"maxRetries": 0}})
    eventually(lambda: alice.status("hog")["lastTermination"]["oomKilled"], PATIENCE)
    after = stack.running(bob, "neighbour")
    assert (after["Id"], after["State"]["StartedAt"]) == (neighbour["Id"], neighbour["State"]["StartedAt"])


def test_a_flood_of_output_fills_no_disk(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "flood", {"command": ["sh", "-c", FLOOD]})
    logs = stack.engine.directory / "data" / "containers" / box["Id"]

    def rotated() -> None:
        assert (logs / f"{box['Id']}-json.log.2").exists()
        assert "sleep" in stack.execute(box, "ps")[1]

    eventually(rotated, 2 * PATIENCE)
    assert sum(file.stat().st_size for file in logs.glob("*-json.log*")) <= ROTATED


def test_a_crash_loop_ends(stack: Stack, alice: Tenant) -> None:
    backoff = {"initialSeconds": 1, "maxSeconds": 1, "factor": 1}
    alice.apply("loop", {"command": ["false"], "recovery": {"maxRetries": 2, "backoff": backoff}})
    status = eventually(lambda: _stalled(alice, "loop"), PATIENCE)
    assert status["restartCount"] <= 2
    assert [c["State"]["Status"] for c in stack.containers("team-a", "loop")] == ["exited"]


@pytest.fixture
def quota(stack: Stack) -> Iterator[None]:
    """At most two Workspaces in the attacker's namespace."""
    kubectl = stack.cluster.kubectl
    used = "jsonpath={.status.hard}{.status.used}"
    try:
        kubectl("create", "quota", "workspaces", "-n=team-a", "--hard=count/workspaces.aicli.dev=2")
        # The quota controller looks for new kinds every 30 s: one that was just declared isn't counted before.
        eventually(
            lambda: kubectl("get", "quota", "workspaces", "-n=team-a", "-o", used).count("workspaces") == 2,
            2 * PATIENCE,
        )
        yield
    finally:
        kubectl("delete", "quota", "workspaces", "-n=team-a", "--ignore-not-found")


def test_the_example_of_a_quota_counts_workspaces(stack: Stack, alice: Tenant) -> None:
    example = str(REPOSITORY / "manifests" / "admission" / "quota-example.yaml")
    counted = ["-o", "jsonpath={.spec.hard.count/workspaces\\.aicli\\.dev}"]
    assert int(stack.cluster.kubectl("apply", "-n=team-a", "--dry-run=server", "-f", example, *counted)) > 0


@pytest.mark.usefixtures("quota")
def test_the_workspace_over_quota_is_refused(stack: Stack, alice: Tenant) -> None:
    for name in ("first", "second"):
        alice.apply(name, {"desiredState": "Stopped"})
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.apply("third", {"desiredState": "Stopped"})
    assert "exceeded quota" in refusal.value.stderr
    with pytest.raises(subprocess.CalledProcessError):
        alice.kubectl("delete", "quota", "workspaces")


@pytest.mark.parametrize(
    "spec",
    [
        {"env": [{"name": f"A{i}", "value": "x" * 30000} for i in range(100)]},
        {"args": ["x" * 70000]},
        {"command": ["x"] * 100000},
        {"owner": "x" * 100000},
        {"volumes": [{"name": f"v{i}", "mountPath": f"/v{i}"} for i in range(1000)]},
        {"ports": [{"name": f"p{i}", "containerPort": i + 1} for i in range(5000)]},
        {"terminationGracePeriodSeconds": 10**9},
        {"recovery": {"backoff": {"initialSeconds": 0}}},
        {"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 0}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_an_object_out_of_bounds_is_refused(stack: Stack, alice: Tenant, spec: dict[str, Any]) -> None:
    message = stack.refusal(alice, "big", spec)
    assert any(words in message for words in (f"spec.{next(iter(spec))}", "too large", "larger than max"))


def _stalled(tenant: Tenant, name: str) -> dict[str, Any]:
    status = tenant.status(name)
    assert {c["type"]: c["status"] for c in status["conditions"]}["Stalled"] == "True"
    return status


def test_a_container_whose_image_names_no_real_stop_signal_goes_all_the_same(stack: Stack, alice: Tenant) -> None:
    stack.engine.load(sample.archive("stubborn:1", {"StopSignal": "SIGNOPE"}))
    stack.start(alice, "stubborn", {"image": "stubborn:1"})
    alice.delete("stubborn")
    assert stack.containers(alice.namespace, "stubborn") == []
