"""WorkspaceOperations for real: many containers, a controller that is killed, and failures of every kind."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import yaml

from devcluster import Engine, binaries
from tests.e2e.conftest import Stack, docker_host, workspace
from tests.waiting import eventually

PATIENCE = 600.0  # seconds for one operation on many containers, on a busy machine


@dataclass
class Versions:
    """Every version of one operation's status, as a watch brings it."""

    stack: Stack
    name: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Versions:
        command = [str(binaries.path("kubectl")), "--kubeconfig", str(self.stack.cluster.kubeconfig)]
        command += ["-n", self.stack.namespace, "get", "wsop", self.name, "--watch"]
        command += [
            "-o",
            "jsonpath={.metadata.resourceVersion} {.status.succeeded} {.status.failed} {.status.total}{'\\n'}",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            version, *counts = line.split()
            if counts:
                keys = ("succeeded", "failed", "total")
                self.seen.append(
                    {"version": version, "at": time.monotonic(), **dict(zip(keys, map(int, counts), strict=True))}
                )

    def check(self, crashes: int) -> None:
        """Progress only grows, and the status is written at most once a second."""
        for earlier, later in pairwise(self.seen):
            assert earlier["succeeded"] <= later["succeeded"]
            assert earlier["failed"] <= later["failed"]
            assert earlier["total"] in (0, later["total"])
        versions = {item["version"] for item in self.seen}
        lasted = self.seen[-1]["at"] - self.seen[0]["at"]
        assert len(versions) <= lasted + crashes + 2


class Starts:
    """How often each container of the engine was started and died, since `with` was entered."""

    def __init__(self, engine: Engine) -> None:
        self._client = engine.client(timeout=3600)
        self.count: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Starts:
        self._events = self._client.events(decode=True, filters={"type": "container", "event": ["start", "die"]})
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._events.close()
        self._thread.join()
        self._client.close()

    def _read(self) -> None:
        for event in self._events:
            self.count[event["Actor"]["Attributes"]["aicli.dev/name"], event["Action"]] += 1

    def of(self, action: str) -> dict[str, int]:
        return {name: count for (name, what), count in self.count.items() if what == action}


class Crew:
    """Many Workspaces of one stack, and what is done to them."""

    def __init__(self, stack: Stack, count: int) -> None:
        self.stack, self.names = stack, [f"w{number:03}" for number in range(count)]

    def make(self) -> None:
        limits = {"limits": {"memory": "16Mi", "cpu": "100m", "pids": 20}}
        items = [workspace(name, {"resources": limits, "command": ["sleep", "100000"]}) for name in self.names]
        self.stack.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(items))
        eventually(lambda: self.phases() == {"Running": len(self.names)}, timeout=PATIENCE, interval=2)

    def phases(self) -> dict[str, int]:
        out = self.stack.kubectl("get", "workspaces", "-o", "jsonpath={.items[*].status.phase}")
        return dict(Counter(out.split()))

    def generations(self) -> dict[str, int]:
        found = json.loads(self.stack.kubectl("get", "workspaces", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item["metadata"]["generation"] for item in found}

    def operate(self, kind: str, kills: int) -> dict[str, Any]:
        """One operation over all of them, with the controller killed on the way; gives the last status."""
        name = kind.lower()
        operate(self.stack, name, operation=kind, selector={}, parallelism=20)
        with Versions(self.stack, name) as versions:
            for kill in range(kills):
                at_least = len(self.names) * kill // (kills + 1)
                eventually(lambda: ended(status_of(self.stack, name)) >= at_least, timeout=PATIENCE, interval=0.2)  # noqa: B023
                self.stack.controller.kill()
                self.stack.controller.start()
            status = end_of(self.stack, name)
        versions.check(crashes=kills)
        return status


def operate(stack: Stack, name: str, **spec: Any) -> None:
    kind = {"apiVersion": "aicli.dev/v1alpha1", "kind": "WorkspaceOperation"}
    stack.kubectl("apply", "-f", "-", stdin=yaml.safe_dump({**kind, "metadata": {"name": name}, "spec": spec}))


def status_of(stack: Stack, name: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(stack.kubectl("get", "wsop", name, "-o", "json")).get("status", {})
    return status


def ended(status: dict[str, Any]) -> int:
    return int(status.get("succeeded", 0)) + int(status.get("failed", 0))


def end_of(stack: Stack, name: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        found = status_of(stack, name)
        assert "completionTime" in found, found.get("progress")
        return found

    return eventually(status, timeout=PATIENCE, interval=1)


def reasons(status: dict[str, Any]) -> dict[str, str]:
    return {result["name"]: result["reason"] for result in status["results"]}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("count", "kills"), [(12, 2), pytest.param(200, 5, marks=pytest.mark.nightly)])
def test_many_are_operated_once_each_while_the_controller_is_killed(stack: Stack, count: int, kills: int) -> None:
    crew = Crew(stack, count)
    crew.make()
    before = crew.generations()

    with Starts(stack.engine) as starts:
        assert set(reasons(crew.operate("Stop", kills)).values()) == {"Stopped"}
    assert starts.of("die") == dict.fromkeys(crew.names, 1)
    assert starts.of("start") == {}

    with Starts(stack.engine) as starts:
        assert set(reasons(crew.operate("Start", kills)).values()) == {"Started"}
    assert starts.of("start") == dict.fromkeys(crew.names, 1)
    assert crew.generations() == {name: generation + 2 for name, generation in before.items()}

    with Starts(stack.engine) as starts:
        assert set(reasons(crew.operate("Restart", kills)).values()) == {"Restarted"}
    assert starts.of("die") == starts.of("start") == dict.fromkeys(crew.names, 1)

    assert set(reasons(crew.operate("Delete", kills)).values()) == {"Deleted"}
    assert crew.phases() == {}
    assert stack.docker("ps", "-aq", "--filter", f"label=aicli.dev/namespace={stack.namespace}") == ""


def test_failures_of_every_kind_are_told_for_each_and_the_rest_is_done(
    stack: Stack, new_engine: Callable[..., Engine]
) -> None:
    other = new_engine()
    stack.cluster.kubectl("apply", "-f", "-", stdin=docker_host("other", other.endpoint))
    stack.cluster.kubectl("wait", "dockerhost/other", "--for=condition=Ready", "--timeout=60s")
    stopped = {"desiredState": "Stopped"}
    stack.apply("good", stopped)
    stack.apply("also-good", stopped)
    stack.apply("imageless", {**stopped, "image": "workspace-tests/missing:1", "imagePullPolicy": "Never"})
    stack.apply("refused", {**stopped, "projectPath": "/etc"})
    stack.apply("unreachable", {**stopped, "host": "other"})
    for name in ("good", "also-good", "imageless", "unreachable"):
        stack.ready(name)
    other.stop()

    names = ["good", "also-good", "imageless", "refused", "unreachable", "nobody"]
    operate(stack, "start", operation="Start", names=names, timeoutSeconds=30)
    status = end_of(stack, "start")
    told = reasons(status)
    assert told["good"] == told["also-good"] == "Started"
    assert told["nobody"] == "NotFound"
    assert told["unreachable"] == "Timeout"
    messages = {result["name"]: result.get("message", "") for result in status["results"]}
    assert "HostUnreachable" in messages["unreachable"]
    assert "workspace-tests/missing:1" in messages["imageless"]
    assert "/etc" in messages["refused"]
    assert (status["succeeded"], status["failed"], status["phase"]) == (2, 4, "Failed")
    with pytest.raises(subprocess.CalledProcessError):
        stack.kubectl("wait", "wsop/start", "--for=condition=Complete", "--timeout=1s")
    stack.kubectl("wait", "wsop/start", "--for=condition=Failed", "--timeout=1s")
    stack.kubectl("annotate", "workspace", "unreachable", "aicli.dev/abandon=true")
    stack.kubectl("delete", "workspace", "unreachable")
    stack.cluster.kubectl("delete", "dockerhost", "other")


def test_an_operation_can_only_be_suspended_once_it_is_made(stack: Stack) -> None:
    operate(stack, "stop", operation="Stop", selector={}, suspend=True)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stack.kubectl("patch", "wsop", "stop", "--type=merge", "-p", '{"spec": {"operation": "Delete"}}')
    assert "only suspend can be changed" in refused.value.stderr
    stack.kubectl("patch", "wsop", "stop", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    stack.kubectl("wait", "wsop/stop", "--for=condition=Complete", "--timeout=30s")


@pytest.fixture
def crash_looper(stack: Stack) -> Iterator[str]:
    stack.apply(
        "looper",
        {
            "command": ["sh", "-c", "exit 1"],
            "recovery": {"maxRetries": 1000, "backoff": {"initialSeconds": 1, "maxSeconds": 1, "factor": 1}},
        },
    )
    yield "looper"
    stack.kubectl("delete", "workspace", "looper")


def test_a_crash_loop_is_told_in_a_few_events_with_counts(stack: Stack, crash_looper: str) -> None:
    def restarts() -> int:
        return int(stack.status(crash_looper).get("restartCount", 0))

    def events() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(stack.kubectl("get", "events", "-o", "json"))["items"]
        return [event for event in found if event["involvedObject"]["name"] == crash_looper]

    eventually(lambda: restarts() >= 15, timeout=120, interval=1)
    assert len(events()) <= 8
    assert {"BackOff", "Restarted"} <= {event["reason"] for event in events()}
    assert stack.kubectl("describe", "workspace", crash_looper).count("BackOff") >= 1
