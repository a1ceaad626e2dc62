"""WorkspaceOperations on a real API server, with a Docker host in memory."""

import asyncio
import itertools
import json
from collections import Counter
from typing import Any

import pytest

from controller.engine.memory_host import MemoryHost
from controller.engine.memory_registry import Program
from controller.operations.reconciler import ACTIVE_AT_ONCE, WRITE_INTERVAL
from devcluster import ControlPlane
from tests.conftest import Kubectl
from tests.controller.in_memory import crash, running
from tests.waiting import eventually_async

PATIENCE = 300.0  # seconds; a busy machine is no failure
HOST = {
    "apiVersion": "aicli.dev/v1alpha1",
    "kind": "DockerHost",
    "metadata": {"name": "memory"},
    "spec": {
        "endpoint": "unix:///run/memory.sock",
        "policy": {"namespaces": {"matchNames": ["*"]}, "images": ["*"]},
    },
}


@pytest.fixture(autouse=True)
def kubeconfig(control_plane: ControlPlane, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    kubectl("apply", "-f", "-", stdin=json.dumps(HOST))


class Cluster:
    """kubectl, not holding up the controller that runs in this process."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl, self.namespace = kubectl, namespace

    async def run(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self._kubectl, "-n", self.namespace, *args, stdin=stdin)

    async def get(self, *args: str) -> Any:
        return json.loads(await self.run("get", *args, "-o", "json"))

    async def apply(self, *objects: dict[str, Any]) -> None:
        items = [{"apiVersion": "aicli.dev/v1alpha1", **item} for item in objects]
        await self.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    async def workspaces(self, count: int, **spec: Any) -> None:
        await self.apply(*(workspace(f"w{number:03}", **spec) for number in range(count)))
        await self.run("wait", "workspaces", "--all", "--for=condition=Ready", "--timeout=300s")

    async def operate(self, kind: str, name: str = "", **spec: Any) -> dict[str, Any]:
        """Makes an operation and waits for its end; gives its status."""
        name = name or kind.lower()
        spec = spec or {"selector": {}}
        await self.apply(
            {"kind": "WorkspaceOperation", "metadata": {"name": name}, "spec": {"operation": kind, **spec}}
        )
        return await self.end_of(name)

    async def has_got_to(self, name: str, least: int) -> None:
        """Waits until so many Workspaces are done."""

        async def is_there() -> bool:
            return int((await self.get("wsop", name)).get("status", {}).get("succeeded", 0)) >= least

        await eventually_async(is_there, timeout=PATIENCE, interval=0.1)

    async def end_of(self, name: str) -> dict[str, Any]:
        async def ended() -> dict[str, Any]:
            status: dict[str, Any] = (await self.get("wsop", name)).get("status", {})
            assert "completionTime" in status, status.get("progress")
            return status

        return await eventually_async(ended, timeout=PATIENCE, interval=0.3)

    async def column(self, path: str) -> set[str]:
        out = await self.run("get", "workspaces", "-o", f'jsonpath={{range .items[*]}}{{{path}}}{{"\\n"}}{{end}}')
        return set(out.split("\n")) - {""}


@pytest.fixture
def cluster(kubectl: Kubectl, namespace: str) -> Cluster:
    return Cluster(kubectl, namespace)


def workspace(name: str, **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    spec = {"host": "memory", "terminationGracePeriodSeconds": 0, **spec}
    return {"kind": "Workspace", "metadata": {"name": name, "labels": labels}, "spec": spec}


def results(status: dict[str, Any]) -> dict[str, str]:
    return {result["name"]: result["reason"] for result in status["results"]}


def starts(host: MemoryHost) -> set[Any]:
    return {container.shown.started_at for container in host.containers.values()}


async def test_stop_start_restart_and_delete_of_many(cluster: Cluster) -> None:
    host = MemoryHost()
    async with running(host):
        await cluster.workspaces(40)
        stopped = await cluster.operate("Stop")
        assert set(results(stopped).values()) == {"Stopped"}
        assert await cluster.column(".status.phase") == {"Stopped"}

        started = await cluster.operate("Start", parallelism=100, selector={})
        assert (started["progress"], started["phase"]) == ("40/40", "Complete")
        assert await cluster.column(".status.phase") == {"Running"}

        before, ids = starts(host), set(host.containers)
        restarted = await cluster.operate("Restart")
        assert set(results(restarted).values()) == {"Restarted"}
        assert not before & starts(host)
        assert ids == set(host.containers)
        assert await cluster.column(".status.restartCount") == {"0"}

        deleted = await cluster.operate("Delete")
        assert set(results(deleted).values()) == {"Deleted"}
        assert (await cluster.get("workspaces"))["items"] == []
        assert host.containers == {}


async def test_one_status_is_written_at_most_once_a_second(cluster: Cluster) -> None:
    writes: list[tuple[str, str, float]] = []
    async with running(MemoryHost(), writes):
        await cluster.workspaces(30)
        status = await cluster.operate("Restart", parallelism=2, selector={})
    assert status["succeeded"] == 30
    times = [time for kind, _, time in writes if kind == "WorkspaceOperation"]
    assert len(times) >= 3
    assert all(later - earlier >= WRITE_INTERVAL - 0.1 for earlier, later in itertools.pairwise(times))


async def test_partial_failures_are_told_for_each(cluster: Cluster) -> None:
    host = MemoryHost()
    async with running(host):
        await cluster.apply(
            workspace("good", desiredState="Stopped"),
            workspace("imageless", desiredState="Stopped", image="nowhere/nothing:1"),
            workspace("hostless", desiredState="Stopped", host="nowhere"),
        )
        status = await cluster.operate("Start", names=["good", "imageless", "hostless", "nobody"], timeoutSeconds=20)
        assert results(status) == {
            "good": "Started",
            "imageless": "ImageNotFound",
            "hostless": "HostNotFound",
            "nobody": "NotFound",
        }
        assert (status["succeeded"], status["failed"], status["phase"]) == (1, 3, "Failed")
        row = (await cluster.run("get", "wsop", "--no-headers")).split()
        assert row[:5] == ["start", "Start", "4/4", "3", "Failed"]


async def test_an_empty_selection_is_complete(cluster: Cluster) -> None:
    async with running(MemoryHost()):
        status = await cluster.operate("Stop", selector={"matchLabels": {"team": "nobody"}})
        assert (status["phase"], status["total"], status["progress"]) == ("Complete", 0, "0/0")
        await cluster.run("wait", "wsop/stop", "--for=condition=Complete", "--timeout=5s")


async def test_a_suspended_operation_waits_and_goes_on(cluster: Cluster) -> None:
    async with running(MemoryHost()):
        await cluster.workspaces(2)
        suspended = {"operation": "Stop", "selector": {}, "suspend": True}
        await cluster.apply({"kind": "WorkspaceOperation", "metadata": {"name": "later"}, "spec": suspended})

        async def is_suspended() -> bool:
            return bool((await cluster.get("wsop", "later"))["status"]["phase"] == "Suspended")

        await eventually_async(is_suspended)
        assert await cluster.column(".spec.desiredState") == {"Running"}
        await cluster.run("patch", "wsop", "later", "--type=merge", "-p", '{"spec": {"suspend": false}}')
        assert (await cluster.end_of("later"))["succeeded"] == 2

        async def told() -> bool:
            described = await cluster.run("describe", "wsop", "later")
            return all(reason in described for reason in ("Suspended", "Started", "Completed"))

        await eventually_async(told)


async def test_a_finished_operation_is_deleted_after_its_time(cluster: Cluster) -> None:
    async with running(MemoryHost()):
        spec = {"operation": "Stop", "selector": {}, "ttlSecondsAfterFinished": 1}
        await cluster.apply({"kind": "WorkspaceOperation", "metadata": {"name": "brief"}, "spec": spec})

        async def is_gone() -> bool:
            return bool((await cluster.get("wsop"))["items"] == [])

        await eventually_async(is_gone)


async def test_the_changed_field_belongs_to_the_operation(cluster: Cluster) -> None:
    async with running(MemoryHost()):
        await cluster.workspaces(1)
        await cluster.operate("Stop")
        managers = json.loads(await cluster.run("get", "ws", "w000", "-o", "json", "--show-managed-fields"))
        owned = [m for m in managers["metadata"]["managedFields"] if m["manager"] == "workspace-operation"]
        assert [m["fieldsV1"]["f:spec"] for m in owned] == [{"f:desiredState": {}}]


class CountingHost(MemoryHost):
    """Counts how often each Workspace's container was started and stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def start(self, container: str) -> None:
        self.started[self.find(container).shown.name] += 1
        super().start(container)

    def exit(self, container: str, code: int = 0, *, oom: bool = False) -> None:
        self.ended[self.find(container).shown.name] += 1
        super().exit(container, code, oom=oom)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.nightly)])
