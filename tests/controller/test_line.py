"""The line on a real API server, with a Docker host in memory: what is written, how often, what is never touched."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import yaml

from controller import naming
from controller.api import Workspace
from controller.app import App
from controller.dockerhosts import COUNT_EVERY
from controller.engine.memory_host import MemoryHost
from controller.engine.memory_registry import Program
from controller.observed import ContainerState, Health
from devcluster import ControlPlane
from tests.controller.in_memory import running
from tests.controller.test_operations import HOST
from tests.waiting import eventually_async

EIGHT = [f"shop-{number}" for number in range(8)]


class Line:
    """One namespace, one host, and the writes of the controller."""

    def __init__(self, cluster: ControlPlane, namespace: str, host: MemoryHost) -> None:
        self.cluster, self.namespace, self.host = cluster, namespace, host
        self.writes: list[tuple[str, str, float]] = []
        self.app: App

    async def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(lambda: self.cluster.kubectl("-n", self.namespace, *args, stdin=stdin))

    async def apply(self, name: str, spec: dict[str, Any] | None = None) -> None:
        spec = {"host": "memory", "terminationGracePeriodSeconds": 1} | (spec or {})
        made = {"apiVersion": "aicli.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))

    async def status(self, name: str) -> dict[str, Any]:
        found = json.loads(await self.kubectl("get", "workspace", name, "-o", "json"))
        return dict(found.get("status", {}))

    async def phase(self, name: str, phase: str, timeout: float = 30) -> None:  # noqa: ASYNC109
        async def there() -> bool:
            return bool((await self.status(name)).get("phase") == phase)

        await eventually_async(there, timeout=timeout)

    async def run(self, names: Iterable[str]) -> None:
        """Makes Workspaces, all at once; returns when all run."""
        for name in names:
            await self.apply(name)
        for name in names:
            await self.phase(name, "Running")

    def ids(self, state: ContainerState | None = None) -> list[str]:
        """The containers of our cluster on the host."""
        ours = (c.shown for c in self.host.containers.values() if naming.LABEL_CLUSTER in c.shown.labels)
        return [c.id for c in ours if state is None or c.state is state]

    def reconciled(self) -> float:
        """Reconciliations of Workspaces so far."""
        return self.metric("reconcile_duration_seconds_count", result="done")

    def metric(self, name: str, **labels: str) -> float:
        """What a scrape would tell now; 0 for a series that isn't there."""
        return self.app.metrics.registry.get_sample_value(f"workspace_controller_{name}", labels) or 0.0

    def counts(self) -> Counter[str]:
        """Writes by kind since the last look."""
        counted = Counter(kind for kind, _, _ in self.writes)
        self.writes.clear()
        return counted


@pytest.fixture
async def line(control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    host = MemoryHost()
    made = Line(control_plane, namespace, host)
    await made.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(HOST))
    async with running(host, made.writes) as made.app:
        yield made
        await made.kubectl("delete", "workspaces", "--all", "--timeout=60s")