async def test_nothing_is_done_twice_however_often_the_controller_crashes(cluster: Cluster, count: int) -> None:
    host = CountingHost()
    async with running(host):
        await cluster.workspaces(count)
    for kind, starts_each, ends_each in (("Stop", 0, 1), ("Start", 1, 0), ("Restart", 1, 1), ("Delete", 0, None)):
        host.started.clear()
        host.ended.clear()
        spec = {"operation": kind, "selector": {}, "parallelism": 10}
        await cluster.apply({"kind": "WorkspaceOperation", "metadata": {"name": kind.lower()}, "spec": spec})
        for crashed in range(5):
            async with running(host) as app:
                await cluster.has_got_to(kind.lower(), count * crashed // 6)
                await crash(app)
        async with running(host):
            status = await cluster.end_of(kind.lower())
        assert (status["phase"], status["succeeded"]) == ("Complete", count)
        assert set(host.started.values()) == ({starts_each} if starts_each else set())
        if ends_each is not None:
            assert set(host.ended.values()) == ({ends_each} if ends_each else set())
    assert host.containers == {}


async def test_events_tell_what_happened_to_a_workspace(cluster: Cluster) -> None:
    host = MemoryHost()
    async with running(host):
        await cluster.workspaces(1)
        await cluster.operate("Stop")

        async def told() -> bool:
            by_uid: dict[str, list[str]] = {}
            for event in (await cluster.get("events"))["items"]:
                by_uid.setdefault(event["involvedObject"]["uid"], []).append(event["reason"])
            of_workspace, of_operation = [
                by_uid.pop((await cluster.get(kind, name))["metadata"]["uid"])
                for kind, name in (("ws", "w000"), ("wsop", "stop"))
            ]
            assert {"Created", "Started", "Stopped"} <= set(of_workspace)
            assert sorted(of_operation) == ["Completed", "Started"]
            assert by_uid == {}
            return len(of_workspace) <= 5

        await eventually_async(told)
        assert "Started" in await cluster.run("describe", "ws", "w000")


async def test_operations_of_a_namespace_wait_for_one_another_and_all_are_done(cluster: Cluster) -> None:
    def operation(number: int) -> dict[str, Any]:
        spec = {"operation": "Restart", "names": ["slow"]}
        return {"kind": "WorkspaceOperation", "metadata": {"name": f"op-{number}"}, "spec": spec}

    async def phases() -> Counter[str]:
        items = (await cluster.get("wsop"))["items"]
        return Counter(item.get("status", {}).get("phase", "") for item in items)

    async def there_are(**wanted: int) -> None:
        async def check() -> None:
            assert await phases() == Counter(wanted)

        await eventually_async(check, timeout=PATIENCE, interval=0.3)

    host = MemoryHost()
    host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
    async with running(host):
        await cluster.apply(workspace("slow", image="stubborn:1", terminationGracePeriodSeconds=3600))
        await cluster.run("wait", "workspace", "slow", "--for=condition=Ready", "--timeout=60s")
        await cluster.apply(*map(operation, range(ACTIVE_AT_ONCE + 2)))
        await there_are(Running=ACTIVE_AT_ONCE, Pending=2)
        (waiting, *_) = [i for i in (await cluster.get("wsop"))["items"] if i["status"]["phase"] == "Pending"]
        assert {c["reason"] for c in waiting["status"]["conditions"]} >= {"Waiting"}
        ends_at_once = '{"spec":{"terminationGracePeriodSeconds":0}}'
        await cluster.run("patch", "workspace", "slow", "--type=merge", "-p", ends_at_once)
        await there_are(Complete=ACTIVE_AT_ONCE + 2)