async def test_a_create_costs_two_writes_and_a_repair_one(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    assert line.counts()["Workspace"] == 2  # the finalizer and the status
    line.host.kill(line.ids()[0])
    await eventually_async(lambda: line.ids(ContainerState.RUNNING))

    async def counted() -> bool:
        return bool((await line.status("shop"))["restartCount"] == 1)

    await eventually_async(counted)
    assert line.counts()["Workspace"] == 1


async def test_every_ready_restart_and_repair_is_measured(line: Line) -> None:
    """What the controller itself writes comes first in the answer to the write, before the watch or after it."""
    await line.run(EIGHT)
    for container in line.ids():
        line.host.kill(container)
    await eventually_async(lambda: line.metric("restarts_total", reason="Error") == len(EIGHT))
    await eventually_async(lambda: line.metric("repair_seconds_count", attempt="first") == len(EIGHT))
    assert line.metric("apply_to_ready_seconds_count", change="create") == len(EIGHT)


async def test_a_delete_costs_one_write_where_the_container_ends_at_once(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    line.counts()
    await line.kubectl("delete", "workspace", "shop", "--timeout=60s")
    assert line.counts()["Workspace"] == 1  # the finalizer
    assert not line.ids()


async def test_nothing_is_remembered_of_what_is_gone(line: Line) -> None:
    await line.run(EIGHT)
    await line.kubectl("delete", "workspaces", "--all", "--timeout=60s")
    await eventually_async(lambda: not line.app.workspaces and not line.app.queues["workspaces"].working)
    assert not line.app._reconciler._memories


async def test_what_is_said_of_a_host_wakes_no_workspace(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    await line.kubectl("wait", "dockerhost/memory", "--for=jsonpath={.status.workspaces}=1", "--timeout=60s")
    before = line.reconciled()
    await line.kubectl("annotate", "dockerhost", "memory", "seen=yes", "--overwrite")
    await eventually_async(lambda: any("seen" in (h.metadata.annotations or {}) for h in line.app.dockerhosts.values()))
    assert line.reconciled() == before
    await line.kubectl("patch", "dockerhost", "memory", "--type=merge", "-p", '{"spec":{"policy":{"images":["**"]}}}')
    await eventually_async(lambda: line.reconciled() > before)


async def test_containers_are_counted_now_and_then_however_many_change(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    reconciler, counts = line.app._dockerhost_reconciler, 0
    users = reconciler._users

    def counted(host: str) -> Iterable[Workspace]:
        nonlocal counts
        counts += 1
        return users(host)

    reconciler._users = counted
    for _ in range(50):
        due = await reconciler.reconcile(("", "memory"))
    assert counts <= 1
    assert due is not None
    assert due - asyncio.get_running_loop().time() <= COUNT_EVERY


async def test_a_crash_loop_is_written_at_most_three_times_for_a_start(line: Line) -> None:
    await line.apply("shop", {"recovery": {"backoff": {"initialSeconds": 1, "maxSeconds": 1}, "maxRetries": 3}})
    await line.phase("shop", "Running")
    line.counts()
    for _ in range(4):
        await eventually_async(lambda: line.ids(ContainerState.RUNNING))
        line.host.exit(line.ids()[0], 1)
    await line.phase("shop", "Failed")
    status = await line.status("shop")
    assert (status["restartCount"], status["retries"]) == (3, 3)
    assert status["conditions"][0]["reason"] == "RetriesExhausted"
    assert line.counts()["Workspace"] <= 3 * 4


async def test_a_change_of_the_spec_gives_a_failed_workspace_another_chance(line: Line) -> None:
    await line.apply("shop", {"recovery": {"maxRetries": 0}})
    await line.phase("shop", "Running")
    line.host.exit(line.ids()[0], 1)
    await line.phase("shop", "Failed")
    await line.apply("shop", {"recovery": {"maxRetries": 1}})
    await line.phase("shop", "Running")


async def test_the_fallback_remove_takes_the_container_away(line: Line) -> None:
    await line.apply("shop", {"recovery": {"maxRetries": 0, "fallbackAction": "Remove"}})
    await line.phase("shop", "Running")
    line.host.exit(line.ids()[0], 1)
    await eventually_async(lambda: not line.ids())
    await line.phase("shop", "Failed")


async def test_a_container_that_does_not_carry_our_cluster_is_never_touched(line: Line) -> None:
    await line.apply("shop", {"desiredState": "Stopped"})
    await line.phase("shop", "Stopped")
    uid = json.loads(await line.kubectl("get", "workspace", "shop", "-o", "json"))["metadata"]["uid"]
    foreign = line.host.run(naming.container_name(line.namespace, "shop", uid), {naming.LABEL_UID: uid})
    await line.apply("shop", {"desiredState": "Running"})
    await line.phase("shop", "Failed")
    assert (await line.status("shop"))["lastError"]["reason"] == "NameConflict"
    assert line.host.find(foreign).shown.state is ContainerState.RUNNING
    line.host.remove(foreign)


async def test_an_unhealthy_container_is_restarted_and_the_restart_counts(line: Line) -> None:
    await line.apply("shop", {"livenessProbe": {"exec": {"command": ["true"]}}})
    await line.phase("shop", "Running")
    container = line.ids()[0]
    line.host.set_health(container, Health.UNHEALTHY)

    async def restarted() -> bool:
        return bool((await line.status("shop"))["restartCount"] == 1)

    await eventually_async(restarted)
    await line.phase("shop", "Running")
    assert line.ids() == [container]


async def test_a_host_that_is_cut_off_is_unknown_and_nothing_is_lost(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    before = line.ids()
    line.host.cut()
    await line.phase("shop", "Unknown")
    assert (await line.status("shop"))["lastError"]["class"] == "Network"
    line.host.come_back()
    await line.phase("shop", "Running")
    assert line.ids() == before


async def test_a_workspace_whose_finalizer_was_taken_away_leaves_no_container(line: Line) -> None:
    line.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
    await line.apply("shop", {"image": "stubborn:1", "terminationGracePeriodSeconds": 600})
    await line.phase("shop", "Running")
    await line.kubectl("delete", "workspace", "shop", "--wait=false")
    await line.kubectl("patch", "workspace", "shop", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await eventually_async(lambda: not line.ids(), timeout=40)


async def test_a_used_docker_host_waits_for_its_workspaces(line: Line) -> None:
    await line.apply("shop")
    await line.phase("shop", "Running")
    await line.kubectl("delete", "dockerhost", "memory", "--wait=false")
    found = json.loads(await line.kubectl("get", "dockerhost", "memory", "-o", "json"))
    assert naming.HOST_FINALIZER in found["metadata"]["finalizers"]
    await line.kubectl("delete", "workspace", "shop", "--timeout=60s")
    await line.kubectl("wait", "dockerhost/memory", "--for=delete", "--timeout=60s")
    await line.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(HOST))


async def test_a_missing_secret_is_named_and_its_arrival_is_noticed(line: Line) -> None:
    source = {"secretKeyRef": {"name": "token", "key": "value"}}
    await line.apply("shop", {"env": [{"name": "TOKEN", "valueFrom": source}]})
    await line.phase("shop", "Failed")
    error = (await line.status("shop"))["lastError"]
    assert (error["class"], error["reason"]) == ("Configuration", "SecretNotFound")
    assert "'token'" in error["message"]
    await line.kubectl("create", "secret", "generic", "token", "--from-literal=value=hunter2hunter2")
    await line.phase("shop", "Running", timeout=60)
    assert "hunter2hunter2" not in await line.kubectl("get", "workspaces,events", "-o", "yaml")


async def test_a_network_goes_with_its_last_workspace_however_short_it_lived(line: Line) -> None:
    await line.apply("shop", {"network": {"mode": "Isolated"}})
    await line.phase("shop", "Running")
    assert line.host.networks
    await line.kubectl("delete", "workspace", "shop", "--timeout=60s")
    await eventually_async(lambda: not line.host.networks, timeout=60)
